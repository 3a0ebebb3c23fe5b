// Package incarnation owns which incarnation of the events topic this router speaks of, and when it is another one
// (DESIGN, "Delivery" 7): the topic was made anew, its partitions were added to, or a partition lost its end.
//
// Every router derives the same name from what all of them see: the topic's id and partition count, and the counts of
// cuts, kept in Kafka. A broker that is behind may say what was true before, and an end that looks too low may be a
// replica's that is behind: nothing counts that was not seen twice, Confirm apart, with nothing else between.
package incarnation

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/edumatrix/interlink/services/router/internal/kafkaconn"
)

// Kafka is what is asked.
type Kafka interface {
	Describe(ctx context.Context, topic string) (kafkaconn.Described, error)
	Cuts(ctx context.Context, group, topic string, d kafkaconn.Described) (map[int]kafkaconn.Cut, error)
	PutCut(ctx context.Context, group, topic string, d kafkaconn.Described, partition int, k kafkaconn.Cut) error
	Offsets(ctx context.Context, topic string, partition int) (first, next int64, err error)
}

// Options of a Watcher. Zero durations mean the defaults.
type Options struct {
	Kafka   Kafka
	Topic   string
	Group   string        // whose offsets hold the cuts; nobody consumes by it
	Every   time.Duration // between two looks, default 5 s
	Confirm time.Duration // between the two that must agree, default 5 s
	Logger  *slog.Logger
}

// Incarnation is what the topic is.
type Incarnation struct {
	Partitions int
	Epoch      string
}

// Watcher knows the present incarnation. Safe for use by many goroutines.
type Watcher struct {
	opts   Options
	look   chan struct{}
	doubts chan doubt

	mu       sync.Mutex // guards what follows
	now      Incarnation
	topic    kafkaconn.Described
	cuts     map[int]kafkaconn.Cut
	changed  chan struct{} // closed when now is another one
	doubting map[int]int64 // offsets under suspicion, by partition
}

type doubt struct {
	partition int
	offset    int64
}

const (
	maxDoubts = 256
	// keepCuts is how old the writing of a cut may be: Kafka forgets the offsets of a group without members after days.
	keepCuts = 24 * time.Hour
)

// New makes a Watcher; Begin must succeed before Run.
func New(o Options) *Watcher {
	if o.Every <= 0 {
		o.Every = 5 * time.Second
	}
	if o.Confirm <= 0 {
		o.Confirm = 5 * time.Second
	}
	return &Watcher{opts: o, look: make(chan struct{}, 1), doubts: make(chan doubt, maxDoubts), changed: make(chan struct{}),
		doubting: map[int]int64{}}
}

// Begin takes what the topic is now.
func (w *Watcher) Begin(ctx context.Context) error {
	seen, err := w.see(ctx)
	if err != nil {
		return err
	}
	w.take(seen)
	return nil
}

// Now is the present incarnation, and a channel that is closed when it is another one.
func (w *Watcher) Now() (Incarnation, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now, w.changed
}

// Look asks for a look at the topic before the next is due. It never blocks.
func (w *Watcher) Look() {
	select {
	case w.look <- struct{}{}:
	default:
	}
}

// Doubt reports that somebody has come as far as offset in a partition that this router serves, and that the partition
// ends before it. If that stays so, the partition has lost its end. It never blocks.
func (w *Watcher) Doubt(partition int, offset int64) {
	w.mu.Lock()
	_, known := w.doubting[partition]
	if !known {
		w.doubting[partition] = offset
	}
	w.mu.Unlock()
	if known {
		return
	}
	select {
	case w.doubts <- doubt{partition, offset}:
	default:
		w.forget(partition)
	}
}

func (w *Watcher) forget(partition int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.doubting, partition)
}

// Lost reports that a partition is known to have lost its end: a record that was served is another one now.
func (w *Watcher) Lost(ctx context.Context, partition int) error {
	w.mu.Lock()
	d, k := w.topic, w.cuts[partition]
	w.mu.Unlock()
	k = kafkaconn.Cut{Times: k.Times + 1, At: time.Now()}
	w.opts.Logger.ErrorContext(ctx, "a partition has lost its end: what was served from there is gone; sessions begin anew", "partition", partition)
	if err := w.opts.Kafka.PutCut(ctx, w.opts.Group, w.opts.Topic, d, partition, k); err != nil {
		return err
	}
	w.Look()
	return nil
}

// seen is one answer.
type seen struct {
	Incarnation
	topic kafkaconn.Described
	cuts  map[int]kafkaconn.Cut
}

