// Package engineio owns the Engine.IO v4 protocol: its packets, the payloads of long-polling, the handshake, the rules of a request's query,
// the probe of an upgrade and the bookkeeping of the heartbeat.
//
// It is pure: no network, no clock, no logger. Decoding returns slices of its input, encoding appends to a slice of the caller.
// "Section" in comments means a heading of the Engine.IO protocol document, revision 4.
//
// Where the reference parser (engine.io-parser) takes more than the document grants, the document decides:
//   - a type is one of the digits 0 to 6 and nothing else; an empty packet or payload is an error, never a packet of a type "undefined";
//   - text is UTF-8, and bytes that are not are an error, never replaced by U+FFFD;
//   - base64 is RFC 4648's standard alphabet, padded, without line breaks and with zero trailing bits; the reference skips what it cannot read;
//   - the form `b…` belongs to payloads; in a WebSocket text frame it is an error;
//   - a server takes only what a client may send: no `open`, no `ping` outside the probe, no `upgrade` outside the probe.
package engineio

// Type is a packet's type (section "Protocol", table of packet types).
type Type uint8

// The seven packet types.
const (
	Open Type = iota
	Close
	Ping
	Pong
	Message
	Upgrade
	Noop
)

// String is the name that the protocol document uses.
func (t Type) String() string {
	switch t {
	case Open:
		return "open"
	case Close:
		return "close"
	case Ping:
		return "ping"
	case Pong:
		return "pong"
	case Message:
		return "message"
	case Upgrade:
		return "upgrade"
	case Noop:
		return "noop"
	default:
		return "unknown"
	}
}

// Packet is one decoded packet. Data is a slice of what was decoded and valid as long as that is.
type Packet struct {
	Type   Type
	Binary bool // Data came as bytes, not as text; only a Message can be binary
	Data   []byte
}

// Error says why bytes are no packet or are refused. Values are comparable and cost nothing to return.
type Error uint8

// What decoding and the state machines return.
const (
	ErrEmpty      Error = iota + 1 // no packet where there has to be one
	ErrType                        // the first character is none of 0 to 6
	ErrUTF8                        // text that is not UTF-8
	ErrBase64                      // a binary packet of a payload that is not padded, standard base64
	ErrTooLarge                    // more bytes than the limit
	ErrTooMany                     // more packets in a payload than the limit
	ErrDirection                   // a packet that only a server sends, or out of place
	ErrProbe                       // anything but `2probe`, then `5`, on a transport that is being probed
	ErrPacketData                  // data behind a type that carries none
)

// Error is one sentence without a full stop.
func (e Error) Error() string {
	switch e {
	case ErrEmpty:
		return "engine.io: empty packet"
	case ErrType:
		return "engine.io: unknown packet type"
	case ErrUTF8:
		return "engine.io: text is not UTF-8"
	case ErrBase64:
		return "engine.io: binary packet is not base64"
	case ErrTooLarge:
		return "engine.io: payload is over the limit"
	case ErrTooMany:
		return "engine.io: too many packets in a payload"
	case ErrDirection:
		return "engine.io: a client does not send this packet here"
	case ErrProbe:
		return "engine.io: transport probe out of order"
	case ErrPacketData:
		return "engine.io: packet type carries no data"
	default:
		return "engine.io: error"
	}
}

// DecodeText reads the packet of one WebSocket text frame, whose bytes the transport has found to be UTF-8
// (section "Packet encoding"). Data is a slice of text.
func DecodeText(text []byte) (Packet, error) {
	if len(text) == 0 {
		return Packet{}, ErrEmpty
	}
	t := text[0] - '0'
	if t > uint8(Noop) {
		return Packet{}, ErrType
	}
	return Packet{Type: Type(t), Data: text[1:]}, nil
}

// DecodeBinary reads the packet of one WebSocket binary frame, which is always a Message; an empty one is a message of no bytes.
func DecodeBinary(data []byte) Packet {
	return Packet{Type: Message, Binary: true, Data: data}
}

// AppendText appends the text form of a packet, as one WebSocket text frame carries it.
func AppendText(dst []byte, t Type, data []byte) []byte {
	dst = append(dst, '0'+byte(t))
	return append(dst, data...)
}
