// Package attach serves interlink.delivery.v1.Delivery: routers dial in, say Hello and push; what the hub has to say
// goes back. One goroutine reads a stream, another writes it, and a watchdog ends a stream whose router is silent or
// does not read.
package attach

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	deliveryv1 "github.com/edumatrix/interlink/proto/delivery/v1"
	"github.com/edumatrix/interlink/services/gateway/internal/hub"
	"github.com/edumatrix/interlink/services/gateway/internal/placement"
	"github.com/edumatrix/interlink/services/internal/room"
)

// Hub is what the server stands before.
type Hub interface {
	Attach(ctx context.Context, hello *deliveryv1.Hello, out hub.Outbox) (*hub.Stream, error)
	Sockets(ctx context.Context, r room.Room, limit int) ([]hub.Info, error)
	Find(ctx context.Context, a hub.Asked) (hub.Found, error)
	Standing(ctx context.Context, partition uint32) (epoch string, position int64, err error)
	Routers() []string
}

// Options of New. Zero durations mean the defaults.
type Options struct {
	Hub         Hub
	Gateway     string
	Incarnation string
	Closed      Closed        // nil: nothing is known of sockets that went
	Silence     time.Duration // after which a router that says nothing is given up, default 10 s
	Stuck       time.Duration // after which a router that does not read is given up, default 10 s
	Logger      *slog.Logger
}

// maxSockets bounds one answer of Sockets, per shard.
const maxSockets = 10_000

// Server implements deliveryv1.DeliveryServer.
type Server struct {
	deliveryv1.UnimplementedDeliveryServer
	options Options
	done    chan struct{}
	streams sync.WaitGroup

	mu      sync.Mutex // guards stopped, and streams against Wait
	stopped bool
}

// New returns a server that is to be registered with a grpc.Server.
func New(o Options) *Server {
	if o.Silence == 0 {
		o.Silence = 10 * time.Second
	}
	if o.Stuck == 0 {
		o.Stuck = 10 * time.Second
	}
	return &Server{options: o, done: make(chan struct{})}
}

// Stop ends all streams and waits for their goroutines. It may be called once the hub's Run has ended or before.
func (s *Server) Stop() {
	s.mu.Lock()
	if !s.stopped {
		s.stopped = true
		close(s.done)
	}
	s.mu.Unlock()
	s.streams.Wait()
}

// add counts the two goroutines of a stream; false if none may begin.
func (s *Server) add() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.stopped {
		s.streams.Add(2)
	}
	return !s.stopped
}

// Attach serves one router until either side ends it.
func (s *Server) Attach(stream grpc.BidiStreamingServer[deliveryv1.AttachRequest, deliveryv1.AttachResponse]) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	hello := first.GetHello()
	if hello == nil {
		return status.Error(codes.InvalidArgument, "a router says Hello first")
	}
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	out := newOutbox(s.options.Gateway, s.options.Incarnation)
	attached, err := s.options.Hub.Attach(ctx, hello, out)
	switch {
	case errors.Is(err, placement.ErrEpoch):
		return status.Error(codes.FailedPrecondition, err.Error())
	case errors.Is(err, placement.ErrPartitions):
		return status.Error(codes.InvalidArgument, err.Error())
	case err != nil:
		return status.Error(codes.Unavailable, "the gateway is stopping")
	}
	defer attached.Detach()
	logger := s.options.Logger.With("router", hello.Router)
	logger.Info("router attached", "partitions", hello.Partitions, "owned", len(hello.Owned))
	watch := newWatch()
	ended := make(chan error, 2)
	if !s.add() {
		return status.Error(codes.Unavailable, "the gateway is stopping")
	}
	go func() {
		defer s.streams.Done()
		ended <- read(ctx, stream, attached, watch)
	}()
	go func() {
		defer s.streams.Done()
		ended <- out.write(ctx, stream, watch)
	}()
	err = s.wait(ctx, ended, watch)
	logger.Info("router detached", "error", err)
	return err
}

// wait returns when one of the goroutines ends, the watchdog bites, or the server stops. Both goroutines end when the
// handler returns.
func (s *Server) wait(ctx context.Context, ended <-chan error, w *watch) error {
	tick := time.NewTicker(min(s.options.Silence, s.options.Stuck) / 4)
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			return err
		case <-ctx.Done():
			return ctx.Err()
		case <-s.done:
			return status.Error(codes.Unavailable, "the gateway is stopping")
		case now := <-tick.C:
			if now.Sub(time.Unix(0, w.heard.Load())) > s.options.Silence {
				return status.Error(codes.DeadlineExceeded, "the router was silent")
			}
			if since := w.writing.Load(); since != 0 && now.Sub(time.Unix(0, since)) > s.options.Stuck {
				return status.Error(codes.DeadlineExceeded, "the router does not read")
			}
		}
	}
}

// watch is what the watchdog looks at, in Unix nanoseconds.
type watch struct {
	heard   atomic.Int64 // when the router was last heard
	writing atomic.Int64 // since when a write is under way, 0: none
}

func newWatch() *watch {
	w := &watch{}
	w.heard.Store(time.Now().UnixNano())
	return w
}

func read(ctx context.Context, stream grpc.BidiStreamingServer[deliveryv1.AttachRequest, deliveryv1.AttachResponse], to *hub.Stream, w *watch) error {
	for {
		m, err := stream.Recv()
		if err != nil {
			return err
		}
		w.heard.Store(time.Now().UnixNano())
		if err := to.Handle(ctx, m); err != nil {
			return err
		}
		w.heard.Store(time.Now().UnixNano()) // waiting for the hub is not the router's silence
	}
}

// Sockets lists the sockets of one room or user.
func (s *Server) Sockets(ctx context.Context, r *deliveryv1.SocketsRequest) (*deliveryv1.SocketsResponse, error) {
	name := room.Room(r.GetRoom())
	if user := r.GetUser(); user != "" {
		name = room.OfUser(user)
	}
	infos, err := s.options.Hub.Sockets(ctx, name, maxSockets)
	if err != nil {
		return nil, status.FromContextError(err).Err()
	}
	out := &deliveryv1.SocketsResponse{Sockets: make([]*deliveryv1.Socket, 0, len(infos))}
	for _, i := range infos {
		socket := &deliveryv1.Socket{
			Socket: i.Socket, User: i.User, Gateway: s.options.Gateway, SinceMs: i.Since.UnixMilli(), UserAgent: i.UserAgent,
			Rooms: make([]string, 0, len(i.Rooms)),
		}
		for _, r := range i.Rooms {
			socket.Rooms = append(socket.Rooms, string(r))
		}
		out.Sockets = append(out.Sockets, socket)
	}
	return out, nil
}
