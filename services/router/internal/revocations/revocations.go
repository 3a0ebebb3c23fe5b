// Package revocations owns the compacted topic of revoked sessions: read whole at start, followed from then on,
// and appended to when this router reads a session.revoked record in one of its partitions.
package revocations

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
	"golang.org/x/sync/errgroup"

	deliveryv1 "github.com/edumatrix/interlink/proto/delivery/v1"
	"github.com/edumatrix/interlink/services/router/internal/envelope"
	"github.com/edumatrix/interlink/services/router/internal/kafkaconn"
	"github.com/edumatrix/interlink/services/router/internal/partitionlog"
)

// Keep is how long a revocation is told to new gateways: longer than any session lives.
const Keep = 45 * 24 * time.Hour

const (
	queueLength = 4096
	retryAfter  = time.Second
	maxWait     = 500 * time.Millisecond
	fetchBytes  = 1 << 20
	// readWithin is how long writing waits for the topic to have been read: until then all that the log repeats looks new.
	readWithin = 10 * time.Second
)

// Appender writes one revocation to the topic.
type Appender interface {
	Revoke(ctx context.Context, user string, value []byte) error
}

// Options of a Register.
type Options struct {
	Cluster    *kafkaconn.Cluster
	Topic      string
	Partitions int
	Appender   Appender
	Logger     *slog.Logger
}

// Register knows for each user before when his sessions are void. Safe for use by many goroutines.
type Register struct {
	opts  Options
	queue chan *deliveryv1.Revocation
	whole chan struct{} // closed when unread is empty

	mu       sync.RWMutex // guards what follows
	before   map[string]entry
	version  uint64
	unread   map[int]bool // partitions that have not been read to their end once
	watchers map[*partitionlog.Watcher]struct{}
}

type entry struct {
	ms      int64
	version uint64
}

// New makes a Register that has read nothing.
func New(o Options) *Register {
	r := &Register{opts: o, queue: make(chan *deliveryv1.Revocation, queueLength), whole: make(chan struct{}), before: map[string]entry{},
		unread: map[int]bool{}, watchers: map[*partitionlog.Watcher]struct{}{}}
	for p := range o.Partitions {
		r.unread[p] = true
	}
	if len(r.unread) == 0 {
		close(r.whole)
	}
	return r
}

// Since lists what was added after a version, and the present version. Version 0 is before the first.
func (r *Register) Since(version uint64) ([]*deliveryv1.Revocation, uint64) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if version == r.version {
		return nil, version
	}
	oldest := time.Now().Add(-Keep).UnixMilli()
	var out []*deliveryv1.Revocation
	for user, e := range r.before {
		if e.version > version && e.ms >= oldest {
			out = append(out, &deliveryv1.Revocation{User: user, BeforeMs: e.ms})
		}
	}
	return out, r.version
}

// Complete reports whether the whole topic has been read once.
func (r *Register) Complete() bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return len(r.unread) == 0
}

// Watch tells w of each addition until Unwatch.
func (r *Register) Watch(w *partitionlog.Watcher) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.watchers[w] = struct{}{}
}

// Unwatch ends Watch.
func (r *Register) Unwatch(w *partitionlog.Watcher) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.watchers, w)
}

// Append queues a revocation for the topic unless it is known. It never blocks; what finds no room is told by the log
// of its partition alone, and by the next router that reads it.
func (r *Register) Append(user string, beforeMs int64) {
	if r.knows(user, beforeMs) {
		return
	}
	select {
	case r.queue <- &deliveryv1.Revocation{User: user, BeforeMs: beforeMs}:
	default:
		r.opts.Logger.Warn("too many revocations wait to be written, one is left to its partition's log")
	}
}

func (r *Register) knows(user string, ms int64) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.before[user].ms >= ms
}

func (r *Register) add(user string, ms int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.before[user].ms >= ms {
		return
	}
	r.version++
	r.before[user] = entry{ms: ms, version: r.version}
	for w := range r.watchers {
		w.Wake()
	}
}

// Run reads and appends until ctx ends.
func (r *Register) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for p := range r.opts.Partitions {
		g.Go(func() error { r.follow(ctx, p); return nil })
	}
	g.Go(func() error { r.write(ctx); return nil })
	return g.Wait()
}

