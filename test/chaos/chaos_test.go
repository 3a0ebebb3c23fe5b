//go:build chaos

package chaos

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/edumatrix/interlink/test/harness"
	"github.com/edumatrix/interlink/test/load"
)

const (
	sessionTimeout = 6 * time.Second // of the routers' consumer group, the default
	stallBound     = sessionTimeout + 5*time.Second
	memoryBound    = 400 << 20 // of any one process; at rest each holds about 40 MB
)

func plan(name string) load.Plan {
	return load.Plan{Name: name, JS: 60, Go: 240, Workers: 1, Rooms: 150, RoomsPerSocket: 3, Rate: 200, Token: harness.Token}
}

// step is something that happens at a time after the publishers have begun.
type step struct {
	at   time.Duration
	what string
	do   func() error
}

// perform does the steps, each at its time, and ends with the last.
func perform(t *testing.T, begun time.Time, steps []step) {
	for _, s := range steps {
		wait(t.Context(), time.Until(begun.Add(s.at)))
		t.Logf("%5.1f s: %s", time.Since(begun).Seconds(), s.what)
		if err := s.do(); err != nil {
			t.Errorf("%s: %v", s.what, err)
		}
	}
}

func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// scenario is a load during which steps happen.
type scenario struct {
	system    *harness.System
	run       *load.Run
	during    time.Duration
	steps     []step
	elsewhere func(user string) bool // whose delays are bounded; nil: everybody's
}

// play publishes while the steps happen, and judges: nothing lost, doubled or out of order for anybody, no connection
// begun anew, no stall elsewhere, no commit that went back, memory bounded, joins going on.
func (s scenario) play(t *testing.T) {
	commits, stopCommits := WatchCommits(s.system.Kafka.Brokers[0], "interlink-router", "interlink.events", 12)
	memory, stopMemory := WatchMemory(func() map[string]int { return pids(s.system) })
	joins, stopJoins, err := WatchJoins(t.Context(), "http://"+s.system.Gateways[0].Public, "prober")
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	published := make(chan error, 1)
	go func() {
		p, err := s.run.Publish(t.Context(), s.during)
		t.Logf("%d records by Kafka, %d by HTTP (%d tries again, %d given up)", p.Kafka, p.HTTP, p.Retried, p.Failed)
		published <- err
	}()
	perform(t, begun, s.steps)
	if err := <-published; err != nil {
		t.Fatal(err)
	}
	verdict, err := s.run.Settle(t.Context())
	stopJoins()
	stopMemory()
	stopCommits()
	if err != nil {
		t.Fatal(err)
	}
	s.judge(t, verdict)
	judgeWatches(t, commits, memory, joins)
}

func (s scenario) judge(t *testing.T, v load.Verdict) {
	t.Log(v.Report)
	if failures := s.run.Failures(); len(failures) > 0 {
		t.Logf("connections: %v", failures)
	}
	if !v.OK() {
		t.Errorf("not as guaranteed: %v", v.Report)
	}
	if v.Unrecovered > 0 {
		t.Errorf("%d connections began anew; no fault of this run permits that", v.Unrecovered)
	}
	delays := s.run.Stalls(s.elsewhere)
	worst := time.Duration(load.Percentile(delays, 100)) * time.Millisecond
	t.Logf("log to handler elsewhere: p50 %d ms, p99 %d ms, longest %v", load.Percentile(delays, 50), load.Percentile(delays, 99), worst)
	oracle := s.run.OracleDelay(v)
	t.Logf("stamp to oracle: p50 %d ms, p99 %d ms", load.Percentile(oracle, 50), load.Percentile(oracle, 99))
	if worst > stallBound {
		t.Errorf("a socket elsewhere stalled for %v, more than %v", worst, stallBound)
	}
}

