// Package gateway is the service that terminates sockets: Socket.IO towards browsers, Delivery.Attach towards routers.
// It knows its own rooms and positions, and nothing about Kafka or Redis.
//
// What happens where: internal/engine and internal/socket speak the protocols; internal/hub is the sequencer, with the
// decisions of internal/placement; internal/attach is where routers dial in; internal/session answers clients;
// internal/roster tells presence; internal/relay serves sessions of other gateways. This package wires them.
package gateway

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	deliveryv1 "github.com/edumatrix/interlink/proto/delivery/v1"
	emitv1 "github.com/edumatrix/interlink/proto/emit/v1"
	presencev1 "github.com/edumatrix/interlink/proto/presence/v1"
	relayv1 "github.com/edumatrix/interlink/proto/relay/v1"
	"github.com/edumatrix/interlink/services/gateway/internal/attach"
	"github.com/edumatrix/interlink/services/gateway/internal/authorize"
	"github.com/edumatrix/interlink/services/gateway/internal/confirm"
	"github.com/edumatrix/interlink/services/gateway/internal/engine"
	"github.com/edumatrix/interlink/services/gateway/internal/hub"
	"github.com/edumatrix/interlink/services/gateway/internal/peers"
	"github.com/edumatrix/interlink/services/gateway/internal/publisher"
	"github.com/edumatrix/interlink/services/gateway/internal/relay"
	"github.com/edumatrix/interlink/services/gateway/internal/replay"
	"github.com/edumatrix/interlink/services/gateway/internal/roster"
	"github.com/edumatrix/interlink/services/gateway/internal/session"
	"github.com/edumatrix/interlink/services/gateway/internal/socket"
	"github.com/edumatrix/interlink/services/gateway/internal/trail"
	"github.com/edumatrix/interlink/services/internal/calls"
	"github.com/edumatrix/interlink/services/internal/room"
)

// Gateway is one gateway. Run it once.
type Gateway struct {
	options   Options
	engine    *engine.Engine
	hub       *hub.Hub
	sessions  *session.Handler
	sockets   *socket.Server
	authorize *authorize.Authorizer
	roster    *roster.Roster
	publisher *publisher.Publisher
	confirm   *confirm.Confirmer
	attach    *attach.Server
	grpc      *grpc.Server
	mux       *http.ServeMux
	closer    relay.Closer // wired at the end of New
	stray     relay.Client // wired at the end of New
	peers     peers.Conns
	trail     trail.Trail
	changed   chan change
	metrics   *metrics

	engineEnded chan struct{} // closed when all transports are

	ready    atomic.Bool // has been ready once
	draining atomic.Bool
}

// change is a membership change on its way to the shared cache.
type change struct {
	room  room.Room
	users []string
}

const changesWaiting = 4096

// New checks the options and wires the parts; nothing is served before Run.
func New(o Options) (*Gateway, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	g := &Gateway{options: o, changed: make(chan change, changesWaiting), engineEnded: make(chan struct{})}
	m, err := newMetrics(o.Registry, func() float64 { return float64(g.hub.Status().Lag) }, func() float64 { return float64(g.hub.Status().Routers) },
		func() float64 { return float64(g.hub.Status().Rooms) })
	if err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	g.metrics = m
	presence := store{client: presencev1.NewPresenceClient(calls.New(orAway(o.Presence)))}
	g.peers.Dial = o.Dial
	if err := g.newAuthorizer(presence); err != nil {
		return nil, err
	}
	if err := g.newEngine(m); err != nil {
		return nil, err
	}
	shards := make([]hub.Shard, 0, len(g.engine.Shards()))
	for _, sh := range g.engine.Shards() {
		shards = append(shards, sh)
	}
	life := random(8)
	incarnation := hex.EncodeToString(life)
	bases := hub.Bases(presence)
	if o.Presence == nil {
		bases = nil
	}
	if g.hub, err = hub.New(hub.Options{
		Shards: shards, Keys: o.CursorKeys, Bases: bases, HoldBytes: int(o.QueueBytes), Life: binary.BigEndian.Uint64(life), Window: o.ResumeWindow,
		Random:  func() uint64 { return binary.BigEndian.Uint64(random(8)) },
		Changed: g.membership, Metrics: m.hub(), Logger: o.Logger.With("part", "hub"),
	}); err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	g.roster = roster.New(roster.Options{
		Client: presence.client, Gateway: o.ID, Incarnation: incarnation, Addr: o.AdvertiseAddr, Lease: o.PresenceLease,
		Forgotten: g.forgotten, All: g.present, Logger: o.Logger.With("part", "roster"),
	})
	emit := emitv1.NewEmitClient(orAway(o.Routers))
	g.publisher = publisher.New(emit)
	g.confirm = confirm.New(confirm.Options{
		Presence: presence.client, Emit: emit, Log: g.hub.Log, GaveUp: m.gaveUp, Logger: o.Logger.With("part", "confirm"),
	})
	g.attach = attach.New(attach.Options{Hub: g.hub, Gateway: o.ID, Incarnation: incarnation, Closed: &g.trail, Logger: o.Logger.With("part", "attach")})
	if err := g.newSessions(presence, emit, binary.BigEndian.Uint64(life), m); err != nil {
		return nil, err
	}
	g.grpc = grpc.NewServer(append([]grpc.ServerOption{
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 10 * time.Second, Timeout: 3 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true}),
		grpc.MaxRecvMsgSize(64 << 20),
	}, o.ServerOptions...)...)
	deliveryv1.RegisterDeliveryServer(g.grpc, g.attach)
	relayv1.RegisterRelayServer(g.grpc, &relay.Server{
		Engine: g.engine, Sessions: g.sessions, Sockets: g.sockets, Logger: o.Logger.With("part", "relay"),
	})
	g.closer.Locator, g.closer.Conns, g.closer.Logger = g.roster, &g.peers, o.Logger.With("part", "relay")
	g.stray.Engine, g.stray.Sessions, g.stray.Sockets = g.engine, g.sessions, g.sockets
	g.stray.Locator, g.stray.Conns, g.stray.Logger = g.roster, &g.peers, o.Logger.With("part", "relay")
	g.mux = http.NewServeMux()
	g.mux.Handle("/socket.io/", g.engine)
	g.mux.HandleFunc("GET /health", g.health)
	return g, nil
}

