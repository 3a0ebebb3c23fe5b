package recovery

import (
	"fmt"
	"slices"
	"strings"

	"github.com/edumatrix/interlink/test/checker"
	"github.com/edumatrix/interlink/test/load"
)

// The reasons that session:ready may give for a session that begins anew, and Unsaid for a connection that was cut
// before it could give one.
const (
	window           = "window"
	noSession        = "no_session"
	noBase           = "no_base"
	storeUnavailable = "store_unavailable"
	epoch            = "epoch"
	unsaid           = checker.Unsaid
)

// Phase is a time with its faults.
type Phase struct {
	Name       string
	Begun, End int64    // epoch milliseconds
	Permits    []string // reasons to begin anew that the faults of this time permit
}

// Forbidden returns the beginnings that no phase of their time permits.
func Forbidden(begun []checker.Beginning, phases []Phase) []checker.Beginning {
	var list []checker.Beginning
	for _, b := range begun {
		permitted := slices.ContainsFunc(phases, func(p Phase) bool {
			return b.Time >= p.Begun && b.Time < p.End && slices.Contains(p.Permits, b.Reason)
		})
		if !permitted {
			list = append(list, b)
		}
	}
	return list
}

// Row is what happened in a phase.
type Row struct {
	Phase
	Reconnects, Recovered       int
	Anew                        map[string]int // connections begun anew, by reason
	Lost, Doubled, Disordered   int
	Other                       int // foreign, unknown, contradictory
	Forbidden                   []checker.Beginning
	CaughtUp50, CaughtUp99      int64 // milliseconds from the cut to having handled all that was there before the reconnect
	CaughtUpMost                int64
	Slowest                     string // the client of CaughtUpMost
	Settled                     int64  // milliseconds that the last client needed after the phase
	Delay50, Delay99, DelayMost int64  // from being there to the handler
}

// OK tells whether the phase was as guaranteed.
func (r Row) OK() bool {
	return r.Lost+r.Doubled+r.Disordered+r.Other+len(r.Forbidden) == 0
}

// Header names the columns of Row.String.
func Header() string {
	return fmt.Sprintf("%-22s %10s %9s %5s %5s %5s %5s  %8s %8s %8s  %7s %7s %7s  %s", "fault", "reconnects", "recovered",
		"lost", "twice", "order", "other", "caught50", "caught99", "most ms", "p50 ms", "p99 ms", "most ms", "begun anew")
}

func (r Row) String() string {
	return fmt.Sprintf("%-22s %10d %9d %5d %5d %5d %5d  %8d %8d %8d  %7d %7d %7d  %s", r.Name, r.Reconnects, r.Recovered,
		r.Lost, r.Doubled, r.Disordered, r.Other, r.CaughtUp50, r.CaughtUp99, r.CaughtUpMost, r.Delay50, r.Delay99, r.DelayMost,
		reasons(r.Anew))
}

func reasons(m map[string]int) string {
	names := make([]string, 0, len(m))
	for name, n := range m {
		names = append(names, fmt.Sprintf("%s %d", name, n))
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// Judge is what is known of the run so far: it makes a row of each phase out of reports that cover everything.
type Judge struct {
	Phases []Phase
	before checker.Report
}

// Row judges the phase that has just ended. report covers the run from its beginning; seen says when each record was first
// there to be delivered, in epoch milliseconds by id.
func (j *Judge) Row(p Phase, report checker.Report, seen map[string]int64, clients []checker.Client) Row {
	j.Phases = append(j.Phases, p)
	row := Row{Phase: p, Anew: map[string]int{}}
	row.Lost = len(report.Lost) - len(j.before.Lost)
	row.Doubled = len(report.Doubled) - len(j.before.Doubled)
	row.Disordered = len(report.Disordered) - len(j.before.Disordered)
	row.Other = len(report.Foreign) + len(report.Unknown) + len(report.Lies) - len(j.before.Foreign) - len(j.before.Unknown) - len(j.before.Lies)
	j.before = report
	for _, b := range report.Begun {
		if b.Time >= p.Begun && b.Time < p.End {
			row.Anew[b.Reason]++
			row.Forbidden = append(row.Forbidden, Forbidden([]checker.Beginning{b}, j.Phases)...)
		}
	}
	times := timesOf(p, seen, clients)
	row.Reconnects, row.Recovered = times.reconnects, len(times.caughtUp)
	row.CaughtUp50, row.CaughtUp99, row.CaughtUpMost = load.Percentile(times.caughtUp, 50), load.Percentile(times.caughtUp, 99), load.Percentile(times.caughtUp, 100)
	row.Slowest = times.slowest
	row.Delay50, row.Delay99, row.DelayMost = load.Percentile(times.delays, 50), load.Percentile(times.delays, 99), load.Percentile(times.delays, 100)
	return row
}

// times are the durations of a phase, in milliseconds, sorted.
type times struct {
	reconnects int
	caughtUp   []int64 // of recovered connections
	most       int64
	slowest    string  // client of the longest caughtUp
	delays     []int64 // of what was published in the phase
}

func timesOf(p Phase, seen map[string]int64, clients []checker.Client) times {
	var t times
	for _, c := range clients {
		t.add(p, seen, c)
	}
	slices.Sort(t.caughtUp)
	slices.Sort(t.delays)
	return t
}

// add follows one client. A connection has caught up when it has handled all that was there before it was open.
func (t *times) add(p Phase, seen map[string]int64, c checker.Client) {
	inside := func(at int64) bool { return at >= p.Begun && at < p.End }
	var cut, connected, caughtUp int64
	counted := false
	finish := func() {
		if counted {
			t.caughtUp = append(t.caughtUp, caughtUp-cut)
			if caughtUp-cut > t.most {
				t.most, t.slowest = caughtUp-cut, c.Name
			}
		}
		counted = false
	}
	for _, o := range c.Observations {
		switch o.Kind {
		case checker.Disconnected:
			finish()
			cut = o.Time
		case checker.Connected:
			if cut > 0 && inside(o.Time) {
				t.reconnects++
				counted = o.Recovered
			}
			connected, caughtUp = o.Time, o.Time
		case checker.Handled:
			there, known := seen[o.ID]
			if !known {
				continue // younger than seen
			}
			if there <= connected {
				caughtUp = o.Time
			}
			if inside(there) {
				t.delays = append(t.delays, max(o.Time-there, 0))
			}
		}
	}
	finish()
}
