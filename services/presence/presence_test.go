package presence_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	deliveryv1 "github.com/edumatrix/interlink/proto/delivery/v1"
	emitv1 "github.com/edumatrix/interlink/proto/emit/v1"
	presencev1 "github.com/edumatrix/interlink/proto/presence/v1"
	"github.com/edumatrix/interlink/services/presence"
	"github.com/edumatrix/interlink/services/presence/internal/redistest"
)

// routers is a connection to routers that hands over the names of the events pushed.
type routers struct{ events chan string }

func newRouters() *routers { return &routers{events: make(chan string, 10000)} }

func (r *routers) Invoke(_ context.Context, _ string, args, reply any, _ ...grpc.CallOption) error {
	switch in := args.(type) {
	case *emitv1.PushRequest:
		for _, raw := range in.GetRecords() {
			var rec deliveryv1.Record
			if err := proto.Unmarshal(raw, &rec); err != nil {
				return err
			}
			r.events <- rec.GetEvent()
		}
	case *emitv1.PublishRequest:
		out := reply.(*emitv1.PublishResponse)
		for range in.GetEntries() {
			out.Results = append(out.Results, &emitv1.Result{})
		}
	}
	return nil
}

func (r *routers) NewStream(context.Context, *grpc.StreamDesc, string, ...grpc.CallOption) (grpc.ClientStream, error) {
	return nil, errors.New("no streams")
}

// running is a presence that runs until the test ends, and a client of it.
type running struct {
	presencev1.PresenceClient
	conn    *grpc.ClientConn
	service *presence.Presence
	log     *logBuffer
	stop    func() error
}

type logBuffer struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func start(t *testing.T, o presence.Options) *running {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	log := &logBuffer{}
	o.GRPCListener, o.Logger, o.Registry = listener, slog.New(slog.NewTextHandler(log, nil)), prometheus.NewRegistry()
	if o.Emit == nil {
		o.Emit = newRouters()
	}
	p, err := presence.New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	stop := sync.OnceValue(func() error { cancel(); return <-ended })
	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close()
		if err := stop(); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return &running{presencev1.NewPresenceClient(conn), conn, p, log, stop}
}

// await polls another process, which has no channel to wait on, until it is as wanted.
func await(t *testing.T, what string, done func(ctx context.Context) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !done(ctx) {
		select {
		case <-ctx.Done():
			t.Fatalf("waited too long for %s", what)
		case <-tick.C:
		}
	}
}

func (r *running) renew(ctx context.Context) (*presencev1.RenewResponse, error) {
	return r.Renew(ctx, &presencev1.RenewRequest{Gateway: "gw", Incarnation: "1", Addr: "gw:9101", TtlMs: 60000})
}

// socket tells presence, as a gateway would, that one user is connected; lease and full sync included.
func (r *running) socket(ctx context.Context) error {
	if _, err := r.renew(ctx); err != nil {
		return err
	}
	_, err := r.Sync(ctx, &presencev1.SyncRequest{Gateway: "gw", Incarnation: "1", Full: true,
		Changes: []*presencev1.Change{{Kind: presencev1.Change_ONLINE, User: "u1", Socket: "s1"}}})
	return err
}

func (r *running) online(ctx context.Context) (bool, error) {
	q, err := r.Query(ctx, &presencev1.QueryRequest{Users: []string{"u1"}})
	return q.GetUsers()["u1"].GetOnline(), err
}

