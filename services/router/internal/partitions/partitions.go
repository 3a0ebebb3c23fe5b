// Package partitions owns which partitions this router holds, and the log of each: what the consumer reads goes in,
// what gateways are served comes out.
package partitions

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	deliveryv1 "github.com/edumatrix/interlink/proto/delivery/v1"

	"github.com/edumatrix/interlink/services/router/internal/envelope"
	"github.com/edumatrix/interlink/services/router/internal/partitionlog"
)

// Offsets asks Kafka where a partition is.
type Offsets interface {
	Offsets(ctx context.Context, topic string, partition int) (first, next int64, err error)
	OffsetAt(ctx context.Context, topic string, partition int, t time.Time) (int64, error)
}

// Letters takes what could not be read. Send never blocks.
type Letters interface {
	Send(m envelope.Message, reason envelope.Reason, detail string)
	Low(partition int) (offset int64, waiting bool)
}

// Observer hears what was read, on the partition's goroutine: it must not block.
type Observer interface {
	// Read reports a record that is read for the first time by the group, as far as its commits tell.
	Read(result string)
	// Dead reports a record that could not be read.
	Dead(reason envelope.Reason)
	// Control reports a control record before it is appended, repetitions included. It may hold it back for a moment.
	Control(rec *deliveryv1.Record)
	// ForgotEarly reports that ids of a partition with a complete log were forgotten although two windows were not over.
	ForgotEarly()
}

// Options of a Set.
type Options struct {
	Topic    string
	Window   time.Duration
	LogBytes int64 // per partition
	MaxIDs   int
	Offsets  Offsets
	Letters  Letters
	Observer Observer
	Logger   *slog.Logger
}

// Set is what this router holds. It is the consumer's handler. Safe for use by many goroutines.
type Set struct {
	opts Options

	mu       sync.RWMutex // guards what follows; a log's own lock may be taken under it
	held     map[int]*held
	assigned []int
	joined   bool
	version  uint64
	watchers map[*partitionlog.Watcher]struct{}
}

// held is one partition. Its fields after log are touched by the partition's reader only, but for ready, lag and next (Set.mu).
type held struct {
	log       *partitionlog.Log
	committed int64
	target    int64 // end of the partition when reading began: ready when the log has come that far
	ready     bool
	lag       int64
}

// Owned is a partition whose log is complete.
type Owned struct {
	Partition int
	Log       *partitionlog.Log
}

// New makes an empty Set.
func New(o Options) *Set {
	return &Set{opts: o, held: map[int]*held{}, watchers: map[*partitionlog.Watcher]struct{}{}}
}

// Start begins a log: it serves what is at most a window old, and reads from two windows before that for the ids.
func (s *Set) Start(ctx context.Context, partition int, committed int64) (int64, error) {
	now := time.Now()
	_, end, err := s.opts.Offsets.Offsets(ctx, s.opts.Topic, partition)
	if err != nil {
		return 0, err
	}
	from, err := s.opts.Offsets.OffsetAt(ctx, s.opts.Topic, partition, now.Add(-s.opts.Window))
	if err != nil {
		return 0, err
	}
	start, err := s.opts.Offsets.OffsetAt(ctx, s.opts.Topic, partition, now.Add(-3*s.opts.Window))
	if err != nil {
		return 0, err
	}
	start, from = min(start, end), min(from, end)
	log := partitionlog.New(partitionlog.Options{Window: s.opts.Window, MaxBytes: s.opts.LogBytes, MaxIDs: s.opts.MaxIDs},
		start, from, now.Add(-s.opts.Window))
	s.mu.Lock()
	defer s.mu.Unlock()
	for w := range s.watchers {
		log.Watch(w)
	}
	s.held[partition] = &held{log: log, committed: committed, target: end, ready: start >= end}
	s.changed()
	return start, nil
}

// changed tells the watchers that what is owned may differ. Held: mu.
func (s *Set) changed() {
	s.version++
	for w := range s.watchers {
		w.Wake()
	}
}

// Batch decodes and appends what was read.
func (s *Set) Batch(ctx context.Context, partition int, records []envelope.Message, next, highWater int64) {
	s.mu.RLock()
	h := s.held[partition]
	s.mu.RUnlock()
	if h == nil {
		return
	}
	entries := make([]partitionlog.Entry, 0, len(records))
	fresh := 0
	last := int64(0)
	for _, m := range records {
		last = m.Time.UnixMilli()
		isFresh := m.Offset >= h.committed
		e, err := s.decode(m, isFresh)
		if err != nil {
			s.opts.Logger.WarnContext(ctx, "a record can't be read", "partition", partition, "offset", m.Offset, "error", err)
			continue
		}
		if e.Record != nil {
			entries = append(entries, e)
			if isFresh {
				fresh++
			}
		}
	}
	if len(records) == 0 {
		_, _, last = h.log.Bounds()
	}
	before := h.log.ForgotEarly()
	repeated := h.log.Append(entries, next, last)
	s.count(fresh, repeated)
	if ready := s.progress(h, next, highWater); ready && h.log.ForgotEarly() > before {
		s.opts.Observer.ForgotEarly()
	}
}

