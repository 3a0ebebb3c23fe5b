// Package socketio owns the Socket.IO v5 protocol: its packets as text, the binary attachments that follow them, and the JSON in between.
//
// It is pure: no network, no clock, no logger. Decoding returns slices of its input and keeps JSON raw; encoding appends to a slice of the caller.
// "Section" in comments means a heading of the Socket.IO protocol document, revision 5. Text is UTF-8, which the transports have checked.
//
// Where the reference parser (socket.io-parser 4.2) takes more than the document grants, the document decides:
//   - an EVENT, ACK or CONNECT_ERROR has a payload; the reference lets `2`, `3` and `4` through with none;
//   - an event's name is a string; the reference takes a number too;
//   - an ack id is decimal digits without leading zeros, at most 2^53 - 1, so that it comes back as it was sent; an ACK has one;
//     CONNECT, DISCONNECT and CONNECT_ERROR have none. The reference reads spaces as digits and any number of digits as a float;
//   - the number of attachments is decimal digits; the reference takes `1e0` or ` 1`;
//   - a namespace ends with a comma and has no control characters; only in CONNECT and DISCONNECT the end of the packet ends it too (the
//     protocol's test suite sends `0/custom`), in the reference everywhere;
//   - a placeholder is an object of exactly `_placeholder: true` and `num`, an index in plain digits, and in a binary packet every attachment has
//     one at least; the reference takes more keys, indexes like `0.0` or `0.5`, and attachments that nothing points at;
//   - objects and arrays are at most Limits.Depth deep.
//
// Where both say the same but in an odd way, that is kept: `/,` names the main namespace, an event's arguments may be none,
// JSON may hold white space and duplicate keys.
package socketio

import "encoding/json"

// Type is a packet's type (section "Packet types").
type Type uint8

// The seven packet types.
const (
	Connect Type = iota
	Disconnect
	Event
	Ack
	ConnectError
	BinaryEvent
	BinaryAck
)

// String is the name that the protocol document uses.
func (t Type) String() string {
	switch t {
	case Connect:
		return "CONNECT"
	case Disconnect:
		return "DISCONNECT"
	case Event:
		return "EVENT"
	case Ack:
		return "ACK"
	case ConnectError:
		return "CONNECT_ERROR"
	case BinaryEvent:
		return "BINARY_EVENT"
	case BinaryAck:
		return "BINARY_ACK"
	default:
		return "unknown"
	}
}

// FromClient reports whether a client may send the type: all but CONNECT_ERROR.
func (t Type) FromClient() bool { return t <= BinaryAck && t != ConnectError }

func (t Type) event() bool  { return t == Event || t == BinaryEvent }
func (t Type) ack() bool    { return t == Ack || t == BinaryAck }
func (t Type) binary() bool { return t == BinaryEvent || t == BinaryAck }

// Main is the namespace that a packet without one belongs to.
const Main = "/"

// MaxID is the largest ack id: the largest integer that every JavaScript client gives back as it was.
const MaxID = 1<<53 - 1

// Packet is one decoded packet. Its slices point into the text, and into the attachments, that it was decoded from.
type Packet struct {
	Type        Type
	HasID       bool
	Attachments int    // how many binary attachments follow the text
	ID          uint64 // ack id, if HasID
	Namespace   string // without query; Main if the packet names none
	Query       string // of the namespace, without the question mark, not unescaped
	Data        []byte // the payload as raw JSON, nil if there is none; of an event or ack the whole array

	Name   []byte            // of an event, unescaped
	Args   []json.RawMessage // of an event without its name, of an ack all
	Binary [][]byte          // attachments, filled in by Reader
}

// Limits bound what a client may send. Zero means the default.
type Limits struct {
	Depth           int // of nested objects and arrays, the payload's own included; 100
	Args            int // of an event or ack, without the name; 64
	NamespaceBytes  int // with query; 512
	Attachments     int // of one packet; 10, as in the reference, and never more than 64
	AttachmentBytes int // of one packet's attachments together; 1,000,000
}

func (l Limits) withDefaults() Limits {
	pick := func(v, otherwise int) int {
		if v <= 0 {
			return otherwise
		}
		return v
	}
	return Limits{
		Depth:           pick(l.Depth, 100),
		Args:            pick(l.Args, 64),
		NamespaceBytes:  pick(l.NamespaceBytes, 512),
		Attachments:     min(pick(l.Attachments, 10), 64),
		AttachmentBytes: pick(l.AttachmentBytes, 1_000_000),
	}
}

// Reserved reports whether a name has a meaning of its own in clients or servers and is no event (section "EVENT", reserved names).
func Reserved(name string) bool {
	switch name {
	case "connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener":
		return true
	default:
		return false
	}
}

// Error says why bytes are no packet. Values are comparable and cost nothing to return.
type Error uint8

// What decoding returns.
const (
	ErrEmpty            Error = iota + 1 // no text
	ErrType                              // the first character is none of 0 to 6
	ErrAttachments                       // the number of attachments is missing, malformed or zero
	ErrTooManyBinaries                   // more attachments than the limit
	ErrTooLarge                          // attachments of more bytes than the limit
	ErrNamespace                         // a namespace without its comma, with control characters, or over the limit
	ErrID                                // an ack id where none belongs, none where one belongs, or not canonical
	ErrPayload                           // a payload of the wrong kind for the type, or none where one belongs
	ErrJSON                              // a payload that is not JSON
	ErrDepth                             // JSON nested deeper than the limit
	ErrTooManyArgs                       // more arguments than the limit
	ErrEventName                         // an event whose name is not a string
	ErrReservedName                      // an event by a reserved name
	ErrPlaceholder                       // a placeholder that is malformed or points at no attachment, or an attachment without one
	ErrUnexpectedBinary                  // an attachment that no packet waits for
	ErrUnexpectedText                    // text while attachments are awaited
)

// Error is one sentence without a full stop.
func (e Error) Error() string {
	switch e {
	case ErrEmpty:
		return "socket.io: empty packet"
	case ErrType:
		return "socket.io: unknown packet type"
	case ErrAttachments:
		return "socket.io: malformed number of attachments"
	case ErrTooManyBinaries:
		return "socket.io: too many attachments"
	case ErrTooLarge:
		return "socket.io: attachments are over the limit"
	case ErrNamespace:
		return "socket.io: malformed namespace"
	case ErrID:
		return "socket.io: malformed ack id"
	case ErrPayload:
		return "socket.io: payload does not fit the packet type"
	case ErrJSON:
		return "socket.io: payload is not JSON"
	case ErrDepth:
		return "socket.io: payload is nested too deep"
	case ErrTooManyArgs:
		return "socket.io: too many arguments"
	case ErrEventName:
		return "socket.io: event name is not a string"
	case ErrReservedName:
		return "socket.io: event name is reserved"
	case ErrPlaceholder:
		return "socket.io: placeholders do not match the attachments"
	case ErrUnexpectedBinary:
		return "socket.io: attachment without a packet"
	case ErrUnexpectedText:
		return "socket.io: text while attachments are awaited"
	default:
		return "socket.io: error"
	}
}
