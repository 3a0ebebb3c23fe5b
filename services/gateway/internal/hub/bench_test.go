package hub

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	deliveryv1 "github.com/edumatrix/interlink/proto/delivery/v1"
	"github.com/edumatrix/interlink/services/gateway/internal/engine"
	"github.com/edumatrix/interlink/services/gateway/internal/placement"
	"github.com/edumatrix/interlink/services/internal/room"
)

// inlineShard runs posts at once: the benchmark's goroutine is sequencer and shard.
type inlineShard struct{}

func (inlineShard) Post(fn func()) { fn() }

type countingConn struct{ bytes int }

func (c *countingConn) Send(f *engine.Frame) bool { c.bytes += f.Len(); return true }
func (*countingConn) Evicted(room.Room)           {}
func (*countingConn) Invited(room.Room)           {}
func (*countingConn) End(End)                     {}
func (*countingConn) Info() (time.Time, string)   { return time.Time{}, "" }

type deafRouter struct{}

func (deafRouter) Say(placement.Message) {}
func (deafRouter) Credit(int)            {}

// benchHub is a hub whose steps are run by the caller.
func benchHub(b *testing.B) (*Hub, *Stream) {
	b.Helper()
	h, err := New(Options{Shards: []Shard{inlineShard{}, inlineShard{}}, Keys: [][]byte{[]byte("key")}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	h.now = time.Now()
	s := &Stream{hub: h, out: deafRouter{}}
	hello := &deliveryv1.Hello{TopicEpoch: "e", Partitions: 12}
	for p := range uint32(12) {
		hello.Owned = append(hello.Owned, &deliveryv1.Ownership{Partition: p})
	}
	if err := h.attach(s, hello); err != nil {
		b.Fatal(err)
	}
	return h, s
}

func (h *Hub) benchJoin(shard int, user string, rooms ...string) {
	m := newMember(h, shard, &countingConn{}, user, user, 0)
	j := &join{member: m, request: Request{Grants: grants(rooms)}, done: func(Outcome) {}}
	for _, name := range rooms {
		j.hashes = append(j.hashes, room.Room(name).Hash())
	}
	h.join(j)
	for range 3 { // as if the routers were silent
		h.now = h.now.Add(2 * time.Second)
		h.core.Tick(h.now)
		h.settle()
	}
	h.post(context.Background(), 1)
}

func benchRecord(b *testing.B, rooms ...string) []byte {
	raw, err := proto.Marshal(&deliveryv1.Record{Id: "01JD0000000000000000000000", Event: "message:new", Rooms: rooms, SingleRoom: true, Data: make([]byte, 200), TimeMs: 1})
	if err != nil {
		b.Fatal(err)
	}
	return raw
}

// record reads, encodes and hands out one record, as ranges does.
func (h *Hub) benchStep(raw []byte) {
	r := &h.record
	if err := r.read(raw); err != nil {
		panic(err)
	}
	h.pens.move(3, h.pens.offsets[3]+1, r.timeMs)
	if h.find(r) {
		frame, cursor := encodeDurable(r, false, func(b []byte) []byte { return h.pens.append(b, h.now) })
		h.spread(r, item{frame: frame, cursor: cursor, durable: true, timeMs: r.timeMs})
	}
	h.post(context.Background(), 1)
}

func BenchmarkOneRoomOf5000(b *testing.B) {
	h, _ := benchHub(b)
	for i := range 5000 {
		h.benchJoin(i%2, fmt.Sprint("u", i), "conversation:1")
	}
	raw := benchRecord(b, "conversation:1")
	b.ReportAllocs()
	for b.Loop() {
		h.benchStep(raw)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/5000, "ns/delivery")
}

func BenchmarkRoomsOf2(b *testing.B) {
	h, _ := benchHub(b)
	var raws [][]byte
	for i := range 2500 {
		name := fmt.Sprint("conversation:", i)
		h.benchJoin(0, fmt.Sprint("a", i), name)
		h.benchJoin(1, fmt.Sprint("b", i), name)
		raws = append(raws, benchRecord(b, name))
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		h.benchStep(raws[i%len(raws)])
		i++
	}
}

func BenchmarkIdleMemory(b *testing.B) {
	h, _ := benchHub(b)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		i++
		h.benchJoin(i%2, fmt.Sprint("u", i), fmt.Sprint("user:u", i), fmt.Sprint("conversation:", i/2), "conversation:all")
	}
}
