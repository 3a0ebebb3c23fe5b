// Package launch owns how settings become running services: which parts a process has, the options of each, the order
// in which they start and end. The services know nothing of the environment; this package knows nothing of their work.
package launch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"github.com/edumatrix/interlink/services/internal/admin"
	"github.com/edumatrix/interlink/services/internal/config"
	"github.com/edumatrix/interlink/services/internal/footprint"
	"github.com/edumatrix/interlink/services/internal/keyreport"
	"github.com/edumatrix/interlink/services/internal/peers"
	"github.com/edumatrix/interlink/services/internal/tlsfiles"
)

// secretInterval is the time between two looks at the files that secrets come from.
const secretInterval = 5 * time.Second

// Run runs the services of the role that the settings were read for until ctx ends, and returns when all have ended.
// What people should see goes to out, the log to errOut.
func Run(ctx context.Context, c config.Config, out, errOut io.Writer) error {
	p := newProcess(c, out, errOut)
	build := map[config.Role]func(context.Context) error{
		config.Serve: p.serve, config.Gateway: p.gateway, config.Router: p.router, config.Presence: p.presence,
	}[c.Role]
	err := build(ctx)
	if err == nil {
		err = p.stages.wait(ctx)
	}
	if err == nil {
		p.log.Info("stopping")
		p.sayGoodbye()
		if c.Dev {
			p.level.Set(slog.LevelError) // parts that miss each other at the end are no news to a person
		}
	}
	stopped := p.stages.stop()
	for _, conn := range p.conns {
		stopped = errors.Join(stopped, conn.Close())
	}
	for _, l := range p.open {
		_ = l.Close() // closed already, unless the start failed
	}
	if err != nil && stopped != nil {
		p.log.Warn("while stopping", "error", stopped)
		return err
	}
	return errors.Join(err, stopped)
}

// process is what the parts of one process share.
type process struct {
	c        config.Config
	log      *slog.Logger
	level    *slog.LevelVar // of log
	out      io.Writer
	registry *prometheus.Registry
	stages   *stages
	conns    []*grpc.ClientConn // to other services; closed after all parts have ended
	ready    readiness
	health   *admin.Health
	keys     *keyreport.Report
	house    *tlsfiles.Mutual               // nil until somebody asked, and without certificates
	rekey    atomic.Pointer[func()]         // takes cursor keys anew; nil where there are none
	open     []io.Closer                    // listeners; closed at the end where no part has done it
	embedded struct{ broker, store string } // where the broker's log is, what the store is; empty without
}

func newProcess(c config.Config, out, errOut io.Writer) *process {
	level := new(slog.LevelVar)
	log := newLogger(c, level, errOut)
	p := &process{c: c, log: log, level: level, out: out, registry: admin.NewRegistry(), stages: newStages(log), keys: keyreport.New()}
	p.registry.MustRegister(p.keys)
	p.health = &admin.Health{Ready: p.ready.err, Services: map[string]func() bool{}, Registry: p.registry, Started: time.Now(), Now: time.Now}
	return p
}

// newLogger writes JSON; in development text, and only what someone should look at unless LOG_LEVEL asks for more.
func newLogger(c config.Config, level *slog.LevelVar, to io.Writer) *slog.Logger {
	level.Set(c.LogLevel)
	if !c.Dev {
		return slog.New(slog.NewJSONHandler(to, &slog.HandlerOptions{Level: level}))
	}
	if !c.Given("LOG_LEVEL") {
		level.Set(slog.LevelWarn)
	}
	return slog.New(slog.NewTextHandler(to, &slog.HandlerOptions{Level: level}))
}

// keep closes a listener at the end, should no part have come to own it.
func (p *process) keep(l io.Closer) { p.open = append(p.open, l) }

// component makes the logger of one part.
func (p *process) component(name string) *slog.Logger { return p.log.With("component", name) }

// begin starts what every process has: the secrets' files and the admin port.
func (p *process) begin(ctx context.Context) error {
	l, err := admin.Listen(ctx, p.c.Ports.Admin)
	if err != nil {
		return err
	}
	p.stages.start(ctx, "admin port", func(ctx context.Context) error { return admin.Serve(ctx, l, p.registry, p.ready.err) })
	settings := p.c // as they were read: embed changes those of the process
	p.stages.start(ctx, "secrets", func(ctx context.Context) error {
		return settings.Follow(ctx, secretInterval, p.component("config"), p.secretChanged)
	})
	footprint.Pace()
	p.stages.start(ctx, "footprint", (&footprint.Keeper{}).Run)
	p.log.Info("starting", "role", string(p.c.Role), "admin", l.Addr().String())
	if p.c.Dev && p.c.Role != config.Serve { // the one binary greets a person, and says it there
		p.log.Warn("INTERLINK_DEV is set: secrets are public, and every room is open to everybody", "role", string(p.c.Role))
	}
	return nil
}

// secretChanged is told of secrets whose files changed. Most are asked for at each use; the keys of cursors are not.
func (p *process) secretChanged(name string) {
	rekey := p.rekey.Load()
	if rekey != nil && (name == "INTERLINK_CURSOR_KEY" || name == "INTERNAL_API_KEY") {
		(*rekey)()
	}
}

// dial reaches other services; the connection ends with the process.
func (p *process) dial(targets []string) (*grpc.ClientConn, error) {
	creds, err := p.clientCredentials()
	if err != nil {
		return nil, err
	}
	conn, err := peers.Dial(targets, creds)
	if err != nil {
		return nil, err
	}
	p.conns = append(p.conns, conn)
	return conn, nil
}

// listen takes an address; setting is its name for the complaint.
func listen(ctx context.Context, setting, addr string) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("%s: expected an address that is free: %w", setting, err)
	}
	return l, nil
}

// advertised is the host:port at which others reach l: INTERLINK_ADVERTISE_ADDR, else where l listens, else the host's
// address.
func (p *process) advertised(l net.Listener) (string, error) {
	if p.c.Ports.Advertise != "" {
		return p.c.Ports.Advertise, nil
	}
	addr := l.Addr().(*net.TCPAddr)
	if !addr.IP.IsUnspecified() {
		return addr.String(), nil
	}
	ip, err := hostAddress()
	if err != nil {
		return "", fmt.Errorf("INTERLINK_ADVERTISE_ADDR: expected host:port, since the address of this host cannot be found: %w", err)
	}
	return net.JoinHostPort(ip, fmt.Sprint(addr.Port)), nil
}

// hostAddress is the first address of this host that others can reach, else loopback.
func hostAddress() (string, error) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return "", err
	}
	for _, a := range addrs {
		if ip, ok := a.(*net.IPNet); ok && ip.IP.IsGlobalUnicast() {
			return ip.IP.String(), nil
		}
	}
	return "127.0.0.1", nil
}

// gatewayID is INTERLINK_GATEWAY_ID, else made of the host's name.
func (p *process) gatewayID() string {
	if p.c.Peers.GatewayID != "" {
		return p.c.Peers.GatewayID
	}
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "gateway"
	}
	return strings.ReplaceAll(host, ".", "-")
}

// publicServer is the HTTP server that faces the internet.
func publicServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 32 << 10,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}