func (r *Register) write(ctx context.Context) {
	select {
	case <-r.whole:
	case <-time.After(readWithin): // it can't be read: better twice on the topic than only in the log
	case <-ctx.Done():
	}
	for {
		select {
		case <-ctx.Done():
			return
		case v := <-r.queue:
			for !r.writeOne(ctx, v) && ctx.Err() == nil {
				pause(ctx, retryAfter)
			}
		}
	}
}

func (r *Register) writeOne(ctx context.Context, v *deliveryv1.Revocation) bool {
	if r.knows(v.GetUser(), v.GetBeforeMs()) {
		return true
	}
	value, err := json.Marshal(wire{User: v.GetUser(), Before: time.UnixMilli(v.GetBeforeMs()).UTC().Format(time.RFC3339Nano)})
	if err == nil {
		err = r.opts.Appender.Revoke(ctx, v.GetUser(), value)
	}
	if err != nil && ctx.Err() == nil {
		r.opts.Logger.WarnContext(ctx, "cannot write a revocation, trying again", "error", err)
	}
	return err == nil
}

type wire struct {
	User   string `json:"user"`
	Before string `json:"before"`
}

// Parse reads one record of the topic.
func Parse(value []byte) (user string, beforeMs int64, err error) {
	var w struct {
		User   string          `json:"user"`
		Before json.RawMessage `json:"before"`
	}
	if err := json.Unmarshal(value, &w); err != nil {
		return "", 0, fmt.Errorf("revocation: %w", err)
	}
	if w.User == "" {
		return "", 0, errors.New("revocation: user: is required")
	}
	if json.Unmarshal(w.Before, &beforeMs) == nil && beforeMs > 0 {
		return w.User, beforeMs, nil
	}
	var t time.Time
	if err := json.Unmarshal(w.Before, &t); err != nil || t.UnixMilli() <= 0 {
		return "", 0, errors.New("revocation: before: must be an RFC 3339 time or epoch milliseconds")
	}
	return w.User, t.UnixMilli(), nil
}

// follow reads one partition from its first record on.
func (r *Register) follow(ctx context.Context, partition int) {
	next, before, said := int64(kafka.FirstOffset), int64(kafka.FirstOffset), false
	for ctx.Err() == nil {
		err := r.session(ctx, partition, &next)
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, kafka.OffsetOutOfRange) || errors.Is(err, kafka.UnknownTopicOrPartition) {
			next = kafka.FirstOffset
		}
		if said = said && next == before; !said { // once until it goes on
			r.opts.Logger.WarnContext(ctx, "cannot read revocations, trying again", "partition", partition, "error", r.opts.Cluster.Explain(err))
			said, before = true, next
		}
		pause(ctx, retryAfter)
	}
}

func (r *Register) session(ctx context.Context, partition int, next *int64) error {
	conn, err := r.opts.Cluster.Leader(ctx, r.opts.Topic, partition)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if *next == kafka.FirstOffset {
		if *next, _, err = r.opts.Cluster.Offsets(ctx, r.opts.Topic, partition); err != nil {
			*next = kafka.FirstOffset
			return err
		}
	}
	_, end, err := r.opts.Cluster.Offsets(ctx, r.opts.Topic, partition)
	if err != nil {
		return err
	}
	stuck := 0
	for ctx.Err() == nil {
		if *next >= end {
			r.read(partition)
		}
		f, err := kafkaconn.Fetch(conn, *next, fetchBytes, maxWait)
		for _, m := range f.Records {
			r.take(m)
		}
		if stuck++; !f.Stuck(*next) {
			stuck = 0
		}
		if stuck > 2 {
			f.Next, stuck = *next+1, 0
		}
		*next = f.Next
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (r *Register) read(partition int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.unread[partition] {
		return
	}
	if delete(r.unread, partition); len(r.unread) == 0 {
		close(r.whole)
	}
}

func (r *Register) take(m envelope.Message) {
	if len(m.Value) == 0 {
		return // a tombstone: the user's sessions have ended of age
	}
	user, ms, err := Parse(m.Value)
	if err != nil {
		r.opts.Logger.Warn("a revocation can't be read", "partition", m.Partition, "offset", m.Offset, "error", err)
		return
	}
	r.add(user, ms)
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
