// Package replay reads parts of partitions again, from the routers that own them, for sockets that move or come back.
package replay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	deliveryv1 "github.com/edumatrix/interlink/proto/delivery/v1"
	replayv1 "github.com/edumatrix/interlink/proto/replay/v1"
	"github.com/edumatrix/interlink/services/gateway/internal/peers"
	"github.com/edumatrix/interlink/services/gateway/internal/recovery"
)

// Why a replay can't be had, for good.
var (
	ErrBounds = errors.New("replay: more than the bounds allow")
	ErrEvents = fmt.Errorf("%w: events", ErrBounds)
	ErrBytes  = fmt.Errorf("%w: bytes", ErrBounds)
	ErrWindow = errors.New("replay: older than what is kept")
)

// Options of New. Zero numbers mean the defaults in brackets.
type Options struct {
	Routes    func(partition uint32) []string // addresses of the routers that say to own it
	Conns     *peers.Conns
	MaxEvents int // of one replay [4,000]
	MaxBytes  int // of its records [4 MiB]
	Fetches   int // partitions read at once, over all replays: what a storm of reconnects may take of routers [64]
}

const (
	retryEvery = 100 * time.Millisecond
	askWithin  = 4 * time.Second // above what a router waits for its partition log
)

// Reader is safe for use by many goroutines.
type Reader struct {
	options Options
	slots   chan struct{}
}

// New returns a reader.
func New(o Options) *Reader {
	if o.MaxEvents == 0 {
		o.MaxEvents = 4000
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = 4 << 20
	}
	if o.Fetches == 0 {
		o.Fetches = 64
	}
	return &Reader{options: o, slots: make(chan struct{}, o.Fetches)}
}

// Fetch reads the records of some rooms in all spans, each whole, by partition and in offset order. It asks again while
// a partition has no router, until ctx ends. Errors: ErrBounds, ErrWindow, ctx's.
func (r *Reader) Fetch(ctx context.Context, spans []recovery.Span, rooms []uint64, partitions int) ([][]*deliveryv1.Record, error) {
	parts := make([][]*deliveryv1.Record, partitions)
	group, ctx := errgroup.WithContext(ctx)
	budget := &budget{events: r.options.MaxEvents, bytes: r.options.MaxBytes}
	for _, span := range spans {
		group.Go(func() error {
			records, err := r.span(ctx, span, rooms, budget)
			parts[span.Partition] = records
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return parts, nil
}

// budget is what a whole replay may be.
type budget struct {
	mu            sync.Mutex // guards what follows
	events, bytes int
}

func (b *budget) take(bytes int) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.events--
	b.bytes -= bytes
	switch {
	case b.events < 0:
		return ErrEvents
	case b.bytes < 0:
		return ErrBytes
	}
	return nil
}

func (b *budget) give(records []*deliveryv1.Record, bytes int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.events += len(records)
	b.bytes += bytes
}

// span reads one span from whichever router has it.
func (r *Reader) span(ctx context.Context, span recovery.Span, rooms []uint64, b *budget) ([]*deliveryv1.Record, error) {
	for {
		for _, addr := range r.options.Routes(uint32(span.Partition)) {
			records, bytes, err := r.turn(ctx, addr, span, rooms, b)
			switch {
			case err == nil:
				return records, nil
			case errors.Is(err, ErrBounds):
				return nil, err
			case status.Code(err) == codes.ResourceExhausted:
				return nil, exhausted(err)
			case status.Code(err) == codes.OutOfRange:
				return nil, ErrWindow
			}
			b.give(records, bytes) // thrown away
		}
		t := time.NewTimer(retryEvery)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return nil, fmt.Errorf("replay: partition %d: %w", span.Partition, ctx.Err())
		}
	}
}

// exhausted says which bound a router means.
func exhausted(err error) error {
	if strings.Contains(status.Convert(err).Message(), "max_bytes") {
		return ErrBytes
	}
	return ErrEvents
}

// turn asks one router when it is its turn. One that says nothing for a while is given up: it may be frozen, and another
// have the partition by now.
func (r *Reader) turn(ctx context.Context, addr string, span recovery.Span, rooms []uint64, b *budget) ([]*deliveryv1.Record, int, error) {
	select {
	case r.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, 0, ctx.Err()
	}
	defer func() { <-r.slots }()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	silence := time.AfterFunc(askWithin, cancel)
	defer silence.Stop()
	return r.ask(ctx, addr, span, rooms, b, func() { silence.Reset(askWithin) })
}

func (r *Reader) ask(ctx context.Context, addr string, span recovery.Span, rooms []uint64, b *budget, heard func()) (records []*deliveryv1.Record, bytes int, err error) {
	conn, err := r.options.Conns.Get(addr)
	if err != nil {
		return nil, 0, err
	}
	stream, err := replayv1.NewReplayClient(conn).Fetch(ctx, &replayv1.FetchRequest{
		Partition: uint32(span.Partition), From: span.From, To: span.To, SinceMs: span.SinceMs, Rooms: rooms,
		MaxEvents: uint32(r.options.MaxEvents), MaxBytes: uint32(r.options.MaxBytes),
	})
	if err != nil {
		return nil, 0, err
	}
	for {
		m, err := stream.Recv()
		if err == io.EOF {
			return records, bytes, errors.New("replay: ended before it was complete")
		}
		if err != nil {
			return records, bytes, err
		}
		heard()
		for _, raw := range m.Records {
			bytes += len(raw)
			record := &deliveryv1.Record{}
			if err := proto.Unmarshal(raw, record); err != nil {
				return records, bytes, fmt.Errorf("replay: %w", err)
			}
			records = append(records, record)
			if err := b.take(len(raw)); err != nil {
				return records, bytes, err
			}
		}
		if m.Complete {
			return records, bytes, nil
		}
	}
}
