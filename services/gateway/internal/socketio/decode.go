package socketio

import (
	"bytes"
	"strings"
)

// Decode reads one packet's text into p, whose Args are reused: a caller that keeps one Packet a goroutine allocates nothing for a packet whose
// name holds no escapes. The whole text is checked, JSON included, and slices of p point into it. Binary is set to nil; see Reader.
// The error is an Error, and p is then of no use.
func Decode(p *Packet, text []byte, limits Limits) error {
	return decode(p, text, limits.withDefaults())
}

func decode(p *Packet, text []byte, limits Limits) error {
	*p = Packet{Args: p.Args[:0]}
	if len(text) == 0 {
		return ErrEmpty
	}
	t := text[0] - '0'
	if t > uint8(BinaryAck) {
		return ErrType
	}
	p.Type = Type(t)
	rest, err := p.attachments(text[1:], limits)
	if err != nil {
		return err
	}
	if rest, err = p.namespace(rest, limits); err != nil {
		return err
	}
	if rest, err = p.id(rest); err != nil {
		return err
	}
	if len(rest) > 0 {
		p.Data = rest
	}
	return p.payload(limits)
}

// attachments reads `<n>-` of a binary packet.
func (p *Packet) attachments(rest []byte, limits Limits) ([]byte, error) {
	if !p.Type.binary() {
		return rest, nil
	}
	n, used, ok := digits(rest)
	switch {
	case !ok || used == len(rest) || rest[used] != '-' || n == 0:
		return nil, ErrAttachments
	case n > uint64(limits.Attachments):
		return nil, ErrTooManyBinaries
	}
	p.Attachments = int(n)
	return rest[used+1:], nil
}

// namespace reads `/name?query,`. Where nothing has to follow, in CONNECT and DISCONNECT, the end of the packet ends it too, as in the test suite.
func (p *Packet) namespace(rest []byte, limits Limits) ([]byte, error) {
	p.Namespace = Main
	if len(rest) == 0 || rest[0] != '/' {
		return rest, nil
	}
	end := bytes.IndexByte(rest, ',')
	last := end < 0 && (p.Type == Connect || p.Type == Disconnect) && bytes.IndexByte(rest, '{') < 0
	if last {
		end = len(rest)
	}
	if end < 0 || end > limits.NamespaceBytes {
		return nil, ErrNamespace
	}
	for _, c := range rest[:end] {
		if c < 0x20 || c == 0x7f {
			return nil, ErrNamespace
		}
	}
	if end > len(Main) {
		p.Namespace, p.Query, _ = strings.Cut(string(rest[:end]), "?")
	}
	if last {
		return nil, nil
	}
	return rest[end+1:], nil
}

// id reads the digits of an ack id.
func (p *Packet) id(rest []byte) ([]byte, error) {
	if len(rest) == 0 || rest[0] < '0' || rest[0] > '9' {
		if p.Type.ack() {
			return nil, ErrID
		}
		return rest, nil
	}
	n, used, ok := digits(rest)
	if !ok || !p.Type.ack() && !p.Type.event() {
		return nil, ErrID
	}
	p.ID, p.HasID = n, true
	return rest[used:], nil
}

// payload checks Data against the type, and splits an event's or an ack's.
func (p *Packet) payload(limits Limits) error {
	if p.Type.event() || p.Type.ack() {
		return p.array(limits)
	}
	if p.Data == nil {
		if p.Type == ConnectError {
			return ErrPayload
		}
		return nil
	}
	first := p.Data[0]
	switch {
	case p.Type == Connect && first != '{',
		p.Type == ConnectError && first != '{' && first != '"',
		p.Type == Disconnect:
		return ErrPayload
	}
	s := scanner{text: p.Data, depth: limits.Depth}
	return s.document()
}

// array splits the array of an event or ack.
func (p *Packet) array(limits Limits) error {
	if p.Data == nil || p.Data[0] != '[' {
		return ErrPayload
	}
	s := scanner{text: p.Data, depth: limits.Depth, binary: p.Type.binary(), attachments: p.Attachments}
	if err := s.elements(p, limits.Args); err != nil {
		return err
	}
	if s.binary && s.seen != 1<<p.Attachments-1 {
		return ErrPlaceholder
	}
	if p.Type.event() && Reserved(string(p.Name)) {
		return ErrReservedName
	}
	return nil
}

// digits reads a canonical decimal number of at most MaxID at the start of b.
func digits(b []byte) (n uint64, used int, ok bool) {
	for used < len(b) && b[used] >= '0' && b[used] <= '9' {
		if n = n*10 + uint64(b[used]-'0'); n > MaxID {
			return 0, used, false
		}
		used++
	}
	return n, used, used == 1 || used > 1 && b[0] != '0'
}
