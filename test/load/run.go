package load

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/edumatrix/interlink/test/checker"
	"github.com/edumatrix/interlink/test/client"
	"github.com/edumatrix/interlink/test/harness"
)

// Run is a load that is going on.
type Run struct {
	target       Target
	plan         Plan
	http         http.Client
	recorders    []*recorder
	workers      []*worker
	oracle       *Oracle
	publications int // how often Publish was called: ids differ

	cancel context.CancelFunc // ends the Go clients
	wg     sync.WaitGroup

	mu   sync.Mutex // guards emit
	emit []string   // what takes POST /v1/emit now
}

// rampEvery spaces the Go clients' connects, so that a start is no storm.
const rampEvery = 3 * time.Millisecond

// Start connects all clients and returns when each is in its rooms. The caller stops the run, also after an error.
func Start(ctx context.Context, target Target, plan Plan) (*Run, error) {
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	r := &Run{target: target, plan: plan, cancel: cancel, emit: slices.Clone(target.Emit), http: http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}}
	for _, m := range plan.members(target.URLs) {
		r.recorders = append(r.recorders, newRecorder(m))
	}
	var err error
	if r.oracle, err = WatchLog(ctx, target.Brokers, target.Topic); err != nil {
		return r, err
	}
	js := r.recorders[:plan.JS]
	for i := range plan.Workers {
		var share []*recorder
		for k := i; k < len(js); k += plan.Workers {
			share = append(share, js[k])
		}
		w, err := startClients(target, fmt.Sprintf("%s-clients-%d", plan.Name, i), share, plan)
		if err != nil {
			return r, err
		}
		r.workers = append(r.workers, w)
	}
	others := plan.JS + plan.Go + plan.Library
	r.startRivals(life, r.recorders[others:])
	for i, rec := range r.recorders[plan.JS:others] {
		r.wg.Go(func() {
			pause(life, time.Duration(i)*rampEvery)
			token := plan.Token(rec.m.user, rec.m.rooms...)
			if rec.m.kind == ported {
				(&libraryClient{r: rec, token: token, plan: plan}).run(life)
				return
			}
			(&goClient{r: rec, token: token, plan: plan}).run(life)
		})
	}
	return r, r.WaitJoined(ctx, nil)
}

// WaitJoined waits until every client that wanted accepts (all of them, if it is nil) is in its rooms.
func (r *Run) WaitJoined(ctx context.Context, wanted func(url string) bool) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	return harness.Eventually(ctx, func(context.Context) error {
		missing := 0
		var example *recorder
		for _, rec := range r.recorders {
			if (wanted == nil || wanted(rec.m.url)) && !rec.joined() {
				missing++
				example = rec
			}
		}
		if missing > 0 {
			return fmt.Errorf("%d of %d clients are not in their rooms, such as %s: %v", missing, len(r.recorders), example.m.user, example.failures())
		}
		return nil
	})
}

// Histories returns what the clients have seen so far.
func (r *Run) Histories() []checker.Client {
	list := make([]checker.Client, len(r.recorders))
	for i, rec := range r.recorders {
		list[i] = rec.history()
	}
	return list
}

// Failures counts what went wrong with connections, by its text.
func (r *Run) Failures() map[string]int {
	counts := map[string]int{}
	for _, rec := range r.recorders {
		for _, f := range rec.failures() {
			counts[f]++
		}
	}
	return counts
}

// Seen returns when each record was first there to be delivered, in epoch milliseconds by id.
func (r *Run) Seen() map[string]int64 { return r.oracle.Seen() }

// Story tells what one client saw and what went wrong with its connections, a line each, in order.
func (r *Run) Story(user string) []string {
	type line struct {
		at   int64
		text string
	}
	var lines []line
	for _, rec := range r.recorders {
		if rec.m.user != user {
			continue
		}
		rec.mu.Lock()
		for _, o := range rec.seen {
			lines = append(lines, line{o.Time, fmt.Sprintf("%-12v %s%s%s %v", o.Kind, o.Room, o.ID, o.Reason, o.Recovered)})
		}
		for i, what := range rec.fails {
			lines = append(lines, line{rec.when[i], "trouble      " + what})
		}
		rec.mu.Unlock()
	}
	slices.SortStableFunc(lines, func(a, b line) int { return cmp.Compare(a.at, b.at) })
	var story []string
	for _, l := range lines {
		story = append(story, time.UnixMilli(l.at).UTC().Format("15:04:05.000 ")+l.text)
	}
	return story
}

// Refused400 counts polling requests that were answered 400: the classic of replicas without sticky sessions.
func (r *Run) Refused400() int {
	n := 0
	for text, count := range r.Failures() {
		if strings.Contains(text, "status 400") || strings.Contains(text, "xhr-p") {
			n += count
		}
	}
	return n
}

