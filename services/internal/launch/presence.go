package launch

import (
	"context"
	"crypto/tls"
	"net"

	"google.golang.org/grpc"

	"github.com/edumatrix/interlink/services/internal/tlsfiles"
	"github.com/edumatrix/interlink/services/presence"
)

// presence is the process of presence alone.
func (p *process) presence(ctx context.Context) error {
	if err := p.begin(ctx); err != nil {
		return err
	}
	routers, err := p.dial(p.c.Peers.Routers)
	if err != nil {
		return err
	}
	l, err := listen(ctx, "INTERLINK_GRPC_ADDR", p.c.Ports.GRPC)
	if err != nil {
		return err
	}
	return p.startPresence(ctx, l, routers)
}

func (p *process) startPresence(ctx context.Context, l net.Listener, routers grpc.ClientConnInterface) error {
	store, err := p.redis()
	if err != nil {
		return err
	}
	_, serve, err := p.grpcOptions()
	if err != nil {
		return err
	}
	presence.SetDriverLogger(p.component("redis"))
	c := p.c
	s, err := presence.New(presence.Options{
		Redis: store, GRPCListener: l, ServerOptions: serve, Emit: routers,
		Lease: c.Presence.Lease, Grace: c.Presence.Grace, TypingTTL: c.Presence.TypingTTL,
		InboxEvents: c.Presence.InboxEvents, InboxTTL: c.Presence.InboxTTL, UndeliveredAfter: c.Presence.UndeliveredAfter,
		Logger: p.component("presence"), Registry: p.registry,
	})
	if err != nil {
		return err
	}
	p.ready.needs("presence", s.Ready)
	p.health.Services["redis"] = func() bool { return p.gauge("interlink_presence_store_up") > 0 }
	p.stages.start(ctx, "presence", s.Run)
	return nil
}

func (p *process) redis() (presence.Redis, error) {
	r := p.c.Redis
	out := presence.Redis{Mode: r.Mode, Addrs: r.Addrs, Master: r.Master, Username: r.Username, Password: r.Password, DB: r.DB, Prefix: r.Prefix}
	if r.TLS {
		roots, err := tlsfiles.Roots("INTERLINK_REDIS_CA", r.CAFile)
		if err != nil {
			return out, err
		}
		out.TLS = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
	return out, nil
}

// gauge is the value of a gauge of this process, 0 if there is none.
func (p *process) gauge(name string) float64 {
	families, _ := p.registry.Gather() // what one collector fails to give is not looked for
	for _, f := range families {
		if f.GetName() == name && len(f.GetMetric()) > 0 {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	return 0
}
