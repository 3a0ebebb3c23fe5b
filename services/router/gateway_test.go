package router

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/protobuf/proto"

	deliveryv1 "github.com/edumatrix/interlink/proto/delivery/v1"
	"github.com/edumatrix/interlink/services/internal/room"
)

// fakeGateway speaks the gateway's side of Attach: takes what continues its position under a number that covers its
// rooms, asks again for what does not, and returns what it was sent to each room.
type fakeGateway struct {
	deliveryv1.UnimplementedDeliveryServer
	addr   string
	name   string
	server *grpc.Server

	mu        sync.Mutex // guards what follows
	rooms     map[uint64]bool
	number    uint64
	positions map[uint32]int64
	covered   map[uint32]uint64
	records   map[uint32][]*deliveryv1.Record // taken, by partition
	pushed    []*deliveryv1.Record
	gone      []*deliveryv1.Gone
	resets    int // other epochs than the first
	hellos    []*deliveryv1.Hello
	revoked   []*deliveryv1.Revocation
	streams   map[*fakeStream]bool
	refused   int
	seeks     int
	credit    bool          // whether credits are returned
	frozen    chan struct{} // not nil: nothing is received until it is closed
}

type fakeStream struct {
	out   chan *deliveryv1.AttachResponse
	owned map[uint32]bool
	seek  map[uint32]uint64
}

func newGateway(t *testing.T, name string, rooms ...room.Room) *fakeGateway {
	t.Helper()
	g := newGatewayOn(listen(t), name, rooms...)
	t.Cleanup(g.server.Stop)
	return g
}

func newGatewayOn(l net.Listener, name string, rooms ...room.Room) *fakeGateway {
	g := &fakeGateway{name: name, rooms: map[uint64]bool{}, positions: map[uint32]int64{}, covered: map[uint32]uint64{},
		records: map[uint32][]*deliveryv1.Record{}, streams: map[*fakeStream]bool{}, credit: true, number: 1}
	for _, r := range rooms {
		g.rooms[r.Hash()] = true
	}
	g.addr = l.Addr().String()
	g.server = grpc.NewServer(grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 1, PermitWithoutStream: true}))
	deliveryv1.RegisterDeliveryServer(g.server, g)
	go g.server.Serve(l)
	return g
}

