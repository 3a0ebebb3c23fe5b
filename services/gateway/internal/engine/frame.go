package engine

import (
	"fmt"

	"github.com/edumatrix/interlink/services/gateway/internal/engineio"
	"github.com/edumatrix/interlink/services/gateway/internal/wsframe"
)

// Class says what may happen to a frame under pressure.
type Class uint8

// The classes.
const (
	Control   Class = iota // of the protocol: never dropped
	Durable                // never dropped; what does not fit ends the transport
	Ephemeral              // gives way when a queue is half full
)

// String is the class as a metric label.
func (c Class) String() string {
	switch c {
	case Control:
		return "control"
	case Durable:
		return "durable"
	default:
		return "ephemeral"
	}
}

// Frame is an event or packet, encoded once for every transport and shared by all sessions that get it. It is immutable, any goroutine may
// read it, and it lives as long as a queue holds it.
type Frame struct {
	ws          []byte   // ready WebSocket frames: a text frame, then a binary frame per attachment
	text        []byte   // the Engine.IO packet inside ws; nil for a frame that only a WebSocket carries
	attachments [][]byte // inside ws
	key         string
	tag         any // see WithTag
	class       Class
}

// TextFrame is a Socket.IO packet as an Engine.IO message: payload is the packet's text, which is copied.
func TextFrame(class Class, payload []byte) *Frame {
	return EndText(class, append(BeginText(len(payload)), payload...))
}

// textRoom is kept before the text of a packet for its WebSocket header.
const textRoom = wsframe.MaxHeader

// BeginText starts a frame that is encoded in place: append a Socket.IO packet of about size bytes to what it returns, then call EndText.
func BeginText(size int) []byte {
	dst := make([]byte, textRoom, textRoom+1+size)
	return append(dst, '0'+byte(engineio.Message))
}

// EndText makes a frame of what was begun with BeginText, and owns its memory from then on.
func EndText(class Class, begun []byte) *Frame {
	n := len(begun) - textRoom
	start := textRoom - wsframe.HeaderLen(n)
	wsframe.AppendHeader(begun[start:start], wsframe.Text, n)
	return &Frame{ws: begun[start:], text: begun[textRoom:], class: class}
}

// BinaryFrame is a Socket.IO packet with attachments: text and attachments are copied.
func BinaryFrame(class Class, text []byte, attachments [][]byte) *Frame {
	size := wsframe.MaxHeader + 1 + len(text)
	for _, a := range attachments {
		size += wsframe.MaxHeader + len(a)
	}
	ws := make([]byte, 0, size) // never grown, so that slices of it stay valid
	ws = append(wsframe.AppendHeader(ws, wsframe.Text, 1+len(text)), '0'+byte(engineio.Message))
	start := len(ws) - 1
	ws = append(ws, text...)
	f := &Frame{text: ws[start:len(ws):len(ws)], class: class}
	for _, a := range attachments {
		ws = wsframe.AppendFrame(ws, wsframe.Binary, a)
		f.attachments = append(f.attachments, ws[len(ws)-len(a):len(ws):len(ws)])
	}
	f.ws = ws
	return f
}

// packetFrame is an Engine.IO packet other than a message.
func packetFrame(t engineio.Type, data string) *Frame {
	ws := append(wsframe.AppendHeader(nil, wsframe.Text, 1+len(data)), '0'+byte(t))
	ws = append(ws, data...)
	return &Frame{ws: ws, text: ws[len(ws)-1-len(data):], class: Control}
}

// rawFrame is bytes that only a WebSocket carries.
func rawFrame(ws []byte) *Frame { return &Frame{ws: ws, class: Control} }

// WithKey returns the same frame for a kind of ephemeral event: in a queue that is half full a newer frame replaces the older one of its key.
func (f *Frame) WithKey(key string) *Frame {
	keyed := *f
	keyed.key = key
	return &keyed
}

// Len is the frame's size on a WebSocket, in bytes: what a queue counts.
func (f *Frame) Len() int { return len(f.ws) }

// Class is the frame's class.
func (f *Frame) Class() Class { return f.class }

// Text is the Socket.IO packet; it must not be changed. It is nil for frames of the transports themselves.
func (f *Frame) Text() []byte {
	if len(f.text) == 0 || f.text[0] != '0'+byte(engineio.Message) {
		return nil
	}
	return f.text[1:]
}

// AppendPayload appends the frame in polling encoding, behind a separator if dst holds packets already.
func (f *Frame) AppendPayload(dst []byte) []byte {
	if len(f.text) > 0 {
		dst = engineio.AppendPolledText(dst, engineio.Type(f.text[0]-'0'), f.text[1:])
	}
	for _, a := range f.attachments {
		dst = engineio.AppendPolledBinary(dst, a)
	}
	return dst
}

// ParseFrame reads what AppendPayload wrote of one event with its attachments, in another process. payload is decoded in place.
func ParseFrame(class Class, payload []byte) (*Frame, error) {
	p, err := engineio.NewPayload(payload, len(payload), maxPackets)
	if err != nil {
		return nil, fmt.Errorf("parse frame: %w", err)
	}
	var text []byte
	var attachments [][]byte
	for p.More() {
		packet, err := p.Next()
		switch {
		case err != nil:
			return nil, fmt.Errorf("parse frame: %w", err)
		case packet.Type != engineio.Message, packet.Binary != (text != nil):
			return nil, fmt.Errorf("parse frame: %w", engineio.ErrDirection)
		case packet.Binary:
			attachments = append(attachments, packet.Data)
		default:
			text = packet.Data[:len(packet.Data):len(packet.Data)]
			if text == nil {
				text = []byte{}
			}
		}
	}
	if len(attachments) == 0 {
		return TextFrame(class, text), nil
	}
	return BinaryFrame(class, text, attachments), nil
}

// BytesFrame is a binary Engine.IO message of its own, without Socket.IO around it; data is copied.
func BytesFrame(class Class, data []byte) *Frame {
	ws := wsframe.AppendFrame(make([]byte, 0, wsframe.MaxHeader+len(data)), wsframe.Binary, data)
	return &Frame{ws: ws, attachments: [][]byte{ws[len(ws)-len(data):]}, class: class}
}
