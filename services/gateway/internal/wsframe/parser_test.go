package wsframe

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unsafe"
)

func TestMalformedStreamsAreFailed(t *testing.T) {
	key := []byte{1, 2, 3, 4}
	for name, c := range map[string]struct {
		frames [][]byte
		want   Error
		code   uint16
	}{
		"RSV1":                                   {[][]byte{frame(0xc1, []byte("x"))}, ErrReservedBits, 1002},
		"RSV2":                                   {[][]byte{frame(0xa1, nil)}, ErrReservedBits, 1002},
		"RSV3 on a ping":                         {[][]byte{frame(0x99, nil)}, ErrReservedBits, 1002},
		"RSV1 on a continuation":                 {[][]byte{begin(Text, "a"), frame(0xc0, nil)}, ErrReservedBits, 1002},
		"opcode 3":                               {[][]byte{frame(0x83, nil)}, ErrOpcode, 1002},
		"opcode 11":                              {[][]byte{frame(0x8b, nil)}, ErrOpcode, 1002},
		"text without a mask":                    {[][]byte{masked(0x81, []byte("hello"), nil, 0)}, ErrUnmasked, 1002},
		"a ping without a mask":                  {[][]byte{masked(0x89, nil, nil, 0)}, ErrUnmasked, 1002},
		"a ping of 126 bytes":                    {[][]byte{whole(Ping, strings.Repeat("x", 126))}, ErrControlLong, 1002},
		"a close frame of 64 KiB":                {[][]byte{whole(Close, strings.Repeat("x", 1<<16))}, ErrControlLong, 1002},
		"a fragmented ping":                      {[][]byte{begin(Ping, "a")}, ErrControlSplit, 1002},
		"a fragmented close":                     {[][]byte{begin(Close, "")}, ErrControlSplit, 1002},
		"125 bytes in the 16 bit form":           {[][]byte{masked(0x82, make([]byte, 125), key, 2)}, ErrLengthForm, 1002},
		"nothing in the 16 bit form":             {[][]byte{masked(0x82, nil, key, 2)}, ErrLengthForm, 1002},
		"65,535 bytes in the 64 bit form":        {[][]byte{masked(0x82, make([]byte, 65535), key, 8)}, ErrLengthForm, 1002},
		"a ping in the 16 bit form":              {[][]byte{masked(0x89, []byte("x"), key, 2)}, ErrControlLong, 1002},
		"a length of 2^63":                       {[][]byte{{0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4}}, ErrLengthForm, 1002},
		"a length of 2^63 - 1":                   {[][]byte{{0x82, 0xff, 0x7f, 255, 255, 255, 255, 255, 255, 255, 1, 2, 3, 4}}, ErrTooBig, 1009},
		"a continuation of nothing":              {[][]byte{last("x")}, ErrContinuation, 1002},
		"a continuation of a finished message":   {[][]byte{begin(Text, "a"), last("b"), more("c")}, ErrContinuation, 1002},
		"a message inside a message":             {[][]byte{begin(Text, "a"), whole(Text, "b")}, ErrUnfinished, 1002},
		"a binary message inside a text message": {[][]byte{begin(Text, "a"), begin(Binary, "b")}, ErrUnfinished, 1002},
		"a message over the limit":               {[][]byte{whole(Binary, strings.Repeat("x", 1001))}, ErrTooBig, 1009},
		"fragments over the limit together":      {[][]byte{begin(Binary, strings.Repeat("x", 600)), last(strings.Repeat("x", 401))}, ErrTooBig, 1009},
		"text that is not UTF-8":                 {[][]byte{whole(Text, "\xff")}, ErrUTF8, 1007},
		"text that ends inside a character":      {[][]byte{whole(Text, "\xe2\x82")}, ErrUTF8, 1007},
		"a fragmented text that ends inside one": {[][]byte{begin(Text, "\xe2"), more("\x82"), last("")}, ErrUTF8, 1007},
		"a close frame of one byte":              {[][]byte{whole(Close, "\x03")}, ErrCloseLength, 1002},
		"close code 1005":                        {[][]byte{closing(1005, "")}, ErrCloseCode, 1002},
		"close code 1015":                        {[][]byte{closing(1015, "")}, ErrCloseCode, 1002},
		"a close reason that is not UTF-8":       {[][]byte{closing(1000, "\xce\xba\xff")}, ErrUTF8, 1007},
		"a close reason that ends inside one":    {[][]byte{closing(1000, "\xce")}, ErrUTF8, 1007},
	} {
		for way, reads := range ways(c.frames) {
			t.Run(name+" "+way, func(t *testing.T) {
				var conn connection
				for _, data := range reads {
					conn.read(t, data, 1000)
				}
				var failed Error
				if !errors.As(conn.err, &failed) || failed != c.want || failed.Code() != c.code {
					t.Fatalf("got %v, want %v", conn.got, c.want)
				}
				count := len(conn.got)
				conn.read(t, whole(Text, "behind"), 1000)
				if len(conn.got) != count || len(conn.rest) != 0 || !conn.reader.Ended() {
					t.Fatalf("a failed connection goes on: %v", conn.got)
				}
			})
		}
	}
}

