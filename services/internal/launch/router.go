package launch

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"

	"google.golang.org/grpc"

	"github.com/edumatrix/interlink/services/internal/admin"
	"github.com/edumatrix/interlink/services/internal/tlsfiles"
	"github.com/edumatrix/interlink/services/router"
)

// router is the process of a router alone.
func (p *process) router(ctx context.Context) error {
	if err := p.begin(ctx); err != nil {
		return err
	}
	presence, err := p.dial(p.c.Peers.Presence)
	if err != nil {
		return err
	}
	grpcListener, err := listen(ctx, "INTERLINK_GRPC_ADDR", p.c.Ports.GRPC)
	if err != nil {
		return err
	}
	httpListener, err := listen(ctx, "INTERLINK_HTTP_ADDR", p.c.Ports.HTTP)
	if err != nil {
		return err
	}
	r, err := p.startRouter(ctx, grpcListener, presence, p.c.Peers.Gateways)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/v1/", r.Handler())
	mux.Handle("/api/emit", r.Handler())
	mux.Handle("/health", p.health)
	server := publicServer(mux, p.component("http"))
	p.stages.start(ctx, "http", func(ctx context.Context) error { return admin.ServeHTTP(ctx, server, httpListener, stopPatience) })
	p.log.Info("router serves", "http", httpListener.Addr().String(), "grpc", grpcListener.Addr().String())
	return nil
}

func (p *process) startRouter(ctx context.Context, l net.Listener, presence grpc.ClientConnInterface, gateways []string) (*router.Router, error) {
	replayAddr, err := p.advertised(l)
	if err != nil {
		return nil, err
	}
	brokers, err := p.kafka()
	if err != nil {
		return nil, err
	}
	dial, serve, err := p.grpcOptions()
	if err != nil {
		return nil, err
	}
	c := p.c
	r, err := router.New(router.Options{
		Kafka: brokers, TopicPrefix: c.Kafka.TopicPrefix, CreateTopics: c.Kafka.CreateTopics, SessionTimeout: c.Kafka.SessionTimeout,
		Gateways: gateways, GRPCListener: l, ReplayAddr: replayAddr, Presence: presence, APIKeys: c.Keys.API.Bytes, APIKeyUsed: p.keys.Ring("internal-api-key", c.Keys.API.Bytes), Mapping: c.Mapping,
		DialOptions: dial, GRPCOptions: serve,
		Window: c.Resume.Window, LogBytes: int64(c.Router.LogBytes), InboxTTL: c.Presence.InboxTTL,
		Logger: p.component("router"), Registry: p.registry,
	})
	if err != nil {
		return nil, err
	}
	p.ready.needs("router", r.Ready)
	p.health.Services["kafka"] = func() bool { return r.Ready() == nil }
	p.stages.start(ctx, "router", r.Run)
	return r, nil
}

func (p *process) kafka() (router.Kafka, error) {
	k := p.c.Kafka
	out := router.Kafka{Brokers: k.Brokers, SASL: k.SASL, Username: k.Username, Password: k.Password}
	if k.TLS {
		roots, err := tlsfiles.Roots("INTERLINK_KAFKA_CA", k.CAFile)
		if err != nil {
			return out, err
		}
		out.TLS = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
	return out, nil
}
