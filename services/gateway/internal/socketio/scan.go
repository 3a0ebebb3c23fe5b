package socketio

import "encoding/json"

// scanner checks JSON (RFC 8259) and finds the elements of its outermost array, in one pass and without allocating. In a binary packet it also
// finds the placeholders.
type scanner struct {
	text        []byte
	at          int
	depth       int // levels that may still be opened
	binary      bool
	attachments int
	seen        uint64 // a bit for each attachment that a placeholder points at
}

// document checks that the text is one value.
func (s *scanner) document() error {
	if err := s.value(); err != nil {
		return err
	}
	return s.end()
}

func (s *scanner) end() error {
	if s.space(); s.at != len(s.text) {
		return ErrJSON
	}
	return nil
}

// elements checks that the text is one array and hands its elements to p: the name of an event, then at most limit arguments.
func (s *scanner) elements(p *Packet, limit int) error {
	s.at, s.depth = 1, s.depth-1
	named := !p.Type.event()
	if s.space(); s.peek() == ']' {
		if s.at++; !named {
			return ErrEventName
		}
		return s.end()
	}
	for {
		s.space()
		start := s.at
		if !named && s.peek() != '"' {
			return ErrEventName
		}
		if err := s.value(); err != nil {
			return err
		}
		element := s.text[start:s.at:s.at]
		switch {
		case !named:
			p.Name, named = unescape(element), true
		case len(p.Args) == limit:
			return ErrTooManyArgs
		default:
			p.Args = append(p.Args, json.RawMessage(element))
		}
		s.space()
		switch s.next() {
		case ',':
		case ']':
			return s.end()
		default:
			return ErrJSON
		}
	}
}

func (s *scanner) peek() byte {
	if s.at < len(s.text) {
		return s.text[s.at]
	}
	return 0
}

func (s *scanner) next() byte {
	c := s.peek()
	s.at++
	return c
}

func (s *scanner) space() {
	for s.at < len(s.text) {
		switch s.text[s.at] {
		case ' ', '\t', '\n', '\r':
			s.at++
		default:
			return
		}
	}
}

func (s *scanner) value() error {
	switch c := s.peek(); {
	case c == '"':
		return s.string()
	case c == '{':
		return s.object()
	case c == '[':
		return s.array()
	case c == 't':
		return s.literal("true")
	case c == 'f':
		return s.literal("false")
	case c == 'n':
		return s.literal("null")
	default:
		return s.number()
	}
}

func (s *scanner) literal(word string) error {
	if len(s.text)-s.at < len(word) || string(s.text[s.at:s.at+len(word)]) != word {
		return ErrJSON
	}
	s.at += len(word)
	return nil
}

func (s *scanner) array() error {
	if s.depth--; s.depth < 0 {
		return ErrDepth
	}
	s.at++
	if s.space(); s.peek() == ']' {
		s.at++
		s.depth++
		return nil
	}
	for {
		s.space()
		if err := s.value(); err != nil {
			return err
		}
		s.space()
		switch s.next() {
		case ',':
		case ']':
			s.depth++
			return nil
		default:
			return ErrJSON
		}
	}
}

func (s *scanner) object() error {
	if s.depth--; s.depth < 0 {
		return ErrDepth
	}
	s.at++
	var mark placeholder
	if s.space(); s.peek() == '}' {
		s.at++
		s.depth++
		return nil
	}
	for {
		s.space()
		start := s.at
		if s.peek() != '"' {
			return ErrJSON
		}
		if err := s.string(); err != nil {
			return err
		}
		key := s.text[start:s.at]
		s.space()
		if s.next() != ':' {
			return ErrJSON
		}
		s.space()
		start = s.at
		if err := s.value(); err != nil {
			return err
		}
		if s.binary {
			mark.member(key, s.text[start:s.at])
		}
		s.space()
		switch s.next() {
		case ',':
		case '}':
			s.depth++
			return s.placed(mark)
		default:
			return ErrJSON
		}
	}
}

// string checks a string; the scanner stands on its opening quote.
func (s *scanner) string() error {
	text := s.text
	for i := s.at + 1; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			s.at = i + 1
			return nil
		case c < 0x20:
			return ErrJSON
		case c == '\\':
			if i++; i == len(text) {
				return ErrJSON
			}
			switch text[i] {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			case 'u':
				if i+4 >= len(text) || !allHex(text[i+1:i+5]) {
					return ErrJSON
				}
				i += 4
			default:
				return ErrJSON
			}
		}
	}
	return ErrJSON
}

func allHex(b []byte) bool {
	for _, c := range b {
		if (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'f') {
			return false
		}
	}
	return true
}

func (s *scanner) number() error {
	if s.peek() == '-' {
		s.at++
	}
	switch first := s.peek(); {
	case first == '0':
		s.at++
	case !s.digits():
		return ErrJSON
	}
	if s.peek() == '.' {
		if s.at++; !s.digits() {
			return ErrJSON
		}
	}
	if s.peek()|0x20 == 'e' {
		s.at++
		if sign := s.peek(); sign == '+' || sign == '-' {
			s.at++
		}
		if !s.digits() {
			return ErrJSON
		}
	}
	return nil
}

func (s *scanner) digits() bool {
	start := s.at
	for c := s.peek(); c >= '0' && c <= '9'; c = s.peek() {
		s.at++
	}
	return s.at > start
}

// unescape returns the characters of a string that has been checked, quotes included in quoted. It allocates only if there are escapes.
func unescape(quoted []byte) []byte {
	raw := quoted[1 : len(quoted)-1]
	for _, c := range raw {
		if c == '\\' {
			var s string
			if json.Unmarshal(quoted, &s) != nil {
				return nil
			}
			return []byte(s)
		}
	}
	return raw[:len(raw):len(raw)]
}
