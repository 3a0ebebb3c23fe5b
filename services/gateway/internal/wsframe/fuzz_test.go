package wsframe

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"
)

const fuzzLimit = 70_000

// plain is a second reader, written for being read: it takes a whole stream and returns what it holds, and whether it is wrong.
func plain(stream []byte) (got []string, failed bool) {
	var message []byte
	var op Opcode
	at := 0
	octet := func(i int) (byte, bool) {
		if at+i < len(stream) {
			return stream[at+i], true
		}
		return 0, false
	}
	for {
		first, ok := octet(0)
		if !ok {
			return got, false
		}
		fin, code := first >= 0x80, Opcode(first%16)
		isControl := code == Close || code == Ping || code == Pong
		if first/16%8 != 0 || !isControl && code > Binary || isControl && !fin || !isControl && (code == Continuation) != (op != Continuation) {
			return got, true
		}
		second, ok := octet(1)
		if !ok {
			return got, false
		}
		if second < 0x80 || isControl && second-0x80 > 125 {
			return got, true
		}
		length, header := uint64(second-0x80), 2
		if wide := map[uint64]int{126: 2, 127: 8}[length]; wide > 0 {
			if header += wide; at+header > len(stream) {
				return got, false
			}
			var digits [8]byte
			copy(digits[8-wide:], stream[at+2:])
			if length = binary.BigEndian.Uint64(digits[:]); wide == 2 && length < 126 || wide == 8 && (length < 65536 || length >= 1<<63) {
				return got, true
			}
		}
		key := at + header
		if header += 4; at+header > len(stream) {
			return got, false
		}
		if !isControl && length+uint64(len(message)) > fuzzLimit {
			return got, true
		}
		payload := bytes.Clone(stream[at+header : min(uint64(len(stream)), uint64(at+header)+length)])
		for i := range payload {
			payload[i] ^= stream[key+i%4]
		}
		complete := uint64(len(payload)) == length
		at += header + len(payload)
		if isControl {
			if !complete {
				return got, false
			}
			s, wrong := plainControl(code, payload)
			if wrong {
				return got, true
			}
			if got = append(got, s); code == Close {
				return got, false
			}
			continue
		}
		if code != Continuation {
			op = code
		}
		message = append(message, payload...)
		if op == Text && !plainUTF8(message, complete && fin) {
			return got, true
		}
		if !complete {
			return got, false
		}
		if fin {
			got = append(got, shown(Message{Op: op, Data: message}))
			message, op = nil, Continuation
		}
	}
}

func plainControl(code Opcode, payload []byte) (s string, wrong bool) {
	m := Message{Op: code, Data: payload}
	if code != Close {
		return shown(m), false
	}
	switch {
	case len(payload) == 1:
		return "", true
	case len(payload) == 0:
		m.Code = CloseNoStatus
	default:
		m.Code, m.Data = binary.BigEndian.Uint16(payload), payload[2:]
		if !ValidCloseCode(m.Code) || !utf8.Valid(m.Data) {
			return "", true
		}
	}
	return shown(m), false
}

// plainUTF8 reports whether b is UTF-8 or, unless it is at its end, may become it by more bytes.
func plainUTF8(b []byte, end bool) bool {
	for len(b) > 0 {
		r, size := utf8.DecodeRune(b)
		if r == utf8.RuneError && size == 1 {
			return !end && !utf8.FullRune(b)
		}
		b = b[size:]
	}
	return true
}

func streamSeeds(f *testing.F) {
	for _, stream := range [][][]byte{
		{whole(Text, "hello"), whole(Ping, "x"), closing(1000, "bye")},
		{begin(Text, "κό"), whole(Pong, ""), more("σμ"), last("ε")},
		{begin(Binary, "\x00\xff"), more(""), last("")},
		{whole(Binary, string(make([]byte, 70_000)))},
		{whole(Binary, string(make([]byte, 300))), whole(Text, "\xf4\x90")},
		{masked(0x81, []byte("x"), nil, 0)},
		{masked(0x82, make([]byte, 200), []byte{0, 0, 0, 0}, 8)},
		{closing(1014, "")},
	} {
		f.Add(bytes.Join(stream, nil), uint16(1))
		f.Add(bytes.Join(stream, nil), uint16(9000))
	}
}

