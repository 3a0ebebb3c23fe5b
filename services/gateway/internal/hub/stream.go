package hub

import (
	"context"

	deliveryv1 "github.com/edumatrix/interlink/proto/delivery/v1"
	"github.com/edumatrix/interlink/services/gateway/internal/placement"
)

// Outbox is the way back to one router. Both methods are called by the sequencer and must not block.
type Outbox interface {
	Say(m placement.Message)
	// Credit returns window: bytes of records in Ranges that were applied or thrown away.
	Credit(bytes int)
}

// streamMessages is how many messages of one stream may wait for the sequencer.
const streamMessages = 32

// Stream is one attached router. Its methods are for the one goroutine that reads from it.
type Stream struct {
	hub   *Hub
	id    placement.Stream
	out   Outbox
	addr  string        // of the router's Replay service
	owned []uint32      // partitions; belongs to the sequencer
	free  chan struct{} // holds a token for each message that may still be handed in
}

// Attach registers a router; the snapshot follows by out. Errors: placement.ErrEpoch, placement.ErrPartitions, ctx's.
func (h *Hub) Attach(ctx context.Context, hello *deliveryv1.Hello, out Outbox) (*Stream, error) {
	s := &Stream{hub: h, out: out, addr: hello.ReplayAddr, free: make(chan struct{}, streamMessages)}
	for range streamMessages {
		s.free <- struct{}{}
	}
	answer := make(chan error, 1)
	h.do(func() { answer <- h.attach(s, hello) })
	select {
	case err := <-answer:
		return s, err
	case <-ctx.Done():
		s.Detach() // in case it was too late
		return nil, ctx.Err()
	}
}

func (h *Hub) attach(s *Stream, hello *deliveryv1.Hello) error {
	h.lastID++
	s.id = placement.Stream(h.lastID)
	restarted, err := h.core.Attach(h.now, s.id, placement.Hello{
		Epoch: hello.TopicEpoch, Partitions: hello.Partitions, Owned: owned(hello.Owned),
	})
	if err != nil {
		return err
	}
	h.streams[s.id] = s
	topic := hello.TopicEpoch
	h.log.Store(&topic)
	h.route(s, hello.Owned)
	if restarted {
		h.toAll(func(m *Member) { m.conn.End(Restarted) })
		h.pens.offsets = nil
	}
	h.place()
	h.revocations(hello.Revocations)
	return nil
}

// place lets the pen follow when the core has positions for all partitions.
func (h *Hub) place() {
	if h.pens.offsets != nil || !h.core.Placed() {
		return
	}
	offsets := make([]int64, h.core.Partitions())
	for p := range offsets {
		offsets[p] = h.core.Position(uint32(p))
	}
	h.pens.begin(h.core.Epoch(), offsets)
}

// route notes what a router owns, for those who want to read partitions again.
func (h *Hub) route(s *Stream, owned []*deliveryv1.Ownership) {
	s.owned = s.owned[:0]
	for _, o := range owned {
		s.owned = append(s.owned, o.Partition)
	}
	routes := make(map[uint32][]string)
	for _, other := range h.streams {
		for _, p := range other.owned {
			if other.addr != "" {
				routes[p] = append(routes[p], other.addr)
			}
		}
	}
	h.routes.Store(&routes)
}

// Routes returns the addresses of the routers that say to own a partition. Any goroutine; not to be changed.
func (h *Hub) Routes(partition uint32) []string { return (*h.routes.Load())[partition] }

func (h *Hub) revocations(list []*deliveryv1.Revocation) {
	for _, r := range list {
		h.revoke(r.User, r.BeforeMs)
	}
}

func owned(list []*deliveryv1.Ownership) []placement.Owned {
	out := make([]placement.Owned, 0, len(list))
	for _, o := range list {
		out = append(out, placement.Owned{Partition: o.Partition, Head: o.Head})
	}
	return out
}

// Handle hands in what the router said after its Hello. It blocks while too much waits, which stops the reading. Errors
// are ctx's; nonsense ends in a log line and has no effect.
func (s *Stream) Handle(ctx context.Context, m *deliveryv1.AttachRequest) error {
	select {
	case <-s.free:
	case <-ctx.Done():
		return ctx.Err()
	}
	s.hub.do(func() {
		s.hub.handle(s, m)
		s.free <- struct{}{}
	})
	return nil
}

