package wsframe

import (
	"bytes"
	"strconv"
	"testing"
)

func BenchmarkReadSmallFrames(b *testing.B) {
	var stream []byte
	for range 16 {
		stream = append(stream, whole(Text, `42["message:new",{"text":"hello, world","room":"conversation:42"}]`)...)
	}
	scratch := make([]byte, len(stream))
	var r Reader
	b.ReportAllocs()
	b.SetBytes(int64(len(stream)))
	for b.Loop() {
		copy(scratch, stream)
		buf := scratch
		for {
			_, n, ok, err := r.Next(buf, 1<<20)
			if err != nil {
				b.Fatal(err)
			}
			if buf = buf[n:]; !ok {
				break
			}
		}
	}
}

func BenchmarkReadPong(b *testing.B) {
	stream := whole(Text, "3")
	scratch := make([]byte, len(stream))
	var r Reader
	b.ReportAllocs()
	for b.Loop() {
		copy(scratch, stream)
		if _, _, ok, err := r.Next(scratch, 1<<20); !ok || err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReadText(b *testing.B) {
	for _, n := range []int{1 << 10, 64 << 10, 1 << 20} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			stream := masked(0x81, bytes.Repeat([]byte("x"), n), []byte{0, 0, 0, 0}, 0)
			copy(stream[len(stream)-n-4:], []byte{0, 0, 0, 0})
			var r Reader
			b.ReportAllocs()
			b.SetBytes(int64(n))
			for b.Loop() {
				if _, _, ok, err := r.Next(stream, 1<<21); !ok || err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkUnmask(b *testing.B) {
	for _, n := range []int{16, 125, 4096} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			data := make([]byte, n)
			b.SetBytes(int64(n))
			for b.Loop() {
				unmask(data, 0x12345678)
			}
		})
	}
}

func BenchmarkAppendFrame(b *testing.B) {
	dst, payload := make([]byte, 0, 512), make([]byte, 300)
	b.ReportAllocs()
	for b.Loop() {
		dst = AppendFrame(dst[:0], Text, payload)
	}
}

func TestHotPathsDoNotAllocate(t *testing.T) {
	stream := bytes.Join([][]byte{whole(Binary, "hello"), whole(Ping, "x"), whole(Binary, "")}, nil)
	var r Reader
	dst := make([]byte, 0, 256)
	for name, f := range map[string]func(){
		"small messages are read": func() {
			buf := stream
			for {
				_, n, ok, _ := r.Next(buf, 1<<20)
				if buf = buf[n:]; !ok {
					return
				}
			}
		},
		"a frame is written":       func() { dst = AppendFrame(dst[:0], Text, stream) },
		"a close frame is written": func() { dst = AppendClose(dst[:0], CloseNormal, "bye") },
		"a handshake is answered":  func() { dst = AppendSwitching(dst[:0], exampleKey, "") },
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
