// Package tell hands what presence has to say to the routers, by Emit. Nothing waits for it: what is to be told is
// queued, bounded in bytes, one item a key, newest wins; with the routers away it is retried until it is too old, then
// dropped and counted. Ephemeral events grow old in seconds, lifecycle records in minutes.
package tell

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	deliveryv1 "github.com/edumatrix/interlink/proto/delivery/v1"
	emitv1 "github.com/edumatrix/interlink/proto/emit/v1"
)

// Emitter is what is needed of the routers.
type Emitter interface {
	Push(ctx context.Context, in *emitv1.PushRequest, opts ...grpc.CallOption) (*emitv1.PushResponse, error)
	Publish(ctx context.Context, in *emitv1.PublishRequest, opts ...grpc.CallOption) (*emitv1.PublishResponse, error)
}

// Kind is what was told or dropped, a closed set for metrics.
type Kind string

// Kinds of things told.
const (
	Event     Kind = "event"     // ephemeral, to rooms
	Lifecycle Kind = "lifecycle" // a record
)

// Options of an Outbox. Zero values get the defaults given.
type Options struct {
	Emit          Emitter
	EventAge      time.Duration // 10 s
	LifecycleAge  time.Duration // 10 min
	EventBytes    int64         // 8 MiB
	LifecycleSize int64         // bytes, 32 MiB
	Told, Dropped func(kind Kind, n int)
	Logger        *slog.Logger
}

// Outbox queues and sends. Its methods never block.
type Outbox struct {
	o         Options
	events    *queue[*deliveryv1.Record]
	lifecycle *queue[*emitv1.Entry]
}

// New makes an Outbox; nothing is sent before Run.
func New(o Options) *Outbox {
	if o.EventAge <= 0 {
		o.EventAge = 10 * time.Second
	}
	if o.LifecycleAge <= 0 {
		o.LifecycleAge = 10 * time.Minute
	}
	if o.EventBytes <= 0 {
		o.EventBytes = 8 << 20
	}
	if o.LifecycleSize <= 0 {
		o.LifecycleSize = 32 << 20
	}
	if o.Told == nil {
		o.Told = func(Kind, int) {}
	}
	if o.Dropped == nil {
		o.Dropped = func(Kind, int) {}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Outbox{o: o, events: newQueue[*deliveryv1.Record](o.EventBytes), lifecycle: newQueue[*emitv1.Entry](o.LifecycleSize)}
}

// Event queues an ephemeral record; its Replace says what it replaces.
func (b *Outbox) Event(r *deliveryv1.Record) {
	dropped := b.events.put(item[*deliveryv1.Record]{key: r.GetReplace(), value: r, size: int64(proto.Size(r)), at: time.Now()})
	b.o.Dropped(Event, dropped)
}

// Record queues a record for Kafka; of those with one key only the newest is kept while the routers are away.
func (b *Outbox) Record(e *emitv1.Entry) {
	dropped := b.lifecycle.put(item[*emitv1.Entry]{key: string(e.GetKey()), value: e, size: int64(proto.Size(e)), at: time.Now()})
	b.o.Dropped(Lifecycle, dropped)
}

// Waiting is how many items of each kind are queued.
func (b *Outbox) Waiting() (events, lifecycle int) { return b.events.len(), b.lifecycle.len() }

const (
	batch       = 256
	sendTimeout = 2 * time.Second
	firstPause  = 100 * time.Millisecond
	longPause   = 2 * time.Second
	lastWords   = time.Second // for what is queued at the end
)

// Run sends until ctx ends, then once more what is queued. It returns nil.
func (b *Outbox) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		return drain(ctx, b.events, sender[*deliveryv1.Record]{kind: Event, age: b.o.EventAge, send: b.push, o: b.o})
	})
	group.Go(func() error {
		return drain(ctx, b.lifecycle, sender[*emitv1.Entry]{kind: Lifecycle, age: b.o.LifecycleAge, send: b.publish, o: b.o})
	})
	return group.Wait()
}

// sender sends one kind. send returns the items that were not taken.
type sender[T any] struct {
	kind Kind
	age  time.Duration
	send func(ctx context.Context, items []*item[T]) (failed []*item[T], err error)
	o    Options
}

func drain[T any](ctx context.Context, q *queue[T], s sender[T]) error {
	pause := firstPause
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
			defer cancel()
			for last.Err() == nil && q.len() > 0 && s.once(last, q) == nil {
			}
			s.o.Dropped(s.kind, q.len())
			return nil
		case <-q.wake:
		}
		err := s.once(ctx, q)
		if err == nil {
			pause = firstPause
			continue
		}
		if pause == longPause {
			s.o.Logger.Warn("routers do not take what presence tells", "kind", string(s.kind), "waiting", q.len(), "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, longPause)
	}
}

// once sends one batch.
func (s sender[T]) once(ctx context.Context, q *queue[T]) error {
	items, expired := q.take(batch, time.Now().Add(-s.age))
	s.o.Dropped(s.kind, expired)
	if len(items) == 0 {
		return nil
	}
	limited, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	failed, err := s.send(limited, items)
	s.o.Told(s.kind, len(items)-len(failed))
	s.o.Dropped(s.kind, q.giveBack(failed))
	return err
}

func (b *Outbox) push(ctx context.Context, items []*item[*deliveryv1.Record]) ([]*item[*deliveryv1.Record], error) {
	request := &emitv1.PushRequest{}
	for _, it := range items {
		bytes, err := proto.Marshal(it.value)
		if err != nil {
			b.o.Dropped(Event, 1)
			b.o.Logger.Error("an event cannot be encoded", "error", err)
			continue
		}
		request.Records = append(request.Records, bytes)
	}
	if _, err := b.o.Emit.Push(ctx, request); err != nil {
		return items, err
	}
	return nil, nil
}

func (b *Outbox) publish(ctx context.Context, items []*item[*emitv1.Entry]) ([]*item[*emitv1.Entry], error) {
	request := &emitv1.PublishRequest{}
	for _, it := range items {
		request.Entries = append(request.Entries, it.value)
	}
	answer, err := b.o.Emit.Publish(ctx, request)
	if err != nil {
		return items, err
	}
	var failed []*item[*emitv1.Entry]
	for i, result := range answer.GetResults() {
		if i < len(items) && result.GetError() != "" {
			failed = append(failed, items[i])
			err = errors.New(result.GetError())
		}
	}
	return failed, err
}