func judgeWatches(t *testing.T, commits *Commits, memory *Memory, joins *Joins) {
	back, partitions, reads := commits.Result()
	t.Logf("commits: %d readings, %d partitions", reads, partitions)
	if len(back) > 0 {
		t.Errorf("committed offsets went back: %v", back)
	}
	if partitions == 0 {
		t.Error("no partition has a committed offset")
	}
	for name, most := range memory.Most() {
		if most > memoryBound {
			t.Errorf("%s held %d MB", name, most>>20)
		}
		t.Logf("%-12s %4d MB at most", name, most>>20)
	}
	done, longest, refused := joins.Result()
	t.Logf("joins of fresh rooms: %d, %v between two at most, refused %v", done, longest.Round(time.Millisecond), refused)
	if done == 0 || longest > stallBound {
		t.Errorf("joins did not go on: %d, %v between two of them", done, longest)
	}
}

func pids(s *harness.System) map[string]int {
	m := map[string]int{}
	for _, g := range slices.Clone(s.Gateways) {
		m[g.Name()] = g.PID()
	}
	for _, r := range slices.Clone(s.Routers) {
		m[r.Name()] = r.PID()
	}
	for _, p := range slices.Clone(s.Presence) {
		m[p.Name()] = p.PID()
	}
	return m
}

func start(t *testing.T, s *harness.System, name string) *load.Run {
	r, err := load.Start(t.Context(), load.TargetOf(s), plan(name))
	t.Cleanup(func() {
		if err := r.Stop(); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Show 6 of the main job.
func TestRoutersAndGatewaysDieFreezeAndCome(t *testing.T) {
	authorizer := harness.NewAuthorizer()
	defer authorizer.Close()
	s := harness.Run(t, harness.Config{Name: "chaos-routers", Gateways: 3, Routers: 2, Presence: 2, AuthorizeURL: authorizer.URL()})
	run := start(t, s, "routers")
	const frozen = 20 * time.Second
	onIce := "http://" + s.Gateways[2].Public
	behind := map[string]bool{}
	for _, user := range run.Users(onIce) {
		behind[user] = true
	}
	scenario{
		system: s, run: run, during: 95 * time.Second,
		elsewhere: func(user string) bool { return !behind[user] },
		steps: []step{
			{5 * time.Second, "router 0 is killed", func() error { return s.Routers[0].Kill() }},
			{17 * time.Second, "router 2 is added", func() error {
				added, err := s.AddRouter()
				run.AddEmit("http://" + added.HTTP)
				return err
			}},
			{28 * time.Second, "router 1 is frozen", func() error { return s.Routers[1].Freeze() }},
			{28*time.Second + frozen, "router 1 goes on", func() error { return s.Routers[1].Thaw() }},
			{58 * time.Second, "gateway 2 is frozen", func() error { return s.Gateways[2].Freeze() }},
			{58*time.Second + frozen, "gateway 2 goes on", func() error { return s.Gateways[2].Thaw() }},
			{83 * time.Second, "router 0 is back", func() error { return s.Routers[0].Restart() }},
		},
	}.play(t)
}

// Show 7 of the main job.
func TestRedisAway(t *testing.T) {
	authorizer := harness.NewAuthorizer()
	defer authorizer.Close()
	s := harness.Run(t, harness.Config{Name: "chaos-redis", Gateways: 2, Routers: 2, Presence: 2, AuthorizeURL: authorizer.URL()})
	run := start(t, s, "redis")
	away := harness.Seconds(t, "CHAOS_SECONDS", 30*time.Second)
	redis := func(command string) func() error {
		return func() error {
			_, err := s.Redis.Do(context.Background(), command)
			return err
		}
	}
	scenario{
		system: s, run: run, during: away + 25*time.Second,
		steps: []step{
			{5 * time.Second, "Redis is stopped", redis("stop")},
			{7 * time.Second, "router 0 is killed", func() error { return s.Routers[0].Kill() }},
			{8 * time.Second, "router 0 starts again, without Redis", func() error { return s.Routers[0].Restart() }},
			{5*time.Second + away, "Redis is back, empty", redis("up")},
		},
	}.play(t)
	peopleAreBack(t, s)
	for _, r := range s.Routers {
		if m, err := harness.Scrape(t.Context(), r.Admin); err != nil {
			t.Error(err)
		} else {
			t.Logf("%s: %v records read", r.Name(), m.Sum("interlink_router_records_total"))
		}
	}
}
