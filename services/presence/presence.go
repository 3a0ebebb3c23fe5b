// Package presence is the service that owns Redis: leases of gateways, who is online, who types, cursor bases, the
// permission cache, session records and inboxes, served as interlink.presence.v1.Presence. Messages never wait for it.
//
// New checks the options and wires the parts; Run serves until its context ends. With Redis away every call answers
// Unavailable within a second, and all of it comes back by itself: the state from the gateways, asked by `forgotten`.
package presence

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"

	emitv1 "github.com/edumatrix/interlink/proto/emit/v1"
	presencev1 "github.com/edumatrix/interlink/proto/presence/v1"
	"github.com/edumatrix/interlink/services/presence/internal/memstore"
	"github.com/edumatrix/interlink/services/presence/internal/redisstore"
	"github.com/edumatrix/interlink/services/presence/internal/service"
	"github.com/edumatrix/interlink/services/presence/internal/store"
	"github.com/edumatrix/interlink/services/presence/internal/tell"
)

// Redis says where Redis is.
type Redis struct {
	Mode             string // single, sentinel or cluster; empty: sentinel if Master is set, else single
	Addrs            []string
	Master           string
	Username         string
	Password         string
	SentinelUsername string
	SentinelPassword string
	// Credentials, if set, is asked at each new connection instead of Username and Password: a rotated password is
	// taken without a restart. It must not block.
	Credentials func() (username, password string)
	DB          int
	TLS         *tls.Config
	Prefix      string // of every key, default `interlink:`
}

// Options of the service. Zero values get the defaults given, where there is one.
type Options struct {
	Redis  Redis
	Memory bool // keep everything in this process instead of Redis: for one presence alone

	GRPCListener  net.Listener             // required; closed by Run
	ServerOptions []grpc.ServerOption      // credentials, interceptors
	Emit          grpc.ClientConnInterface // required: the routers' Emit

	Lease            time.Duration // of a gateway that does not say, 9 s
	Grace            time.Duration // after an abrupt loss, 15 s
	TypingTTL        time.Duration // 6 s
	InboxEvents      int           // kept per user, 1,000
	InboxTTL         time.Duration // of an entry of an inbox, 168 h
	UndeliveredAfter time.Duration // an entry that waits as long is reported, 60 s

	StoreWait   time.Duration // how long the start waits for Redis, 30 s
	StopTimeout time.Duration // for calls that still run at the end, 5 s

	Logger   *slog.Logger          // default: discards
	Registry prometheus.Registerer // default: none
}

// Presence is the service. Make it with New.
type Presence struct {
	o       Options
	store   backend
	service *service.Service
	outbox  *tell.Outbox
	server  *grpc.Server
	health  *health.Server
	ready   atomic.Bool
}

// backend is what the service needs of a store beside what the RPCs do.
type backend interface {
	service.Store
	io.Closer
	Check(ctx context.Context) error
	EvictionPolicy(ctx context.Context) (string, error)
}

// New checks the options and wires the service; it neither connects nor listens.
func New(o Options) (*Presence, error) {
	if o.GRPCListener == nil || o.Emit == nil {
		return nil, errors.New("presence: GRPCListener and Emit are required")
	}
	o = withDefaults(o)
	kept, err := open(o)
	if err != nil {
		return nil, fmt.Errorf("presence: %w", err)
	}
	metrics := service.NewMetrics()
	emit := emitv1.NewEmitClient(o.Emit)
	outbox := tell.New(tell.Options{Emit: emit, Told: metrics.Told, Dropped: metrics.Dropped, Logger: o.Logger})
	svc := service.New(service.Options{Store: kept, Tell: outbox, Publish: emit.Publish, Metrics: metrics, Logger: o.Logger, Lease: o.Lease})
	if o.Registry != nil {
		if err := metrics.Register(o.Registry, svc.StoreAway); err != nil {
			return nil, errors.Join(fmt.Errorf("presence: register metrics: %w", err), kept.Close())
		}
	}
	p := &Presence{o: o, store: kept, service: svc, outbox: outbox, health: health.NewServer()}
	p.server = newServer(o, svc, p.health)
	return p, nil
}

