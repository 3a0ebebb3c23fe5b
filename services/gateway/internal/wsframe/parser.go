package wsframe

import "encoding/binary"

// Error is why a connection is failed. Values are comparable and cost nothing to return.
type Error uint8

// What a client can do wrong.
const (
	ErrReservedBits Error = iota + 1 // a reserved bit without an extension (5.2)
	ErrOpcode                        // opcodes 3 to 7 and 11 to 15 (5.2)
	ErrUnmasked                      // a client's frame without a mask (5.1)
	ErrControlLong                   // a control frame of more than 125 bytes (5.5)
	ErrControlSplit                  // a fragmented control frame (5.5)
	ErrLengthForm                    // a length not in its shortest form, or with its top bit set (5.2)
	ErrContinuation                  // a continuation of nothing (5.4)
	ErrUnfinished                    // a new message before the end of the last (5.4)
	ErrTooBig                        // a message over the caller's limit
	ErrUTF8                          // text, or a close reason, that is not UTF-8 (8.1)
	ErrCloseLength                   // a close frame with a body of one byte (5.5.1)
	ErrCloseCode                     // a close code that must not be on the wire (7.4)
	ErrBadLimit                      // the caller's limit is negative
)

// Error is one sentence without a full stop.
func (e Error) Error() string {
	switch e {
	case ErrReservedBits:
		return "websocket: reserved bits set"
	case ErrOpcode:
		return "websocket: reserved opcode"
	case ErrUnmasked:
		return "websocket: client frame without mask"
	case ErrControlLong:
		return "websocket: control frame over 125 bytes"
	case ErrControlSplit:
		return "websocket: fragmented control frame"
	case ErrLengthForm:
		return "websocket: length not in its shortest form"
	case ErrContinuation:
		return "websocket: continuation of no message"
	case ErrUnfinished:
		return "websocket: new message inside a fragmented one"
	case ErrTooBig:
		return "websocket: message over the limit"
	case ErrUTF8:
		return "websocket: text is not UTF-8"
	case ErrCloseLength:
		return "websocket: close frame of one byte"
	case ErrCloseCode:
		return "websocket: close code not allowed"
	case ErrBadLimit:
		return "websocket: negative limit"
	default:
		return "websocket: error"
	}
}

// Code is the close code to answer with.
func (e Error) Code() uint16 {
	switch e {
	case ErrTooBig:
		return CloseTooBig
	case ErrUTF8:
		return CloseInvalidData
	default:
		return CloseProtocol
	}
}

// Part is what one step of the parser found.
type Part struct {
	Op    Opcode // Text or Binary (of the message, also for its continuations), Close, Ping, Pong
	First bool   // the first part of a message; true for control frames
	Last  bool   // the last part of a message; true for control frames
	Data  []byte // unmasked payload, a slice of the buffer; of a close frame the reason
	Code  uint16 // of a close frame; CloseNoStatus if it has none
}

// Parser is the reading state of one connection. The zero value is ready. It is 32 bytes, holds no pointer and no bytes of the stream.
type Parser struct {
	left    uint64  // payload bytes of the current data frame still to come
	size    uint64  // payload bytes of the current message, as announced by its headers so far
	mask    uint32  // the current frame's key, rotated to its next byte, little endian
	message Opcode  // Text or Binary inside a message, else Continuation (0)
	text    decoder // UTF-8 state inside a text message
	inFrame bool    // a data frame's header has been read, its payload not to its end
	fin     bool    // the current data frame ends its message
	started bool    // a part of the current message has been returned
	ended   bool    // a close frame has been read, or the connection failed
}

// Idle reports whether the parser stands between messages: an idle connection needs no buffer.
func (p *Parser) Idle() bool { return !p.inFrame && p.message == Continuation }

// Ended reports whether a close frame has been read or an error returned. Whatever comes behind is consumed and ignored (RFC 6455, 1.4, 7.1.7).
func (p *Parser) Ended() bool { return p.ended }

// Next reads one step from buf: a piece of a message's payload, as much as there is, or a whole control frame. It consumes n bytes and unmasks
// them in place. ok is false when buf holds no complete step: the caller keeps buf[n:], always less than MaxRest bytes, and calls again with
// more. limit bounds the payload of a message in bytes; an announced length over it fails at its header. An error is an Error, comes once, and
// consumes all of buf.
//
// A part without data is returned only as the Last one of its message.
func (p *Parser) Next(buf []byte, limit int) (part Part, n int, ok bool, err error) {
	for !p.ended {
		if p.inFrame {
			part, used, ok, err := p.payload(buf[n:])
			n += used
			switch {
			case err != nil:
				return p.fail(buf, err)
			case ok, p.inFrame:
				return part, n, ok, nil
			default:
				continue // the end of a frame without payload that does not end its message
			}
		}
		h, ok, err := parseHeader(buf[n:], p.message != Continuation)
		switch {
		case err != nil:
			return p.fail(buf, err)
		case !ok:
			return Part{}, n, false, nil
		case h.op.control():
			part, used, ok, err := p.control(h, buf[n:])
			if err != nil {
				return p.fail(buf, err)
			}
			return part, n + used, ok, nil
		}
		if err := p.begin(h, limit); err != nil {
			return p.fail(buf, err)
		}
		n += h.size
	}
	return Part{}, len(buf), false, nil
}

