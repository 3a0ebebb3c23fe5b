//go:build soak

package recovery

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/edumatrix/interlink/test/checker"
	"github.com/edumatrix/interlink/test/cut"
	"github.com/edumatrix/interlink/test/harness"
	"github.com/edumatrix/interlink/test/load"
)

// contestant is a system under the same cuts as another.
type contestant struct {
	name    string
	target  load.Target
	plan    load.Plan
	path    *cut.Proxy
	servers []*harness.Process // killed in turn
}

// storm cuts connections at random, by RST and by silence, and kills a server every killEvery, until ctx ends. Then
// everything runs again.
func (c contestant) storm(ctx context.Context, r *rand.Rand, killEvery time.Duration) (cuts, kills int, err error) {
	nextKill := time.Now().Add(killEvery)
	var dead *harness.Process
	var since time.Time
	for ctx.Err() == nil {
		pause(ctx, time.Duration(20+r.IntN(160))*time.Millisecond)
		if list := c.path.Conns(); len(list) > 0 {
			victim := list[r.IntN(len(list))].ID
			one := func(conn cut.Conn) bool { return conn.ID == victim }
			if r.IntN(5) == 0 {
				cuts += c.path.Silence(one)
			} else {
				cuts += c.path.Reset(one)
			}
		}
		if dead != nil && time.Since(since) > killEvery/4 {
			if err := dead.Restart(); err != nil {
				return cuts, kills, err
			}
			dead = nil
		}
		if time.Now().After(nextKill) {
			dead, since = c.servers[kills%len(c.servers)], time.Now()
			if err := dead.Kill(); err != nil {
				return cuts, kills, err
			}
			kills++
			nextKill = nextKill.Add(killEvery)
		}
	}
	if dead != nil {
		return cuts, kills, dead.Restart()
	}
	return cuts, kills, nil
}

// endure puts a contestant under its load and the storm, and judges it.
func (c contestant) endure(t *testing.T, during, killEvery time.Duration, seed uint64) (Row, checker.Report) {
	run, err := load.Start(t.Context(), c.target, c.plan)
	defer func() {
		if err := run.Stop(); err != nil {
			t.Error(err)
		}
	}()
	if err != nil {
		t.Fatalf("%s: %v", c.name, err)
	}
	published := make(chan load.Published, 1)
	publishing, stop := context.WithCancel(t.Context())
	defer stop()
	go func() {
		p, err := run.Publish(publishing, 24*time.Hour)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		published <- p
	}()
	p := Phase{Name: c.name, Begun: time.Now().UnixMilli(), Permits: []string{unsaid}}
	storm, cancel := context.WithTimeout(t.Context(), during)
	cuts, kills, err := c.storm(storm, rand.New(rand.NewPCG(seed, 1)), killEvery)
	cancel()
	if err != nil {
		t.Fatalf("%s: %v", c.name, err)
	}
	stop()
	sent := <-published
	waiting, done := context.WithTimeout(t.Context(), 2*caughtUpWithin)
	defer done()
	verdict, err := run.CatchUp(waiting, time.Now().UnixMilli())
	if err != nil {
		t.Logf("%s: %v", c.name, err)
	}
	p.End = time.Now().UnixMilli() + 1
	t.Logf("%s: %d cuts, %d servers killed, %d records by Kafka, %d by HTTP", c.name, cuts, kills, sent.Kafka, sent.HTTP)
	t.Logf("%s: %v", c.name, verdict.Report)
	judge := Judge{}
	return judge.Row(p, verdict.Report, run.Seen(), run.Histories()), verdict.Report
}

func share100(r checker.Report) float64 {
	return 100 * float64(r.Recovered) / float64(max(r.Recovered+r.Unrecovered, 1))
}

