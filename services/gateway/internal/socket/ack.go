package socket

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/edumatrix/interlink/services/gateway/internal/engine"
	"github.com/edumatrix/interlink/services/gateway/internal/socketio"
)

// Why an acknowledgement did not come.
var (
	ErrTimeout = errors.New("socket: no acknowledgement in time")
	ErrEnded   = errors.New("socket: ended before it acknowledged")
	ErrBusy    = errors.New("socket: too many acknowledgements are awaited")
)

// adoptedAcks is where the ids of an adopted socket begin, so that they are none that the gateway before has given out.
const adoptedAcks = 1 << 32

// Answer is a client's acknowledgement, valid during the call.
type Answer struct {
	Args   []json.RawMessage
	Binary [][]byte
}

// waiter is one acknowledgement that is awaited.
type waiter struct {
	call   func(Answer, error)
	cancel func() bool
}

// EmitAck sends an event that asks for an acknowledgement (section "Acknowledgement"). call is called once, on the shard's goroutine: with the
// answer, or with why there is none.
func (s *Socket) EmitAck(name string, args []json.RawMessage, timeout time.Duration, call func(Answer, error)) {
	switch {
	case s.state != connected:
		call(Answer{}, ErrEnded)
		return
	case len(s.waiting) >= s.client.server.options.MaxAcks:
		call(Answer{}, ErrBusy)
		return
	}
	id := s.acks
	s.acks++
	w := &waiter{call: call}
	w.cancel = s.Shard().After(timeout, func() {
		s.forgetAck(id)
		call(Answer{}, ErrTimeout)
	})
	if s.waiting == nil {
		s.waiting = make(map[uint64]*waiter)
	}
	s.waiting[id] = w
	packet := socketio.AppendHeader(nil, socketio.Event, 0, s.namespace)
	packet = append(packet, socketio.AppendEventAck(nil, id, name, args...)[1:]...)
	s.Send(engine.TextFrame(engine.Durable, packet))
}

// acknowledged takes an answer. One that nobody waits for came too late, and is ignored.
func (s *Socket) acknowledged(p *socketio.Packet) {
	w, found := s.waiting[p.ID]
	if !found {
		return
	}
	s.forgetAck(p.ID)
	w.cancel()
	w.call(Answer{Args: p.Args, Binary: p.Binary}, nil)
}

func (s *Socket) forgetAck(id uint64) {
	if delete(s.waiting, id); len(s.waiting) == 0 {
		s.waiting = nil
	}
}

func (s *Socket) failAcks(why error) {
	waiting := s.waiting
	s.waiting = nil
	for _, w := range waiting {
		w.cancel()
		w.call(Answer{}, why)
	}
}

// replier acknowledges one event of a client, once.
type replier struct {
	socket *Socket
	id     uint64
	done   bool
}

func (r *replier) one(argument []byte) {
	if r.done {
		return
	}
	r.done = true
	s := r.socket
	b := append(engine.BeginText(32+len(s.namespace)+len(argument)), r.header(socketio.Ack, 0)...)
	b = append(append(append(b, '['), argument...), ']')
	s.Send(engine.EndText(engine.Control, b))
}

func (r *replier) header(t socketio.Type, attachments int) []byte {
	return socketio.AppendID(socketio.AppendHeader(make([]byte, 0, 32), t, attachments, r.socket.namespace), r.id)
}

func (r *replier) reply(args []json.RawMessage, attachments [][]byte) {
	if r.done {
		return
	}
	r.done = true
	t := socketio.Ack
	if len(attachments) > 0 {
		t = socketio.BinaryAck
	}
	packet := append(r.header(t, len(attachments)), '[')
	for i, arg := range args {
		if i > 0 {
			packet = append(packet, ',')
		}
		packet = append(packet, arg...)
	}
	packet = append(packet, ']')
	if t == socketio.BinaryAck {
		r.socket.Send(engine.BinaryFrame(engine.Control, packet, attachments))
		return
	}
	r.socket.Send(engine.TextFrame(engine.Control, packet))
}
