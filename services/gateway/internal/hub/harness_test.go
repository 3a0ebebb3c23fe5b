package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	deliveryv1 "github.com/edumatrix/interlink/proto/delivery/v1"
	"github.com/edumatrix/interlink/services/gateway/internal/cursor"
	"github.com/edumatrix/interlink/services/gateway/internal/engine"
	"github.com/edumatrix/interlink/services/gateway/internal/placement"
	"github.com/edumatrix/interlink/services/internal/permission"
	"github.com/edumatrix/interlink/services/internal/room"
)

const testKey = "a key for cursors in tests"

// testShard runs posts one after the other on a goroutine of its own.
type testShard struct{ posts chan func() }

func (s *testShard) Post(fn func()) { s.posts <- fn }

// do runs fn on the shard and waits for it.
func (s *testShard) do(fn func()) {
	done := make(chan struct{})
	s.Post(func() { fn(); close(done) })
	<-done
}

// testBases is a store of bases that can be away.
type testBases struct {
	mu   sync.Mutex
	away bool
	got  map[string][]byte
}

func (b *testBases) PutBase(_ context.Context, id string, record []byte, _ time.Duration) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.away {
		return errors.New("away")
	}
	b.got[id] = record
	return nil
}

// event is what a socket was sent.
type event struct {
	Name   string
	Data   json.RawMessage
	Meta   json.RawMessage
	Cursor string
	Class  engine.Class
}

// testConn is a socket.
type testConn struct {
	member  *Member
	shard   *testShard
	events  []event
	evicted []room.Room
	invited []room.Room
	ends    []End
}

func (c *testConn) Send(f *engine.Frame) bool {
	text := string(f.Text())
	text = text[strings.IndexByte(text, '['):]
	var parts []json.RawMessage
	if err := json.Unmarshal([]byte(text), &parts); err != nil {
		panic(fmt.Sprintf("%s: %v", text, err))
	}
	e := event{Data: parts[1], Meta: parts[2], Class: f.Class()}
	if err := json.Unmarshal(parts[0], &e.Name); err != nil {
		panic(err)
	}
	if len(parts) > 3 {
		if err := json.Unmarshal(parts[3], &e.Cursor); err != nil {
			panic(err)
		}
	}
	c.events = append(c.events, e)
	return true
}
func (c *testConn) Evicted(r room.Room)       { c.evicted = append(c.evicted, r) }
func (c *testConn) Invited(r room.Room)       { c.invited = append(c.invited, r) }
func (c *testConn) End(why End)               { c.ends = append(c.ends, why) }
func (c *testConn) Info() (time.Time, string) { return time.UnixMilli(7), "test" }

// take returns the events so far and forgets them.
func (c *testConn) take() []event {
	var out []event
	c.shard.do(func() { out, c.events = c.events, nil })
	return out
}

func names(events []event) []string {
	var out []string
	for _, e := range events {
		out = append(out, e.Name)
	}
	return out
}

// testRouter serves all partitions of a log in memory.
type testRouter struct {
	t      *testing.T
	stream *Stream
	mu     sync.Mutex
	said   []placement.Message
	credit int
	head   []int64
	number uint64
}

func (r *testRouter) Say(m placement.Message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.said = append(r.said, m)
	switch m := m.(type) {
	case placement.Snapshot:
		r.number = m.Number
	case placement.Delta:
		r.number = m.Number
	}
}

func (r *testRouter) Credit(bytes int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.credit += bytes
}

func (r *testRouter) handle(m *deliveryv1.AttachRequest) {
	if err := r.stream.Handle(context.Background(), m); err != nil {
		r.t.Error(err)
	}
}

// idle sends empty ranges with the latest number, as a router does four times a second.
func (r *testRouter) idle() {
	r.mu.Lock()
	m := &deliveryv1.Ranges{Number: r.number}
	r.mu.Unlock()
	for p, head := range r.head {
		m.Ranges = append(m.Ranges, &deliveryv1.Range{Partition: uint32(p), From: head, To: head})
	}
	r.handle(&deliveryv1.AttachRequest{Kind: &deliveryv1.AttachRequest_Ranges{Ranges: m}})
}

// append gives the next offset of a partition to a record and serves it.
func (r *testRouter) append(p int, record *deliveryv1.Record) {
	record.Offset = r.head[p]
	b, err := proto.Marshal(record)
	if err != nil {
		r.t.Fatal(err)
	}
	r.head[p]++
	r.mu.Lock()
	number := r.number
	r.mu.Unlock()
	r.handle(&deliveryv1.AttachRequest{Kind: &deliveryv1.AttachRequest_Ranges{Ranges: &deliveryv1.Ranges{Number: number, Ranges: []*deliveryv1.Range{
		{Partition: uint32(p), From: record.Offset, To: r.head[p], Records: [][]byte{b}},
	}}}})
}

