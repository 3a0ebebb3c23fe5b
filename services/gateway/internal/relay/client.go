package relay

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	relayv1 "github.com/edumatrix/interlink/proto/relay/v1"
	"github.com/edumatrix/interlink/services/gateway/internal/engine"
	"github.com/edumatrix/interlink/services/gateway/internal/hub"
	"github.com/edumatrix/interlink/services/gateway/internal/peers"
	"github.com/edumatrix/interlink/services/gateway/internal/session"
	"github.com/edumatrix/interlink/services/gateway/internal/socket"
	"github.com/edumatrix/interlink/services/internal/permission"
	"github.com/edumatrix/interlink/services/internal/room"
)

// Locator knows the addresses of gateways.
type Locator interface {
	// Locate may block. known is false if there is no such gateway any more; an error is doubt.
	Locate(ctx context.Context, gateway string) (addr string, known bool, err error)
}

// Client is the side of the gateway that was called by a client it does not know. It implements engine.Stray.
type Client struct {
	Engine   Engine
	Sessions Sessions
	Sockets  Sockets
	Locator  Locator
	Conns    *peers.Conns
	Logger   *slog.Logger
}

var _ engine.Stray = (*Client)(nil)

const callWithin = 8 * time.Second // below the engine's time for an upgrade

// owner returns the client of the gateway that a sid names; nil if that is gone.
func (c *Client) owner(ctx context.Context, sid string) (relayv1.RelayClient, error) {
	addr, known, err := c.Locator.Locate(ctx, engine.SplitID(sid))
	if err != nil || !known {
		return nil, err
	}
	conn, err := c.Conns.Get(addr)
	if err != nil {
		return nil, err
	}
	return relayv1.NewRelayClient(conn), nil
}

// maxForward is above any payload.
const maxForward = 64 << 20

// Poll passes a request on.
func (c *Client) Poll(ctx context.Context, sid string, r engine.StrayRequest) (engine.StrayResponse, error) {
	owner, err := c.owner(ctx, sid)
	if err != nil {
		return engine.StrayResponse{}, err
	}
	if owner == nil {
		return engine.UnknownSession(), nil
	}
	answer, err := owner.Forward(ctx, &relayv1.ForwardRequest{
		Sid: sid, Method: r.Method, Body: r.Body, Origin: r.Origin, ContentType: r.ContentType, RemoteAddr: r.RemoteAddr,
		Stamp: r.Stamp,
	}, grpc.MaxCallRecvMsgSize(maxForward))
	if err != nil {
		return engine.StrayResponse{}, fmt.Errorf("relay: forward: %w", err)
	}
	return engine.StrayResponse{Status: int(answer.Status), ContentType: answer.ContentType, Body: answer.Body}, nil
}

// Upgrade moves the session here, step by step with the client's upgrade. Whatever fails closes the WebSocket: before
// Take the session goes on where it is, after it the client comes back anew.
func (c *Client) Upgrade(ctx context.Context, sid string, p *engine.Pending) {
	if err := c.upgrade(ctx, sid, p); err != nil {
		level := slog.LevelWarn
		if code := status.Code(err); code == codes.NotFound || code == codes.FailedPrecondition || ctx.Err() != nil {
			level = slog.LevelDebug
		}
		c.Logger.Log(ctx, level, "session not moved here", "error", err)
	}
}

func (c *Client) upgrade(ctx context.Context, sid string, p *engine.Pending) error {
	owner, err := c.owner(ctx, sid)
	if err != nil || owner == nil {
		return err
	}
	if err := p.Probed(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	if _, err := owner.Probe(ctx, &relayv1.ProbeRequest{Sid: sid}); err != nil {
		return fmt.Errorf("relay: probe: %w", err)
	}
	p.Answer()
	if err := p.Switched(ctx); err != nil {
		return err
	}
	answer, err := owner.Take(ctx, &relayv1.TakeRequest{Sid: sid}, grpc.MaxCallRecvMsgSize(maxForward))
	if err != nil {
		return fmt.Errorf("relay: take: %w", err)
	}
	return c.adopt(ctx, sid, p, answer)
}

func (c *Client) adopt(ctx context.Context, sid string, p *engine.Pending, answer *relayv1.TakeResponse) error {
	unsent := make([]*engine.Frame, 0, len(answer.Unsent))
	for _, payload := range answer.Unsent {
		f, err := engine.ParseFrame(engine.Durable, payload)
		if err != nil {
			return err
		}
		unsent = append(unsent, f)
	}
	h := answer.Socket
	if h == nil {
		c.Sockets.Adopt(p, unsent, nil, nil)
		return nil
	}
	m := session.Moved{
		Socket: h.Socket, PID: h.Session, At: make([]int64, len(h.Positions)), Since: time.UnixMilli(h.SinceMs), UserAgent: h.UserAgent, Unsent: unsent,
	}
	if err := json.Unmarshal(h.Principal, &m.Principal); err != nil {
		return fmt.Errorf("relay: principal: %w", err)
	}
	for _, g := range h.Rooms {
		m.Grants = append(m.Grants, hub.Grant{Room: room.Room(g.Room), Permissions: permission.Set(g.Permissions), Internal: g.Internal})
	}
	for _, at := range h.Positions {
		if int(at.Partition) >= len(m.At) {
			return fmt.Errorf("relay: partition %d of %d", at.Partition, len(m.At))
		}
		m.At[at.Partition] = at.Offset
	}
	m.Start, m.Lives = h.Start, h.Lives
	m.Inbox = takeInbox(h.Inbox, m.Principal.User)
	p.Expect(h.Pings)
	_, shard, _ := c.Engine.Lookup(sid)
	return c.Sessions.Take(ctx, m, shard.Index(), func(unsent []*engine.Frame, opened func(*socket.Socket)) bool {
		return c.Sockets.Adopt(p, unsent, &socket.Accepted{SID: m.Socket, PID: m.PID}, opened)
	})
}