func (g *Gateway) newAuthorizer(cache authorize.Cache) (err error) {
	o := usePlatform(g.options.Authorize, g.options.Mapping)
	if g.options.Presence != nil {
		o.Cache = cache
	}
	if o.Logger == nil {
		o.Logger = g.options.Logger.With("part", "authorize")
	}
	if g.authorize, err = authorize.New(o); err != nil {
		return fmt.Errorf("gateway: %w", err)
	}
	return nil
}

// newEngine makes the engine; sockets are opened by the handler that newSessions makes.
func (g *Gateway) newEngine(m *metrics) (err error) {
	o := g.options
	g.engine, err = engine.New(engine.Options{
		Open:     func(s *engine.Session, h engine.Handshake) engine.Handler { return g.sockets.Open(s, h) },
		IDPrefix: o.ID,
		Origins:  o.Origins, Credentials: o.Credentials, TrustedProxies: o.TrustedProxies,
		PingInterval: o.PingInterval, PingTimeout: o.PingTimeout, MaxPayload: o.MaxPayload,
		QueueBytes: o.QueueBytes, QueueEvents: o.QueueEvents, SendBuffer: o.SendBuffer,
		MaxSockets: o.MaxSockets, ConnectRate: o.ConnectRate, Portable: o.Portable, Hooks: m.engine(),
		Stray: &g.stray,
	})
	if err != nil {
		return fmt.Errorf("gateway: %w", err)
	}
	return nil
}

func (g *Gateway) newSessions(presence store, emit emitv1.EmitClient, life uint64, m *metrics) (err error) {
	o := g.options
	var inbox session.Inbox
	var records session.Store
	if o.Presence != nil {
		records = presence
		inbox = inboxes{client: presence.client, log: g.hub.Log}
	}
	g.sessions = session.New(g.platform(session.Options{
		Hub: g.hub, Auth: o.Authenticator, Authorizer: g.authorize, Roster: g.roster, Presence: presence, Publisher: g.publisher,
		Replays: replay.New(replay.Options{Routes: g.hub.Routes, Conns: &g.peers, MaxEvents: o.ResumeEvents, MaxBytes: int(o.ResumeBytes)}),
		Store:   records, Peers: &g.closer, Gateway: o.ID, Life: life, Forgotten: g.roster.Forgot,
		QueueBytes: o.QueueBytes, QueueEvents: o.QueueEvents,
		Receipts: g.confirm, Inbox: inbox, ResumeWindow: o.ResumeWindow,
		ClientEvents: o.ClientEvents, RoomsPerSocket: o.RoomsPerSocket, EventsPerSecond: o.EventsPerSecond,
		PingInterval: o.PingInterval,
		KeepClaims:   o.Authorize.URL != "", KeepCookie: len(o.Authorize.Templates) > 0,
		Random:  func() string { return base64.RawURLEncoding.EncodeToString(random(15)) },
		Metrics: m.session(&g.trail), Logger: o.Logger.With("part", "session"),
	}, emit))
	if g.sockets, err = socket.New(socket.Options{Handler: g.sessions, ConnectTimeout: o.ConnectTimeout}); err != nil {
		return fmt.Errorf("gateway: %w", err)
	}
	return nil
}

// forgotten is told by the roster that the store has lost what it knew: what clients come back with is written again.
func (g *Gateway) forgotten() {
	g.hub.Forgotten()
	g.sessions.StoreForgot()
}

// present lists all sockets for presence.
func (g *Gateway) present(ctx context.Context) ([]*presencev1.Change, error) {
	all, err := g.hub.All(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]*presencev1.Change, len(all))
	for i, p := range all {
		out[i] = &presencev1.Change{Kind: presencev1.Change_ONLINE, User: p.User, Socket: p.Socket}
	}
	return out, nil
}

