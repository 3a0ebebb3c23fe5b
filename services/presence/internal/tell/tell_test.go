package tell_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	deliveryv1 "github.com/edumatrix/interlink/proto/delivery/v1"
	emitv1 "github.com/edumatrix/interlink/proto/emit/v1"
	"github.com/edumatrix/interlink/services/presence/internal/tell"
)

// routers is an Emit service that can be away, and that can refuse single entries.
type routers struct {
	mu      sync.Mutex // guards everything below
	away    bool
	refuse  string // value of an entry that is refused once
	events  []string
	records []string
}

var errAway = errors.New("routers are away")

func (r *routers) Push(_ context.Context, in *emitv1.PushRequest, _ ...grpc.CallOption) (*emitv1.PushResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.away {
		return nil, errAway
	}
	for _, raw := range in.GetRecords() {
		var rec deliveryv1.Record
		if err := proto.Unmarshal(raw, &rec); err != nil {
			return nil, err
		}
		r.events = append(r.events, rec.GetEvent())
	}
	return &emitv1.PushResponse{}, nil
}

func (r *routers) Publish(_ context.Context, in *emitv1.PublishRequest, _ ...grpc.CallOption) (*emitv1.PublishResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.away {
		return nil, errAway
	}
	out := &emitv1.PublishResponse{}
	for _, e := range in.GetEntries() {
		if v := string(e.GetValue()); v == r.refuse {
			r.refuse = ""
			out.Results = append(out.Results, &emitv1.Result{Error: "not now"})
			continue
		}
		r.records = append(r.records, string(e.GetValue()))
		out.Results = append(out.Results, &emitv1.Result{})
	}
	return out, nil
}

func (r *routers) set(away bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.away = away
}

func (r *routers) heard() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.events, " ") + " | " + strings.Join(r.records, " ")
}

type counts struct {
	mu            sync.Mutex // guards both
	told, dropped map[tell.Kind]int
}

func count(m map[tell.Kind]int, mu *sync.Mutex) func(tell.Kind, int) {
	return func(k tell.Kind, n int) {
		mu.Lock()
		defer mu.Unlock()
		m[k] += n
	}
}

func (c *counts) droppedOf(k tell.Kind) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.dropped[k]
}

// outbox runs an Outbox until the test's bubble ends.
func outbox(t *testing.T, o tell.Options) (*tell.Outbox, *counts, func()) {
	c := &counts{told: map[tell.Kind]int{}, dropped: map[tell.Kind]int{}}
	o.Told, o.Dropped = count(c.told, &c.mu), count(c.dropped, &c.mu)
	b := tell.New(o)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := b.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	return b, c, func() { cancel(); <-done }
}

func event(name, key string) *deliveryv1.Record {
	return &deliveryv1.Record{Event: name, Replace: key}
}

func record(user, value string) *emitv1.Entry {
	return &emitv1.Entry{Topic: "lifecycle", Key: []byte(user), Value: []byte(value)}
}

func TestOutboxTellsInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &routers{}
		b, _, stop := outbox(t, tell.Options{Emit: r})
		defer stop()
		for i := range 5 {
			b.Event(event(fmt.Sprintf("e%d", i), fmt.Sprintf("k%d", i)))
			b.Record(record(fmt.Sprintf("u%d", i), fmt.Sprintf("r%d", i)))
		}
		synctest.Wait()
		if got := r.heard(); got != "e0 e1 e2 e3 e4 | r0 r1 r2 r3 r4" {
			t.Error(got)
		}
	})
}

func TestOutboxKeepsTheNewestOfEachWhileTheRoutersAreAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &routers{away: true}
		b, c, stop := outbox(t, tell.Options{Emit: r})
		defer stop()
		b.Event(event("old", "k"))
		b.Record(record("u", "old"))
		synctest.Wait() // the first attempt has failed and was given back
		b.Event(event("new", "k"))
		b.Event(event("other", "k2"))
		b.Record(record("u", "new"))
		time.Sleep(3 * time.Second)
		r.set(false)
		time.Sleep(3 * time.Second)
		if got := r.heard(); got != "new other | new" {
			t.Error(got)
		}
		if n := c.droppedOf(tell.Event) + c.droppedOf(tell.Lifecycle); n != 0 {
			t.Errorf("%d dropped", n)
		}
	})
}

