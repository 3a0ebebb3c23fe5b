package load

import (
	"slices"
	"sync"
	"time"

	"github.com/edumatrix/interlink/test/checker"
)

// recorder writes down what one client saw.
type recorder struct {
	m member

	mu    sync.Mutex // guards what follows
	seen  []checker.Observation
	ready map[string]bool // rooms that it is in
	fails []string        // refused connects and failed connections, for the report
	when  []int64         // each of fails, in epoch milliseconds
}

func newRecorder(m member) *recorder { return &recorder{m: m, ready: map[string]bool{}} }

func now() int64 { return time.Now().UnixMilli() }

func (r *recorder) add(o checker.Observation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = append(r.seen, o)
	switch o.Kind {
	case checker.Connected:
		if !o.Recovered {
			clear(r.ready)
		}
	case checker.Joined:
		r.ready[o.Room] = true
	case checker.Left:
		delete(r.ready, o.Room)
	}
}

func (r *recorder) fail(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fails = append(r.fails, what)
	r.when = append(r.when, now())
}

// missing returns the rooms of the client's plan that it is not in.
func (r *recorder) missing() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(r.m.rooms), func(room string) bool { return r.ready[room] })
}

// joined tells whether the client is in all rooms of its plan.
func (r *recorder) joined() bool { return len(r.missing()) == 0 }

func (r *recorder) history() checker.Client {
	r.mu.Lock()
	defer r.mu.Unlock()
	return checker.Client{Name: r.m.user, Observations: slices.Clone(r.seen)}
}

func (r *recorder) failures() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.fails)
}
