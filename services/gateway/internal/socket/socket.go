package socket

import (
	"encoding/json"

	"github.com/edumatrix/interlink/services/gateway/internal/engine"
	"github.com/edumatrix/interlink/services/gateway/internal/socketio"
)

type state uint8

const (
	pending state = iota // CONNECT is to be decided
	connected
	ended
)

// Socket is a client in a namespace.
type Socket struct {
	// State is the handler's own.
	State any

	client    *client
	namespace string
	id        string
	held      []*socketio.Packet // what came before the decision
	waiting   map[uint64]*waiter // acknowledgements, by id
	acks      uint64             // ids given out
	state     state
}

// Accepted is a positive answer to CONNECT.
type Accepted struct {
	SID string // the socket's public id
	PID string // the session's private id for resuming; empty: not told
}

// Shard is the goroutine that owns the socket. Any goroutine.
func (s *Socket) Shard() *engine.Shard { return s.client.session.Shard() }

// Session is the engine session below.
func (s *Socket) Session() *engine.Session { return s.client.session }

// ID is the public id; empty before Accept.
func (s *Socket) ID() string { return s.id }

// Namespace is "/" but for protocol tests.
func (s *Socket) Namespace() string { return s.namespace }

// Connected reports whether CONNECT was answered and the socket has not ended.
func (s *Socket) Connected() bool { return s.state == connected }

// Pending reports whether the answer to CONNECT is still awaited.
func (s *Socket) Pending() bool { return s.state == pending }

// Accept answers CONNECT; the handler's State must be ready. Events that came before follow when the shard's present step is over, behind
// whatever the caller sends now. It reports false if the socket has ended or was decided already.
func (s *Socket) Accept(a Accepted) bool {
	if s.state != pending {
		return false
	}
	s.state, s.id = connected, a.SID
	s.client.trust()
	s.client.session.Send(engine.TextFrame(engine.Control, s.appendConnect(a)))
	if held := s.held; held != nil {
		s.held = nil
		s.Shard().Later(func() {
			for _, p := range held {
				if s.state == connected {
					s.handle(p)
				}
			}
		})
	}
	return true
}

func (s *Socket) appendConnect(a Accepted) []byte {
	if s.namespace == socketio.Main {
		return socketio.AppendConnect(nil, a.SID, a.PID)
	}
	return append(socketio.AppendHeader(nil, socketio.Connect, 0, s.namespace), socketio.AppendConnect(nil, a.SID, a.PID)[1:]...)
}

// Refuse answers CONNECT with CONNECT_ERROR, which ends a stock client for good; Closed is not called. data may be nil. The connection stays
// open for the connect timeout, so that another CONNECT may come, a few times.
func (s *Socket) Refuse(message string, data json.RawMessage) {
	if s.state != pending {
		return
	}
	s.client.session.Send(engine.TextFrame(engine.Control, socketio.AppendConnectError(nil, s.namespace, message, data)))
	s.drop()
	if s.client.refused++; s.client.refused >= maxRefused {
		s.client.session.Close(engine.Unauthorized)
	}
}

// Send queues a frame and reports whether the socket takes more. A socket whose queue is full is closed as Slow.
func (s *Socket) Send(f *engine.Frame) bool {
	return s.state == connected && s.client.session.Send(f)
}

// Ping sends a ping behind what is queued; Ponged follows its pong. Pongs come in the order of pings.
func (s *Socket) Ping() bool { return s.state == connected && s.client.session.Ping() }

// Disconnect ends the socket with a DISCONNECT packet (section "Disconnection from a namespace"): a stock client does not come back. The
// connection follows at the connect timeout, if the client does not close it.
func (s *Socket) Disconnect() {
	if s.state != connected {
		return
	}
	packet := socketio.AppendHeader(nil, socketio.Disconnect, 0, s.namespace)
	s.client.session.Send(engine.TextFrame(engine.Control, packet))
	s.end(engine.Server)
}

// CloseTransport closes the connection, so that a stock client comes back. Closed follows with that reason.
func (s *Socket) CloseTransport(reason Reason) {
	if s.state != ended {
		s.client.session.Close(reason)
	}
}

// Freeze hands the socket over to another gateway: what was not written yet, in order. The session is forgotten here without a Closed.
// ok is false if it cannot move: it is on a WebSocket, or its CONNECT is not decided.
func (s *Socket) Freeze() (unsent []*engine.Frame, ok bool) {
	if s.state != connected {
		return nil, false
	}
	if unsent, ok = s.client.session.Freeze(); ok {
		s.drop()
		s.client.stopAwaiting()
		s.failAcks(ErrEnded)
	}
	return unsent, ok
}

// end takes the socket off a connection that stays, and tells the handler.
func (s *Socket) end(reason Reason) {
	s.drop()
	s.Shard().Later(func() {
		s.failAcks(ErrEnded)
		s.client.server.options.Handler.Closed(s, reason)
	})
}

// drop takes the socket off its connection.
func (s *Socket) drop() {
	s.state, s.held = ended, nil
	s.client.forget(s)
	s.client.await()
}

// finish ends the socket together with its session.
func (s *Socket) finish(reason Reason) {
	s.state, s.held = ended, nil
	s.failAcks(ErrEnded)
	s.client.server.options.Handler.Closed(s, reason)
}

// handle takes a packet for a connected socket.
func (s *Socket) handle(p *socketio.Packet) {
	switch p.Type {
	case socketio.Event, socketio.BinaryEvent:
		s.event(p)
	case socketio.Ack, socketio.BinaryAck:
		s.acknowledged(p)
	}
}

func (s *Socket) event(p *socketio.Packet) {
	e := Event{Name: string(p.Name), Args: p.Args, Binary: p.Binary}
	if p.HasID {
		e.ack = &replier{socket: s, id: p.ID}
		e.Ack = e.ack.one
	}
	s.client.server.options.Handler.Event(s, e)
}
