package engine

// Receipts by pong (DESIGN, "Delivery", 9). A frame may carry a tag; when it is queued, the handler is told, and may want to know when the client
// has it. A ping then follows in the same write, behind all that is queued, and its pong is the proof: transports keep their order. A write has one
// such ping at most.

// Tagged is a Handler that wants to know of frames with a tag.
type Tagged interface {
	// Queued tells that a tagged frame was queued. The pong of the ping with that number, or of a later one, proves that the client has it.
	// It reports whether that ping is to follow at once, and not only with the heartbeat. On the session's shard.
	Queued(s *Session, tag any, ping uint32) bool
}

// WithTag returns the same frame with a tag, which is shared by all sessions that get it.
func (f *Frame) WithTag(tag any) *Frame {
	tagged := *f
	tagged.tag = tag
	return &tagged
}

// Tag is what WithTag was given, or nil. It does not travel to other gateways.
func (f *Frame) Tag() any { return f.tag }

// NextPing is the number that the next ping will have: whatever is queued by now lies before it. On the shard.
func (s *Session) NextPing() uint32 { return s.pings.Next() }

// Answered is the number of the last ping that has its pong. On the shard.
func (s *Session) Answered() uint32 { return s.pings.Last() }

// Unanswered is how many pings the client of a frozen session has yet to answer, wherever the session goes on: it answers
// each in its place, and a pong must not be taken for that of a later ping.
func (s *Session) Unanswered() uint32 { return s.pings.Waiting() - s.unsaid }

// Expect tells how many pings of the gateway before the client has yet to answer. Before Adopt.
func (p *Pending) Expect(pings uint32) { p.pings = pings }

// PingBehind has a ping sent behind what is queued, with the next write. On the shard.
func (s *Session) PingBehind() {
	if !s.closed {
		s.owed = true
		s.touch()
	}
}

// queuedTag tells the handler of a tagged frame.
func (s *Session) queuedTag(tag any) {
	if h, ok := s.handler.(Tagged); ok && h.Queued(s, tag, s.pings.Next()) {
		s.owed = true
	}
}

// payPing queues the ping that is owed; the caller is about to write.
func (s *Session) payPing() {
	if s.owed {
		s.Ping()
	}
}