func withDefaults(o Options) Options {
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	def(&o.Lease, 9*time.Second)
	def(&o.StoreWait, 30*time.Second)
	def(&o.StopTimeout, 5*time.Second)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

func open(o Options) (backend, error) {
	settings := store.Settings{Grace: o.Grace, TypingTTL: o.TypingTTL,
		InboxEntries: o.InboxEvents, InboxTTL: o.InboxTTL, UndeliveredAfter: o.UndeliveredAfter}
	if o.Memory {
		return memstore.New(memstore.Options{Settings: settings}), nil
	}
	r := o.Redis
	return redisstore.New(redisstore.Options{
		Mode: redisstore.Mode(r.Mode), Addrs: r.Addrs, Master: r.Master, Username: r.Username, Password: r.Password,
		SentinelUsername: r.SentinelUsername, SentinelPassword: r.SentinelPassword, Credentials: r.Credentials,
		DB: r.DB, TLS: r.TLS, Prefix: r.Prefix, Settings: settings,
	})
}

// A full Sync of a large gateway is one message.
const maxMessage = 64 << 20

func newServer(o Options, svc presencev1.PresenceServer, h healthv1.HealthServer) *grpc.Server {
	options := append([]grpc.ServerOption{
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 10 * time.Second, Timeout: 3 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
	}, o.ServerOptions...)
	server := grpc.NewServer(options...)
	presencev1.RegisterPresenceServer(server, svc)
	healthv1.RegisterHealthServer(server, h)
	return server
}

// Ready is nil once Redis has answered. It stays so while Redis is away: all pods share it, none would be better, and
// taking them out would only delay the return. Whether the store answers is the metric interlink_presence_store_up.
func (p *Presence) Ready() error {
	if !p.ready.Load() {
		return errors.New("presence: the store has not answered yet")
	}
	return nil
}

// Run serves until ctx ends, then lets running calls finish and tells what is queued. It fails if the store cannot be
// reached or refuses the credentials at the start. Call it once.
func (p *Presence) Run(ctx context.Context) error {
	p.health.SetServingStatus("", healthv1.HealthCheckResponse_NOT_SERVING)
	telling, tellNoMore := context.WithCancel(context.WithoutCancel(ctx))
	defer tellNoMore()
	group, running := errgroup.WithContext(ctx)
	group.Go(func() error { return p.server.Serve(p.o.GRPCListener) })
	group.Go(func() error { return p.outbox.Run(telling) })
	group.Go(func() error { // what the last calls change is still told
		<-running.Done()
		p.stop()
		tellNoMore()
		return nil
	})
	group.Go(func() error {
		if err := p.reach(running); err != nil {
			return err
		}
		p.warn(running)
		p.ready.Store(true)
		p.health.SetServingStatus("", healthv1.HealthCheckResponse_SERVING)
		p.o.Logger.Info("presence serves", "addr", p.o.GRPCListener.Addr().String())
		return p.service.Run(running)
	})
	err := group.Wait()
	if cerr := p.store.Close(); cerr != nil {
		p.o.Logger.Debug("store closed with an error", "error", cerr)
	}
	if ctx.Err() != nil && (err == nil || errors.Is(err, context.Canceled) || errors.Is(err, grpc.ErrServerStopped)) { // the last: before it served
		return nil
	}
	return err
}

// stop ends the server: gracefully, for a while.
func (p *Presence) stop() {
	p.health.Shutdown()
	forced := time.AfterFunc(p.o.StopTimeout, p.server.Stop)
	defer forced.Stop()
	p.server.GracefulStop()
}

// reach waits for the store to answer once.
func (p *Presence) reach(ctx context.Context) error {
	deadline := time.Now().Add(p.o.StoreWait)
	said := false
	for {
		err := p.store.Check(ctx)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case redisstore.IsRefused(err):
			return fmt.Errorf("presence: Redis at %s refuses: check user, password and access list: %w", strings.Join(p.o.Redis.Addrs, ", "), err)
		case time.Now().After(deadline):
			return fmt.Errorf("presence: Redis at %s was not reachable for %v: %w", strings.Join(p.o.Redis.Addrs, ", "), p.o.StoreWait, err)
		}
		if !said {
			said = true
			p.o.Logger.Warn("waiting for Redis", "addrs", p.o.Redis.Addrs, "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// warn says if the store may drop what is kept there. It never fails the start.
func (p *Presence) warn(ctx context.Context) {
	policy, err := p.store.EvictionPolicy(ctx)
	switch {
	case err != nil:
		p.o.Logger.Info("eviction policy of Redis is unknown", "error", err)
	case strings.HasPrefix(policy, "allkeys-"), strings.HasPrefix(policy, "volatile-"):
		p.o.Logger.Warn("Redis may drop leases, sessions and inboxes when it is full: set maxmemory-policy to noeviction, or give Interlink a Redis of its own",
			"maxmemory_policy", policy)
	}
}