// fail consumes everything: nothing of it is of use.
func (p *Parser) fail(buf []byte, err error) (Part, int, bool, error) {
	p.ended = true
	return Part{}, len(buf), false, err
}

type header struct {
	length uint64
	mask   uint32
	size   int // bytes of the header itself
	op     Opcode
	fin    bool
}

// parseHeader reads a header, of a frame inside a fragmented message or between messages, and checks each of its bytes as soon as it is there.
func parseHeader(buf []byte, inside bool) (h header, ok bool, err error) {
	if len(buf) == 0 {
		return h, false, nil
	}
	h.op, h.fin = Opcode(buf[0]&0x0f), buf[0]&finBit != 0
	switch {
	case buf[0]&rsvBits != 0:
		return h, false, ErrReservedBits
	case h.op > Binary && h.op < Close, h.op > Pong:
		return h, false, ErrOpcode
	case h.op.control() && !h.fin:
		return h, false, ErrControlSplit
	case h.op == Continuation && !inside:
		return h, false, ErrContinuation
	case h.op != Continuation && !h.op.control() && inside:
		return h, false, ErrUnfinished
	case len(buf) < 2:
		return h, false, nil
	case buf[1]&maskBit == 0:
		return h, false, ErrUnmasked
	}
	h.length, h.size = uint64(buf[1]&^maskBit), 6
	if h.op.control() && h.length > MaxControl {
		return h, false, ErrControlLong
	}
	switch h.length {
	case 126:
		if len(buf) < 4 {
			return h, false, nil
		}
		h.length, h.size = uint64(binary.BigEndian.Uint16(buf[2:])), 8
		if h.length < 126 {
			return h, false, ErrLengthForm
		}
	case 127:
		if len(buf) < 10 {
			return h, false, nil
		}
		h.length, h.size = binary.BigEndian.Uint64(buf[2:]), 14
		if h.length <= 0xffff || h.length>>63 != 0 {
			return h, false, ErrLengthForm
		}
	}
	if len(buf) < h.size {
		return h, false, nil
	}
	h.mask = binary.LittleEndian.Uint32(buf[h.size-4:])
	return h, true, nil
}

// begin takes a data frame's header into the state.
func (p *Parser) begin(h header, limit int) error {
	switch {
	case limit < 0:
		return ErrBadLimit
	case h.length > uint64(limit), p.size+h.length > uint64(limit):
		return ErrTooBig
	}
	if h.op != Continuation {
		p.message, p.text, p.started = h.op, 0, false
	}
	p.size += h.length
	p.left, p.mask, p.fin, p.inFrame = h.length, h.mask, h.fin, true
	return nil
}

// payload reads what is there of the current data frame.
func (p *Parser) payload(buf []byte) (part Part, n int, ok bool, err error) {
	n = len(buf)
	if uint64(n) > p.left {
		n = int(p.left)
	}
	data := buf[:n:n]
	p.mask = unmask(data, p.mask)
	p.left -= uint64(n)
	last := p.left == 0 && p.fin
	if p.message == Text {
		if p.text = p.text.next(data); p.text == reject || last && p.text != accept {
			return Part{}, n, false, ErrUTF8
		}
	}
	part = Part{Op: p.message, First: !p.started, Last: last, Data: data}
	p.inFrame = p.left > 0
	if last {
		p.message, p.size = Continuation, 0
	}
	if n == 0 && !last {
		return Part{}, 0, false, nil
	}
	p.started = true
	return part, n, true, nil
}

// control reads a whole control frame.
func (p *Parser) control(h header, buf []byte) (part Part, n int, ok bool, err error) {
	n = h.size + int(h.length)
	if len(buf) < n {
		return Part{}, 0, false, nil
	}
	data := buf[h.size:n:n]
	unmask(data, h.mask)
	part = Part{Op: h.op, First: true, Last: true, Data: data}
	if h.op != Close {
		return part, n, true, nil
	}
	p.ended = true
	part.Code = CloseNoStatus
	if len(data) == 0 {
		return part, n, true, nil
	}
	if len(data) == 1 {
		return Part{}, n, false, ErrCloseLength
	}
	part.Code, part.Data = binary.BigEndian.Uint16(data), data[2:]
	if !ValidCloseCode(part.Code) {
		return Part{}, n, false, ErrCloseCode
	}
	if decoder(accept).next(part.Data) != accept {
		return Part{}, n, false, ErrUTF8
	}
	return part, n, true, nil
}
