// Package protocolserver serves the gateway's engine alone, for the test suites of the two protocol documents: an Engine.IO echo at /engine.io/
// and a Socket.IO server at /socket.io/ with the namespaces / and /custom. Recovery is off: the answer to CONNECT holds only a sid, and events
// carry nothing extra.
package protocolserver

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/edumatrix/interlink/services/gateway/internal/engine"
	"github.com/edumatrix/interlink/services/gateway/internal/socket"
	"github.com/edumatrix/interlink/services/gateway/internal/socketio"
)

// Options of a Server. Zero values mean the engine's defaults.
type Options struct {
	Listener       net.Listener // nil: Handler only
	PingInterval   time.Duration
	PingTimeout    time.Duration
	ConnectTimeout time.Duration // of Socket.IO
	MaxPayload     int64         // bytes
	Portable       bool          // serve connections with goroutines instead of a poller
}

// Server is an echo for both protocols.
type Server struct {
	options Options
	engines [2]*engine.Engine
	mux     *http.ServeMux
}

// New prepares a server.
func New(options Options) (*Server, error) {
	s := &Server{options: options, mux: http.NewServeMux()}
	echo, err := engine.New(s.engineOptions(func(*engine.Session, engine.Handshake) engine.Handler { return echoHandler{} }))
	if err != nil {
		return nil, fmt.Errorf("protocol server: %w", err)
	}
	sockets, err := socket.New(socket.Options{
		Handler: events{}, Namespaces: []string{socketio.Main, "/custom"}, ConnectTimeout: options.ConnectTimeout,
		Limits: socketio.Limits{AttachmentBytes: int(options.MaxPayload)},
	})
	if err != nil {
		return nil, fmt.Errorf("protocol server: %w", err)
	}
	served, err := engine.New(s.engineOptions(sockets.Open))
	if err != nil {
		return nil, fmt.Errorf("protocol server: %w", err)
	}
	s.engines = [2]*engine.Engine{echo, served}
	for path, e := range map[string]*engine.Engine{"/engine.io": echo, "/socket.io": served} {
		s.mux.Handle(path, e)
		s.mux.Handle(path+"/", e)
	}
	return s, nil
}

func (s *Server) engineOptions(open func(*engine.Session, engine.Handshake) engine.Handler) engine.Options {
	return engine.Options{
		Open: open, Origins: []string{"*"}, Portable: s.options.Portable,
		PingInterval: s.options.PingInterval, PingTimeout: s.options.PingTimeout, MaxPayload: s.options.MaxPayload,
	}
}

// Handler serves both paths.
func (s *Server) Handler() http.Handler { return s.mux }

// Sessions is the number of open engine sessions.
func (s *Server) Sessions() int { return s.engines[0].Sockets() + s.engines[1].Sockets() }

// Run serves until ctx is done and everything has ended.
func (s *Server) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	errs := make([]error, len(s.engines)+1)
	for i, e := range s.engines {
		wg.Go(func() {
			errs[i] = e.Run(ctx)
			cancel()
		})
	}
	if s.options.Listener != nil {
		server := &http.Server{Handler: s.mux, ReadHeaderTimeout: 10 * time.Second}
		wg.Go(func() {
			if err := server.Serve(s.options.Listener); !errors.Is(err, http.ErrServerClosed) {
				errs[len(s.engines)] = fmt.Errorf("protocol server: %w", err)
			}
			cancel()
		})
		<-ctx.Done()
		_ = server.Close()
	}
	wg.Wait()
	return errors.Join(errs...)
}

// echoHandler sends every Engine.IO message back.
type echoHandler struct{}

func (echoHandler) Message(s *engine.Session, text []byte) {
	s.Send(engine.TextFrame(engine.Durable, text))
}

func (echoHandler) Binary(s *engine.Session, data []byte) {
	s.Send(engine.BytesFrame(engine.Durable, data))
}

func (echoHandler) Pinging(*engine.Session) *engine.Frame { return nil }

func (echoHandler) Ponged(*engine.Session) {}

func (echoHandler) Closed(*engine.Session, engine.Reason) {}

// events is the application that the Socket.IO test suite expects: `auth` with the handshake's auth after CONNECT, `message` comes back as
// `message-back`, `message-with-ack` is acknowledged with its arguments.
type events struct{}

// authDelay keeps `auth` out of the segment of the CONNECT answer: the suite listens for one frame at a time and would not see the second.
const authDelay = 10 * time.Millisecond

func (events) Connect(s *socket.Socket, auth json.RawMessage, _ socket.Handshake) {
	if len(auth) == 0 {
		auth = json.RawMessage("{}")
	}
	s.Accept(socket.Accepted{SID: rand.Text()})
	s.Shard().After(authDelay, func() { emit(s, "auth", []json.RawMessage{auth}, nil) })
}

func (events) Event(s *socket.Socket, e socket.Event) {
	switch e.Name {
	case "message":
		emit(s, "message-back", e.Args, e.Binary)
	case "message-with-ack":
		e.Reply(e.Args, e.Binary)
	}
}

func emit(s *socket.Socket, name string, args []json.RawMessage, attachments [][]byte) {
	t := socketio.Event
	if len(attachments) > 0 {
		t = socketio.BinaryEvent
	}
	packet := socketio.AppendHeader(nil, t, len(attachments), s.Namespace())
	packet = append(packet, socketio.AppendEvent(nil, name, args...)[1:]...)
	if t == socketio.BinaryEvent {
		s.Send(engine.BinaryFrame(engine.Durable, packet, attachments))
		return
	}
	s.Send(engine.TextFrame(engine.Durable, packet))
}

func (events) Closed(*socket.Socket, socket.Reason) {}

func (events) PingFrame(*socket.Socket) *engine.Frame { return nil }

func (events) Ponged(*socket.Socket) {}
