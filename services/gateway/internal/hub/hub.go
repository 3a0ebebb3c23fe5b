package hub

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edumatrix/interlink/services/gateway/internal/cursor"
	"github.com/edumatrix/interlink/services/gateway/internal/placement"
	"github.com/edumatrix/interlink/services/internal/room"
)

// Bases keeps cursor bases. Put returns when the base can be read by any gateway.
type Bases interface {
	PutBase(ctx context.Context, id string, record []byte, ttl time.Duration) error
}

// Metrics are called as things happen, from any goroutine, and must not block. Nil functions are skipped.
type Metrics struct {
	Delivered func(durable, ephemeral int)
	Latency   func(time.Duration) // from a record's time to its queueing, once per record and shard
	Malformed func()              // a record that could not be read
}

// Options of New. Shards and Keys must be given.
type Options struct {
	Shards  []Shard       // by index
	Keys    [][]byte      // cursors are signed with the first
	Life    uint64        // of this gateway, as its cursors say
	Window  time.Duration // for which clients may come back with a cursor, default 2 min
	Bases   Bases         // nil: cursors carry the whole vector
	BaseTTL time.Duration // how long a base is kept, default 10 min or five windows
	// HoldBytes bounds what is kept back for one socket that is being brought up to date, default 512 KiB.
	HoldBytes int
	Random    func() uint64 // ids of bases; must not repeat
	// Changed is told of membership changes before anybody is asked again. It is called by the sequencer and must not block.
	Changed func(r room.Room, add, remove []string)
	Now     func() time.Time
	Metrics Metrics
	Logger  *slog.Logger
}

const (
	tickEvery  = 50 * time.Millisecond
	renewEvery = time.Second // cursors of quiet shards, and bases while something moves

	shardItems = 8192     // items posted to one shard and not run, above which the sequencer waits
	shardBytes = 32 << 20 // and their bytes
	flushItems = 512      // items gathered for one shard, above which they are posted
)

// Hub is the sequencer and the tables of all shards. Methods say from where they may be called.
type Hub struct {
	options Options
	tables  []*table
	metrics Metrics
	logger  *slog.Logger
	batches sync.Pool
	signers atomic.Pointer[sync.Pool] // for replays, which are not the sequencer's work

	mu   sync.Mutex // guards ops
	ops  []func()
	wake chan struct{} // signalled when ops is not empty

	status atomic.Pointer[Status]
	routes atomic.Pointer[map[uint32][]string] // addresses of routers by partition
	log    atomic.Pointer[string]              // see Log
	change atomic.Uint64                       // how many membership changes the sequencer has seen

	// What follows belongs to the sequencer.
	now     time.Time
	core    *placement.Core
	pens    pen
	next    []*batch // by shard, nil: nothing gathered
	seq     uint64
	lastID  uint64 // of streams and tokens
	streams map[placement.Stream]*Stream
	joins   map[placement.Token]*join
	// reaching are requests that wait for a position.
	reaching []*join
	counts   map[uint64]uint32 // sockets per room hash and shard, see key
	revoked  map[string]int64  // by user: tokens issued before are void
	evicted  evictions
	record   record // scratch
	parts    []bool // scratch: shards that have a record's rooms
	renewed  time.Time
	pruned   time.Time

	background sync.WaitGroup // bases on their way to the store
}

// Status is what the sequencer says of itself, for readiness and metrics.
type Status struct {
	Placed  bool // every partition has a position
	Unowned int  // partitions without an attached router; 1 before the first came
	Lag     int64
	Rooms   int
	Pending int // joins that wait
	Routers int
}

// New returns a hub whose Run has not been called yet; what is asked of it before waits. The error is about the keys.
func New(o Options) (*Hub, error) {
	signer, err := cursor.NewSigner(o.Keys)
	if err != nil {
		return nil, err
	}
	if o.Window == 0 {
		o.Window = 2 * time.Minute
	}
	if o.BaseTTL == 0 {
		o.BaseTTL = max(10*time.Minute, 5*o.Window)
	}
	if o.HoldBytes == 0 {
		o.HoldBytes = 512 << 10
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	h := &Hub{
		options: o,
		metrics: o.Metrics.withDefaults(),
		logger:  o.Logger,
		wake:    make(chan struct{}, 1),
		core:    placement.New(),
		next:    make([]*batch, len(o.Shards)),
		streams: make(map[placement.Stream]*Stream),
		joins:   make(map[placement.Token]*join),
		counts:  make(map[uint64]uint32),
		revoked: make(map[string]int64),
		evicted: newEvictions(o.Window + evictionsSlack),
		parts:   make([]bool, len(o.Shards)),
	}
	h.pens.signer, h.pens.life = signer, o.Life
	h.signers.Store(signerPool(o.Keys))
	h.batches.New = func() any {
		b := &batch{}
		b.fn = b.run
		return b
	}
	for i, shard := range o.Shards {
		h.tables = append(h.tables, newTable(h, i, shard))
	}
	h.status.Store(&Status{Unowned: 1})
	h.routes.Store(&map[uint32][]string{})
	return h, nil
}

// Rekey has cursors signed with the first of keys and verified with all, from the next one on. Any goroutine.
func (h *Hub) Rekey(keys [][]byte) error {
	signer, err := cursor.NewSigner(keys)
	if err != nil {
		return err
	}
	h.signers.Store(signerPool(keys))
	h.do(func() { h.pens.signer = signer })
	return nil
}

// signerPool makes signers of keys that NewSigner has taken already.
func signerPool(keys [][]byte) *sync.Pool {
	return &sync.Pool{New: func() any {
		s, _ := cursor.NewSigner(keys)
		return s
	}}
}

// Status returns the latest. Any goroutine.
func (h *Hub) Status() Status { return *h.status.Load() }

// Do runs fn on a shard's goroutine. Any goroutine; never blocks.
func (h *Hub) Do(shard int, fn func()) { h.tables[shard].shard.Post(fn) }

// do hands fn to the sequencer. Any goroutine; never blocks.
func (h *Hub) do(fn func()) {
	h.mu.Lock()
	h.ops = append(h.ops, fn)
	h.mu.Unlock()
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// Run is the sequencer. It returns when ctx ends.
func (h *Hub) Run(ctx context.Context) error {
	ticker := time.NewTicker(tickEvery)
	defer ticker.Stop()
	defer h.background.Wait()
	var ops []func()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-h.wake:
		case <-ticker.C:
		}
		h.mu.Lock()
		h.ops, ops = ops[:0], h.ops
		h.mu.Unlock()
		h.now = h.options.Now()
		for i, op := range ops {
			op()
			ops[i] = nil
			h.settle()
			h.post(ctx, flushItems)
		}
		h.reach()
		h.core.Tick(h.now)
		h.settle()
		h.tell()
		h.renew(ctx)
		h.post(ctx, 1)
		h.report()
	}
}

