// Package attach owns the router's side of the Attach streams: it dials every gateway, keeps one stream to each, and
// pushes ranges of the partition logs (DESIGN, "Delivery" 2).
//
// Each stream has one goroutine that decides and sends, one that receives, and one that watches over both; nothing is
// shared between streams but the logs, so a slow or frozen gateway falls behind alone. What a stream decides is in
// session, which does no I/O.
package attach

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"

	deliveryv1 "github.com/edumatrix/interlink/proto/delivery/v1"
	"github.com/edumatrix/interlink/services/internal/room"
	"github.com/edumatrix/interlink/services/router/internal/history"
	"github.com/edumatrix/interlink/services/router/internal/partitionlog"
	"github.com/edumatrix/interlink/services/router/internal/partitions"
)

// Source is what the router holds.
type Source interface {
	Owned() (all []partitions.Owned, version uint64)
	Version() uint64 // Owned's, cheaply
	Watch(w *partitionlog.Watcher)
	Unwatch(w *partitionlog.Watcher)
}

// Cursor reads on in Kafka where a log does not reach back to.
type Cursor interface {
	Next() (history.Chunk, error)
	Close()
}

// History opens cursors. An offset that Kafka no longer has gives a *history.Expired.
type History interface {
	Open(ctx context.Context, partition int, from int64) (Cursor, error)
}

// Revocations are what every gateway must know from the start.
type Revocations interface {
	// Since lists what was added after a version, and the present version. Version 0 is before the first.
	Since(version uint64) ([]*deliveryv1.Revocation, uint64)
	Watch(w *partitionlog.Watcher)
	Unwatch(w *partitionlog.Watcher)
}

// Observer counts.
type Observer interface {
	Attached(delta int)
	RangeBytes(n int64)
	PushDropped(n int)
}

// Identity is what Hello says of this router.
type Identity struct {
	Router     string // one life of the router
	ReplayAddr string
	Topic      string
	Epoch      string
	Partitions int
}

// Options of a Fleet.
type Options struct {
	Identity    Identity
	Targets     []string // host:port, or dns:///name:port
	Source      Source
	History     History
	Revocations Revocations
	Observer    Observer
	Logger      *slog.Logger
	DialOptions []grpc.DialOption // credentials; plain text without any
	Window      int64             // bytes of ranges a gateway may have unapplied, default 8 MiB
	Every       time.Duration     // between empty ranges, default 250 ms
	CatchUps    int               // reads of Kafka at once for gateways behind the logs, default 4
	// Beyond, if not nil, hears that a gateway has come further in a partition than its log reaches, for longer than a
	// moment. It must not block.
	Beyond func(partition int, offset int64)
}

func (o *Options) defaults() {
	if o.Window <= 0 {
		o.Window = 8 << 20
	}
	if o.Every <= 0 {
		o.Every = 250 * time.Millisecond
	}
	if o.CatchUps <= 0 {
		o.CatchUps = 4
	}
	if o.Beyond == nil {
		o.Beyond = func(int, int64) {}
	}
}

// Fleet is all gateways. Safe for use by many goroutines.
type Fleet struct {
	opts  Options
	reads chan struct{} // one slot per read of Kafka

	mu    sync.Mutex // guards links
	links map[string]*link
}

// New makes a Fleet; Run dials.
func New(o Options) *Fleet {
	o.defaults()
	return &Fleet{opts: o, reads: make(chan struct{}, o.CatchUps), links: map[string]*link{}}
}

// Run keeps a stream to every gateway until ctx ends.
func (f *Fleet) Run(ctx context.Context) error {
	var wait sync.WaitGroup
	defer wait.Wait()
	tick := time.NewTicker(resolveEvery)
	defer tick.Stop()
	r := newResolver(f.opts.Targets)
	for {
		f.adopt(ctx, &wait, r.addresses(ctx))
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// adopt starts links to new addresses. One that is no longer named goes when its stream ends: a gateway that drains
// leaves the DNS before its sockets have left it.
func (f *Fleet) adopt(ctx context.Context, wait *sync.WaitGroup, addresses []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, l := range f.links {
		l.wanted.Store(slices.Contains(addresses, l.addr))
	}
	for _, a := range addresses {
		if _, have := f.links[a]; have {
			continue
		}
		l, err := newLink(f, a)
		if err != nil {
			f.opts.Logger.ErrorContext(ctx, "cannot dial a gateway", "gateway", a, "error", err)
			continue
		}
		f.links[a] = l
		wait.Go(func() {
			l.run(ctx)
			f.mu.Lock()
			delete(f.links, l.addr)
			f.mu.Unlock()
		})
	}
}

func (f *Fleet) all() []*link {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make([]*link, 0, len(f.links))
	for _, l := range f.links {
		out = append(out, l)
	}
	return out
}

// Attached is the number of gateways with a stream that has been answered.
func (f *Fleet) Attached() int {
	n := 0
	for _, l := range f.all() {
		if l.attached.Load() {
			n++
		}
	}
	return n
}

// Ephemeral is a record without offset that is pushed once.
type Ephemeral struct {
	Record []byte // marshalled deliveryv1.Record
	Rooms  []uint64
}

// EphemeralOf prepares the push of a record to its rooms.
func EphemeralOf(record []byte, rooms []string) Ephemeral {
	e := Ephemeral{Record: record, Rooms: make([]uint64, len(rooms))}
	for i, r := range rooms {
		e.Rooms[i] = room.Room(r).Hash()
	}
	return e
}

// Push queues records for the gateways that have their rooms. It never blocks: of a gateway that can't keep up, the oldest are dropped.
func (f *Fleet) Push(records []Ephemeral) {
	for _, l := range f.all() {
		if dropped := l.pushes.add(records); dropped > 0 {
			f.opts.Observer.PushDropped(dropped)
		}
		l.watcher.Wake()
	}
}
