//go:build system

package system

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/edumatrix/interlink/test/harness"
	"github.com/edumatrix/interlink/test/load"
	"github.com/edumatrix/interlink/test/proxy"
)

// duration is how long the publishers publish.
func duration(t *testing.T) time.Duration { return harness.Seconds(t, "SYSTEM_SECONDS", time.Minute) }

func plan(name string) load.Plan {
	return load.Plan{
		Name: name, JS: 100, Go: 500, Workers: 2, Rooms: 300, RoomsPerSocket: 3, Rate: 300, Token: harness.Token,
	}
}

// balancer runs a round-robin proxy for the test's length.
func balancer(t *testing.T, targets []string) string {
	p, err := proxy.New(proxy.Options{Targets: targets})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := p.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return "http://" + p.Addr()
}

// balanced is a system as clients see it: behind one address, without sticky sessions.
func balanced(t *testing.T, s *harness.System) load.Target {
	var gateways []string
	for _, g := range s.Gateways {
		gateways = append(gateways, g.Public)
	}
	return load.TargetOf(s, balancer(t, gateways))
}

// figures are what a run prints beside its verdict.
type figures struct {
	name       string
	p50, p99   int64 // milliseconds from the publisher's stamp to the client's handler
	cpu        time.Duration
	perSecond  float64
	deliveries int
}

func (f figures) String() string {
	return fmt.Sprintf("%-32s p50 %4d ms   p99 %5d ms   CPU %6.1f s   %5.0f records/s   %d deliveries",
		f.name, f.p50, f.p99, f.cpu.Seconds(), f.perSecond, f.deliveries)
}

// run puts a load on a target, measures the processes meanwhile, and judges.
func run(t *testing.T, name string, l load.Target, p load.Plan, during time.Duration, pids []int) (load.Verdict, figures) {
	r, err := load.Start(t.Context(), l, p)
	defer func() {
		if err := r.Stop(); err != nil {
			t.Error(err)
		}
	}()
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	meter := harness.Measure(pids...)
	published, err := r.Publish(t.Context(), during)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	verdict, err := r.Settle(t.Context())
	cpu := meter.Stop()
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	delays := r.Latency(verdict)
	websocket, polling, upgrade := r.Transports()
	t.Logf("%s: %d records by Kafka, %d by HTTP (%d retried, %d given up); %d clients on WebSocket, %d polling, %d upgraded",
		name, published.Kafka, published.HTTP, published.Retried, published.Failed, websocket, polling, upgrade)
	t.Logf("%s: %v", name, verdict.Report)
	if failures := r.Failures(); len(failures) > 0 {
		t.Logf("%s: connections: %v", name, failures)
	}
	if n := r.Refused400(); n > 0 {
		t.Errorf("%s: %d requests were answered 400", name, n)
	}
	return verdict, figures{
		name: name, p50: load.Percentile(delays, 50), p99: load.Percentile(delays, 99), cpu: cpu,
		perSecond: float64(published.Kafka+published.HTTP) / published.Took.Seconds(), deliveries: len(delays),
	}
}

func judge(t *testing.T, v load.Verdict) {
	if !v.OK() {
		t.Errorf("not as guaranteed: %v", v.Report)
	}
	if v.Unrecovered > 0 {
		t.Errorf("%d connections began anew, and nothing was broken", v.Unrecovered)
	}
}

// Show 5 of the main job: one publish reaches every browser in the room, and the same load on what Interlink replaces.
func TestEveryEventReachesEverySocketOnceInOrder(t *testing.T) {
	s := harness.Run(t, harness.Config{Name: "system", Gateways: 3, Routers: 2, Presence: 2})
	verdict, ours := run(t, "Interlink", balanced(t, s), plan("sys"), duration(t), s.PIDs())
	judge(t, verdict)

	for _, p := range s.PIDs() {
		if rss, err := harness.RSS(p); err == nil {
			t.Logf("process %d: %d MB resident", p, rss>>20)
		}
	}
	// Once more with WebSockets alone, which is all that the peers can do behind this balancer.
	p := plan("ws")
	p.WebSocketOnly = true
	verdict, webSockets := run(t, "Interlink, WebSocket alone", balanced(t, s), p, duration(t), s.PIDs())
	judge(t, verdict)
	peer := peers(t, s)
	table := fmt.Sprintf("%v\n%v\n%v\n", ours, webSockets, peer)
	t.Logf("publish to handler, CPU of all server processes:\n%s", table)
	if err := os.WriteFile(filepath.Join(s.Artifacts, "figures.txt"), []byte(table), 0o644); err != nil {
		t.Error(err)
	}
}

// peers runs the same load on Node servers beside the same Kafka and Redis. They need sticky sessions for polling, which
// the balancer does not give, so all of their clients use WebSockets.
func peers(t *testing.T, s *harness.System) figures {
	const topic = "peer.events"
	if err := harness.CreateTopic(t.Context(), s.Kafka.Brokers[0], topic, 12); err != nil {
		t.Fatal(err)
	}
	list, err := harness.StartPeers(t.Context(), s.Root, s.Artifacts, 3, s.Kafka.Brokers, topic, s.Redis.Addr())
	defer func() {
		for _, p := range list {
			if p.Alive() {
				_ = p.Kill()
			}
		}
	}()
	if err != nil {
		t.Fatal(err)
	}
	l := load.Target{Root: s.Root, Logs: s.Artifacts, Brokers: s.Kafka.Brokers, Topic: topic, Key: harness.APIKey}
	var addrs []string
	var pids []int
	for _, p := range list {
		addrs = append(addrs, p.Public)
		pids = append(pids, p.PID())
		l.Emit = append(l.Emit, "http://"+p.Public)
	}
	l.URLs = []string{balancer(t, addrs)}
	p := plan("peer")
	p.WebSocketOnly = true
	_, f := run(t, "Node + redis-streams + kafkajs", l, p, duration(t), pids)
	return f
}

// The same path with routers that reach Kafka through TLS and SCRAM, and a producer that does too.
func TestOverTLSAndSCRAM(t *testing.T) {
	s := harness.Run(t, harness.Config{Name: "system-tls", Gateways: 2, Routers: 2, Presence: 1, TLS: true})
	l := balanced(t, s)
	l.TLSBrokers, l.CAFile, l.User, l.Password = s.Kafka.TLSBrokers, s.Kafka.CAFile, harness.KafkaUser, harness.KafkaPassword
	p := plan("tls")
	p.JS, p.Go, p.Rooms = 20, 80, 60
	verdict, figures := run(t, "Interlink, Kafka by TLS", l, p, min(duration(t), 15*time.Second), s.PIDs())
	judge(t, verdict)
	t.Log(figures)
}
