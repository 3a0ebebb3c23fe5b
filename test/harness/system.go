package harness

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Secrets of the tests. They protect nothing.
const (
	APIKey         = "test-internal-key-0123456789abcdef"
	JWTSecret      = "test-jwt-secret-0123456789abcdef0123456789abcdef"
	NextAuthSecret = "test-nextauth-secret-0123456789abcdef0123456789"
	Origin         = "https://app.example.org"
)

// startWithin bounds how long anything may take to become ready on a busy machine.
const startWithin = 90 * time.Second

// Config says what a System consists of.
type Config struct {
	Name                        string // of its folder under test/artifacts
	Gateways, Routers, Presence int
	Brokers                     int      // Kafka brokers, 0 for 1
	TLS                         bool     // routers reach Kafka through TLS and SCRAM
	AuthorizeURL                string   // "" for tokens' grants alone
	Env                         []string // for every process, after the defaults

	// Between, if set, is given the gateways' gRPC addresses and returns those that the routers dial instead: of proxies.
	Between func(gateways []string) ([]string, error)
}

// Gateway is one gateway and its addresses.
type Gateway struct {
	*Process
	Public, GRPC, Admin string
}

// Router is one router and its addresses.
type Router struct {
	*Process
	HTTP, GRPC, Admin string
}

// Presence is one presence service and its addresses.
type Presence struct {
	*Process
	GRPC, Admin string
}

// System is a set of separate processes with a Kafka and a Redis of their own.
type System struct {
	Config    Config
	Root, Bin string
	Artifacts string // folder of its logs
	Kafka     *Kafka
	Redis     *Redis
	Gateways  []*Gateway
	Routers   []*Router
	Presence  []*Presence

	state     string
	addresses struct{ gateways, routers, presence, dialed []string } // spare ones too, so that a router can be added
}

// spare is how many addresses of each kind are given out before anything starts, beyond those that start at once.
const spare = 2

// NewSystem starts everything and waits until it is ready. The caller closes it, also after an error.
func NewSystem(ctx context.Context, c Config) (*System, error) {
	s := &System{Config: c}
	if err := s.prepare(); err != nil {
		return s, err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*startWithin)
	defer cancel()
	var err error
	if s.Kafka, err = StartKafka(ctx, s.Root, s.state, max(c.Brokers, 1)); err != nil {
		return s, err
	}
	if s.Redis, err = StartRedis(ctx, s.Root, s.state); err != nil {
		return s, err
	}
	for range c.Presence {
		_, err = s.AddPresence()
		if err != nil {
			return s, err
		}
	}
	for range c.Routers {
		if _, err = s.AddRouter(); err != nil {
			return s, err
		}
	}
	for range c.Gateways {
		if _, err = s.AddGateway(); err != nil {
			return s, err
		}
	}
	return s, s.WaitReady(ctx)
}

func (s *System) prepare() error {
	var err error
	if s.Root, err = Root(); err != nil {
		return err
	}
	if s.Bin, err = Build(s.Root, "gateway", "router", "presence", "interlink"); err != nil {
		return err
	}
	s.Artifacts = filepath.Join(s.Root, "test", "artifacts", s.Config.Name)
	if err := errors.Join(os.RemoveAll(s.Artifacts), os.MkdirAll(s.Artifacts, 0o755)); err != nil {
		return err
	}
	if s.state, err = os.MkdirTemp(os.Getenv("TEST_STATE"), "interlink-"+s.Config.Name); err != nil {
		return err
	}
	for _, set := range []struct {
		into *[]string
		n    int
	}{
		{&s.addresses.gateways, s.Config.Gateways}, {&s.addresses.routers, s.Config.Routers},
		{&s.addresses.presence, s.Config.Presence},
	} {
		for range set.n + spare {
			addr, err := FreeAddr()
			if err != nil {
				return err
			}
			*set.into = append(*set.into, addr)
		}
	}
	s.addresses.dialed = s.addresses.gateways
	if s.Config.Between != nil {
		s.addresses.dialed, err = s.Config.Between(s.addresses.gateways)
	}
	return err
}

func (s *System) start(name, program string, env ...string) (*Process, error) {
	all := slices.Concat([]string{
		"LOG_LEVEL=info", "INTERNAL_API_KEY=" + APIKey, "JWT_SECRET=" + JWTSecret, "NEXTAUTH_SECRET=" + NextAuthSecret,
	}, env, s.Config.Env)
	return Start(Spec{Name: name, Path: filepath.Join(s.Bin, program), Env: all}, s.Artifacts)
}

// AddPresence starts one more presence service, at the next address.
func (s *System) AddPresence() (*Presence, error) {
	i := len(s.Presence)
	admin, err := FreeAddr()
	if err != nil {
		return nil, err
	}
	p := &Presence{GRPC: s.addresses.presence[i], Admin: admin}
	p.Process, err = s.start(fmt.Sprintf("presence-%d", i), "presence",
		"INTERLINK_GRPC_ADDR="+p.GRPC, "INTERLINK_ADMIN_ADDR="+p.Admin, "REDIS_URL=redis://"+s.Redis.Addr()+"/0",
		"INTERLINK_ROUTERS="+strings.Join(s.addresses.routers, ","))
	s.Presence = append(s.Presence, p)
	return p, err
}

