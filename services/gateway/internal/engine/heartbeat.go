package engine

// The heartbeat of a session (Engine.IO, section "Heartbeat"): one timer, which is the next ping while all pings are answered, and the end of
// the session while one is not.

// startBeat arms the first ping.
func (s *Session) startBeat() {
	s.beat.fire = s.beatDue
	s.armBeat(s.shard.engine.pingInterval)
}

// armBeat counts from now and rounds down, so that a session is never found open after its time.
func (s *Session) armBeat(after int64) { s.armBeatAt(s.shard.now + after) }

func (s *Session) armBeatAt(at int64) { s.shard.wheel.arm(&s.beat, at-int64(wheelTick)+1) }

func (s *Session) beatDue() {
	if s.closed {
		return
	}
	if s.pings.Waiting() > 0 {
		s.Close(PingTimeout)
		return
	}
	due := s.beat.tick * int64(wheelTick)
	if f := s.handler.Pinging(s); f != nil {
		s.Send(f)
	}
	if s.Ping() {
		// Counted from when the ping was due, so that small delays do not add up; but a process that was stopped for long gives its clients time.
		timeout := s.shard.engine.pingTimeout
		s.armBeatAt(max(due, s.shard.now-timeout/4) + timeout)
	}
}

// Ping sends a ping behind what is queued; its pong proves that all of that has arrived. Pings may be sent at any time.
func (s *Session) Ping() bool {
	if s.closed {
		return false
	}
	s.owed = false
	first := s.pings.Waiting() == 0
	s.pings.Ping()
	if first {
		s.armBeat(s.shard.engine.pingTimeout)
	}
	return s.Send(s.shard.engine.ping)
}

func (s *Session) pong() {
	if _, ok := s.pings.Pong(); !ok {
		return
	}
	if s.pings.Waiting() == 0 {
		s.armBeat(s.shard.engine.pingInterval)
	} else {
		s.armBeat(s.shard.engine.pingTimeout)
	}
	s.handler.Ponged(s)
}
