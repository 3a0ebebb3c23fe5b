package engineio

import (
	"bytes"
	"testing"
)

func BenchmarkDecodePayload(b *testing.B) {
	body := []byte(`42["message:new",{"text":"hello"}]` + "\x1e3\x1e" + `42["typing:start",{"room":"conversation:42"}]`)
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		p, err := NewPayload(body, 1<<20, 1<<10)
		for err == nil && p.More() {
			_, err = p.Next()
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodePolledBinary(b *testing.B) {
	body := AppendPolledBinary(nil, bytes.Repeat([]byte{1, 2, 3}, 1000))
	scratch := make([]byte, len(body))
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		copy(scratch, body)
		p, _ := NewPayload(scratch, 1<<20, 1)
		if _, err := p.Next(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendPolledText(b *testing.B) {
	data := []byte(`2["message:new",{"text":"hello"}]`)
	dst := make([]byte, 0, 256)
	b.ReportAllocs()
	for b.Loop() {
		dst = AppendPolledText(AppendPolledText(dst[:0], Message, data), Ping, nil)
	}
}

func BenchmarkParseRequest(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseRequest("POST", "EIO=4&transport=polling&t=abc123&sid=lv_VI97HAXpY6yYWAAAC", false); err != nil {
			b.Fatal(err)
		}
	}
}

func TestHotPathsDoNotAllocate(t *testing.T) {
	text := []byte("42[\"a\"]\x1e3")
	dst := make([]byte, 0, 256)
	for name, f := range map[string]func(){
		"a frame is read": func() {
			p, _ := DecodeText(text)
			_, _ = Receive(p)
		},
		"a payload is read": func() {
			p, err := NewPayload(text, 1<<10, 10)
			for err == nil && p.More() {
				_, err = p.Next()
			}
		},
		"a payload is written": func() { dst = AppendPolledBinary(AppendPolledText(dst[:0], Message, text), text) },
		"a handshake is written": func() {
			dst = AppendOpen(dst[:0], Handshake{SID: "x", Upgrade: true, PingInterval: 25000, PingTimeout: 20000, MaxPayload: 1 << 20})
		},
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