// AddRouter starts one more router, at the next address.
func (s *System) AddRouter() (*Router, error) {
	i := len(s.Routers)
	http, err1 := FreeAddr()
	admin, err2 := FreeAddr()
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	r := &Router{HTTP: http, GRPC: s.addresses.routers[i], Admin: admin}
	env := append(s.kafkaEnv(),
		"INTERLINK_HTTP_ADDR="+r.HTTP, "INTERLINK_GRPC_ADDR="+r.GRPC, "INTERLINK_ADMIN_ADDR="+r.Admin,
		"INTERLINK_GATEWAYS="+strings.Join(s.addresses.dialed, ","),
		"INTERLINK_PRESENCE="+strings.Join(s.addresses.presence, ","),
		"INTERLINK_CREATE_TOPICS=true")
	r.Process, err1 = s.start(fmt.Sprintf("router-%d", i), "router", env...)
	s.Routers = append(s.Routers, r)
	return r, err1
}

func (s *System) kafkaEnv() []string {
	if !s.Config.TLS {
		return []string{"KAFKA_BROKERS=" + strings.Join(s.Kafka.Brokers, ",")}
	}
	return []string{
		"KAFKA_BROKERS=" + strings.Join(s.Kafka.TLSBrokers, ","), "INTERLINK_KAFKA_TLS=true",
		"INTERLINK_KAFKA_CA=" + s.Kafka.CAFile, "INTERLINK_KAFKA_SASL=scram-sha-512",
		"INTERLINK_KAFKA_USERNAME=" + KafkaUser, "INTERLINK_KAFKA_PASSWORD=" + KafkaPassword,
	}
}

// AddGateway starts one more gateway, at the next address.
func (s *System) AddGateway() (*Gateway, error) {
	i := len(s.Gateways)
	public, err1 := FreeAddr()
	admin, err2 := FreeAddr()
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	g := &Gateway{Public: public, GRPC: s.addresses.gateways[i], Admin: admin}
	host, port, _ := strings.Cut(public, ":")
	env := []string{
		"SOCKET_IO_HOST=" + host, "SOCKET_IO_PORT=" + port, "SOCKET_IO_CORS_ORIGIN=" + Origin,
		"INTERLINK_GRPC_ADDR=" + g.GRPC, "INTERLINK_ADMIN_ADDR=" + g.Admin, fmt.Sprintf("INTERLINK_GATEWAY_ID=gateway-%d", i),
		"INTERLINK_PRESENCE=" + strings.Join(s.addresses.presence, ","),
		"INTERLINK_ROUTERS=" + strings.Join(s.addresses.routers, ","),
	}
	if s.Config.AuthorizeURL != "" {
		env = append(env, "INTERLINK_AUTHORIZE_URL="+s.Config.AuthorizeURL)
	}
	g.Process, err1 = s.start(fmt.Sprintf("gateway-%d", i), "gateway", env...)
	s.Gateways = append(s.Gateways, g)
	return g, err1
}

// WaitReady waits until every process that is alive answers 200 at /readyz.
func (s *System) WaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	for _, p := range s.Presence {
		if err := p.WaitReady(ctx, ready(p.Admin)); err != nil {
			return err
		}
	}
	for _, r := range s.Routers {
		if r.Alive() {
			if err := r.WaitReady(ctx, ready(r.Admin)); err != nil {
				return err
			}
		}
	}
	for _, g := range s.Gateways {
		if g.Alive() {
			if err := g.WaitReady(ctx, ready(g.Admin)); err != nil {
				return err
			}
		}
	}
	return nil
}

func ready(admin string) func(context.Context) error {
	return HTTPStatus("http://"+admin+"/readyz", 200)
}

// PIDs returns the process ids of Interlink's own processes.
func (s *System) PIDs() []int {
	var pids []int
	for _, p := range s.processes() {
		if p.Alive() {
			pids = append(pids, p.PID())
		}
	}
	return pids
}

func (s *System) processes() []*Process {
	var list []*Process
	for _, g := range s.Gateways {
		list = append(list, g.Process)
	}
	for _, r := range s.Routers {
		list = append(list, r.Process)
	}
	for _, p := range s.Presence {
		list = append(list, p.Process)
	}
	return slices.DeleteFunc(list, func(p *Process) bool { return p == nil })
}

// Close ends every process and removes what Kafka and Redis have stored. The logs stay.
func (s *System) Close() error {
	var errs []error
	for _, p := range s.processes() {
		if p.Alive() {
			errs = append(errs, p.Kill())
		}
	}
	if s.Redis != nil {
		errs = append(errs, s.Redis.Close())
	}
	if s.Kafka != nil {
		errs = append(errs, s.Kafka.Close())
	}
	if s.state != "" {
		errs = append(errs, os.RemoveAll(s.state))
	}
	return errors.Join(errs...)
}
