package socketio

// placeholder is what an object's members say about it being a placeholder (section "Binary", placeholders).
type placeholder struct {
	members int
	flags   int // members called _placeholder
	set     bool
	nums    int // members called num
	num     int // the last num, -1 if it is no index
}

// member takes one member of an object: key with its quotes, value as raw JSON.
func (m *placeholder) member(key, value []byte) {
	m.members++
	switch string(unescape(key)) {
	case "_placeholder":
		m.flags++
		m.set = m.set || string(value) == "true"
	case "num":
		m.nums++
		m.num = -1
		if n, used, ok := digits(value); ok && used == len(value) && n < 64 {
			m.num = int(n)
		}
	}
}

// placed counts the placeholder that an object turned out to be. Clients replace every object whose _placeholder is true and fail on a wrong
// one, so that a wrong one must never be passed on.
func (s *scanner) placed(m placeholder) error {
	if !m.set {
		return nil
	}
	if m.members != 2 || m.flags != 1 || m.nums != 1 || m.num < 0 || m.num >= s.attachments {
		return ErrPlaceholder
	}
	s.seen |= 1 << m.num
	return nil
}

// AppendPlaceholder appends the JSON that stands for attachment num.
func AppendPlaceholder(dst []byte, num int) []byte {
	dst = append(dst, `{"_placeholder":true,"num":`...)
	return append(appendUint(dst, uint64(num)), '}')
}
