package engineio

import (
	"bytes"
	"encoding/base64"
	"unicode/utf8"
)

// Separator stands between the packets of a polling payload (section "HTTP long-polling", "Encoding").
const Separator = 0x1e

// Payload walks the packets of one polling request body without allocating:
//
//	p, err := engineio.NewPayload(body, limit, packets)
//	for err == nil && p.More() {
//		packet, err = p.Next()
//	}
//
// A payload must hold at least one packet, and a separator has a packet on both sides.
type Payload struct {
	rest []byte
	more bool
}

// NewPayload checks a request body: at most maxBytes long, at most maxPackets packets, all of it UTF-8. The body belongs to the caller,
// but Next decodes base64 in place, so it is no payload any more afterwards.
func NewPayload(body []byte, maxBytes, maxPackets int) (Payload, error) {
	switch {
	case len(body) > maxBytes:
		return Payload{}, ErrTooLarge
	case len(body) == 0:
		return Payload{}, ErrEmpty
	case bytes.Count(body, []byte{Separator}) >= maxPackets:
		return Payload{}, ErrTooMany
	case !utf8.Valid(body):
		return Payload{}, ErrUTF8
	}
	return Payload{rest: body, more: true}, nil
}

// More reports whether Next has another packet to decode.
func (p *Payload) More() bool { return p.more }

// Next decodes the next packet. Data is a slice of the body. After an error the payload is at its end.
func (p *Payload) Next() (Packet, error) {
	packet := p.rest
	if i := bytes.IndexByte(packet, Separator); i >= 0 {
		packet, p.rest = packet[:i:i], packet[i+1:]
	} else {
		p.rest, p.more = nil, false
	}
	decoded, err := decodePolled(packet)
	if err != nil {
		p.rest, p.more = nil, false
	}
	return decoded, err
}

func decodePolled(packet []byte) (Packet, error) {
	if len(packet) == 0 || packet[0] != 'b' {
		return DecodeText(packet)
	}
	encoded := packet[1:]
	// The standard decoder skips line breaks, the alphabet of RFC 4648 has none.
	if bytes.IndexByte(encoded, '\n') >= 0 || bytes.IndexByte(encoded, '\r') >= 0 {
		return Packet{}, ErrBase64
	}
	// In place: three bytes are written for four that have been read.
	n, err := base64.StdEncoding.Strict().Decode(encoded, encoded)
	if err != nil {
		return Packet{}, ErrBase64
	}
	return DecodeBinary(encoded[:n:n]), nil
}

// AppendPolledText appends a packet in its text form to a payload, behind a separator if dst holds packets already. data must not hold the
// Separator, which JSON never does;
// dst must be empty or a payload.
func AppendPolledText(dst []byte, t Type, data []byte) []byte {
	if len(dst) > 0 {
		dst = append(dst, Separator)
	}
	return AppendText(dst, t, data)
}

// AppendPolledBinary appends a binary message to a payload, as `b` and base64. dst must be empty or a payload.
func AppendPolledBinary(dst, data []byte) []byte {
	if len(dst) > 0 {
		dst = append(dst, Separator)
	}
	return base64.StdEncoding.AppendEncode(append(dst, 'b'), data)
}

// PolledBinaryLen is the number of bytes that AppendPolledBinary adds for n bytes of data, without the separator.
func PolledBinaryLen(n int) int { return 1 + base64.StdEncoding.EncodedLen(n) }
