package socketio

// Reader joins the text of binary packets with the attachments that follow (section "Binary"). The zero value is ready; it is one pointer,
// nil unless attachments are awaited.
type Reader struct{ pending *pending }

type pending struct {
	text   []byte
	binary [][]byte
	want   int
	bytes  int
}

// Pending reports whether attachments are awaited.
func (r *Reader) Pending() bool { return r.pending != nil }

// Text takes the text of a packet. complete is false for a binary packet, whose text is copied and which Binary completes; until then p is of no
// use. As in Decode, p is reused and its slices point into text. After an error the reader awaits nothing.
func (r *Reader) Text(p *Packet, text []byte, limits Limits) (complete bool, err error) {
	if r.pending != nil {
		r.pending = nil
		return false, ErrUnexpectedText
	}
	if err := Decode(p, text, limits); err != nil {
		return false, err
	}
	if p.Attachments == 0 {
		return true, nil
	}
	r.pending = &pending{text: append([]byte(nil), text...), want: p.Attachments}
	return false, nil
}

// Binary takes an attachment and copies it. When it was the last one, p is the packet with its attachments, in memory that nobody else holds.
// After an error the reader awaits nothing.
func (r *Reader) Binary(p *Packet, data []byte, limits Limits) (complete bool, err error) {
	w := r.pending
	if w == nil {
		return false, ErrUnexpectedBinary
	}
	limits = limits.withDefaults()
	if w.bytes += len(data); w.bytes > limits.AttachmentBytes {
		r.pending = nil
		return false, ErrTooLarge
	}
	w.binary = append(w.binary, append([]byte{}, data...))
	if len(w.binary) < w.want {
		return false, nil
	}
	r.pending = nil
	if err := decode(p, w.text, limits); err != nil {
		return false, err
	}
	p.Binary = w.binary
	return true, nil
}
