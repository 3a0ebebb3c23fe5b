package launch

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"

	"google.golang.org/grpc"

	"github.com/edumatrix/interlink/services/gateway"
	"github.com/edumatrix/interlink/services/internal/admin"
	"github.com/edumatrix/interlink/services/internal/auth"
	"github.com/edumatrix/interlink/services/internal/config"
	"github.com/edumatrix/interlink/services/internal/mapping"
)

// gateway is the process of a gateway alone.
func (p *process) gateway(ctx context.Context) error {
	if err := p.begin(ctx); err != nil {
		return err
	}
	presence, err := p.dial(p.c.Peers.Presence)
	if err != nil {
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
	g, err := p.newGateway(l, presence, routers)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/socket.io/", g.Handler())
	mux.Handle("/health", p.health)
	public, err := listen(ctx, "SOCKET_IO_HOST and SOCKET_IO_PORT", publicAddr(p.c.Public))
	if err != nil {
		return err
	}
	p.keep(public)
	p.servePublic(ctx, public, mux)
	p.stages.start(ctx, "gateway", g.Run)
	return nil
}

func (p *process) newGateway(l net.Listener, presence, routers grpc.ClientConnInterface) (*gateway.Gateway, error) {
	addr, err := p.advertised(l)
	if err != nil {
		return nil, err
	}
	verifier, err := auth.New(AuthOptions(p.c))
	if err != nil {
		return nil, err
	}
	dial, serve, err := p.grpcOptions()
	if err != nil {
		return nil, err
	}
	c, limits := p.c, p.c.Gateway
	o := gateway.Options{
		ID: p.gatewayID(), GRPCListener: l, AdvertiseAddr: addr, ServerOptions: serve, Dial: dial,
		Presence: presence, Routers: routers,
		CursorKeys: p.cursorKeys(), Authenticator: verifier, Origins: c.Public.Origins, Credentials: !slices.Contains(c.Public.Origins, "*"),
		TrustedProxies: c.Public.TrustedProxies,
		PingInterval:   limits.PingInterval, PingTimeout: limits.PingTimeout, ConnectTimeout: limits.ConnectTimeout,
		MaxPayload: int64(limits.MaxPayload), QueueBytes: int64(limits.QueueBytes), QueueEvents: limits.QueueEvents,
		MaxSockets: limits.MaxSockets, ConnectRate: float64(limits.ConnectRate), ResumeWindow: c.Resume.Window, ResumeEvents: c.Resume.Events, ResumeBytes: int64(c.Resume.Bytes),
		RoomsPerSocket: limits.RoomsPerSocket, EventsPerSecond: float64(limits.EventsPerSecond),
		ClientEvents: c.Auth.ClientEvents, PresenceLease: c.Presence.Lease, DrainDelay: limits.DrainDelay, DrainSpread: limits.DrainSpread,
		Dev: c.Dev, Logger: p.component("gateway"), Registry: p.registry,
	}
	o.Authorize.URL, o.Authorize.Keys, o.Authorize.AllowAll = c.Auth.AuthorizeURL, c.Keys.API.Bytes, c.Dev
	if p.c.Keys.API.Set() {
		o.APIKeys = c.Keys.API.Bytes
	}
	if o.Mapping, err = p.mapping(); err != nil {
		return nil, err
	}
	g, err := gateway.New(o)
	if err != nil {
		return nil, err
	}
	p.ready.needs("gateway", g.Ready)
	p.reportGatewayKeys()
	rekey := func() {
		if err := g.Rekey(p.cursorKeys()); err != nil {
			p.log.Error("the keys of cursors stay as they were", "error", err)
		}
	}
	p.rekey.Store(&rekey)
	return g, nil
}

// mapping is what INTERLINK_MAPPING says of the platform's pages and routes; nil without it.
func (p *process) mapping() (*mapping.Mapping, error) {
	if p.c.Mapping == "" {
		return nil, nil
	}
	m, err := mapping.Load(p.c.Mapping)
	if err != nil {
		return nil, fmt.Errorf("INTERLINK_MAPPING: %w", err)
	}
	m, missing := m.With(map[string]string{"API_BASE_URL": p.c.Auth.APIBaseURL})
	for _, what := range missing {
		p.log.Warn("a part of the mapping is left out", "part", what)
	}
	return m, nil
}

// reportGatewayKeys has the metrics tell which keys this gateway takes.
func (p *process) reportGatewayKeys() {
	for name, s := range map[string]config.Secret{
		"nextauth": p.c.Auth.Secrets, "nextauth-derived": p.c.Auth.DerivedKeys, "jwt": p.c.Auth.JWTSecrets, "cursor": p.c.Keys.Cursor,
	} {
		if s.Set() {
			p.keys.Ring(name, s.Bytes)
		}
	}
	if p.c.Role == config.Gateway {
		p.keys.Ring("internal-api-key", p.c.Keys.API.Bytes)
	}
}

// cursorKeys are those of INTERLINK_CURSOR_KEY, else keys made from the internal API keys, which all gateways share.
func (p *process) cursorKeys() [][]byte {
	if p.c.Keys.Cursor.Set() {
		return p.c.Keys.Cursor.Bytes()
	}
	return derivedCursorKeys(p.c.Keys.API)
}

// servePublic serves the public port. It is started before the gateway and so ends after it: what a gateway has to say
// at its end still goes out.
func (p *process) servePublic(ctx context.Context, l net.Listener, h http.Handler) {
	p.c.Public.Port = l.Addr().(*net.TCPAddr).Port
	server := publicServer(h, p.component("http"))
	p.stages.start(ctx, "public port", func(ctx context.Context) error { return admin.ServeHTTP(ctx, server, l, stopPatience) })
	p.log.Info("the public port is open", "addr", l.Addr().String())
}
