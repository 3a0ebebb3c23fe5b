// Package wsframe owns the server's side of RFC 6455: reading masked frames of a client, writing frames, and the opening handshake's checks.
//
// It is pure: no network, no clock, no logger. A Parser keeps no bytes: it reads from a buffer that the caller owns and fills, unmasks in place,
// and an idle connection holds neither buffer nor pointer. Extensions are not negotiated, so reserved bits must be zero.
package wsframe

import "encoding/binary"

// Opcode is a frame's type (RFC 6455, 5.2).
type Opcode uint8

// The opcodes of RFC 6455.
const (
	Continuation Opcode = 0
	Text         Opcode = 1
	Binary       Opcode = 2
	Close        Opcode = 8
	Ping         Opcode = 9
	Pong         Opcode = 10
)

func (o Opcode) control() bool { return o >= Close }

// String is the opcode's name.
func (o Opcode) String() string {
	switch o {
	case Continuation:
		return "continuation"
	case Text:
		return "text"
	case Binary:
		return "binary"
	case Close:
		return "close"
	case Ping:
		return "ping"
	case Pong:
		return "pong"
	default:
		return "reserved"
	}
}

// Close codes that this project sends or looks at (RFC 6455, 7.4.1).
const (
	CloseNormal      = 1000
	CloseGoingAway   = 1001
	CloseProtocol    = 1002
	CloseNoStatus    = 1005 // never on the wire: a close frame without a code
	CloseInvalidData = 1007
	ClosePolicy      = 1008
	CloseTooBig      = 1009
	CloseInternal    = 1011
	CloseTryAgain    = 1013
)

// Sizes of frames, in bytes.
const (
	MaxHeader  = 10  // the longest header that a server writes
	MaxRest    = 131 // a masked control frame of full length: what a reader leaves in a buffer is less
	MaxControl = 125 // the longest payload of a control frame
)

const (
	finBit  = 0x80
	rsvBits = 0x70
	maskBit = 0x80
)

// HeaderLen is the number of bytes that AppendHeader adds for a payload of n bytes.
func HeaderLen(n int) int {
	switch {
	case n <= 125:
		return 2
	case n <= 0xffff:
		return 4
	default:
		return 10
	}
}

// AppendHeader appends the header of an unmasked, unfragmented frame of n bytes of payload, in the shortest form.
func AppendHeader(dst []byte, op Opcode, n int) []byte {
	first := finBit | byte(op)
	switch {
	case n <= 125:
		return append(dst, first, byte(n))
	case n <= 0xffff:
		return append(dst, first, 126, byte(n>>8), byte(n))
	default:
		return binary.BigEndian.AppendUint64(append(dst, first, 127), uint64(n))
	}
}

// AppendFrame appends a whole unmasked frame.
func AppendFrame(dst []byte, op Opcode, payload []byte) []byte {
	return append(AppendHeader(dst, op, len(payload)), payload...)
}

// AppendClose appends a close frame. CloseNoStatus writes one without a code. The reason is cut to 123 bytes, never inside a character.
func AppendClose(dst []byte, code uint16, reason string) []byte {
	if code == CloseNoStatus {
		return AppendHeader(dst, Close, 0)
	}
	if len(reason) > MaxControl-2 {
		cut := MaxControl - 2
		for cut > 0 && reason[cut]&0xc0 == 0x80 {
			cut--
		}
		reason = reason[:cut]
	}
	dst = AppendHeader(dst, Close, 2+len(reason))
	dst = binary.BigEndian.AppendUint16(dst, code)
	return append(dst, reason...)
}

// ValidCloseCode reports whether a code may stand in a close frame: those of RFC 6455 and the IANA registry, and 3000 to 4999 (7.4.2).
func ValidCloseCode(code uint16) bool {
	switch {
	case code >= 1000 && code <= 1003, code >= 1007 && code <= 1014:
		return true
	default:
		return code >= 3000 && code <= 4999
	}
}
