package launch

import (
	"context"
	"net"
	"net/http"

	"google.golang.org/grpc"

	"github.com/edumatrix/interlink/services/router"
)

// loopback is where the services of one process find each other: any free port.
const loopback = "127.0.0.1:0"

// serve is all services in one process. They talk over gRPC as separate ones do.
func (p *process) serve(ctx context.Context) error {
	if err := p.begin(ctx); err != nil {
		return err
	}
	public, err := listen(ctx, "SOCKET_IO_HOST and SOCKET_IO_PORT", publicAddr(p.c.Public))
	if err != nil {
		return err
	}
	p.keep(public)
	if err := p.embed(ctx); err != nil {
		return err
	}
	in, err := p.inside(ctx)
	if err != nil {
		return err
	}
	if err := p.startPresence(ctx, in.presence, in.toRouter); err != nil {
		return err
	}
	r, err := p.startRouter(ctx, in.router, in.toPresence, []string{in.gateway.Addr().String()})
	if err != nil {
		return err
	}
	g, err := p.newGateway(in.gateway, in.toPresence, in.toRouter)
	if err != nil {
		return err
	}
	p.servePublic(ctx, public, p.oneHandler(g.Handler(), r))
	p.stages.start(ctx, "gateway", g.Run)
	if p.c.Dev {
		p.stages.start(ctx, "welcome", p.welcome)
	}
	return nil
}

// inside is how the services of one process reach each other.
type inside struct {
	gateway, router, presence net.Listener
	toRouter, toPresence      *grpc.ClientConn
}

func (p *process) inside(ctx context.Context) (in inside, err error) {
	for _, l := range []*net.Listener{&in.gateway, &in.router, &in.presence} {
		if *l, err = listen(ctx, "loopback", loopback); err != nil {
			return in, err
		}
		p.keep(*l)
	}
	if in.toRouter, err = p.dial([]string{in.router.Addr().String()}); err != nil {
		return in, err
	}
	in.toPresence, err = p.dial([]string{in.presence.Addr().String()})
	return in, err
}

// oneHandler is everything on one port: sockets, the HTTP API, health, and in development the page.
func (p *process) oneHandler(sockets http.Handler, r *router.Router) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/socket.io/", sockets)
	mux.Handle("/v1/", r.Handler())
	mux.Handle("/api/emit", r.Handler())
	mux.Handle("/health", p.health)
	if p.c.Dev {
		mux.Handle("/", p.page(r.Handler()))
	}
	return mux
}
