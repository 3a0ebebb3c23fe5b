package sessionrecord

import (
	"fmt"
	"testing"
)

// world is one state of the model: a socket joins rooms at life A; the store goes away, comes back, is emptied, fails
// over and loses the last acknowledged write; the gateway notices late or dies; the client resumes elsewhere at any
// moment. Property: whoever may resume has every room whose join was acknowledged to him.
type world struct {
	record, before *Record // stored now, and before the last write
	run            int
	away           bool
	writer         owner
	alive          bool
	client         client
	death, outage  bool // faults that have happened
	failover       bool
	flush          bool
}

// owner is what a gateway knows: a Writer without what the model does not vary.
type owner struct {
	joined  int
	era     uint64
	version uint64 // of the last acknowledged write
	run     string
	written uint64 // era of that write
	whole   bool   // the last write failed or was refused
}

// client is what the client has: rooms acknowledged to it and the era of its last cursor.
type client struct {
	rooms int
	era   uint64
}

const joins = 2

func runName(n int) string { return fmt.Sprintf("run%d", n) }

func roomNames(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("room%d", i)
	}
	return out
}

// mutant leaves one rule out, in the package or in what the gateway does.
type mutant struct {
	rules
	noEra bool // joins acknowledged while the store was away leave no mark in the cursor
}

// write sends what the owner has to write, a delta for the last join if it may, and retries whole if told so.
func (w world) write(m mutant) world {
	req := Write{Kind: Delta, Record: Record{Life: "A", Era: w.writer.era}, Base: w.writer.version, Run: w.writer.run}
	if w.writer.whole || w.writer.written != w.writer.era {
		req.Kind = Whole
	}
	if m.partial {
		req.Kind = Delta
	}
	if req.Kind == Whole {
		req.Record.Rooms = roomNames(w.writer.joined)
	}
	req.Add = roomNames(w.writer.joined)[max(0, w.writer.joined-1):]
	next, outcome := m.apply(w.record, req, runName(w.run))
	if outcome == NeedWhole {
		req.Kind, req.Record.Rooms = Whole, roomNames(w.writer.joined)
		next, outcome = m.apply(w.record, req, runName(w.run))
	}
	if outcome != Written {
		panic(fmt.Sprintf("outcome %d of %+v on %+v", outcome, req, w.record))
	}
	w.before, w.record = w.record, next
	w.writer.version, w.writer.run, w.writer.written, w.writer.whole = next.Version, next.Run, w.writer.era, false
	return w
}

func initial() world {
	w := world{alive: true, writer: owner{whole: true}}
	w = w.write(mutant{})
	w.before = w.record
	return w
}

func (w world) steps(m mutant) []world {
	var out []world
	if w.alive {
		if w.writer.joined < joins { // a join: written before its ack; with the store away, a new era instead
			n := w
			n.writer.joined++
			if n.away {
				n.writer.era++
				n.writer.whole = true
			} else {
				n = n.write(m)
			}
			n.client = client{n.writer.joined, n.writer.era}
			if m.noEra {
				n.client.era = 0
			}
			out = append(out, n)
		}
		if !w.away && !m.partial && w.stale() { // it notices and writes again
			n := w
			n.writer.whole = true
			out = append(out, n.write(m))
		}
		if !w.death {
			n := w
			n.alive, n.death = false, true
			out = append(out, n)
		}
	}
	switch {
	case w.away:
		n := w
		n.away = false
		out = append(out, n)
	case !w.outage:
		n := w
		n.away, n.outage = true, true
		out = append(out, n)
	}
	if !w.away && !w.failover {
		n := w
		n.record, n.run, n.failover = w.before, w.run+1, true
		out = append(out, n)
	}
	if !w.away && !w.flush {
		n := w
		n.record, n.before, n.flush = nil, nil, true
		out = append(out, n)
	}
	return out
}

func (w world) stale() bool {
	r := w.record
	return r == nil || len(r.Rooms) != w.writer.joined || r.Era != w.writer.era || r.Run != runName(w.run)
}

func (w world) key() string {
	show := func(r *Record) string {
		if r == nil {
			return "-"
		}
		return fmt.Sprintf("%v/%d/%d/%s", r.Rooms, r.Version, r.Era, r.Run)
	}
	return fmt.Sprint(show(w.record), show(w.before), w.run, w.away, w.writer, w.alive, w.client, w.death, w.outage, w.failover, w.flush)
}

// explore walks all interleavings.
func explore(m mutant) (states, resumable, violations int, example string) {
	seen, stack := map[string]bool{}, []world{initial()}
	for len(stack) > 0 {
		w := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if k := w.key(); seen[k] {
			continue
		} else {
			seen[k] = true
		}
		states++
		if !w.away && m.resumable(w.record, Cursor{Life: "A", Era: w.client.era}, runName(w.run)) {
			resumable++
			if !holds(w.record, w.client.rooms) {
				violations++
				example = w.key()
			}
		}
		stack = append(stack, w.steps(m)...)
	}
	return states, resumable, violations, example
}

// holds reports whether the record has the first n rooms.
func holds(r *Record, n int) bool {
	have := map[string]bool{}
	for _, room := range r.Rooms {
		have[room] = true
	}
	for _, room := range roomNames(n) {
		if !have[room] {
			return false
		}
	}
	return true
}

func TestWhoeverMayResumeHasEveryRoomThatWasAcknowledged(t *testing.T) {
	tests := map[string]struct {
		mutant     mutant
		wantCaught bool
	}{
		"the design":                               {},
		"a record trusted in any run":              {mutant{rules: rules{noRun: true}}, true},
		"joins during an outage leave no mark":     {mutant{noEra: true}, true},
		"a delta is applied to whatever is stored": {mutant{rules: rules{partial: true}}, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			states, resumable, violations, example := explore(tt.mutant)
			t.Logf("%d states, %d resumable, %d violations", states, resumable, violations)
			if (violations > 0) != tt.wantCaught || resumable == 0 {
				t.Errorf("%d violations in %d resumable states, e.g. %s", violations, resumable, example)
			}
		})
	}
}