// TestStorm is show 1 of "Nothing lost": random cuts while gateways are killed every 20 s, and the Node peer under the
// same. SOAK_RUN=TestStorm/Interlink or TestStorm/Node chooses one.
// SOAK_SECONDS (600), SOAK_CLIENTS (200), SOAK_RATE (500), SOAK_KILL_SECONDS (20), SOAK_SEED.
func TestStorm(t *testing.T) {
	during, killEvery := harness.Seconds(t, "SOAK_SECONDS", 10*time.Minute), harness.Seconds(t, "SOAK_KILL_SECONDS", 20*time.Second)
	clients, rate := number(t, "SOAK_CLIENTS", 200), number(t, "SOAK_RATE", 500)
	seed := uint64(number(t, "SOAK_SEED", int(time.Now().Unix())))
	t.Logf("SOAK_SEED=%d", seed)
	plan := load.Plan{
		JS: clients, Workers: 2, Rooms: clients / 2, RoomsPerSocket: 3, Rate: rate, Token: harness.Token, WebSocketOnly: true,
	}
	stage := NewStage(t, harness.Config{Name: "recovery-soak", Gateways: 3, Routers: 2, Presence: 2}, 2*time.Minute)
	t.Run("Interlink", func(t *testing.T) {
		ours := contestant{name: "Interlink", target: stage.Target(), plan: plan, path: stage.Edge}
		ours.plan.Name = "ours"
		for _, g := range stage.Gateways {
			ours.servers = append(ours.servers, g.Process)
		}
		row, report := ours.endure(t, during, killEvery, seed)
		if !row.OK() {
			t.Errorf("not as guaranteed: %v; forbidden: %v", report, row.Forbidden)
		}
		if share100(report) < 99.9 {
			t.Errorf("%.2f %% of the connections were recovered", share100(report))
		}
		keep(t, stage, "storm-interlink.txt", fmt.Sprintf("%s\n%v   recovered %.2f %%\n\n%v", Header(), row, share100(report), stage.Memory))
	})
	t.Run("Node", func(t *testing.T) {
		for _, p := range stage.PIDs() { // the machine is the peer's alone
			_ = syscall.Kill(p, syscall.SIGSTOP)
		}
		row, report := peerUnderStorm(t, stage, plan, during, killEvery, seed)
		keep(t, stage, "storm-node.txt", fmt.Sprintf("%s\n%v   recovered %.2f %%\n%v", Header(), row, share100(report), report))
	})
}

// TestCentrifugoUnderTheStorm puts Centrifugo, with its own Kafka consumer, Redis engine and client library, under the same
// storm. SOAK_CENTRIFUGO is the path of its binary: `make centrifugo` builds it. It orders each channel for itself.
func TestCentrifugoUnderTheStorm(t *testing.T) {
	during, killEvery := harness.Seconds(t, "SOAK_SECONDS", 10*time.Minute), harness.Seconds(t, "SOAK_KILL_SECONDS", 20*time.Second)
	clients, rate := number(t, "SOAK_CLIENTS", 200), number(t, "SOAK_RATE", 500)
	const topic = "rival.events"
	stage := NewStage(t, harness.Config{Name: "recovery-centrifugo"}, 2*time.Minute)
	if err := harness.CreateTopic(t.Context(), stage.Kafka.Brokers[0], topic, 12); err != nil {
		t.Fatal(err)
	}
	theirs := contestant{name: "Centrifugo", plan: load.Plan{
		Name: "rival", Rivals: clients, Rooms: clients / 2, RoomsPerSocket: 3, Rate: rate, Token: harness.Token, WebSocketOnly: true,
	}}
	theirs.target = load.Target{Root: stage.Root, Logs: stage.Artifacts, Brokers: stage.Kafka.Brokers, Topic: topic}
	addrs := startCentrifugo(t, stage, topic, &theirs)
	var err error
	if theirs.path, err = stage.proxy(addrs...); err != nil {
		t.Fatal(err)
	}
	theirs.target.URLs = []string{"http://" + theirs.path.Addr()}
	row, report := theirs.endure(t, during, killEvery, uint64(number(t, "SOAK_SEED", int(time.Now().Unix()))))
	keep(t, stage, "storm-centrifugo.txt", fmt.Sprintf("%s\n%v   recovered %.2f %%\n%v", Header(), row, share100(report), report))
}