func (r *testRouter) push(record *deliveryv1.Record) {
	b, err := proto.Marshal(record)
	if err != nil {
		r.t.Fatal(err)
	}
	r.handle(&deliveryv1.AttachRequest{Kind: &deliveryv1.AttachRequest_Push{Push: &deliveryv1.Push{Records: [][]byte{b}}}})
}

// rig is a hub with two shards and one router, in a bubble of its own time.
type rig struct {
	t       *testing.T
	hub     *Hub
	shards  []*testShard
	bases   *testBases
	router  *testRouter
	reader  *cursor.Signer
	changed []string
}

func withRig(t *testing.T, partitions int, test func(*rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{t: t, bases: &testBases{got: map[string][]byte{}}}
		var shards []Shard
		var loops sync.WaitGroup
		for range 2 {
			s := &testShard{posts: make(chan func(), 1<<16)}
			r.shards = append(r.shards, s)
			shards = append(shards, s)
			loops.Go(func() {
				for fn := range s.posts {
					fn()
				}
			})
		}
		var err error
		if r.reader, err = cursor.NewSigner([][]byte{[]byte(testKey)}); err != nil {
			t.Fatal(err)
		}
		id := uint64(0)
		r.hub, err = New(Options{
			Shards: shards, Keys: [][]byte{[]byte(testKey)}, Bases: r.bases, Logger: slog.New(slog.DiscardHandler),
			Random:  func() uint64 { id += 2; return id },
			Changed: func(name room.Room, _, _ []string) { r.changed = append(r.changed, string(name)) },
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		var runs sync.WaitGroup
		runs.Go(func() {
			if err := r.hub.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		if partitions > 0 {
			r.router = r.attach(partitions)
		}
		test(r)
		cancel()
		runs.Wait()
		for _, s := range r.shards {
			close(s.posts)
		}
		loops.Wait()
	})
}

func (r *rig) attach(partitions int) *testRouter {
	r.t.Helper()
	router := &testRouter{t: r.t}
	hello := &deliveryv1.Hello{Router: "r", TopicEpoch: "e", Partitions: uint32(partitions)}
	for p := range partitions {
		head := int64(100 * (p + 1))
		router.head = append(router.head, head)
		hello.Owned = append(hello.Owned, &deliveryv1.Ownership{Partition: uint32(p), Head: head})
	}
	var err error
	if router.stream, err = r.hub.Attach(context.Background(), hello, router); err != nil {
		r.t.Fatal(err)
	}
	synctest.Wait()
	router.idle()
	synctest.Wait()
	return router
}

// connect makes a socket of a user, which is put into rooms when idle routers have confirmed them.
func (r *rig) connect(shard int, user string, rooms ...string) *testConn {
	r.t.Helper()
	c := &testConn{shard: r.shards[shard]}
	c.member = newMember(r.hub, shard, c, "socket-of-"+user, user, 1000)
	if out := r.join(c, append([]string{"user:" + user}, rooms...)...); out.Err != nil {
		r.t.Fatal(out.Err)
	}
	return c
}

func grants(rooms []string) []Grant {
	var out []Grant
	for _, name := range rooms {
		out = append(out, Grant{Room: room.Room(name), Permissions: permission.All})
	}
	return out
}

func (r *rig) join(c *testConn, rooms ...string) Outcome {
	r.t.Helper()
	done := make(chan Outcome, 1)
	r.hub.Join(c.member, Request{Grants: grants(rooms), Asked: r.hub.Changes()}, func(o Outcome) { done <- o })
	return r.await(done)
}

// await lets the router confirm until an outcome is there.
func (r *rig) await(done chan Outcome) Outcome {
	r.t.Helper()
	for range 40 {
		synctest.Wait()
		select {
		case out := <-done:
			return out
		default:
			if r.router != nil {
				r.router.idle()
			}
			time.Sleep(250 * time.Millisecond)
		}
	}
	r.t.Fatal("the join came to no end")
	return Outcome{}
}

func (r *rig) parse(text string) cursor.Cursor {
	r.t.Helper()
	c, err := r.reader.Parse(text)
	if err != nil {
		r.t.Fatalf("cursor %q: %v", text, err)
	}
	return c
}

// position reads a cursor.
func (r *rig) position(text string) []int64 {
	r.t.Helper()
	c := r.parse(text)
	if c.Base != 0 {
		r.bases.mu.Lock()
		record, stored := r.bases.got[BaseID(c.Base)]
		r.bases.mu.Unlock()
		if !stored {
			r.t.Fatal("the cursor cites a base that was never stored")
		}
		base, err := cursor.ParseBase(record)
		if err != nil {
			r.t.Fatal(err)
		}
		if err := c.Resolve(base); err != nil {
			r.t.Fatal(err)
		}
	}
	if c.Epoch != cursor.Epoch("e") {
		r.t.Errorf("epoch %d", c.Epoch)
	}
	return slices.Clone(c.Offsets)
}

func newMember(h *Hub, shard int, conn Conn, socket, user string, issuedMs int64) *Member {
	m := &Member{}
	h.Init(m, shard, conn, socket, user, issuedMs)
	return m
}
