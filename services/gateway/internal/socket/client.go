package socket

import (
	"bytes"
	"encoding/json"
	"slices"

	"github.com/edumatrix/interlink/services/gateway/internal/engine"
	"github.com/edumatrix/interlink/services/gateway/internal/socketio"
)

// client is what a session's messages are for: the sockets of one connection.
type client struct {
	server    *Server
	session   *engine.Session
	handshake *engine.Handshake // nil when no further CONNECT can use it
	reader    socketio.Reader
	main      *Socket
	others    map[string]*Socket // by namespace
	timeout   func() bool        // cancels the wait for a CONNECT; nil when none is awaited
	refused   uint8              // CONNECTs
}

// maxRefused is how many CONNECTs may be refused before the connection goes: each costs a question, and lets the client stay for longer.
const maxRefused = 10

// await gives the client the connect timeout to have a socket.
func (c *client) await() {
	if c.timeout != nil || c.main != nil || len(c.others) > 0 {
		return
	}
	c.timeout = c.session.Shard().After(c.server.options.ConnectTimeout, func() {
		c.timeout = nil
		c.session.Close(engine.Unauthorized)
	})
}

func (c *client) stopAwaiting() {
	if c.timeout != nil {
		c.timeout()
		c.timeout = nil
	}
}

// trust lifts the limits of a stranger.
func (c *client) trust() {
	c.session.Trust()
	if len(c.server.namespaces) == 1 {
		c.handshake = nil
	}
}

// Message takes a packet, or the text of one that has attachments.
func (c *client) Message(s *engine.Session, text []byte) {
	p := c.server.packets.Get().(*socketio.Packet)
	complete, err := c.reader.Text(p, text, c.server.options.Limits)
	switch {
	case err != nil:
		s.Close(engine.Malformed)
	case complete:
		c.packet(p, text)
	}
	c.putPacket(p)
}

// Binary takes an attachment.
func (c *client) Binary(s *engine.Session, data []byte) {
	p := c.server.packets.Get().(*socketio.Packet)
	complete, err := c.reader.Binary(p, data, c.server.options.Limits)
	switch {
	case err != nil:
		s.Close(engine.Malformed)
	case complete:
		c.packet(p, nil)
	}
	c.putPacket(p)
}

func (c *client) putPacket(p *socketio.Packet) {
	clear(p.Args[:cap(p.Args)])
	*p = socketio.Packet{Args: p.Args[:0]}
	c.server.packets.Put(p)
}

// packet handles a whole packet. text is where it points to; nil if it is memory of its own.
func (c *client) packet(p *socketio.Packet, text []byte) {
	s := c.socket(p.Namespace)
	switch {
	case p.Type == socketio.Connect && s == nil:
		c.connect(p)
	case s == nil, p.Type == socketio.Connect, !p.Type.FromClient():
		// An event before CONNECT, a second CONNECT, a packet that only servers send (section "Connection to a namespace").
		c.session.Close(engine.Malformed)
	case p.Type == socketio.Disconnect:
		s.end(engine.Left)
	case s.state == pending:
		s.held = append(s.held, keep(p, text))
	default:
		s.handle(p)
	}
}

// keep copies a packet for later.
func keep(p *socketio.Packet, text []byte) *socketio.Packet {
	kept := new(socketio.Packet)
	if text == nil {
		*kept = *p
		kept.Args = slices.Clone(p.Args)
		return kept
	}
	// What could be decoded can be decoded again; limits were checked.
	_ = socketio.Decode(kept, bytes.Clone(text), socketio.Limits{Depth: len(text), Args: len(text), NamespaceBytes: len(text)})
	return kept
}

// connect begins the decision about a socket (section "Connection to a namespace").
func (c *client) connect(p *socketio.Packet) {
	if !c.server.namespaces[p.Namespace] {
		c.session.Send(engine.TextFrame(engine.Control, socketio.AppendConnectError(nil, p.Namespace, "Invalid namespace", nil)))
		return
	}
	if c.handshake == nil {
		// A socket was here before and what its handshake said is gone: the client comes back with a new one.
		c.session.Close(engine.Server)
		return
	}
	c.stopAwaiting()
	s := &Socket{client: c, namespace: p.Namespace}
	if s.namespace == socketio.Main {
		c.main = s
	} else {
		if c.others == nil {
			c.others = make(map[string]*Socket)
		}
		c.others[s.namespace] = s
	}
	c.server.options.Handler.Connect(s, json.RawMessage(bytes.Clone(p.Data)), *c.handshake)
}

func (c *client) socket(namespace string) *Socket {
	if namespace == socketio.Main {
		return c.main
	}
	return c.others[namespace]
}

func (c *client) forget(s *Socket) {
	if c.main == s {
		c.main = nil
	} else if c.others[s.namespace] == s {
		delete(c.others, s.namespace)
	}
}

// Pinging asks for the frame before a ping.
func (c *client) Pinging(*engine.Session) *engine.Frame {
	if c.main == nil || c.main.state != connected {
		return nil
	}
	return c.server.options.Handler.PingFrame(c.main)
}

// Ponged passes a pong on.
func (c *client) Ponged(*engine.Session) {
	if c.main != nil && c.main.state == connected {
		c.server.options.Handler.Ponged(c.main)
	}
}

// Queued passes on that a tagged frame was queued.
func (c *client) Queued(_ *engine.Session, tag any, ping uint32) bool {
	if c.main == nil || c.main.state != connected {
		return false
	}
	h, ok := c.server.options.Handler.(Tagged)
	return ok && h.Queued(c.main, tag, ping)
}

// Closed ends all sockets of the session.
func (c *client) Closed(_ *engine.Session, reason engine.Reason) {
	c.stopAwaiting()
	for _, s := range c.others {
		s.finish(reason)
	}
	if c.main != nil {
		c.main.finish(reason)
	}
	c.main, c.others, c.handshake = nil, nil, nil
}