func TestPresenceServesFromMemory(t *testing.T) {
	hears := newRouters()
	r := start(t, presence.Options{Memory: true, Emit: hears})
	await(t, "readiness", func(context.Context) bool { return r.service.Ready() == nil })
	answer, err := healthv1.NewHealthClient(r.conn).Check(t.Context(), &healthv1.HealthCheckRequest{})
	if err != nil || answer.GetStatus() != healthv1.HealthCheckResponse_SERVING {
		t.Errorf("health: %v, %v", answer, err)
	}
	if err := r.socket(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := <-hears.events; got != "user:online" {
		t.Errorf("told %s", got)
	}
	if online, err := r.online(t.Context()); err != nil || !online {
		t.Errorf("online %v, %v", online, err)
	}
	if err := r.stop(); err != nil {
		t.Errorf("Run: %v", err)
	}
}

func TestPresenceComesBackByItselfAfterRedisWasKilled(t *testing.T) {
	if !redistest.Available() {
		t.Log("no redis-server on PATH")
		return
	}
	redis := redistest.Start(t)
	hears := newRouters()
	r := start(t, presence.Options{Redis: presence.Redis{Addrs: []string{redis.Addr}}, Emit: hears})
	await(t, "the first socket", func(ctx context.Context) bool { return r.socket(ctx) == nil })
	<-hears.events

	redis.Kill()
	for range 20 {
		began := time.Now()
		_, err := r.online(t.Context())
		if status.Code(err) != codes.Unavailable {
			t.Fatalf("without Redis: %v", err)
		}
		if took := time.Since(began); took > 3*time.Second { // a second, and what a busy machine adds
			t.Errorf("Unavailable took %v", took)
		}
	}
	if err := r.service.Ready(); err != nil {
		t.Errorf("not ready for want of Redis: %v", err)
	}
	redis.Restart()
	await(t, "a forgotten lease", func(ctx context.Context) bool {
		answer, err := r.renew(ctx)
		return err == nil && answer.GetForgotten()
	})
	if err := r.socket(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := <-hears.events; got != "user:online" {
		t.Errorf("told %s", got)
	}
	if online, err := r.online(t.Context()); err != nil || !online {
		t.Errorf("online %v, %v", online, err)
	}
}

func TestAFrozenRedisAnswersUnavailableAndPilesUpNothing(t *testing.T) {
	if !redistest.Available() {
		t.Log("no redis-server on PATH")
		return
	}
	redis := redistest.Start(t)
	r := start(t, presence.Options{Redis: presence.Redis{Addrs: []string{redis.Addr}}})
	await(t, "the first socket", func(ctx context.Context) bool { return r.socket(ctx) == nil })
	redis.Freeze()
	before := runtime.NumGoroutine()
	var calls sync.WaitGroup
	for range 2000 {
		calls.Go(func() {
			if _, err := r.online(t.Context()); status.Code(err) != codes.Unavailable {
				t.Errorf("from a frozen Redis: %v", err)
			}
		})
	}
	calls.Wait()
	for range 3 {
		began := time.Now()
		if _, err := r.online(t.Context()); status.Code(err) != codes.Unavailable || time.Since(began) > 3*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	}
	await(t, "the calls' goroutines to end", func(context.Context) bool { return runtime.NumGoroutine() < before+100 })
	redis.Thaw()
	await(t, "Redis to be used again", func(ctx context.Context) bool {
		online, err := r.online(ctx)
		return err == nil && online
	})
}

func TestStartFailsWithASentence(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := listener.Addr().String()
	_ = listener.Close()
	tests := map[string]struct {
		options presence.Options
		redis   bool
		want    string
	}{
		"if Redis is not reachable": {
			options: presence.Options{Redis: presence.Redis{Addrs: []string{nobody}}, StoreWait: 50 * time.Millisecond},
			want:    "was not reachable for 50ms",
		},
		"if the password is wrong": {options: presence.Options{Redis: presence.Redis{Password: "wrong"}}, redis: true, want: "refuses: check user, password"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if tt.redis {
				if !redistest.Available() {
					t.Log("no redis-server on PATH")
					return
				}
				tt.options.Redis.Addrs = []string{redistest.Start(t, "--requirepass", "right").Addr}
			}
			tt.options.Emit = newRouters()
			if tt.options.GRPCListener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
				t.Fatal(err)
			}
			p, err := presence.New(tt.options)
			if err != nil {
				t.Fatal(err)
			}
			err = p.Run(t.Context())
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("Run: %v, want one line with %q", err, tt.want)
			}
			if p.Ready() == nil {
				t.Error("ready")
			}
		})
	}
}

func TestNewRefusesWhatCannotWork(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	tests := map[string]presence.Options{
		"nothing":                    {},
		"no routers":                 {GRPCListener: listener, Memory: true},
		"no address of Redis":        {GRPCListener: listener, Emit: newRouters()},
		"an unknown mode":            {GRPCListener: listener, Emit: newRouters(), Redis: presence.Redis{Mode: "ring", Addrs: []string{"a:1"}}},
		"sentinels without a master": {GRPCListener: listener, Emit: newRouters(), Redis: presence.Redis{Mode: "sentinel", Addrs: []string{"a:1"}}},
		"a database of a cluster":    {GRPCListener: listener, Emit: newRouters(), Redis: presence.Redis{Mode: "cluster", Addrs: []string{"a:1"}, DB: 1}},
	}
	for name, o := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := presence.New(o); err == nil {
				t.Error("accepted")
			}
		})
	}
}

func TestAnEvictingRedisIsWarnedAbout(t *testing.T) {
	if !redistest.Available() {
		t.Log("no redis-server on PATH")
		return
	}
	for policy, want := range map[string]bool{"noeviction": false, "allkeys-lru": true, "volatile-ttl": true} {
		t.Run(policy, func(t *testing.T) {
			redis := redistest.Start(t, "--maxmemory", "100mb", "--maxmemory-policy", policy)
			r := start(t, presence.Options{Redis: presence.Redis{Addrs: []string{redis.Addr}}})
			await(t, "readiness", func(context.Context) bool { return r.service.Ready() == nil })
			if got := strings.Contains(r.log.String(), "maxmemory_policy="+policy); got != want {
				t.Errorf("warned %v: %s", got, r.log)
			}
		})
	}
}