// startCentrifugo starts three nodes of it.
func startCentrifugo(t *testing.T, stage *Stage, topic string, c *contestant) (addrs []string) {
	t.Helper()
	for i := range 3 {
		addr, err := harness.FreeAddr()
		if err != nil {
			t.Fatal(err)
		}
		_, port, _ := strings.Cut(addr, ":")
		config, _ := json.Marshal(map[string]any{
			"http_server": map[string]any{"address": "127.0.0.1", "port": port},
			"client":      map[string]any{"insecure": true, "allowed_origins": []string{"*"}},
			"engine":      map[string]any{"type": "redis", "redis": map[string]any{"address": stage.Redis.Addr()}},
			"channel": map[string]any{"namespaces": []any{map[string]any{
				"name": "conversation", "allow_subscribe_for_client": true, "allow_subscribe_for_anonymous": true,
				"history_size": 4000, "history_ttl": "120s", "force_recovery": true, "force_positioning": true,
			}}},
			"consumers": []any{map[string]any{"enabled": true, "name": "events", "type": "kafka", "kafka": map[string]any{
				"brokers": stage.Kafka.Brokers, "topics": []string{topic}, "consumer_group": "centrifugo",
			}}},
			"health": map[string]any{"enabled": true},
		})
		path := filepath.Join(stage.Artifacts, fmt.Sprintf("centrifugo-%d.json", i))
		if err := os.WriteFile(path, config, 0o644); err != nil {
			t.Fatal(err)
		}
		p, err := harness.Start(harness.Spec{Name: fmt.Sprint("centrifugo-", i), Path: os.Getenv("SOAK_CENTRIFUGO"), Args: []string{"-c", path}}, stage.Artifacts)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if p.Alive() {
				_ = p.Kill()
			}
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		err = p.WaitReady(ctx, harness.HTTPStatus("http://"+addr+"/health", 200))
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		c.servers, addrs = append(c.servers, p), append(addrs, addr)
	}
	return addrs
}

// keep prints a table and leaves it beside the logs.
func keep(t *testing.T, s *Stage, name, table string) {
	t.Helper()
	t.Log("\n" + table)
	if err := os.WriteFile(filepath.Join(s.Artifacts, name), []byte(table), 0o644); err != nil {
		t.Error(err)
	}
}

