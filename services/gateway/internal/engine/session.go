package engine

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/edumatrix/interlink/services/gateway/internal/engineio"
	"github.com/edumatrix/interlink/services/gateway/internal/wsframe"
)

// Handler is what a session's messages are for. All of it is called on the session's shard and must not block.
type Handler interface {
	Message(s *Session, text []byte) // a text message; valid during the call
	Binary(s *Session, data []byte)  // a binary message; valid during the call
	// Pinging is asked when the heartbeat is due; the frame, if there is one, goes out right before the ping, in the same write.
	Pinging(s *Session) *Frame
	Ponged(s *Session)                // a ping was answered, also one sent by Ping
	Closed(s *Session, reason Reason) // exactly once, unless the session was frozen
}

// Session is one Engine.IO session. It survives the upgrade of its transport and belongs to one shard: but for ID and Shard, everything is
// called on that shard's goroutine.
type Session struct {
	shard   *Shard
	id      string
	handler Handler
	conn    *conn    // nil while polling
	polling *polling // nil on a WebSocket
	queue   queue
	beat    timer
	pings   engineio.Heartbeat
	early   int32       // bytes that came before trust
	trusted atomic.Bool // read by HTTP goroutines as well
	posting atomic.Bool // an HTTP goroutine is about to deliver a POST
	unsaid  uint32      // pings that a frozen session had queued
	dirty   bool
	owed    bool // a ping is to follow what is queued, see PingBehind
	closed  bool
}

// ID is the sid. Any goroutine.
func (s *Session) ID() string { return s.id }

// Shard is the owner. Any goroutine.
func (s *Session) Shard() *Shard { return s.shard }

// Handler is what Open returned.
func (s *Session) Handler() Handler { return s.handler }

// Transport is how packets travel at the moment.
func (s *Session) Transport() Transport {
	if s.conn != nil {
		return WebSocket
	}
	return Polling
}

// Open reports whether the session has neither been closed nor frozen.
func (s *Session) Open() bool { return !s.closed }

// Queued is the size of what waits to be written: bytes and frames.
func (s *Session) Queued() (bytes, frames int) { return int(s.queue.bytes), s.queue.len() }

// Trust lifts the limit on what may come before the handler knows its client.
func (s *Session) Trust() { s.trusted.Store(true) }

// charge counts bytes that came, and reports whether they were allowed.
func (s *Session) charge(n int) bool {
	if s.trusted.Load() {
		return true
	}
	s.early += int32(min(n, 1<<30))
	return int64(s.early) <= s.shard.engine.options.ConnectBytes
}

// Send queues a frame and reports whether the session takes more. It is written at the end of the shard's turn, together with whatever else
// is queued by then. A session whose queue is full is closed as Slow.
func (s *Session) Send(f *Frame) bool {
	if s.closed {
		return false
	}
	e := s.shard.engine
	switch s.queue.push(f, limits{bytes: int(e.options.QueueBytes), events: e.options.QueueEvents}, &s.shard.spares) {
	case full:
		s.Close(Slow)
		return false
	case dropped, replaced:
		e.hooks.Dropped()
	case queued:
	}
	if f.tag != nil {
		s.queuedTag(f.tag)
	}
	s.touch()
	return true
}

// precede puts frames before all that is queued, of which nothing may have been written.
func (s *Session) precede(first []*Frame) {
	if len(first) == 0 {
		return
	}
	for _, f := range append(first, s.queue.rest(&s.shard.spares)...) {
		s.queue.append(f, &s.shard.spares)
	}
}

// touch has the session flushed at the end of the turn.
func (s *Session) touch() {
	if !s.dirty {
		s.dirty = true
		s.shard.dirty = append(s.shard.dirty, s)
	}
}

// flush writes what the transport takes.
func (s *Session) flush() {
	if s.closed || s.queue.len() == 0 && !s.owed {
		return
	}
	if s.conn != nil {
		s.flushConn()
		return
	}
	if s.polling.upgrading() {
		return // the order is kept by writing nothing until the WebSocket has taken over
	}
	if s.polling.parked != nil {
		s.payPing()
	}
	if !s.closed {
		s.polling.release(s)
	}
}

func (s *Session) flushConn() {
	c := s.conn
	if !c.blocked {
		s.payPing()
	}
	for s.queue.len() > 0 && !c.blocked {
		n, ok := c.write(s.queue.gather(s.shard.out, writeRoom))
		if !ok {
			return // closed, and gone has dealt with the session
		}
		s.queue.wrote(n, &s.shard.spares)
	}
}

// ready continues after the kernel took no more.
func (s *Session) ready(*conn) { s.flush() }

func (s *Session) reply(_ *conn, f *Frame) { s.Send(f) }