// What is wrong is refused at the first byte that shows it, without waiting for what was announced (RFC 6455, 8.1; Autobahn 6.4).
func TestStreamsAreFailedEarly(t *testing.T) {
	for name, c := range map[string]struct {
		bytes []byte
		want  Error
	}{
		"reserved bits at the first byte":             {[]byte{0xc1}, ErrReservedBits},
		"a reserved opcode at the first byte":         {[]byte{0x83}, ErrOpcode},
		"a fragmented ping at the first byte":         {[]byte{0x09}, ErrControlSplit},
		"a continuation of nothing at the first byte": {[]byte{0x80}, ErrContinuation},
		"no mask at the second byte":                  {[]byte{0x81, 0x05}, ErrUnmasked},
		"a long ping at the second byte":              {[]byte{0x89, 0xfe}, ErrControlLong},
		"a length over the limit at its header":       {[]byte{0x82, 0xfe, 0x03, 0xe9, 0, 0, 0, 0}, ErrTooBig},
		"bad UTF-8 inside an unfinished frame":        {[]byte{0x81, 0xfe, 0x01, 0x00, 0, 0, 0, 0, 'a', 0xff}, ErrUTF8},
		"a character that cannot become one":          {[]byte{0x81, 0xfe, 0x01, 0x00, 0, 0, 0, 0, 0xf4, 0x90}, ErrUTF8},
		"a surrogate at its second byte":              {[]byte{0x81, 0xfe, 0x01, 0x00, 0, 0, 0, 0, 0xed, 0xa0}, ErrUTF8},
		"an overlong character at its second byte":    {[]byte{0x81, 0xfe, 0x01, 0x00, 0, 0, 0, 0, 0xe0, 0x80}, ErrUTF8},
		"a lead byte that leads nothing":              {[]byte{0x81, 0xfe, 0x01, 0x00, 0, 0, 0, 0, 0xc1}, ErrUTF8},
		"bad UTF-8 before the end of the fragmented":  {append(begin(Text, "a"), frame(0, []byte{0xf8})...), ErrUTF8},
	} {
		t.Run(name, func(t *testing.T) {
			var conn connection
			conn.read(t, c.bytes, 1000)
			if !errors.Is(conn.err, c.want) {
				t.Fatalf("got %v, want %v", conn.got, c.want)
			}
		})
	}
}

func TestAnIdleConnectionHoldsNothing(t *testing.T) {
	if n := unsafe.Sizeof(Parser{}); n > 32 {
		t.Errorf("a parser is %d bytes", n)
	}
	if n := unsafe.Sizeof(Reader{}); n > 56 {
		t.Errorf("a reader is %d bytes", n)
	}
	var conn connection
	for _, data := range chop(slices.Concat(begin(Text, "ab"), whole(Ping, "x"), last("c"), whole(Text, "")), 5) {
		conn.read(t, data, 100)
	}
	if !conn.reader.Idle() || conn.reader.Buffered() != 0 || len(conn.rest) != 0 {
		t.Fatalf("idle %v, buffered %d, rest %d", conn.reader.Idle(), conn.reader.Buffered(), len(conn.rest))
	}
	if want := []string{ping("x"), text("abc"), text("")}; !slices.Equal(conn.got, want) {
		t.Fatalf("got %v", conn.got)
	}
}

func TestMemoryFollowsWhatCameNotWhatWasAnnounced(t *testing.T) {
	var r Reader
	buf := []byte{0x82, 0xff, 0, 0, 0, 0, 0x3f, 0xff, 0xff, 0xff, 1, 2, 3, 4, 5, 6}
	if _, n, ok, err := r.Next(buf, 1<<30); n != len(buf) || ok || err != nil {
		t.Fatal(n, ok, err)
	}
	if r.Idle() || r.Buffered() > 64 {
		t.Fatalf("idle %v, %d bytes are held", r.Idle(), r.Buffered())
	}
}

func TestAMessageInOneReadIsNotCopied(t *testing.T) {
	var r Reader
	buf := whole(Text, "hello")
	m, n, ok, err := r.Next(buf, 100)
	if err != nil || !ok || n != len(buf) || &m.Data[0] != &buf[len(buf)-5] {
		t.Fatal(m, n, ok, err)
	}
	if cap(m.Data) != len(m.Data) {
		t.Fatal("appending to a message would overwrite what follows")
	}
}

func TestPartsComeAsTheyArrive(t *testing.T) {
	var p Parser
	buf := slices.Concat(begin(Binary, "abc"), more(""), whole(Ping, "x"), last(""))
	var got []string
	for {
		part, n, ok, err := p.Next(buf, 100)
		if err != nil {
			t.Fatal(err)
		}
		if buf = buf[n:]; !ok {
			break
		}
		got = append(got, fmt.Sprintf("%v %v %v %s", part.Op, part.First, part.Last, part.Data))
	}
	want := []string{"binary true false abc", "ping true true x", "binary false true "}
	if !slices.Equal(got, want) || len(buf) != 0 {
		t.Fatalf("got %v, %d left", got, len(buf))
	}
}

func TestALimitIsInclusive(t *testing.T) {
	var conn connection
	conn.read(t, slices.Concat(whole(Binary, "1234"), begin(Binary, "12"), last("34"), whole(Binary, "12345")), 4)
	if want := []string{bin("1234"), bin("1234"), ErrTooBig.Error()}; !slices.Equal(conn.got, want) {
		t.Fatalf("got %v", conn.got)
	}
	conn = connection{}
	if conn.read(t, whole(Text, ""), -1); !errors.Is(conn.err, ErrBadLimit) {
		t.Fatalf("got %v", conn.got)
	}
}

func TestUnmaskingAgreesWithTheDefinition(t *testing.T) {
	for n := range 130 {
		data := make([]byte, n)
		for i := range data {
			data[i] = byte(i * 7)
		}
		want := bytes.Clone(data)
		for i := range want {
			want[i] ^= []byte{0x11, 0x22, 0x33, 0x44}[i%4]
		}
		for cut := range n + 1 {
			got := bytes.Clone(data)
			unmask(got[cut:], unmask(got[:cut], 0x44332211))
			if !bytes.Equal(got, want) {
				t.Fatalf("%d bytes, cut at %d", n, cut)
			}
		}
	}
}
