package recovery

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edumatrix/interlink/test/cut"
	"github.com/edumatrix/interlink/test/harness"
	"github.com/edumatrix/interlink/test/load"
)

// Times of the system under test, shorter than the defaults so that a fault and its end fit into seconds.
const (
	resumeWindow = 15 * time.Second
	lease        = 3 * time.Second
	pingInterval = 2 * time.Second
	pingTimeout  = 3 * time.Second
)

// settings are for every process. A window as long as the default keeps the other defaults too.
func settings(window time.Duration) []string {
	if window >= 2*time.Minute {
		return []string{"INTERLINK_RESUME_WINDOW=" + window.String()}
	}
	return []string{
		"INTERLINK_RESUME_WINDOW=" + window.String(), "INTERLINK_PRESENCE_LEASE=" + lease.String(),
		"INTERLINK_PING_INTERVAL=" + pingInterval.String(), "INTERLINK_PING_TIMEOUT=" + pingTimeout.String(),
		"INTERLINK_KAFKA_SESSION_TIMEOUT=3s",
	}
}

// Stage is a running system whose paths can be cut.
type Stage struct {
	*harness.System
	Edge  *cut.Proxy   // clients → gateways
	Inner []*cut.Proxy // routers → gateway i

	ctx    context.Context // of the proxies
	cancel context.CancelFunc
	wg     sync.WaitGroup
	errs   chan error // of the proxies

	mu       sync.Mutex   // guards personal
	personal []*cut.Proxy // of people, each of whom has a path of his own

	Memory *Memory
}

// NewStage starts a system behind proxies and closes it with the test.
func NewStage(t testing.TB, config harness.Config, window time.Duration) *Stage {
	t.Helper()
	s := &Stage{errs: make(chan error, 100)}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	config.Env = append(settings(window), config.Env...)
	config.Between = s.between
	t.Cleanup(func() {
		s.cancel()
		s.wg.Wait()
		close(s.errs)
		for err := range s.errs {
			t.Error(err)
		}
	})
	s.System = harness.Run(t, config)
	var gateways []string
	for _, g := range s.Gateways {
		gateways = append(gateways, g.Public)
	}
	if len(gateways) > 0 { // else only the stores are wanted
		var err error
		if s.Edge, err = s.proxy(gateways...); err != nil {
			t.Fatal(err)
		}
	}
	s.Memory = watchMemory(s.ctx, s.System)
	return s
}

func (s *Stage) between(gateways []string) ([]string, error) {
	var dialed []string
	for _, g := range gateways {
		p, err := s.proxy(g)
		if err != nil {
			return nil, err
		}
		s.Inner = append(s.Inner, p)
		dialed = append(dialed, p.Addr())
	}
	return dialed, nil
}

func (s *Stage) proxy(targets ...string) (*cut.Proxy, error) {
	return s.proxyWith(cut.Options{Targets: targets})
}

func (s *Stage) proxyWith(options cut.Options) (*cut.Proxy, error) {
	p, err := cut.New(options)
	if err != nil {
		return nil, err
	}
	s.wg.Go(func() {
		if err := p.Run(s.ctx); err != nil {
			s.errs <- err
		}
	})
	return p, nil
}

// URL is where clients connect.
func (s *Stage) URL() string { return "http://" + s.Edge.Addr() }

// Target is the system as a load sees it: behind one address, without sticky sessions.
func (s *Stage) Target() load.Target { return load.TargetOf(s.System, s.URL()) }

// Memory is the resident memory of each process over time.
type Memory struct {
	mu      sync.Mutex // guards samples
	samples map[string][]sample
}

type sample struct {
	at  time.Time
	pid int
	rss int64
}

func watchMemory(ctx context.Context, s *harness.System) *Memory {
	m := &Memory{samples: map[string][]sample{}}
	go func() {
		ticker := time.NewTicker(time.Second)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			for _, g := range s.Gateways {
				m.look(g.Process)
			}
			for _, r := range s.Routers {
				m.look(r.Process)
			}
		}
	}()
	return m
}

func (m *Memory) look(p *harness.Process) {
	if !p.Alive() {
		return
	}
	pid := p.PID()
	rss, err := harness.RSS(pid)
	if err != nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.samples[p.Name()] = append(m.samples[p.Name()], sample{time.Now(), pid, rss})
}

// String says of each process' present life how its memory went: over quarters of the life, and the most.
func (m *Memory) String() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := ""
	for _, name := range slices.Sorted(maps.Keys(m.samples)) {
		all := m.samples[name]
		last := all[len(all)-1].pid
		life := all[slices.IndexFunc(all, func(s sample) bool { return s.pid == last }):]
		var most int64
		for _, s := range all {
			most = max(most, s.rss)
		}
		out += fmt.Sprintf("%-10s MB over the quarters of its last life of %3.0f s:", name, life[len(life)-1].at.Sub(life[0].at).Seconds())
		for q := range 5 {
			out += fmt.Sprintf(" %3d", life[min(q*len(life)/4, len(life)-1)].rss>>20)
		}
		out += fmt.Sprintf(", at most %d in the run\n", most>>20)
	}
	return out
}

// Goroutines returns the goroutines of gateways and routers, by process, without those of pooled connections, and keeps
// each process' dump beside its log.
func (s *Stage) Goroutines(ctx context.Context) (map[string]int, error) {
	counts := map[string]int{}
	var errs []error
	look := func(p *harness.Process, admin string) {
		dump, err := harness.Goroutines(ctx, admin)
		if err == nil {
			err = os.WriteFile(filepath.Join(s.Artifacts, p.Name()+".goroutines"), []byte(dump), 0o644)
		}
		errs = append(errs, err)
		counts[p.Name()] = unpooled(dump)
	}
	for _, g := range s.Gateways {
		look(g.Process, g.Admin)
	}
	for _, r := range s.Routers {
		look(r.Process, r.Admin)
	}
	return counts, errors.Join(errs...)
}

// pooled are goroutines that belong to a connection between processes, which stays for the next use: readers of the Kafka
// client's pool, its queue per partition that was ever written to, and gRPC's transports. How many there are depends on
// which brokers and peers came and went, never on clients.
var pooled = []string{
	"kafka-go.(*conn).run", "kafka-go.(*partitionWriter).writeBatches", "grpc/internal/transport.", "grpcsync.(*CallbackSerializer).run",
}

// unpooled counts the goroutines of a profile in text form (debug=1), without the pooled ones. What a pooled stack has of
// the program's own counts.
func unpooled(profile string) int {
	n := 0
	_, groups, _ := strings.Cut(profile, "\n") // the total
	for _, group := range strings.Split(groups, "\n\n") {
		kept := slices.ContainsFunc(pooled, func(p string) bool { return strings.Contains(group, p) })
		if kept && !strings.Contains(group, "edumatrix/interlink") {
			continue
		}
		count, _, _ := strings.Cut(group, " ")
		number, _ := strconv.Atoi(count) // an empty group counts nothing
		n += number
	}
	return n
}

// pause waits, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