func peerUnderStorm(t *testing.T, stage *Stage, plan load.Plan, during, killEvery time.Duration, seed uint64) (Row, checker.Report) {
	const topic = "peer.events"
	if err := harness.CreateTopic(t.Context(), stage.Kafka.Brokers[0], topic, 12); err != nil {
		t.Fatal(err)
	}
	peers, err := harness.StartPeers(t.Context(), stage.Root, stage.Artifacts, 3, stage.Kafka.Brokers, topic, stage.Redis.Addr(), "RECOVERY=120000")
	t.Cleanup(func() {
		for _, p := range peers {
			if p.Alive() {
				_ = p.Kill()
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	theirs := contestant{name: "Node, redis-streams", plan: plan}
	theirs.plan.Name = "peer"
	theirs.target = load.Target{Root: stage.Root, Logs: stage.Artifacts, Brokers: stage.Kafka.Brokers, Topic: topic, Key: harness.APIKey}
	var addrs []string
	for _, p := range peers {
		addrs = append(addrs, p.Public)
		theirs.servers = append(theirs.servers, p.Process)
		theirs.target.Emit = append(theirs.target.Emit, "http://"+p.Public)
	}
	if theirs.path, err = stage.proxy(addrs...); err != nil {
		t.Fatal(err)
	}
	theirs.target.URLs = []string{"http://" + theirs.path.Addr()}
	return theirs.endure(t, during, killEvery, seed)
}

// TestAGatewayWithManySocketsIsKilled is show 2: SOAK_SOCKETS (5000) Go clients on one gateway, which is killed.
func TestAGatewayWithManySocketsIsKilled(t *testing.T) {
	sockets := number(t, "SOAK_SOCKETS", 5000)
	stage := NewStage(t, harness.Config{Name: "recovery-kill", Gateways: 3, Routers: 2, Presence: 2}, 2*time.Minute)
	path, err := stage.proxyWith(cut.Options{Ordered: true, Targets: []string{stage.Gateways[0].Public, stage.Gateways[1].Public}})
	if err != nil {
		t.Fatal(err)
	}
	stage.Edge = path
	run, err := load.Start(t.Context(), stage.Target(), load.Plan{
		Name: "many", Go: sockets, Rooms: sockets / 10, RoomsPerSocket: 3, Rate: number(t, "SOAK_RATE", 100), Token: harness.Token, WebSocketOnly: true,
	})
	defer func() {
		if err := run.Stop(); err != nil {
			t.Error(err)
		}
	}()
	if err != nil {
		t.Fatal(err)
	}
	publishing, stop := context.WithCancel(t.Context())
	defer stop()
	done := make(chan struct{})
	go func() {
		defer close(done)
		if _, err := run.Publish(publishing, time.Hour); err != nil {
			t.Error(err)
		}
	}()
	pause(t.Context(), 5*time.Second)
	p := Phase{Name: "gateway killed", Begun: time.Now().UnixMilli(), Permits: []string{unsaid}}
	if err := stage.Gateways[0].Kill(); err != nil {
		t.Fatal(err)
	}
	pause(t.Context(), 20*time.Second)
	stop()
	<-done
	waiting, cancel := context.WithTimeout(t.Context(), 2*caughtUpWithin)
	defer cancel()
	verdict, err := run.CatchUp(waiting, time.Now().UnixMilli())
	if err != nil {
		t.Error(err)
	}
	p.End = time.Now().UnixMilli() + 1
	judge := Judge{}
	row := judge.Row(p, verdict.Report, run.Seen(), run.Histories())
	t.Logf("\n%s\n%v\n%v\n%v", Header(), row, verdict.Report, stage.Memory)
	if !row.OK() || row.Recovered < sockets {
		t.Errorf("not as guaranteed: %d of %d recovered; forbidden %d", row.Recovered, sockets, len(row.Forbidden))
	}
	t.Log("the clients wait 0.5 to 1.5 s before they come back, as the stock client does")
}

// TestRoutersRestart is show 4: routers restarted one after the other, then all down for SOAK_ROUTERS_DOWN (300 s).
func TestRoutersRestart(t *testing.T) {
	down := harness.Seconds(t, "SOAK_ROUTERS_DOWN", 5*time.Minute)
	stage := NewStage(t, harness.Config{Name: "recovery-routers", Gateways: 2, Routers: 3, Presence: 2}, max(2*time.Minute, down+time.Minute))
	s := begin(t, stage, load.Plan{
		Name: "r", JS: 50, Go: 150, Workers: 1, Rooms: 100, RoomsPerSocket: 3, Rate: 200, Token: harness.Token,
	})
	s.phase("routers one by one", nil, func(ctx context.Context) ([]string, error) {
		for _, r := range stage.Routers {
			if err := r.Terminate(20 * time.Second); err != nil {
				return nil, err
			}
			if err := r.Restart(); err != nil {
				return nil, err
			}
			if err := stage.WaitReady(ctx); err != nil {
				return nil, err
			}
			pause(ctx, 5*time.Second)
		}
		return nil, nil
	})
	everybody := allRouters
	everybody.Holds = down
	s.inject(everybody, 0)
	s.end(nil)
}

// TestAtRandom injects all faults at random for SOAK_SECONDS (3600).
func TestAtRandom(t *testing.T) {
	during := harness.Seconds(t, "SOAK_SECONDS", time.Hour)
	stage := NewStage(t, harness.Config{Name: "recovery-random", Gateways: 3, Routers: 2, Presence: 2, Brokers: 3}, resumeWindow)
	s := begin(t, stage, load.Plan{
		Name: "r", JS: 60, Go: 240, Workers: 2, Rooms: 150, RoomsPerSocket: 3, Rate: 100, Token: harness.Token,
		Backoff: 300 * time.Millisecond, OpenTimeout: 4 * time.Second, RetryFor: resumeWindow,
	})
	seed := uint64(number(t, "SOAK_SEED", int(time.Now().Unix())))
	t.Logf("SOAK_SEED=%d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	const each = 2 * time.Minute
	for part := 0; time.Duration(part)*each < during; part++ {
		s.phase(fmt.Sprintf("at random, part %d", part+1), nil, func(ctx context.Context) ([]string, error) {
			return random(ctx, stage, r, min(each, during-time.Duration(part)*each), t.Logf)
		})
		if t.Failed() {
			break
		}
	}
	s.end(nil)
}
