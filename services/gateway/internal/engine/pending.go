package engine

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"

	"github.com/edumatrix/interlink/services/gateway/internal/engineio"
	"github.com/edumatrix/interlink/services/gateway/internal/wsframe"
)

// ErrGone is returned by a Pending whose client went away, misbehaved or took too long.
var ErrGone = errors.New("engine: pending connection is gone")

// Pending is a WebSocket that wants to take over a session of another gateway. The steps are the protocol's (section "Upgrade"):
//
//	Probed    the client has sent `2probe`; the owner now holds its polls
//	Answer    `3probe`
//	Switched  the client has sent `5`; the owner now freezes the session
//	Adopt     the session goes on here
//
// What the client sends right behind its `5` waits for Adopt, at most Options.MaxPayload bytes. Any goroutine may call the methods.
type Pending struct {
	engine    *Engine
	shard     *Shard
	sid       string
	handshake Handshake
	probed    chan struct{}
	switched  chan struct{}
	lost      chan struct{}

	// Of the shard's goroutine.
	talk
	conn    *conn
	state   engineio.Probe
	timeout timer
	held    []heldMessage
	bytes   int64
	adopted bool
	pings   uint32 // of the gateway before, not answered
	reason  Reason // why lost
}

type heldMessage struct {
	op   wsframe.Opcode
	data []byte
}

// adoptWebSocket hands a stray upgrade to Stray, and blocks until it is done.
func (e *Engine) adoptWebSocket(w http.ResponseWriter, r *http.Request, sid string, response []byte) {
	if !e.handlers.enter() {
		e.turnAway(w, RefusedClosing)
		return
	}
	defer e.handlers.leave()
	if !e.admit(w) {
		return
	}
	p := &Pending{
		engine: e, shard: e.shardOf(sid), sid: sid, handshake: e.handshake(r),
		probed: make(chan struct{}), switched: make(chan struct{}), lost: make(chan struct{}),
	}
	c, early, err := e.hijack(w)
	if err != nil {
		e.release()
		e.refuse(w, engineio.BadRequest, "The connection cannot be upgraded")
		return
	}
	p.conn, c.consumer = c, p
	if !p.shard.post(func() { p.start(response, early) }) {
		e.release()
		c.discard()
		return
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context())) // a hijacked request's own context ends at no known time
	var watch sync.WaitGroup
	watch.Go(func() {
		select {
		case <-e.dying:
			cancel()
		case <-ctx.Done():
		}
	})
	e.options.Stray.Upgrade(ctx, sid, p)
	p.Close()
	cancel()
	watch.Wait()
}

func (p *Pending) start(response, early []byte) {
	p.timeout.fire = func() { p.conn.fail(wsframe.ClosePolicy, TransportError) }
	if !p.shard.attach(p.conn) {
		p.gone(p.conn, TransportError)
		return
	}
	p.shard.wheel.arm(&p.timeout, p.shard.now+int64(p.engine.options.UpgradeTimeout))
	p.say(p.conn, response)
	p.conn.feedEarly(early)
	if p.engine.closing.Load() {
		p.conn.fail(wsframe.CloseGoingAway, Server)
	}
}

// SID is the id of the session.
func (p *Pending) SID() string { return p.sid }

// Handshake is of the WebSocket's request, not of the one that began the session.
func (p *Pending) Handshake() Handshake { return p.handshake }

// Probed blocks until the client has sent its probe.
func (p *Pending) Probed(ctx context.Context) error { return p.await(ctx, p.probed) }

// Switched blocks until the client has said that the WebSocket takes over.
func (p *Pending) Switched(ctx context.Context) error { return p.await(ctx, p.switched) }

// Gone is closed when the client has gone before Adopt.
func (p *Pending) Gone() <-chan struct{} { return p.lost }

func (p *Pending) await(ctx context.Context, step chan struct{}) error {
	select {
	case <-step:
		return nil
	case <-p.lost:
		return ErrGone
	case <-ctx.Done():
		return fmt.Errorf("engine: pending connection: %w", ctx.Err())
	}
}

// Answer answers the probe.
func (p *Pending) Answer() {
	p.shard.post(func() {
		if !p.adopted {
			p.say(p.conn, p.engine.probeAnswer.ws)
		}
	})
}

// Adopt makes the session one of this engine, under its sid: open is called on its shard, as Options.Open would be, after the unsent frames were
// queued; then the client's messages follow. If the client is gone by then, Closed follows at once. It returns false if the engine has stopped
// and nothing was called. It is called once, after Switched.
func (p *Pending) Adopt(unsent []*Frame, open func(s *Session) Handler) bool {
	return p.shard.post(func() { p.adopt(unsent, open) })
}

func (p *Pending) adopt(unsent []*Frame, open func(s *Session) Handler) {
	p.adopted = true
	p.shard.wheel.disarm(&p.timeout)
	s := &Session{shard: p.shard, id: p.sid, conn: p.conn}
	s.pings.Expect(p.pings)
	lost := p.conn.closed
	if lost {
		p.engine.sockets.Add(1) // gone has given the place back; the session does so once more
	}
	p.conn.consumer = s
	if !p.shard.add(s) {
		lost = true // two gateways moved one session here; the first has it
		p.reason = Server
	}
	s.startBeat()
	s.precede(append(p.left(), unsent...)) // were within the limits where they come from
	s.handler = open(s)
	p.engine.hooks.Opened(WebSocket)
	switch {
	case lost:
		p.conn.close(wsframe.CloseGoingAway)
		s.end(p.reason)
	case p.engine.closing.Load():
		s.Close(Server)
	default:
		s.touch()
		held := p.held
		p.held = nil
		for _, m := range held {
			if !p.conn.closed {
				s.message(p.conn, m.op, m.data)
			}
		}
	}
}

// Close gives the WebSocket up, unless it was adopted.
func (p *Pending) Close() {
	p.shard.post(func() {
		if !p.adopted {
			p.conn.fail(wsframe.CloseGoingAway, Server)
		}
	})
}

func (p *Pending) message(c *conn, op wsframe.Opcode, data []byte) {
	if isClosed(p.switched) {
		if p.bytes += int64(len(data)); p.bytes > p.engine.options.MaxPayload {
			c.fail(wsframe.CloseTooBig, TooLarge)
			return
		}
		p.held = append(p.held, heldMessage{op, append([]byte(nil), data...)})
		return
	}
	packet := engineio.DecodeBinary(data)
	if op == wsframe.Text {
		var err error
		if packet, err = engineio.DecodeText(data); err != nil {
			c.fail(wsframe.CloseProtocol, Malformed)
			return
		}
	}
	action, err := p.state.Receive(packet)
	switch {
	case err != nil:
		c.fail(wsframe.CloseProtocol, Malformed)
	case action == engineio.AnswerProbe:
		close(p.probed)
	case action == engineio.Switch:
		close(p.switched)
	}
}

func isClosed(step chan struct{}) bool {
	select {
	case <-step:
		return true
	default:
		return false
	}
}

func (p *Pending) gone(_ *conn, reason Reason) {
	p.shard.wheel.disarm(&p.timeout)
	p.reason, p.held = reason, nil
	p.engine.release()
	close(p.lost)
}
