package engine

import (
	"github.com/edumatrix/interlink/services/gateway/internal/engineio"
	"github.com/edumatrix/interlink/services/gateway/internal/wsframe"
)

// probe is a WebSocket that is to take over a polling session here (section "Upgrade").
type probe struct {
	talk
	session *Session
	conn    *conn
	state   engineio.Probe
	timeout timer
}

// upgradable reports whether a WebSocket may begin to take the session over.
func (s *Session) upgradable() bool {
	return !s.closed && s.polling != nil && s.polling.probe == nil && !s.polling.noops
}

// startProbe lets a WebSocket, whose response is still to be written, begin to take the session over.
func (s *Session) startProbe(p *probe, response []byte) {
	c := p.conn
	s.polling.probe = p
	p.timeout.fire = func() { c.fail(wsframe.ClosePolicy, TransportError) }
	s.shard.wheel.arm(&p.timeout, s.shard.now+int64(s.shard.engine.options.UpgradeTimeout))
	p.say(c, response)
}

// talk is what is said on a WebSocket before it carries a session: a few bytes, which wait if the transport takes no more.
type talk struct{ unsaid []byte }

// maxUnsaid bounds them: a client that makes us say more without reading is closed.
const maxUnsaid = 4 << 10

func (t *talk) say(c *conn, b []byte) {
	if c.closed {
		return
	}
	if t.unsaid = append(t.unsaid, b...); len(t.unsaid) > maxUnsaid {
		c.fail(0, Slow)
		return
	}
	t.ready(c)
}

func (t *talk) ready(c *conn) {
	if c.blocked || len(t.unsaid) == 0 {
		return
	}
	if n, ok := c.write(t.unsaid); ok {
		t.unsaid = t.unsaid[n:]
	}
}

func (t *talk) reply(c *conn, f *Frame) { t.say(c, f.ws) }

// left is what a session on that WebSocket has to say first.
func (t *talk) left() []*Frame {
	if len(t.unsaid) == 0 {
		return nil
	}
	return []*Frame{rawFrame(t.unsaid)}
}

func (p *probe) stop() { p.session.shard.wheel.disarm(&p.timeout) }

func (p *probe) message(c *conn, op wsframe.Opcode, data []byte) {
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
		p.say(c, c.shard.engine.probeAnswer.ws)
		if !c.closed {
			p.session.polling.hold(p.session)
		}
	case action == engineio.Switch:
		p.session.switchTo(c)
	}
}

// switchTo makes the WebSocket the session's transport.
func (s *Session) switchTo(c *conn) {
	old := s.polling
	s.precede(old.probe.left())
	old.answer(pollResult{status: 400, refusal: engineio.BadRequest})
	old.probe.stop()
	old.probe = nil
	old.abandon(s)
	s.conn, s.polling, c.consumer = c, nil, s
	s.shard.engine.hooks.Upgraded()
	s.touch()
}

// gone leaves the session where it is.
func (p *probe) gone(*conn, Reason) {
	p.stop()
	if polling := p.session.polling; polling != nil && polling.probe == p {
		polling.probe = nil
		polling.resume(p.session)
	}
}

// HoldPolls releases the parked poll, and every later one, at once: a WebSocket at another gateway has begun to take the session over. It goes on
// polling if Freeze does not follow within the upgrade timeout. It reports false if the session cannot move.
func (s *Session) HoldPolls() bool {
	if !s.upgradable() {
		return false
	}
	s.polling.hold(s)
	s.polling.moving = &timer{fire: func() { s.polling.resume(s) }}
	s.shard.wheel.arm(s.polling.moving, s.shard.now+int64(s.shard.engine.options.UpgradeTimeout))
	return true
}