// settle acts on joins that have started or were given up.
func (h *Hub) settle() {
	for _, token := range h.core.Started() {
		if j := h.joins[token]; j != nil {
			delete(h.joins, token)
			h.start(j)
		}
	}
	for _, token := range h.core.Expired() {
		if j := h.joins[token]; j != nil {
			delete(h.joins, token)
			h.fail(j, ErrUnavailable)
		}
	}
}

// tell passes on what the core has to say to routers.
func (h *Hub) tell() {
	for _, e := range h.core.Messages() {
		if s := h.streams[e.To]; s != nil {
			s.out.Say(e.Message)
		}
	}
}

// hand gathers an item for a shard.
func (h *Hub) hand(shard int, it item) {
	b := h.next[shard]
	if b == nil {
		b = h.batches.Get().(*batch)
		b.table = h.tables[shard]
		h.next[shard] = b
	}
	if it.frame != nil {
		b.bytes += int64(it.frame.Len())
	}
	b.items = append(b.items, it)
}

// handAll gathers an item for every shard.
func (h *Hub) handAll(it item) {
	for shard := range h.tables {
		h.hand(shard, it)
	}
}

// post gives the shards what was gathered, of those for which it is at least least items; it waits for a shard that has
// too much to do.
func (h *Hub) post(ctx context.Context, least int) {
	for shard, b := range h.next {
		if b == nil || len(b.items) < least {
			continue
		}
		t := h.tables[shard]
		for t.queued.Load() > shardItems || t.bytes.Load() > shardBytes {
			select {
			case <-t.space:
			case <-ctx.Done():
				return
			}
		}
		h.next[shard] = nil
		t.queued.Add(int64(len(b.items)))
		t.bytes.Add(b.bytes)
		t.shard.Post(b.fn)
	}
}

// key names a room in a shard. Two that share a key only cost an item that finds nobody.
func key(hash uint64, shard int) uint64 { return hash + uint64(shard)*0x9e3779b97f4a7c15 }

func (h *Hub) count(hash uint64, shard, by int) {
	k := key(hash, shard)
	n := int(h.counts[k]) + by
	if n <= 0 {
		delete(h.counts, k)
		return
	}
	h.counts[k] = uint32(n)
}

// has reports whether a shard may have sockets of a room.
func (h *Hub) has(r room.Room, shard int) bool { return h.counts[key(r.Hash(), shard)] > 0 }

// renew makes a base if the position has moved, and gives the shards a cursor that is not old.
func (h *Hub) renew(ctx context.Context) {
	if !h.core.Placed() || h.now.Sub(h.renewed) < renewEvery {
		return
	}
	h.renewed = h.now
	h.prune()
	h.base(ctx)
	h.handAll(item{cursor: h.pens.append(nil, h.now)})
}

func (h *Hub) report() {
	h.status.Store(&Status{
		Placed: h.core.Placed(), Unowned: h.core.Unowned(), Lag: h.core.Lag(),
		Rooms: h.core.Rooms(), Pending: h.core.Pending(), Routers: len(h.streams),
	})
}

func (m Metrics) withDefaults() Metrics {
	if m.Delivered == nil {
		m.Delivered = func(int, int) {}
	}
	if m.Latency == nil {
		m.Latency = func(time.Duration) {}
	}
	if m.Malformed == nil {
		m.Malformed = func() {}
	}
	return m
}

// measure tells the metrics what a batch was.
func (h *Hub) measure(items []item, durable, ephemeral int) {
	if durable+ephemeral == 0 {
		return
	}
	h.metrics.Delivered(durable, ephemeral)
	now := h.options.Now().UnixMilli()
	for i := range items {
		if at := items[i].timeMs; at > 0 {
			h.metrics.Latency(time.Duration(max(0, now-at)) * time.Millisecond)
		}
	}
}
