//go:build mutants

package recovery

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/edumatrix/interlink/test/checker"
	"github.com/edumatrix/interlink/test/cut"
	"github.com/edumatrix/interlink/test/harness"
	"github.com/edumatrix/interlink/test/load"
)

// brokenGateway is the gateway with one rule of the design broken.
type brokenGateway struct {
	name    string
	changes []harness.Change
}

const (
	placementCore = "gateway/internal/placement/placement.go"
	interest      = "gateway/internal/placement/interest.go"
	stream        = "gateway/internal/hub/stream.go"
	queueOf       = "gateway/internal/engine/queue.go"
	resumed       = "gateway/internal/session/resumed.go"
)

// The first is none: what the storm does to the gateway as it is must be harmless.
var gatewayMutants = []brokenGateway{
	{name: "as it is"},
	{"skip the interest number", []harness.Change{
		{File: placementCore, Text: "short := number < c.need && c.mutant&noNumber == 0", By: "short := false"},
		{File: interest, Text: "level := c.level(now)", By: "level := uint64(math.MaxUint64)"},
	}},
	{"mint early", []harness.Change{{File: stream, Text: "h.pens.move(partition, r.offset+1, r.timeMs)", By: "h.pens.move(partition, r.offset+2, r.timeMs)"}}},
	{"conflate in place", []harness.Change{{File: queueOf, Text: "\t\tbehind := q.behind()\n", By: `		behind := q.behind()
		if last := q.frames[len(q.frames)-1]; n >= 8 && f.class == Durable && last.class == Durable {
			q.frames[len(q.frames)-1], q.bytes = f, q.bytes+f.Len()-last.Len()
			return replaced
		}
`}}},
	{"ready first", []harness.Change{
		{File: resumed, Text: "\tst.feedFrames(frames, free, func() {\n\t\tst.ready(resume.Resumed, true, r.out.Cursor)\n", By: `	st.ready(resume.Resumed, true, r.out.Cursor)
	st.socket.Shard().After(5*feedEvery, func() { st.replayed(a, r, frames, free) })
}

func (st *session) replayed(a *attempt, r *resuming, frames []*engine.Frame, free func()) {
	st.feedFrames(frames, free, func() {
`},
	}},
}

// TestTheSuiteCatchesBrokenGateways breaks the gateway in the ways that the design warns of and puts each under a short
// storm: a checker that finds nothing wrong with one of them would prove nothing elsewhere.
func TestTheSuiteCatchesBrokenGateways(t *testing.T) {
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	bin, err := harness.LinkedBin(root)
	t.Cleanup(func() { _ = os.RemoveAll(bin) })
	if err != nil {
		t.Fatal(err)
	}
	stage := NewStage(t, harness.Config{Name: "recovery-mutants", Gateways: 2, Routers: 1, Presence: 1}, resumeWindow)
	caught := 0
	for i, m := range gatewayMutants {
		swap(t, stage, m, root, filepath.Join(bin, "gateway"))
		report := underStorm(t, stage, fmt.Sprint("m", i))
		t.Logf("%s: %v", m.name, report)
		switch {
		case report.Recovered == 0:
			t.Errorf("%s: nobody was recovered: it proves nothing", m.name)
		case i == 0 && !report.OK():
			t.Errorf("%s: not as guaranteed", m.name)
		case i > 0 && report.OK():
			t.Errorf("%s: not caught", m.name)
		case i > 0:
			caught++
		}
	}
	t.Logf("mutants caught: %d of %d", caught, len(gatewayMutants)-1)
}

// swap has the gateways run the mutant.
func swap(t *testing.T, s *Stage, m brokenGateway, root, path string) {
	t.Helper()
	var errs []error
	for _, g := range s.Gateways {
		errs = append(errs, g.Kill())
	}
	if err := errors.Join(append(errs, os.Remove(path))...); err != nil {
		t.Fatal(err)
	}
	if err := harness.BuildChanged(root, "gateway", path, m.changes...); err != nil {
		t.Fatalf("%s: %v", m.name, err)
	}
	for _, g := range s.Gateways {
		errs = append(errs, g.Restart())
	}
	if err := errors.Join(append(errs, s.WaitReady(t.Context()))...); err != nil {
		t.Fatalf("%s: %v", m.name, err)
	}
}

// underStorm has everybody reconnect three times a second, some in the middle of a replay, while both gateways are
// killed in turn.
func underStorm(t *testing.T, s *Stage, name string) checker.Report {
	t.Helper()
	run, err := load.Start(t.Context(), s.Target(), load.Plan{
		Name: name, Go: 60, Rooms: 60, RoomsPerSocket: 3, Rate: 400, Token: harness.Token, WebSocketOnly: true,
		Backoff: 100 * time.Millisecond, OpenTimeout: 4 * time.Second, RetryFor: resumeWindow,
	})
	defer func() { _ = run.Stop() }()
	if err != nil {
		t.Fatal(err)
	}
	publishing, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { _, _ = run.Publish(publishing, time.Minute); close(done) }()
	for turn := range 4 {
		g := s.Gateways[turn%2]
		if err := g.Kill(); err != nil {
			t.Error(err)
		}
		release := s.Edge.Hold(cut.Both, nil) // so that there is something to be replayed
		pause(t.Context(), 1500*time.Millisecond)
		release()
		if err := g.Restart(); err != nil {
			t.Error(err)
		}
		for i := range 8 {
			s.Edge.Reset(nil)
			if i%3 == 0 { // the routers go on sending, and hear late which rooms the gateways have now
				for _, inner := range s.Inner {
					hear := inner.Hold(cut.ToClient, nil)
					time.AfterFunc(600*time.Millisecond, hear)
				}
			}
			pause(t.Context(), 300*time.Millisecond)
		}
	}
	stop()
	<-done
	if err := s.WaitReady(t.Context()); err != nil {
		t.Error(err)
	}
	waiting, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	verdict, err := run.CatchUp(waiting, time.Now().UnixMilli())
	if err != nil {
		t.Logf("%s: %v", name, err)
	}
	return verdict.Report
}