func (w *Watcher) see(ctx context.Context) (seen, error) {
	d, err := w.opts.Kafka.Describe(ctx, w.opts.Topic)
	if err != nil {
		return seen{}, err
	}
	cuts, err := w.opts.Kafka.Cuts(ctx, w.opts.Group, w.opts.Topic, d)
	if err != nil {
		return seen{}, err
	}
	return seen{Incarnation: Incarnation{Partitions: d.Partitions, Epoch: name(d, cuts)}, topic: d, cuts: cuts}, nil
}

// name adds the cuts to the topic's epoch. Their sum grows with each, and is the same for all who have seen the same.
func name(d kafkaconn.Described, cuts map[int]kafkaconn.Cut) string {
	sum := 0
	for _, k := range cuts {
		sum += k.Times
	}
	if sum == 0 {
		return d.Epoch
	}
	return fmt.Sprintf("%s+%d", d.Epoch, sum)
}

func (w *Watcher) take(s seen) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.topic, w.cuts = s.topic, s.cuts
	if s.Incarnation == w.now {
		return
	}
	w.now = s.Incarnation
	clear(w.doubting)
	close(w.changed)
	w.changed = make(chan struct{})
}

// judge decides about what was seen: nothing but the present one resets it, another one counts when it was seen before
// and Confirm has passed since.
type judge struct {
	other Incarnation
	since time.Time
}

// Seen reports whether the incarnation is to be taken.
func (j *judge) Seen(present, found Incarnation, now time.Time, confirm time.Duration) bool {
	switch {
	case found == present:
		j.since = time.Time{}
		return true // its cuts may have been written again
	case j.since.IsZero() || found != j.other:
		j.other, j.since = found, now
		return false
	}
	return now.Sub(j.since) >= confirm
}

// Run looks until ctx ends.
func (w *Watcher) Run(ctx context.Context) error {
	tick := time.NewTicker(w.opts.Every)
	defer tick.Stop()
	var waits sync.WaitGroup
	defer waits.Wait()
	var j judge
	var again <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case d := <-w.doubts:
			waits.Go(func() { w.resolve(ctx, d) })
			continue
		case <-tick.C:
		case <-w.look:
		case <-again:
		}
		again = nil
		if w.once(ctx, &j) {
			again = time.After(w.opts.Confirm) // to be confirmed
		}
	}
}

// once looks, and reports whether something else was seen that is not certain yet.
func (w *Watcher) once(ctx context.Context, j *judge) (uncertain bool) {
	found, err := w.see(ctx)
	if err != nil {
		w.opts.Logger.DebugContext(ctx, "cannot look at the topic", "error", err)
		return false
	}
	present, _ := w.Now()
	if !j.Seen(present, found.Incarnation, time.Now(), w.opts.Confirm) {
		return true
	}
	if found.Incarnation != present {
		w.opts.Logger.ErrorContext(ctx, "the topic is another one: positions and cursors of before mean nothing any more, sessions begin anew",
			"before", present.Epoch, "now", found.Epoch)
		*j = judge{}
	}
	w.take(found)
	return false
}

// resolve asks twice whether a partition ends before an offset that was served.
func (w *Watcher) resolve(ctx context.Context, d doubt) {
	defer w.forget(d.partition)
	for try := range 2 {
		if try > 0 {
			select {
			case <-ctx.Done():
				return
			case <-time.After(w.opts.Confirm):
			}
		}
		_, next, err := w.opts.Kafka.Offsets(ctx, w.opts.Topic, d.partition)
		if err != nil || next >= d.offset {
			return
		}
	}
	// The topic itself may be another one: then that is what has to be said, and by itself.
	found, err := w.see(ctx)
	w.mu.Lock()
	same := err == nil && found.topic == w.topic
	w.mu.Unlock()
	if !same {
		w.Look()
		return
	}
	if err := w.Lost(ctx, d.partition); err != nil {
		w.opts.Logger.WarnContext(ctx, "cannot note that a partition has lost its end", "partition", d.partition, "error", err)
	}
}

// Renew writes the cuts of some partitions again that were written long ago. Only who serves them should.
func (w *Watcher) Renew(ctx context.Context, partitions []int, now time.Time) {
	for _, p := range partitions {
		w.mu.Lock()
		d, k := w.topic, w.cuts[p]
		w.mu.Unlock()
		if k.Times == 0 || now.Sub(k.At) < keepCuts {
			continue
		}
		k.At = now
		if err := w.opts.Kafka.PutCut(ctx, w.opts.Group, w.opts.Topic, d, p, k); err != nil {
			w.opts.Logger.WarnContext(ctx, "cannot write again how often a partition was cut", "partition", p, "error", err)
		}
	}
}