// decode returns an entry without a record for what was buried. Only what the group has not dealt with before is buried and counted.
func (s *Set) decode(m envelope.Message, fresh bool) (partitionlog.Entry, error) {
	d, err := envelope.Decode(m)
	if err != nil {
		if !fresh {
			return partitionlog.Entry{}, nil
		}
		var e *envelope.Error
		reason := envelope.Invalid
		if errors.As(err, &e) {
			reason = e.Reason
		}
		s.opts.Observer.Dead(reason)
		s.opts.Letters.Send(m, reason, err.Error())
		return partitionlog.Entry{}, err
	}
	if d.Record.Control != nil {
		s.opts.Observer.Control(d.Record)
	}
	if fresh && d.OddKey {
		s.opts.Observer.Read("odd_key")
	}
	if fresh && d.QueueFor {
		s.opts.Observer.Read("queue_ignored")
	}
	return partitionlog.Of(d, m.Time)
}

func (s *Set) count(fresh, repeated int) {
	for range min(repeated, fresh) {
		s.opts.Observer.Read("repeated")
	}
	for range fresh - min(repeated, fresh) {
		s.opts.Observer.Read("appended")
	}
}

// progress reports whether the log is complete.
func (s *Set) progress(h *held, next, highWater int64) (ready bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h.lag = max(highWater-next, 0)
	if !h.ready && next >= h.target {
		h.ready = true
		s.changed()
	}
	return h.ready
}

// Commit is where the group's offset may go: as far as the log, but not past a letter that is still to be written.
func (s *Set) Commit(partition int) (int64, bool) {
	s.mu.RLock()
	h := s.held[partition]
	s.mu.RUnlock()
	if h == nil {
		return 0, false
	}
	_, next, _ := h.log.Bounds()
	if low, waiting := s.opts.Letters.Low(partition); waiting {
		next = min(next, low)
	}
	return next, true
}

// Assigned drops the logs of partitions that are not in the new generation.
func (s *Set) Assigned(all []int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.assigned, s.joined = all, true
	for p := range s.held {
		if !slices.Contains(all, p) {
			delete(s.held, p)
		}
	}
	s.changed()
}

// Owned lists the partitions with a complete log, in order; version changes whenever the list may have.
func (s *Set) Owned() (all []Owned, version uint64) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, p := range slices.Sorted(maps.Keys(s.held)) {
		if h := s.held[p]; h.ready {
			all = append(all, Owned{Partition: p, Log: h.log})
		}
	}
	return all, s.version
}

// Version is Owned's, cheaply.
func (s *Set) Version() uint64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.version
}

// Log is the log of an owned partition.
func (s *Set) Log(partition int) (*partitionlog.Log, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	h, ok := s.held[partition]
	if !ok || !h.ready {
		return nil, false
	}
	return h.log, true
}

// Watch tells w when a log grows or what is owned changes, until Unwatch.
func (s *Set) Watch(w *partitionlog.Watcher) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watchers[w] = struct{}{}
	for _, h := range s.held {
		h.log.Watch(w)
	}
}

// Unwatch ends Watch.
func (s *Set) Unwatch(w *partitionlog.Watcher) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.watchers, w)
	for _, h := range s.held {
		h.log.Unwatch(w)
	}
}

// State sums up: whether the group was joined and every assigned partition is owned, what the logs hold, what is unread.
func (s *Set) State() (complete bool, bytes, lag int64) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	complete = s.joined
	for _, p := range s.assigned {
		h := s.held[p]
		if h == nil || !h.ready {
			complete = false
			continue
		}
		bytes += h.log.Bytes()
		lag += h.lag
	}
	return complete, bytes, lag
}

// Run marks the logs' positions each second, until ctx ends.
func (s *Set) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			for _, l := range s.logs() {
				l.Tick(now)
			}
		}
	}
}

func (s *Set) logs() []*partitionlog.Log {
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := make([]*partitionlog.Log, 0, len(s.held))
	for _, h := range s.held {
		out = append(out, h.log)
	}
	return out
}