func TestOutboxGivesUpEventsInSecondsAndRecordsInMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &routers{away: true}
		b, c, stop := outbox(t, tell.Options{Emit: r})
		defer stop()
		b.Event(event("e", "k"))
		b.Record(record("u", "r"))
		time.Sleep(time.Minute)
		r.set(false)
		time.Sleep(3 * time.Second)
		if got := r.heard(); got != " | r" {
			t.Error(got)
		}
		if n := c.droppedOf(tell.Event); n != 1 {
			t.Errorf("%d events dropped", n)
		}
		r.set(true)
		b.Record(record("u", "r2"))
		time.Sleep(11 * time.Minute)
		r.set(false)
		time.Sleep(3 * time.Second)
		if got := r.heard(); got != " | r" || c.droppedOf(tell.Lifecycle) != 1 {
			t.Errorf("%s, %d records dropped", got, c.droppedOf(tell.Lifecycle))
		}
	})
}

func TestOutboxIsBoundedAndDropsTheOldest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &routers{away: true}
		b, c, stop := outbox(t, tell.Options{Emit: r, EventBytes: 3000, LifecycleSize: 3000})
		defer stop()
		synctest.Wait()
		for i := range 100 {
			b.Event(event(fmt.Sprintf("e%02d", i), fmt.Sprintf("k%02d", i)))
			b.Record(record(fmt.Sprintf("u%02d", i), fmt.Sprintf("r%02d", i)))
		}
		synctest.Wait() // an attempt under way gives back what it holds
		events, records := b.Waiting()
		if events > 15 || records > 15 || events < 5 || records < 5 {
			t.Errorf("%d events, %d records waiting", events, records)
		}
		r.set(false)
		time.Sleep(3 * time.Second)
		heard := strings.Fields(r.heard())
		if !slices.Contains(heard, "e99") || !slices.Contains(heard, "r99") || slices.Contains(heard, "r01") {
			t.Error(heard)
		}
		// How much is dropped depends on how many attempts were made meanwhile; nothing vanishes uncounted.
		told := map[byte]int{}
		for _, h := range heard {
			told[h[0]]++
		}
		if told['e']+c.droppedOf(tell.Event) != 100 || told['r']+c.droppedOf(tell.Lifecycle) != 100 {
			t.Errorf("told %d and %d, dropped %d and %d, of 100 each", told['e'], told['r'], c.droppedOf(tell.Event), c.droppedOf(tell.Lifecycle))
		}
	})
}

func TestOutboxRetriesOnlyWhatWasRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &routers{refuse: "b", away: true} // so that all three go in one batch
		b, _, stop := outbox(t, tell.Options{Emit: r})
		defer stop()
		for _, v := range []string{"a", "b", "c"} {
			b.Record(record("u"+v, v))
		}
		synctest.Wait()
		r.set(false)
		time.Sleep(time.Second)
		if got := r.heard(); got != " | a c b" {
			t.Error(got)
		}
	})
}

func TestOutboxTellsWhatIsQueuedWhenItEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &routers{away: true}
		b, _, stop := outbox(t, tell.Options{Emit: r})
		b.Event(event("e", "k"))
		b.Record(record("u", "r"))
		synctest.Wait()
		r.set(false)
		stop()
		if got := r.heard(); got != "e | r" {
			t.Error(got)
		}
		r.set(true)
		b, c, stop := outbox(t, tell.Options{Emit: r})
		b.Record(record("u", "never"))
		stop()
		if c.droppedOf(tell.Lifecycle) != 1 {
			t.Error("a record that was never told is not counted")
		}
	})
}
