// Package socket owns Socket.IO v5 sockets on Engine.IO sessions: CONNECT and its decision, events, acknowledgements both ways, binary
// attachments, DISCONNECT. What an event means is its Handler's business.
//
// A socket belongs to the shard of its session, and so does everything here but New: methods are called, and handlers are called, on that
// shard's goroutine. Sections in comments are of the Socket.IO protocol document, revision 5.
package socket

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/edumatrix/interlink/services/gateway/internal/engine"
	"github.com/edumatrix/interlink/services/gateway/internal/socketio"
)

// Reason is why a socket ended.
type Reason = engine.Reason

// Handshake is what the request that began the session said.
type Handshake = engine.Handshake

// Handler is what sockets are for. It is called on the socket's shard and must not block.
type Handler interface {
	// Connect is asked to admit a socket. auth is an object, or nil; it may be kept. Decide with Accept or Refuse, now or later; until then no
	// event is delivered: what the client sends right behind its CONNECT waits, within the engine's ConnectBytes.
	Connect(s *Socket, auth json.RawMessage, h Handshake)
	Event(s *Socket, e Event)
	// Closed is called exactly once for a socket that was given to Connect, unless it was refused or frozen.
	Closed(s *Socket, reason Reason)
	// PingFrame is asked when a heartbeat is due; the frame, if there is one, goes out right before the ping, in the same write. Asked for the
	// main namespace only, as is Ponged.
	PingFrame(s *Socket) *engine.Frame
	Ponged(s *Socket)
}

// Tagged is a Handler that wants to know of frames with a tag, see engine.Tagged. Asked for the main namespace only.
type Tagged interface {
	Queued(s *Socket, tag any, ping uint32) bool
}

// Event is an event from a client. Args and Binary are valid during the call.
type Event struct {
	Name   string
	Args   []json.RawMessage // raw JSON; attachments are placeholders {"_placeholder":true,"num":n}
	Binary [][]byte          // the attachments
	// Ack acknowledges with one argument, which is copied. It is nil if the client asked for none, and may be called later, on the shard's
	// goroutine; only the first call counts, and none when the socket has ended.
	Ack func(json []byte)

	ack *replier
}

// Reply is Ack with any number of arguments and attachments; all are copied.
func (e Event) Reply(args []json.RawMessage, attachments [][]byte) {
	if e.ack != nil {
		e.ack.reply(args, attachments)
	}
}

// Options of a Server. Zero values mean the default in brackets.
type Options struct {
	Handler        Handler       // required
	Namespaces     []string      // that may be connected to [the main one, "/"]
	ConnectTimeout time.Duration // for a session without a socket, see package comment of engine [10s]
	MaxAcks        int           // acknowledgements awaited from one client [1,000]
	Limits         socketio.Limits
}

// Server makes sockets of sessions.
type Server struct {
	options    Options
	namespaces map[string]bool
	packets    sync.Pool
}

// New checks the options.
func New(options Options) (*Server, error) {
	if options.Handler == nil {
		return nil, errors.New("socket: Handler is missing")
	}
	if options.ConnectTimeout < 0 || options.MaxAcks < 0 {
		return nil, errors.New("socket: a duration or limit is negative")
	}
	if len(options.Namespaces) == 0 {
		options.Namespaces = []string{socketio.Main}
	}
	if options.ConnectTimeout == 0 {
		options.ConnectTimeout = 10 * time.Second
	}
	if options.MaxAcks == 0 {
		options.MaxAcks = 1000
	}
	srv := &Server{options: options, namespaces: make(map[string]bool, len(options.Namespaces))}
	srv.packets.New = func() any { return new(socketio.Packet) }
	for _, name := range options.Namespaces {
		if name == "" || name[0] != '/' {
			return nil, fmt.Errorf("socket: namespace %q does not begin with a slash", name)
		}
		srv.namespaces[name] = true
	}
	return srv, nil
}

// Open is for engine.Options.Open.
func (srv *Server) Open(s *engine.Session, h engine.Handshake) engine.Handler {
	c := &client{server: srv, session: s, handshake: &h}
	c.await()
	return c
}

// Adopt goes on with a socket that another gateway has frozen, on a WebSocket that has finished its probe: unsent is written first. opened is
// called on the shard before anything of the client is delivered; if the client is gone by then, Closed follows. accepted is nil for a session
// that had sent no CONNECT yet: opened is not called then. It returns false if the engine has stopped.
func (srv *Server) Adopt(p *engine.Pending, unsent []*engine.Frame, accepted *Accepted, opened func(s *Socket)) bool {
	return p.Adopt(unsent, func(s *engine.Session) engine.Handler {
		h := p.Handshake()
		c := &client{server: srv, session: s, handshake: &h}
		if accepted == nil {
			c.await()
			return c
		}
		c.main = &Socket{client: c, namespace: socketio.Main, id: accepted.SID, state: connected, acks: adoptedAcks}
		c.trust()
		opened(c.main)
		return c
	})
}

// Find returns the socket of the main namespace; nil if there is none. Pending tells whether its CONNECT is still to be decided.
func (srv *Server) Find(s *engine.Session) *Socket {
	c, ok := s.Handler().(*client)
	if !ok {
		return nil
	}
	return c.main
}