// BufferedByLibrary counts the events that the ported library handled a connection too late: libraryClient.event.
func (r *Run) BufferedByLibrary() int { return r.Failures()[bufferedByLibrary] }

// Users returns the users whose clients connect to a URL.
func (r *Run) Users(url string) []string {
	var list []string
	for _, rec := range r.recorders {
		if rec.m.url == url {
			list = append(list, rec.m.user)
		}
	}
	return list
}

// Transports counts the clients by how they connect.
func (r *Run) Transports() (websocket, polling, upgrade int) {
	for _, rec := range r.recorders {
		switch rec.m.transport {
		case client.WebSocket:
			websocket++
		case client.Polling:
			polling++
		case client.Upgrade:
			upgrade++
		}
	}
	return
}

// Verdict is a judged run.
type Verdict struct {
	checker.Report
	Log []checker.Record
}

// Settle waits until every client has handled what it must, 60 s at most, and judges by the log.
func (r *Run) Settle(ctx context.Context) (Verdict, error) {
	log, err := r.oracle.Log(ctx)
	if err != nil {
		return Verdict{}, err
	}
	log = slices.DeleteFunc(log, func(rec checker.Record) bool { return !strings.HasPrefix(rec.ID, r.plan.Name+"-") })
	end := now()
	var report checker.Report
	waiting, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		report = checker.Check(log, r.Histories(), end)
		if len(report.Lost) == 0 || waiting.Err() != nil {
			break
		}
		pause(waiting, 500*time.Millisecond)
	}
	if report.Obliged == 0 {
		return Verdict{report, log}, errors.New("nothing was owed to anybody: a run that proves nothing")
	}
	return Verdict{report, log}, nil
}

// CatchUp waits until every client is in its rooms and has handled what it must of the time before end, and judges all
// that happened so far. Publishers may go on. It gives up when ctx ends: then the report says what is lost.
func (r *Run) CatchUp(ctx context.Context, end int64) (Verdict, error) {
	for {
		absent := r.WaitJoined(ctx, nil)
		clients := r.Histories() // before the log: what is handled must be in it
		reading, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		log, err := r.oracle.Log(reading)
		cancel()
		if err != nil {
			return Verdict{}, err
		}
		log = slices.DeleteFunc(log, func(rec checker.Record) bool { return !strings.HasPrefix(rec.ID, r.plan.Name+"-") })
		report := checker.Check(log, clients, end)
		if len(report.Lost) == 0 && absent == nil || ctx.Err() != nil {
			return Verdict{report, log}, absent
		}
		pause(ctx, time.Second)
	}
}

// Latency returns the milliseconds from a publisher's stamp to each handler, sorted.
func (r *Run) Latency(v Verdict) []int64 {
	stamps := make(map[string]int64, len(v.Log))
	for _, rec := range v.Log {
		if _, again := stamps[rec.ID]; !again {
			stamps[rec.ID] = rec.Stamp
		}
	}
	return Delays(stamps, r.Histories(), nil)
}

// Stalls returns the milliseconds from when a record was there to be delivered to each handler, sorted, of the clients
// that wanted accepts (all, if it is nil). A publisher's own waiting is no part of it. It was there when the oracle or the
// first client had it, whichever was earlier: the oracle shares this machine and may be late itself.
func (r *Run) Stalls(wanted func(user string) bool) []int64 {
	clients := r.Histories()
	return Delays(earliest(r.oracle.Seen(), clients), clients, wanted)
}

// earliest moves each id's time to the first handler's, if that was earlier.
func earliest(seen map[string]int64, clients []checker.Client) map[string]int64 {
	for _, c := range clients {
		for _, o := range c.Observations {
			if o.Kind != checker.Handled {
				continue
			}
			if at, known := seen[o.ID]; !known || o.Time < at {
				seen[o.ID] = o.Time
			}
		}
	}
	return seen
}

// OracleDelay returns the milliseconds from a publisher's stamp until the oracle had the record, sorted: how far to
// trust Stalls.
func (r *Run) OracleDelay(v Verdict) []int64 {
	seen := r.oracle.Seen()
	var list []int64
	for _, rec := range v.Log {
		if at, ok := seen[rec.ID]; ok {
			list = append(list, at-rec.Stamp)
		}
	}
	slices.Sort(list)
	return list
}

// Stop disconnects all clients and waits for them.
func (r *Run) Stop() error {
	r.cancel()
	var errs []error
	for _, w := range r.workers {
		errs = append(errs, w.stop(30*time.Second))
	}
	r.wg.Wait()
	if r.oracle != nil {
		r.oracle.Close()
	}
	r.http.CloseIdleConnections()
	return errors.Join(errs...)
}

// AddEmit adds an address that takes POST /v1/emit, of a router that was added.
func (r *Run) AddEmit(url string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.emit = append(r.emit, url)
}

func (r *Run) emitAt(n int) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.emit[n%len(r.emit)]
}