// Rekey changes the keys of cursors: the first signs, all verify. At least one. Any goroutine.
func (g *Gateway) Rekey(keys [][]byte) error { return g.hub.Rekey(keys) }

// Handler serves the public paths: /socket.io/ and /health.
func (g *Gateway) Handler() http.Handler { return g.mux }

// Ready is nil once every partition has had an attached router, until the gateway drains. It stays so while routers are
// away: sockets that are here, or come back here, are better off than nowhere.
func (g *Gateway) Ready() error {
	if g.draining.Load() {
		return errors.New("draining")
	}
	if g.ready.Load() {
		return nil
	}
	s := g.hub.Status()
	switch {
	case s.Routers == 0:
		return errors.New("no router has attached yet")
	case !s.Placed || s.Unowned > 0:
		return fmt.Errorf("%d partitions have no attached router", s.Unowned)
	case g.options.Presence != nil && !g.roster.Settled():
		return errors.New("presence has not taken the lease yet: no other gateway can find this one")
	}
	g.ready.Store(true)
	return nil
}

// health answers GET /health.
func (g *Gateway) health(w http.ResponseWriter, _ *http.Request) {
	err := g.Ready()
	answer := struct {
		Status  string `json:"status"`
		Reason  string `json:"reason,omitempty"`
		Sockets int    `json:"sockets"`
		Routers int    `json:"routers"`
	}{Status: "ok", Sockets: g.engine.Sockets(), Routers: g.hub.Status().Routers}
	code := http.StatusOK
	if err != nil {
		answer.Status, answer.Reason, code = "unavailable", err.Error(), http.StatusServiceUnavailable
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(answer) // a client that has gone needs no answer
}

// membership is told by the sequencer of every change: what is remembered here is void at once, what is shared soon.
func (g *Gateway) membership(r room.Room, add, remove []string) {
	if len(remove) > 0 {
		g.authorize.Remove(r, remove)
	}
	if len(add) > 0 {
		g.authorize.Forget(r, add)
	}
	users := append(append([]string(nil), add...), remove...)
	select {
	case g.changed <- change{room: r, users: users}:
	default:
		g.options.Logger.Warn("too many membership changes, the shared cache keeps some until they expire")
	}
}

func (g *Gateway) dropChanged(ctx context.Context) error {
	for {
		select {
		case c := <-g.changed:
			if err := g.authorize.Drop(ctx, c.room, c.users); err != nil {
				g.options.Logger.Debug("shared permissions not dropped", "error", err)
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// Run serves until ctx ends, drains, and returns when nothing is left running. An error is a part that failed.
func (g *Gateway) Run(ctx context.Context) error {
	live, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	group, inner := errgroup.WithContext(live)
	group.Go(func() error { return g.hub.Run(inner) })
	group.Go(func() error { return g.sessions.Run(inner) })
	group.Go(func() error { return g.publisher.Run(inner) })
	group.Go(func() error { return g.confirm.Run(inner) })
	group.Go(func() error { return g.closer.Run(inner) })
	group.Go(func() error { return g.dropChanged(inner) })
	group.Go(func() error {
		defer close(g.engineEnded)
		return g.engine.Run(inner)
	})
	if g.options.Presence != nil {
		group.Go(func() error { return g.roster.Run(inner) })
	}
	group.Go(func() error { return g.serveGRPC(inner) })
	if g.options.Listener != nil {
		group.Go(func() error { return g.serveHTTP(inner) })
	}
	group.Go(func() error {
		select {
		case <-ctx.Done():
			g.drain(inner)
		case <-inner.Done():
		}
		stop()
		return nil
	})
	err := group.Wait()
	g.peers.Close()
	if g.options.Presence != nil {
		release, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		g.roster.Release(release)
	}
	return err
}

// drain lets clients go elsewhere: not ready, still accepting while endpoints catch up, then transports are closed in
// random order. Clients come back by themselves; a disconnect packet would end them.
func (g *Gateway) drain(ctx context.Context) {
	g.draining.Store(true)
	t := time.NewTimer(g.options.DrainDelay)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
		return
	}
	if err := g.engine.Drain(ctx, g.options.DrainSpread); err != nil {
		g.options.Logger.Warn("drain cut short", "error", err)
	}
}

func (g *Gateway) serveGRPC(ctx context.Context) error {
	served := make(chan error, 1)
	go func() { served <- g.grpc.Serve(g.options.GRPCListener) }()
	select {
	case err := <-served:
		return fmt.Errorf("gateway: gRPC: %w", err)
	case <-ctx.Done():
	}
	g.attach.Stop()
	g.grpc.Stop()
	<-served
	return nil
}

const headerTimeout = 10 * time.Second

func (g *Gateway) serveHTTP(ctx context.Context) error {
	server := &http.Server{Handler: g.mux, ReadHeaderTimeout: headerTimeout, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10}
	served := make(chan error, 1)
	go func() { served <- server.Serve(g.options.Listener) }()
	select {
	case err := <-served:
		return fmt.Errorf("gateway: HTTP: %w", err)
	case <-ctx.Done():
	}
	<-g.engineEnded
	_ = server.Close() // whatever is still open now is no session
	<-served
	return nil
}