func (g *fakeGateway) Attach(stream deliveryv1.Delivery_AttachServer) error {
	st := &fakeStream{out: make(chan *deliveryv1.AttachResponse, 4096), owned: map[uint32]bool{}, seek: map[uint32]uint64{}}
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	go func() {
		for {
			select {
			case m := <-st.out:
				if stream.Send(m) != nil {
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	defer func() {
		g.mu.Lock()
		delete(g.streams, st)
		g.mu.Unlock()
	}()
	for {
		g.mu.Lock()
		frozen := g.frozen
		g.mu.Unlock()
		if frozen != nil {
			select {
			case <-frozen:
			case <-ctx.Done():
				return nil
			}
		}
		m, err := stream.Recv()
		if err != nil {
			return nil
		}
		g.take(st, m)
	}
}

func (g *fakeGateway) take(st *fakeStream, m *deliveryv1.AttachRequest) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch k := m.GetKind().(type) {
	case *deliveryv1.AttachRequest_Gone:
		g.gone = append(g.gone, k.Gone)
		if p := k.Gone.GetPartition(); g.positions[p] == k.Gone.GetPosition() {
			g.positions[p] = k.Gone.GetEarliest()
		}
	case *deliveryv1.AttachRequest_Hello:
		if n := len(g.hellos); n > 0 && g.hellos[n-1].GetTopicEpoch() != k.Hello.GetTopicEpoch() {
			g.resets++
			clear(g.positions)
			clear(g.records)
			clear(g.covered)
		}
		g.hellos = append(g.hellos, k.Hello)
		g.revoked = append(g.revoked, k.Hello.GetRevocations()...)
		g.own(st, k.Hello.GetOwned())
		g.streams[st] = true
		snap := &deliveryv1.Snapshot{Gateway: g.name, Incarnation: "1", Number: g.number}
		for h := range g.rooms {
			snap.Rooms = append(snap.Rooms, h)
		}
		for p, o := range g.positions {
			snap.Positions = append(snap.Positions, &deliveryv1.Position{Partition: p, Offset: o})
		}
		st.out <- &deliveryv1.AttachResponse{Kind: &deliveryv1.AttachResponse_Snapshot{Snapshot: snap}}
	case *deliveryv1.AttachRequest_Owned:
		for _, p := range g.own(st, k.Owned.GetOwned()) {
			st.out <- &deliveryv1.AttachResponse{Kind: &deliveryv1.AttachResponse_Position{Position: &deliveryv1.Position{Partition: p, Offset: g.positions[p]}}}
		}
	case *deliveryv1.AttachRequest_Ranges:
		bytes := int64(0)
		for _, r := range k.Ranges.GetRanges() {
			bytes += g.takeRange(st, k.Ranges.GetNumber(), r)
		}
		if bytes > 0 && g.credit {
			st.out <- &deliveryv1.AttachResponse{Kind: &deliveryv1.AttachResponse_Credit{Credit: &deliveryv1.Credit{Bytes: bytes}}}
		}
	case *deliveryv1.AttachRequest_Push:
		for _, b := range k.Push.GetRecords() {
			g.pushed = append(g.pushed, unmarshal(b))
		}
	case *deliveryv1.AttachRequest_Revocations:
		g.revoked = append(g.revoked, k.Revocations.GetRevocations()...)
	}
}

func (g *fakeGateway) own(st *fakeStream, owned []*deliveryv1.Ownership) (fresh []uint32) {
	now := map[uint32]bool{}
	for _, o := range owned {
		p := o.GetPartition()
		now[p] = true
		if _, known := g.positions[p]; !known {
			g.positions[p] = o.GetHead()
		}
		if !st.owned[p] {
			fresh = append(fresh, p)
		}
	}
	st.owned = now
	return fresh
}

func (g *fakeGateway) takeRange(st *fakeStream, number uint64, r *deliveryv1.Range) (bytes int64) {
	for _, b := range r.GetRecords() {
		bytes += int64(len(b))
	}
	p := r.GetPartition()
	at, known := g.positions[p]
	if !known || r.GetSeek() < st.seek[p] {
		return bytes
	}
	if r.GetFrom() > at || number < g.number {
		g.refused++
		g.askAgain(st, p)
		return bytes
	}
	for _, b := range r.GetRecords() {
		if rec := unmarshal(b); rec.GetOffset() >= at {
			g.records[p] = append(g.records[p], rec)
		}
	}
	g.positions[p] = max(at, r.GetTo())
	g.covered[p] = number
	return bytes
}

func (g *fakeGateway) askAgain(st *fakeStream, p uint32) {
	if !st.owned[p] {
		return
	}
	g.seeks++
	st.seek[p]++
	st.out <- &deliveryv1.AttachResponse{Kind: &deliveryv1.AttachResponse_Seek{Seek: &deliveryv1.Seek{Partition: p, Offset: g.positions[p], Number: st.seek[p]}}}
}

// Sockets answers with one socket per question.
func (g *fakeGateway) Sockets(_ context.Context, req *deliveryv1.SocketsRequest) (*deliveryv1.SocketsResponse, error) {
	user := req.GetUser()
	if user == "" {
		user = "u-" + g.name
	}
	return &deliveryv1.SocketsResponse{Sockets: []*deliveryv1.Socket{{Socket: "s-" + g.name, User: user, Gateway: g.name, SinceMs: 1_700_000_000_000, UserAgent: "test"}}}, nil
}

// join adds a room by a delta to every stream and returns its interest number.
func (g *fakeGateway) join(r room.Room) uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.rooms[r.Hash()] = true
	g.number++
	for st := range g.streams {
		st.out <- &deliveryv1.AttachResponse{Kind: &deliveryv1.AttachResponse_Delta{Delta: &deliveryv1.Delta{Number: g.number, Add: []uint64{r.Hash()}}}}
	}
	return g.number
}

// covers reports whether n partitions have been served with an interest number.
func (g *fakeGateway) covers(number uint64, n int) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	have := 0
	for _, c := range g.covered {
		if c >= number {
			have++
		}
	}
	return have == n
}

// data lists what was taken for a room, in order within each partition.
func (g *fakeGateway) data(r room.Room) []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	var out []string
	for p := uint32(0); p < 64; p++ {
		for _, rec := range g.records[p] {
			if slices.Contains(rec.GetRooms(), string(r)) {
				out = append(out, string(rec.GetData()))
			}
		}
	}
	return out
}

func (g *fakeGateway) with(f func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	f()
}

func unmarshal(b []byte) *deliveryv1.Record {
	rec := &deliveryv1.Record{}
	if err := proto.Unmarshal(b, rec); err != nil {
		panic(fmt.Sprintf("a record that is none: %v", err))
	}
	return rec
}

func numbers(from, to int) []string {
	var out []string
	for i := from; i < to; i++ {
		out = append(out, fmt.Sprint(i))
	}
	return out
}
