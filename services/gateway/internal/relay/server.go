package relay

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	relayv1 "github.com/edumatrix/interlink/proto/relay/v1"
	"github.com/edumatrix/interlink/services/gateway/internal/engine"
	"github.com/edumatrix/interlink/services/gateway/internal/session"
	"github.com/edumatrix/interlink/services/gateway/internal/socket"
)

// Engine is where sessions are.
type Engine interface {
	Lookup(sid string) (*engine.Session, *engine.Shard, bool)
	Poll(ctx context.Context, sid string, r engine.StrayRequest) engine.StrayResponse
}

// Sessions gives sessions away and takes them.
type Sessions interface {
	// Close closes the transport of a user's socket, if it is here. It blocks.
	Close(ctx context.Context, user, socket string, version uint64) error
	Give(ctx context.Context, find func() *socket.Socket, s *engine.Session) (m session.Moved, connected bool, err error)
	Take(ctx context.Context, m session.Moved, shard int, adopt func(unsent []*engine.Frame, opened func(*socket.Socket)) bool) error
}

// Sockets knows the sockets of sessions.
type Sockets interface {
	Find(s *engine.Session) *socket.Socket
	Adopt(p *engine.Pending, unsent []*engine.Frame, accepted *socket.Accepted, opened func(s *socket.Socket)) bool
}

// Server is the owner's side. It implements relayv1.RelayServer.
type Server struct {
	relayv1.UnimplementedRelayServer
	Engine   Engine
	Sessions Sessions
	Sockets  Sockets
	Logger   *slog.Logger
}

// Forward answers a polling request as this gateway's own port would.
func (s *Server) Forward(ctx context.Context, r *relayv1.ForwardRequest) (*relayv1.ForwardResponse, error) {
	answer := s.Engine.Poll(ctx, r.Sid, engine.StrayRequest{
		Method: r.Method, Body: r.Body, ContentType: r.ContentType, Origin: r.Origin, RemoteAddr: r.RemoteAddr,
		Stamp: r.Stamp,
	})
	return &relayv1.ForwardResponse{Status: uint32(answer.Status), ContentType: answer.ContentType, Body: answer.Body}, nil
}

// Probe releases the session's parked poll.
func (s *Server) Probe(ctx context.Context, r *relayv1.ProbeRequest) (*relayv1.ProbeResponse, error) {
	found, shard, known := s.Engine.Lookup(r.Sid)
	if !known {
		return nil, status.Error(codes.NotFound, "no such session")
	}
	held := make(chan bool, 1)
	shard.Post(func() { held <- found.HoldPolls() })
	select {
	case ok := <-held:
		if !ok {
			return nil, status.Error(codes.FailedPrecondition, "the session can't move")
		}
		return &relayv1.ProbeResponse{}, nil
	case <-ctx.Done():
		return nil, status.FromContextError(ctx.Err()).Err()
	}
}

// Close closes a socket whose session goes on elsewhere.
func (s *Server) Close(ctx context.Context, r *relayv1.CloseRequest) (*relayv1.CloseResponse, error) {
	if err := s.Sessions.Close(ctx, r.User, r.Socket, r.Version); err != nil {
		return nil, status.FromContextError(err).Err()
	}
	return &relayv1.CloseResponse{}, nil
}

// Take hands the session over and forgets it here.
func (s *Server) Take(ctx context.Context, r *relayv1.TakeRequest) (*relayv1.TakeResponse, error) {
	found, _, known := s.Engine.Lookup(r.Sid)
	if !known {
		return nil, status.Error(codes.NotFound, "no such session")
	}
	m, connected, err := s.Sessions.Give(ctx, func() *socket.Socket { return s.Sockets.Find(found) }, found)
	switch {
	case errors.Is(err, session.ErrCannotMove):
		return nil, status.Error(codes.FailedPrecondition, err.Error())
	case err != nil:
		return nil, status.Error(codes.Unavailable, err.Error())
	}
	answer := &relayv1.TakeResponse{}
	for _, f := range m.Unsent {
		answer.Unsent = append(answer.Unsent, f.AppendPayload(nil))
	}
	if !connected {
		return answer, nil
	}
	principal, err := json.Marshal(m.Principal)
	if err != nil {
		s.Logger.Error("principal not encoded", "error", err) // the session is gone; its client comes back
		return nil, status.Error(codes.Internal, "the session is lost")
	}
	answer.Socket = handover(m, principal)
	return answer, nil
}

func handover(m session.Moved, principal []byte) *relayv1.Handover {
	h := &relayv1.Handover{
		Socket: m.Socket, Session: m.PID, Principal: principal, SinceMs: m.Since.UnixMilli(), UserAgent: m.UserAgent,
	}
	for _, g := range m.Grants {
		h.Rooms = append(h.Rooms, &relayv1.Room{Room: string(g.Room), Permissions: uint32(g.Permissions), Internal: g.Internal})
	}
	for p, offset := range m.At {
		h.Positions = append(h.Positions, &relayv1.Position{Partition: uint32(p), Offset: offset})
	}
	h.Pings, h.Inbox = m.Pings, giveInbox(m)
	h.Start, h.Lives = m.Start, m.Lives
	return h
}
