package wsframe

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"
)

// frame writes a client's frame with whatever first byte and length form; mask nil leaves it unmasked.
func frame(first byte, payload []byte) []byte {
	return masked(first, payload, []byte{0x37, 0xfa, 0x21, 0x3d}, 0)
}

// masked is frame with a key, and with a length form of at least form bytes (0, 2 or 8).
func masked(first byte, payload, key []byte, form int) []byte {
	b := []byte{first}
	switch n := len(payload); {
	case form == 8 || n > 0xffff:
		b = binary.BigEndian.AppendUint64(append(b, maskBit|127), uint64(n))
	case form == 2 || n > 125:
		b = append(b, maskBit|126, byte(n>>8), byte(n))
	default:
		b = append(b, maskBit|byte(n))
	}
	if key == nil {
		b[1] &^= maskBit
		return append(b, payload...)
	}
	b = append(b, key...)
	for i, c := range payload {
		b = append(b, c^key[i%4])
	}
	return b
}

func whole(op Opcode, payload string) []byte { return frame(finBit|byte(op), []byte(payload)) }
func begin(op Opcode, payload string) []byte { return frame(byte(op), []byte(payload)) }
func more(payload string) []byte             { return frame(0, []byte(payload)) }
func last(payload string) []byte             { return frame(finBit, []byte(payload)) }
func closing(code uint16, reason string) []byte {
	return whole(Close, string(binary.BigEndian.AppendUint16(nil, code))+reason)
}

// ways of cutting a stream into reads.
func ways(frames [][]byte) map[string][][]byte {
	stream := bytes.Join(frames, nil)
	return map[string][][]byte{
		"in one read":         {stream},
		"a frame a read":      frames,
		"a byte a read":       chop(stream, 1),
		"997 bytes a read":    chop(stream, 997),
		"cut inside a header": chop(stream, 3),
	}
}

func chop(b []byte, n int) (parts [][]byte) {
	for len(b) > n {
		parts, b = append(parts, b[:n]), b[n:]
	}
	return append(parts, b)
}

// connection reads as the gateway does: what a step leaves is kept for the next read, and nothing else.
type connection struct {
	reader Reader
	rest   []byte
	got    []string
	err    error
}

func (c *connection) read(t *testing.T, data []byte, limit int) {
	t.Helper()
	buf := append(bytes.Clone(c.rest), data...)
	at := 0
	for {
		m, n, ok, err := c.reader.Next(buf[at:], limit)
		at += n
		if err != nil {
			c.err = err
			c.got = append(c.got, err.Error())
		}
		if !ok {
			break
		}
		c.got = append(c.got, shown(m))
	}
	if c.rest = buf[at:]; len(c.rest) >= MaxRest {
		t.Fatalf("%d bytes are left over", len(c.rest))
	}
}

func shown(m Message) string {
	data := fmt.Sprintf("%q", m.Data)
	if len(m.Data) > 200 {
		data = fmt.Sprintf("%d bytes %08x", len(m.Data), sum(m.Data))
	}
	if m.Op == Close {
		return fmt.Sprintf("close %d %s", m.Code, data)
	}
	return fmt.Sprintf("%v %s", m.Op, data)
}

func sum(b []byte) (h uint32) {
	for _, c := range b {
		h = h*31 + uint32(c)
	}
	return h
}

func text(s string) string { return shown(Message{Op: Text, Data: []byte(s)}) }
func bin(s string) string  { return shown(Message{Op: Binary, Data: []byte(s)}) }
func ping(s string) string { return shown(Message{Op: Ping, Data: []byte(s)}) }
func pong(s string) string { return shown(Message{Op: Pong, Data: []byte(s)}) }
func closed(code uint16, s string) string {
	return shown(Message{Op: Close, Code: code, Data: []byte(s)})
}
