package wsframe

// Reader joins the parts of messages. The zero value is ready; between messages it holds no memory beyond itself (56 bytes).
type Reader struct {
	Parser
	partial []byte // what has come of a message that did not fit into one buffer
}

// Message is a whole message or control frame.
type Message struct {
	Op   Opcode // Text, Binary, Close, Ping or Pong
	Data []byte // unmasked; of a close frame the reason
	Code uint16 // of a close frame; CloseNoStatus if it has none
}

// Next reads until it has a whole message or control frame, consuming n bytes of buf; ok is false when there is none yet: the caller keeps
// buf[n:], always less than MaxRest bytes, and calls again with more. Data is a slice of buf if the message lay whole in it, else memory of its own
// that nobody else holds: it grows with what has really come, never by an announced length. limit is as for Parser.Next.
func (r *Reader) Next(buf []byte, limit int) (m Message, n int, ok bool, err error) {
	for {
		part, used, ok, err := r.Parser.Next(buf[n:], limit)
		n += used
		if err != nil {
			r.partial = nil
			return Message{}, n, false, err
		}
		if !ok {
			return Message{}, n, false, nil
		}
		if part.First && part.Last {
			return Message{Op: part.Op, Data: part.Data, Code: part.Code}, n, true, nil
		}
		r.partial = append(r.partial, part.Data...)
		if part.Last {
			m = Message{Op: part.Op, Data: r.partial}
			r.partial = nil
			return m, n, true, nil
		}
	}
}

// Buffered is the number of bytes of memory that a message which has not ended holds.
func (r *Reader) Buffered() int { return cap(r.partial) }
