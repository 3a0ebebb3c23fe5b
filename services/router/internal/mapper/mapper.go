// Package mapper owns the consumer that reads a platform's own topics, maps each record and publishes what comes out as
// envelopes on Interlink's topic. Each topic is read by a consumer of its own, each partition by one goroutine: a topic full
// of garbage delays nobody else's. The group's offset follows the brokers' answers: while Kafka takes nothing the mapper
// waits, and skips nothing. What can't be mapped goes to the dead letters with the reason.
//
// Strangers may be able to write these topics, so nothing here grants anything: of control records only membership.changed
// is taken, whose `add` asks the authorizer again.
package mapper

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	deliveryv1 "github.com/edumatrix/interlink/proto/delivery/v1"
	"github.com/edumatrix/interlink/services/internal/mapping"
	"github.com/edumatrix/interlink/services/router/internal/envelope"
)

// Mapping turns one record into envelopes.
type Mapping interface {
	Record(ctx context.Context, source mapping.Source, value []byte) ([]json.RawMessage, error)
}

// ErrRefused is wrapped by errors of Publish that no patience mends.
var ErrRefused = errors.New("mapper: refused for good")

// Publisher appends envelopes to the events topic, in order. Publish returns one error each; nil when the brokers have it.
type Publisher interface {
	Publish(ctx context.Context, all []*envelope.Envelope) []error
	Push(all []*envelope.Envelope) error
}

// Letters takes what can't be mapped.
type Letters interface {
	// Deliver blocks while too much waits to be written: then this partition waits, and no other.
	Deliver(ctx context.Context, m envelope.Message, reason envelope.Reason, detail string)
	Low(partition int) (offset int64, waiting bool)
}

// Offsets asks Kafka where a partition is.
type Offsets interface {
	Offsets(ctx context.Context, topic string, partition int) (first, next int64, err error)
	OffsetAt(ctx context.Context, topic string, partition int, t time.Time) (int64, error)
}

// Result says what became of a record. A closed set.
type Result string

// The results.
const (
	Mapped  Result = "mapped"  // published
	Nothing Result = "nothing" // concerns nobody
	Buried  Result = "buried"  // in the dead letters
)

// Unmappable is the reason of dead letters whose program failed.
const Unmappable envelope.Reason = "unmappable"

// Options of a Mapper of one topic. All but Window must be given.
type Options struct {
	Topic     string
	Mapping   Mapping
	Publisher Publisher
	Letters   Letters
	Offsets   Offsets
	// Window is how far back a partition is read that the group has never committed, default 2 min: a switch-over may
	// overlap with the old server, and years of history stay history.
	Window  time.Duration
	Observe func(Result)
	Logger  *slog.Logger
}

const (
	firstPause   = 100 * time.Millisecond
	longestPause = 5 * time.Second
	chunkRecords = 200
)

// Mapper is the consumer's handler. Safe for use by many goroutines.
type Mapper struct {
	opts Options

	mu   sync.Mutex    // guards done
	done map[int]int64 // by partition: below it, everything is published or buried
}

// New makes a Mapper.
func New(o Options) *Mapper {
	if o.Window <= 0 {
		o.Window = 2 * time.Minute
	}
	return &Mapper{opts: o, done: map[int]int64{}}
}

// output is one envelope and the record that it came from.
type output struct {
	record   envelope.Message
	envelope *envelope.Envelope
}

// Start goes on at the committed offset, else one window back.
func (m *Mapper) Start(ctx context.Context, partition int, committed int64) (int64, error) {
	first, end, err := m.opts.Offsets.Offsets(ctx, m.opts.Topic, partition)
	if err != nil {
		return 0, err
	}
	from := committed
	if from < 0 || from > end {
		if from, err = m.opts.Offsets.OffsetAt(ctx, m.opts.Topic, partition, time.Now().Add(-m.opts.Window)); err != nil {
			return 0, err
		}
	}
	from = min(max(from, first), end)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.done[partition] = from
	return from, nil
}

// Batch maps and publishes, and returns when the brokers have everything, or ctx ends.
func (m *Mapper) Batch(ctx context.Context, partition int, records []envelope.Message, next, _ int64) {
	for chunk := range slices.Chunk(records, chunkRecords) {
		var out []output
		for _, record := range chunk {
			for _, e := range m.envelopes(ctx, record) {
				out = append(out, output{record, e})
			}
		}
		if ctx.Err() != nil || !m.publish(ctx, partition, out) {
			return
		}
		m.progress(partition, chunk[len(chunk)-1].Offset+1)
	}
	m.progress(partition, next)
}