func (s *Session) gone(_ *conn, reason Reason) { s.end(reason) }

// message takes a WebSocket message.
func (s *Session) message(_ *conn, op wsframe.Opcode, data []byte) {
	if op == wsframe.Binary {
		s.receive(engineio.DecodeBinary(data))
		return
	}
	packet, err := engineio.DecodeText(data)
	if err != nil {
		s.Close(Malformed)
		return
	}
	s.receive(packet)
}

// receive takes a packet from either transport.
func (s *Session) receive(p engineio.Packet) {
	if s.polling != nil && s.polling.leaving {
		return // nothing comes behind a close packet
	}
	action, err := engineio.Receive(p)
	if err != nil {
		s.Close(Malformed)
		return
	}
	switch action {
	case engineio.Deliver:
		if p.Binary {
			s.handler.Binary(s, p.Data)
		} else {
			s.handler.Message(s, p.Data)
		}
	case engineio.Beat:
		s.pong()
	case engineio.End:
		s.leave()
	}
}

// leave takes the client's close packet. A poll ends with a noop (section "Close" of the protocol document): the parked one, or one that was sent
// together with the POST of the close packet and comes a moment later.
func (s *Session) leave() {
	switch {
	case s.polling == nil:
		s.Close(TransportClose)
	case s.polling.parked != nil:
		s.polling.leaving = true
		s.polling.answer(pollResult{status: 200, body: s.shard.engine.noop.text})
		s.Close(TransportClose)
	case !s.polling.leaving:
		s.polling.leaving = true
		s.shard.After(leaveDelay, func() { s.Close(TransportClose) })
	}
}

// leaveDelay is how long a poll may come after the close packet.
const leaveDelay = 50 * time.Millisecond

// Close ends the session: what is queued is written as far as the transport takes it now, then the transport is closed, without a close packet,
// so that a client comes back by itself. Closed follows when the shard's present step is over.
func (s *Session) Close(reason Reason) {
	if s.closed {
		return
	}
	if reason != Slow {
		s.flush()
	}
	if s.closed {
		return
	}
	if c := s.conn; c != nil {
		c.closeBehind(s.lastWords(c, reason))
	}
	s.end(reason)
}

// lastWords is what a WebSocket is given when it is closed: what is still queued, as far as it fits into one write, and a close frame if it is all.
func (s *Session) lastWords(c *conn, reason Reason) []byte {
	if reason == Slow || c.blocked && c.stream == nil {
		return nil
	}
	var last []byte
	if s.queue.len() > 0 {
		last = s.queue.gather(s.shard.out, writeRoom)
	}
	if code := closeCode(reason); code != 0 && len(last) == int(s.queue.bytes) {
		last = wsframe.AppendClose(slices.Clip(last), code, "")
	}
	return last
}

func closeCode(reason Reason) uint16 {
	switch reason {
	case Left, TransportClose:
		return wsframe.CloseNormal
	case Malformed:
		return wsframe.CloseProtocol
	case TooLarge:
		return wsframe.CloseTooBig
	case Unauthorized:
		return wsframe.ClosePolicy
	case Slow, PingTimeout, TransportError:
		return 0
	default:
		return wsframe.CloseGoingAway
	}
}

// end forgets the session, its transport closed already, and tells the handler.
func (s *Session) end(reason Reason) {
	if s.closed {
		return
	}
	transport := s.Transport()
	s.forget(pollResult{status: 400, refusal: engineio.UnknownSID})
	s.shard.Later(func() {
		s.shard.engine.hooks.Closed(transport, reason)
		s.handler.Closed(s, reason)
	})
}

// forget takes the session out of everything but its handler; parked is the answer of a poll that waits.
func (s *Session) forget(parked pollResult) {
	s.closed = true
	s.shard.wheel.disarm(&s.beat)
	s.shard.remove(s)
	s.shard.engine.sockets.Add(-1)
	s.queue.rest(&s.shard.spares)
	if s.polling != nil {
		s.polling.answer(parked)
		s.polling.abandon(s)
	}
}

// Freeze hands the session over: it is forgotten here without a Closed, a parked poll ends with a noop, and what was not written yet is returned,
// in order. ok is false if the session is on a WebSocket, which cannot move, or closed.
func (s *Session) Freeze() (unsent []*Frame, ok bool) {
	if s.closed || s.conn != nil {
		return nil, false
	}
	for _, f := range s.queue.rest(&s.shard.spares) {
		switch {
		case f.Text() != nil:
			unsent = append(unsent, f)
		case f == s.shard.engine.ping:
			s.unsaid++
		}
	}
	s.forget(pollResult{status: 200, body: s.shard.engine.noop.text})
	s.shard.engine.hooks.Moved(Polling)
	return unsent, true
}