// FuzzFrames compares the reader, fed in pieces of n bytes and in one, with the plain reader.
func FuzzFrames(f *testing.F) {
	streamSeeds(f)
	f.Fuzz(func(t *testing.T, stream []byte, n uint16) {
		want, failed := plain(stream)
		for _, size := range []int{int(n) + 1, len(stream) + 1} {
			var conn connection
			for _, piece := range chop(stream, size) {
				conn.read(t, piece, fuzzLimit)
			}
			got := conn.got
			if conn.err != nil {
				got = got[:len(got)-1]
			}
			if (conn.err != nil) != failed || !slices.Equal(got, want) {
				t.Fatalf("%x in pieces of %d:\ngot  %v\nwant %v, failed %v", stream, size, conn.got, want, failed)
			}
		}
	})
}

// FuzzUTF8 cuts text in two and compares with unicode/utf8.
func FuzzUTF8(f *testing.F) {
	f.Add([]byte("κόσμε\xf4\x8f\xbf\xbf"), uint8(3))
	f.Add([]byte("\xed\xa0\x80"), uint8(1))
	f.Fuzz(func(t *testing.T, data []byte, cut uint8) {
		at := min(int(cut), len(data))
		state := decoder(accept).next(data[:at])
		if (state != reject) != plainUTF8(data[:at], false) {
			t.Fatalf("%x is %v", data[:at], state)
		}
		if state = state.next(data[at:]); (state == accept) != utf8.Valid(data) || (state != reject) != plainUTF8(data, false) {
			t.Fatalf("%x cut at %d is %v", data, at, state)
		}
	})
}

// FuzzGorilla compares with gorilla/websocket: what we read whole, it must read the same. It takes more (text that is not UTF-8, lengths in a longer
// form than needed, a close frame of one byte) and, against the IANA registry, refuses close code 1014.
func FuzzGorilla(f *testing.F) {
	streamSeeds(f)
	f.Fuzz(func(t *testing.T, stream []byte, _ uint16) {
		var conn connection
		conn.read(t, stream, fuzzLimit)
		if conn.err != nil || slices.ContainsFunc(conn.got, func(m string) bool { return strings.HasPrefix(m, "close 1014 ") }) {
			return
		}
		if got := readByGorilla(t, stream); !slices.Equal(got, conn.got) {
			t.Fatalf("%x:\ngot %v\ngorilla has %v", stream, conn.got, got)
		}
	})
}

func readByGorilla(t *testing.T, stream []byte) (got []string) {
	t.Helper()
	upgrader := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}
	h := handshake(nil)
	c, err := upgrader.Upgrade(hijacked{stream: &streamConn{bytes.NewReader(stream)}, header: http.Header{}}, &http.Request{Method: "GET", Header: h}, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.SetReadLimit(fuzzLimit)
	c.SetPingHandler(func(s string) error { got = append(got, ping(s)); return nil })
	c.SetPongHandler(func(s string) error { got = append(got, pong(s)); return nil })
	c.SetCloseHandler(func(code int, s string) error { got = append(got, closed(uint16(code), s)); return nil })
	for {
		typ, data, err := c.ReadMessage()
		var end *websocket.CloseError
		switch {
		case err == nil:
			got = append(got, shown(Message{Op: Opcode(typ), Data: data}))
		case errors.As(err, &end), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return got
		default:
			return append(got, fmt.Sprint("gorilla fails: ", err))
		}
	}
}

// hijacked hands a stream to gorilla's upgrader.
type hijacked struct {
	stream *streamConn
	header http.Header
}

func (h hijacked) Header() http.Header         { return h.header }
func (h hijacked) Write(b []byte) (int, error) { return len(b), nil }
func (h hijacked) WriteHeader(int)             {}
func (h hijacked) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return h.stream, bufio.NewReadWriter(bufio.NewReader(h.stream), bufio.NewWriter(h.stream)), nil
}

// streamConn reads a stream and forgets what is written.
type streamConn struct{ *bytes.Reader }

func (*streamConn) Write(b []byte) (int, error)      { return len(b), nil }
func (*streamConn) Close() error                     { return nil }
func (*streamConn) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (*streamConn) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (*streamConn) SetDeadline(time.Time) error      { return nil }
func (*streamConn) SetReadDeadline(time.Time) error  { return nil }
func (*streamConn) SetWriteDeadline(time.Time) error { return nil }