// Detach forgets the router.
func (s *Stream) Detach() {
	s.hub.do(func() {
		delete(s.hub.streams, s.id)
		s.hub.core.Detach(s.hub.now, s.id)
		s.hub.route(s, nil)
	})
}

func (h *Hub) handle(s *Stream, m *deliveryv1.AttachRequest) {
	if h.streams[s.id] == nil {
		return
	}
	switch kind := m.Kind.(type) {
	case *deliveryv1.AttachRequest_Owned:
		if err := h.core.Owned(h.now, s.id, owned(kind.Owned.Owned)); err != nil {
			h.logger.Error("router claims a partition that does not exist", "error", err)
			return
		}
		h.route(s, kind.Owned.Owned)
		h.place()
	case *deliveryv1.AttachRequest_Ranges:
		h.ranges(s, kind.Ranges)
	case *deliveryv1.AttachRequest_Push:
		for _, b := range kind.Push.Records {
			h.push(b)
		}
	case *deliveryv1.AttachRequest_Gone:
		h.expired(s, kind.Gone)
	case *deliveryv1.AttachRequest_Revocations:
		h.revocations(kind.Revocations.Revocations)
	}
}

// ranges applies what a router served. It is the one place where positions move.
func (h *Hub) ranges(s *Stream, m *deliveryv1.Ranges) {
	h.core.Spoke(h.now, s.id, m.Number)
	for _, r := range m.Ranges {
		if h.pens.offsets == nil {
			break
		}
		from, ok := h.core.Range(h.now, s.id, m.Number, placement.Range{Partition: r.Partition, From: r.From, To: r.To, Seek: r.Seek})
		if !ok {
			continue
		}
		for _, b := range r.Records {
			h.durable(r.Partition, from, b)
		}
		h.pens.move(r.Partition, r.To, 0)
	}
	bytes := 0
	for _, r := range m.Ranges {
		for _, b := range r.Records {
			bytes += len(b)
		}
	}
	if bytes > 0 {
		s.out.Credit(bytes)
	}
}

// durable moves the position over one record, mints its cursor, encodes it and hands it to the shards that have members.
func (h *Hub) durable(partition uint32, from int64, b []byte) {
	r := &h.record
	if err := r.read(b); err != nil {
		h.metrics.Malformed()
		h.logger.Error("record of a router not readable", "error", err, "partition", partition)
		return
	}
	if r.offset < from {
		return
	}
	h.pens.move(partition, r.offset+1, r.timeMs)
	if r.control != nil {
		h.control(partition, r)
		return
	}
	if !h.find(r) {
		return
	}
	frame, cursor := encodeDurable(r, false, func(b []byte) []byte { return h.pens.append(b, h.now) })
	h.spread(r, item{frame: tagged(frame, partition, r), cursor: cursor, durable: true, timeMs: r.timeMs})
}

// push hands an ephemeral record to the shards that have members.
func (h *Hub) push(b []byte) {
	r := &h.record
	if err := r.read(b); err != nil || r.control != nil {
		h.metrics.Malformed()
		h.logger.Error("pushed record not readable", "error", err)
		return
	}
	if r.event == WakeEvent {
		h.wakeUp(r)
		return
	}
	if h.find(r) {
		h.spread(r, item{frame: encodeEphemeral(r), timeMs: r.timeMs})
	}
}

// find notes which shards have members of the record's rooms; false if none has.
func (h *Hub) find(r *record) bool {
	found := false
	clear(h.parts)
	for _, name := range r.rooms {
		hash := hashOf(name)
		for shard := range h.parts {
			if !h.parts[shard] && h.counts[key(hash, shard)] > 0 {
				h.parts[shard], found = true, true
			}
		}
	}
	return found
}

// spread hands an item to the shards that find noted.
func (h *Hub) spread(r *record, it item) {
	if len(r.rooms) == 1 {
		it.room = r.rooms[0]
	} else {
		h.seq++
		it.rooms, it.seq = r.rooms, h.seq
	}
	it.exceptUsers, it.exceptSockets = sorted(r.exceptUsers), sorted(r.exceptSockets)
	for shard, has := range h.parts {
		if has {
			h.hand(shard, it)
		}
	}
}