func (m *Mapper) progress(partition int, next int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if done, held := m.done[partition]; held {
		m.done[partition] = max(done, next)
	}
}

// envelopes are those of one record, in the order of the program's outputs; a record with one bad output is buried whole.
func (m *Mapper) envelopes(ctx context.Context, record envelope.Message) []*envelope.Envelope {
	raw, err := m.opts.Mapping.Record(ctx, mapping.Source{Topic: record.Topic, Partition: record.Partition, Offset: record.Offset}, record.Value)
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		m.bury(ctx, record, Unmappable, err)
		return nil
	}
	out := make([]*envelope.Envelope, 0, len(raw))
	for _, b := range raw {
		e, err := parse(b)
		if err != nil {
			m.bury(ctx, record, reasonOf(err), err)
			return nil
		}
		if e.Time.IsZero() {
			e.Time = record.Time
		}
		out = append(out, e)
	}
	if len(out) == 0 {
		m.opts.Observe(Nothing)
	} else {
		m.opts.Observe(Mapped)
	}
	return out
}

var errControl = errors.New("control: a mapped topic may only say membership.changed")

func parse(b []byte) (*envelope.Envelope, error) {
	e, err := envelope.Parse(b)
	if err == nil && e.Control != nil && e.Control.Kind != deliveryv1.Control_MEMBERSHIP_CHANGED {
		return nil, errControl
	}
	return e, err
}

func reasonOf(err error) envelope.Reason {
	var bad *envelope.Error
	if errors.As(err, &bad) {
		return bad.Reason
	}
	return Unmappable
}

func (m *Mapper) bury(ctx context.Context, record envelope.Message, reason envelope.Reason, err error) {
	m.opts.Letters.Deliver(ctx, record, reason, err.Error())
	m.opts.Observe(Buried)
}

// publish tries until the brokers have everything; false if ctx ended first. Order holds inside a partition: after a
// failure what follows is published again too, under the same ids.
func (m *Mapper) publish(ctx context.Context, partition int, out []output) bool {
	var volatile []*envelope.Envelope
	durable := out[:0]
	for _, o := range out {
		if o.envelope.Volatile {
			volatile = append(volatile, o.envelope)
		} else {
			durable = append(durable, o)
		}
	}
	if len(volatile) > 0 {
		if err := m.opts.Publisher.Push(volatile); err != nil {
			m.opts.Logger.DebugContext(ctx, "ephemeral events of a mapped topic are lost", "topic", m.opts.Topic, "error", err)
		}
	}
	pause, told := firstPause, false
	for len(durable) > 0 {
		done, err := m.attempt(ctx, durable)
		durable = durable[done:]
		if ctx.Err() != nil {
			return false
		}
		if err == nil {
			continue
		}
		if !told {
			m.opts.Logger.WarnContext(ctx, "mapped events can't be published; they wait in kafka", "topic", m.opts.Topic, "partition", partition, "error", err)
			told = true
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(pause):
		}
		pause = min(2*pause, longestPause)
	}
	return true
}

// attempt publishes once and counts what needs no other try, up to the first failure that patience may mend.
func (m *Mapper) attempt(ctx context.Context, out []output) (done int, err error) {
	all := make([]*envelope.Envelope, len(out))
	for i, o := range out {
		all[i] = o.envelope
	}
	for i, err := range m.opts.Publisher.Publish(ctx, all) {
		if errors.Is(err, ErrRefused) {
			m.bury(ctx, out[i].record, reasonOf(err), err)
			continue
		}
		if err != nil {
			return i, err
		}
	}
	return len(out), nil
}

// Commit is the offset below which everything is published or buried.
func (m *Mapper) Commit(partition int) (int64, bool) {
	m.mu.Lock()
	done, ok := m.done[partition]
	m.mu.Unlock()
	if low, waiting := m.opts.Letters.Low(partition); ok && waiting {
		done = min(done, low)
	}
	return done, ok
}

// Assigned forgets partitions that are not in the new generation.
func (m *Mapper) Assigned(all []int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	maps.DeleteFunc(m.done, func(p int, _ int64) bool { return !slices.Contains(all, p) })
}
