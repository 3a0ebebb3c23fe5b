package placement

// Message is what a router is told: a Snapshot, Delta, Seek or Position.
type Message interface{ message() }

// Envelope is a message and the stream that it goes to.
type Envelope struct {
	To      Stream
	Message Message
}

// Snapshot is the whole interest and position. Rooms are in no order.
type Snapshot struct {
	Number    uint64
	Rooms     []uint64
	Positions []Position
}

// Position tells a router where to serve a partition from that it has come to own.
type Position struct {
	Partition uint32
	Offset    int64
}

// Delta changes the interest; it stands for all changes up to Number.
type Delta struct {
	Number      uint64
	Add, Remove []uint64
}

// Seek asks to serve a partition again from an offset.
type Seek struct {
	Partition uint32
	Offset    int64
	Number    uint64
}

func (Snapshot) message() {}
func (Position) message() {}
func (Delta) message()    {}
func (Seek) message()     {}

func (c *Core) say(to Stream, m Message) {
	c.messages = append(c.messages, Envelope{To: to, Message: m})
}

// Messages returns what has to be said since the last call, in order per stream. The caller owns the slice.
func (c *Core) Messages() []Envelope {
	out := c.messages
	c.messages = nil
	return out
}

// Started returns the joins that have taken effect since the last call, at the present positions. The caller must
// act on them before it offers another range. The caller owns the slice.
func (c *Core) Started() []Token {
	out := c.started
	c.started = nil
	return out
}

// Expired returns the joins that were given up since the last call; their rooms are left already. The caller owns the slice.
func (c *Core) Expired() []Token {
	out := c.expired
	c.expired = nil
	return out
}
