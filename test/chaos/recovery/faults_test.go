//go:build chaos || soak

package recovery

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/edumatrix/interlink/test/checker"
	"github.com/edumatrix/interlink/test/harness"
	"github.com/edumatrix/interlink/test/load"
)

// caughtUpWithin is the one bound on time: after a fault everybody has everything this soon.
const caughtUpWithin = time.Minute

// number reads a size from the environment.
func number(t testing.TB, name string, without int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return without
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// suite is a stage under load, judged phase by phase.
type suite struct {
	t     *testing.T
	stage *Stage
	run   *load.Run
	judge Judge
	rows  []Row
	ended chan error         // of the publishers
	stop  context.CancelFunc // ends the publishers
}

func begin(t *testing.T, stage *Stage, plan load.Plan) *suite {
	t.Helper()
	s := &suite{t: t, stage: stage, ended: make(chan error, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	s.stop = cancel
	var err error
	begun := time.Now()
	s.run, err = load.Start(t.Context(), stage.Target(), plan)
	t.Cleanup(func() {
		if s.run != nil {
			_ = s.run.Stop()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d clients of the official library, %d in Go and %d of its port to Go are in their rooms after %.1f s",
		plan.JS, plan.Go, plan.Library, time.Since(begun).Seconds())
	publishing, cancelPublishing := context.WithCancel(ctx)
	s.stop = cancelPublishing
	go func() {
		p, err := s.run.Publish(publishing, 24*time.Hour)
		t.Logf("published %d by Kafka, %d by HTTP (%d tries again, %d given up)", p.Kafka, p.HTTP, p.Retried, p.Failed)
		s.ended <- err
	}()
	return s
}

// phase runs what breaks things, waits until everybody has caught up, and judges.
func (s *suite) phase(name string, permits []string, during func(context.Context) ([]string, error)) Row {
	s.t.Helper()
	p := Phase{Name: name, Begun: time.Now().UnixMilli()}
	stopCuts := background(s.stage, 250*time.Millisecond)
	more, err := during(s.t.Context())
	if err != nil {
		s.t.Errorf("%s: %v", name, err)
	}
	cuts := stopCuts()
	if err := s.stage.WaitReady(s.t.Context()); err != nil {
		s.t.Errorf("%s: %v", name, err)
	}
	p.Permits = append(append([]string{unsaid}, permits...), more...)
	healed := time.Now()
	waiting, cancel := context.WithTimeout(s.t.Context(), caughtUpWithin)
	defer cancel()
	verdict, err := s.run.CatchUp(waiting, healed.UnixMilli())
	if err != nil {
		s.t.Errorf("%s: %v", name, err)
	}
	p.End = time.Now().UnixMilli()
	row := s.judge.Row(p, verdict.Report, s.run.Seen(), s.run.Histories())
	row.Settled = p.End - healed.UnixMilli()
	s.rows = append(s.rows, row)
	s.t.Logf("%v | settled after %d ms, %d cuts beside it", row, row.Settled, cuts)
	s.judgeRow(row, verdict.Report)
	if row.CaughtUpMost > 15_000 {
		s.t.Logf("%s needed %d ms", row.Slowest, row.CaughtUpMost)
		s.story(row.Slowest)
	}
	return row
}

func (s *suite) judgeRow(row Row, report checker.Report) {
	if !row.OK() {
		s.t.Errorf("%s: not as guaranteed: %v", row.Name, report)
		s.dump(row, report)
	}
	for i, b := range row.Forbidden {
		if i == 5 {
			s.t.Errorf("%s: … %d more", row.Name, len(row.Forbidden)-i)
			break
		}
		s.t.Errorf("%s: %s was told %q at %d, which nothing permits", row.Name, b.Client, b.Reason, b.Time)
	}
	if row.Recovered == 0 {
		s.t.Errorf("%s: nobody was recovered: it proves nothing", row.Name)
	}
}

// dump keeps what the clients saw to whom something happened that must not happen, beside the logs.
func (s *suite) dump(row Row, report checker.Report) {
	wrong := map[string]bool{}
	for _, list := range [][]checker.Fault{report.Lost, report.Doubled, report.Disordered, report.Foreign, report.Unknown, report.Lies} {
		for _, f := range list {
			wrong[f.Client] = true
		}
	}
	for _, b := range row.Forbidden {
		wrong[b.Client] = true
	}
	for user := range wrong {
		s.story(user)
	}
}

func (s *suite) story(user string) {
	text := strings.Join(s.run.Story(user), "\n") + "\n"
	if err := os.WriteFile(filepath.Join(s.stage.Artifacts, user+".history"), []byte(text), 0o644); err != nil {
		s.t.Error(err)
	}
}

// inject is a phase with one fault.
func (s *suite) inject(f Fault, n int) {
	s.phase(f.Name, f.Permits, func(ctx context.Context) ([]string, error) {
		mend, err := f.Begin(s.stage, n)
		if err != nil {
			return nil, err
		}
		if f.Name == forgotten {
			s.newcomers()
		}
		pause(ctx, f.Holds)
		err = mend()
		pause(ctx, 2*time.Second) // what comes back must meet a load that goes on
		return nil, err
	})
}

// newcomers must be in a room soon though the store has just forgotten everything. The cuts beside a fault may end one's
// connection: then it is another's turn.
func (s *suite) newcomers() {
	s.t.Helper()
	var took time.Duration
	err := errors.New("nobody")
	for try := 0; try < 3 && err != nil; try++ {
		took, err = newcomer(s.stage)
	}
	s.t.Logf("somebody new was in a room after %v", took.Round(time.Millisecond))
	if err != nil || took > joinWithin {
		s.t.Errorf("somebody new was in a room after %v: %v", took, err)
	}
}

// end stops publishers and clients, prints the table, and looks for goroutines that were left behind, if it is given how
// many there were before the clients came.
func (s *suite) end(goroutines map[string]int) {
	s.t.Helper()
	s.stop()
	if err := <-s.ended; err != nil {
		s.t.Errorf("publishers: %v", err)
	}
	verdict, err := s.run.Settle(s.t.Context())
	if err != nil || !verdict.OK() {
		s.t.Errorf("the whole run: %v %v", verdict.Report, err)
	}
	if verdict.Recovered == 0 || len(s.rows) == 0 {
		s.t.Errorf("%d recoveries, %d faults: a run that proves nothing", verdict.Recovered, len(s.rows))
	}
	var table strings.Builder
	fmt.Fprintln(&table, Header())
	for _, row := range s.rows {
		fmt.Fprintln(&table, row)
	}
	fmt.Fprintf(&table, "\n%v\n\n%v\n", verdict.Report, s.stage.Memory)
	fmt.Fprintf(&table, "events of a connection before, handled by the client library in Go: %d\n", s.run.BufferedByLibrary())
	if err := s.run.Stop(); err != nil {
		s.t.Error(err)
	}
	s.run = nil
	if goroutines != nil {
		fmt.Fprintf(&table, "goroutines after all clients went: %v\n", s.goroutines(goroutines))
	}
	s.t.Log("\n" + table.String())
	if err := os.WriteFile(filepath.Join(s.stage.Artifacts, "faults.txt"), []byte(table.String()), 0o644); err != nil {
		s.t.Error(err)
	}
}

// goroutines waits until every process has as many goroutines as before the clients came, beside pooled connections, and
// a few more at most.
func (s *suite) goroutines(before map[string]int) string {
	const more = 25 // what serves a connection of another process: a stream, a call that waits for news
	ctx, cancel := context.WithTimeout(s.t.Context(), 40*time.Second)
	defer cancel()
	var after map[string]int
	var tooMany error
	_ = harness.Eventually(ctx, func(ctx context.Context) error {
		counts, err := s.stage.Goroutines(ctx)
		if err != nil {
			return err
		}
		after, tooMany = counts, nil
		for name, n := range after {
			if n > before[name]+more {
				tooMany = errors.Join(tooMany, fmt.Errorf("%s has %d goroutines, %d before the clients came", name, n, before[name]))
			}
		}
		return tooMany
	})
	if tooMany != nil || after == nil {
		s.t.Errorf("goroutines were left behind: %v", tooMany)
	}
	return fmt.Sprintf("%v, before they came: %v", after, before)
}

// TestNothingIsLost injects each fault and then all at random while publishers never pause.
// RECOVERY_JS, RECOVERY_GO, RECOVERY_LIBRARY (clients), RECOVERY_RATE, RECOVERY_RANDOM (seconds), RECOVERY_SEED and
// RECOVERY_ONLY (a part of a fault's name) change it.
func TestNothingIsLost(t *testing.T) {
	stage := NewStage(t, harness.Config{Name: "recovery", Gateways: 3, Routers: 2, Presence: 2, Brokers: 3}, resumeWindow)
	before, err := stage.Goroutines(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s := begin(t, stage, load.Plan{
		Name: "r", JS: number(t, "RECOVERY_JS", 100), Go: number(t, "RECOVERY_GO", 260), Library: number(t, "RECOVERY_LIBRARY", 40),
		Workers: 2, Rooms: 150, RoomsPerSocket: 3, Rate: number(t, "RECOVERY_RATE", 200), Token: harness.Token, Backoff: 300 * time.Millisecond, OpenTimeout: 4 * time.Second, RetryFor: resumeWindow,
	})
	for i, f := range append(slices.Clone(faults), allRouters) {
		if strings.Contains(f.Name, os.Getenv("RECOVERY_ONLY")) {
			s.inject(f, i)
		}
	}
	if during := harness.Seconds(t, "RECOVERY_RANDOM", 2*time.Minute); during > 0 {
		seed := uint64(number(t, "RECOVERY_SEED", int(time.Now().Unix())))
		t.Logf("at random for %v, RECOVERY_SEED=%d", during, seed)
		s.phase("at random", nil, func(ctx context.Context) ([]string, error) {
			return random(ctx, stage, rand.New(rand.NewPCG(seed, 0)), during, t.Logf)
		})
	}
	s.end(before)
}
