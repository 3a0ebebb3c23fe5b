package hub

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	deliveryv1 "github.com/edumatrix/interlink/proto/delivery/v1"
	"github.com/edumatrix/interlink/services/gateway/internal/engine"
	"github.com/edumatrix/interlink/services/gateway/internal/placement"
	"github.com/edumatrix/interlink/services/internal/room"
)

func message(id string, rooms ...string) *deliveryv1.Record {
	return &deliveryv1.Record{Id: id, Event: "message:new", Rooms: rooms, Data: []byte(`{"text":"hi"}`), TimeMs: 42}
}

func TestADurableRecordReachesTheRoomWithItsCursor(t *testing.T) {
	withRig(t, 2, func(r *rig) {
		a := r.connect(0, "a", "conversation:1")
		b := r.connect(1, "b", "conversation:1")
		c := r.connect(0, "c")
		record := message("x", "conversation:1")
		record.SingleRoom = true
		r.router.append(1, record)
		synctest.Wait()
		for _, conn := range []*testConn{a, b} {
			got := conn.take()
			if len(got) != 1 {
				t.Fatalf("%d events, want 1", len(got))
			}
			e := got[0]
			if e.Name != "message:new" || string(e.Data) != `{"text":"hi"}` || e.Class != engine.Durable ||
				string(e.Meta) != `{"id":"x","time":42,"room":"conversation:1"}` {
				t.Errorf("got %s %s %s %v", e.Name, e.Data, e.Meta, e.Class)
			}
			if at := r.position(e.Cursor); !slices.Equal(at, []int64{100, 201}) {
				t.Errorf("cursor at %v, want [100 201]", at)
			}
		}
		if got := c.take(); got != nil {
			t.Errorf("a socket outside of the room got %v", names(got))
		}
	})
}

func TestTheFormOfEvents(t *testing.T) {
	tests := map[string]struct {
		record *deliveryv1.Record
		data   string
		meta   string
	}{
		"absent data is null": {&deliveryv1.Record{Event: "e", Id: "1", Rooms: []string{"r:1"}}, `null`, `{"id":"1","time":0}`},
		"other people's targets are not shown": {
			&deliveryv1.Record{Event: "e", Id: "1", Rooms: []string{"r:1", "user:z"}, Data: []byte("1")}, `1`, `{"id":"1","time":0}`,
		},
		"a name and an id that need escapes": {
			&deliveryv1.Record{Event: "e\"\n", Id: "\\", Rooms: []string{"r:1"}, Data: []byte(`"x"`)}, `"x"`, `{"id":"\\","time":0}`,
		},
		"binary is one attachment": {
			&deliveryv1.Record{Event: "e", Id: "1", Rooms: []string{"r:1"}, Data: []byte{0, 255}, Binary: true}, `{"_placeholder":true,"num":0}`, `{"id":"1","time":0}`,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			withRig(t, 1, func(r *rig) {
				a := r.connect(0, "a", "r:1")
				r.router.append(0, test.record)
				r.router.push(&deliveryv1.Record{Event: test.record.Event, Id: "1", Rooms: test.record.Rooms, Data: test.record.Data, Binary: test.record.Binary, Replace: "k"})
				synctest.Wait()
				got := a.take()
				if len(got) != 2 {
					t.Fatalf("%d events, want 2", len(got))
				}
				e := got[0]
				if e.Name != test.record.Event || string(e.Data) != test.data || string(e.Meta) != test.meta || e.Cursor == "" {
					t.Errorf("durable: got %q %s %s %q", e.Name, e.Data, e.Meta, e.Cursor)
				}
				if e := got[1]; e.Cursor != "" || e.Class != engine.Ephemeral || string(e.Data) != test.data {
					t.Errorf("ephemeral: got %q %s %q %v", e.Name, e.Data, e.Cursor, e.Class)
				}
			})
		})
	}
}

func TestOneCopyPerSocketExceptThoseNamed(t *testing.T) {
	withRig(t, 1, func(r *rig) {
		a := r.connect(0, "a", "r:1", "r:2")
		b := r.connect(0, "b", "r:2")
		c := r.connect(1, "c", "r:1", "r:2")
		record := message("x", "r:1", "r:2", "user:a")
		record.ExceptUsers, record.ExceptSockets = []string{"b"}, []string{"socket-of-c"}
		r.router.append(0, record)
		many := message("y", "r:2")
		for i := range 20 {
			many.ExceptUsers = append(many.ExceptUsers, string(rune('z'-i)))
		}
		r.router.append(0, many)
		synctest.Wait()
		if got := a.take(); len(got) != 2 {
			t.Errorf("a got %d copies, want 1 of each", len(got))
		}
		if got := b.take(); len(got) != 1 || string(got[0].Meta) != `{"id":"y","time":42}` {
			t.Errorf("b got %v", got)
		}
		if got := c.take(); len(got) != 1 {
			t.Errorf("c got %v", got)
		}
	})
}

func TestAJoinTakesEffectWhenTheRouterHasConfirmedIt(t *testing.T) {
	withRig(t, 1, func(r *rig) {
		a := r.connect(0, "a")
		done := make(chan Outcome, 1)
		r.hub.Join(a.member, Request{Grants: grants([]string{"r:9"})}, func(o Outcome) { done <- o })
		synctest.Wait()
		if len(done) != 0 {
			t.Fatal("acknowledged before the router knows the room")
		}
		r.router.idle()
		synctest.Wait()
		out := <-done
		if out.Err != nil || !slices.Equal(r.position(string(out.Cursor)), []int64{100}) {
			t.Fatalf("outcome %+v", out)
		}
		r.router.append(0, message("x", "r:9"))
		synctest.Wait()
		if got := a.take(); len(got) != 1 {
			t.Errorf("got %d events, want 1", len(got))
		}
	})
}

func TestAJoinWithoutARouterIsUnavailableAfterFiveSeconds(t *testing.T) {
	withRig(t, 0, func(r *rig) {
		c := &testConn{shard: r.shards[0]}
		c.member = newMember(r.hub, 0, c, "s", "u", 0)
		start := time.Now()
		out := r.join(c, "r:1")
		if !errors.Is(out.Err, ErrUnavailable) || time.Since(start) < 5*time.Second {
			t.Errorf("got %v after %v", out.Err, time.Since(start))
		}
	})
}

func TestLeavingEndsDelivery(t *testing.T) {
	withRig(t, 1, func(r *rig) {
		a := r.connect(0, "a", "r:1")
		b := r.connect(0, "b", "r:1")
		r.shards[0].do(func() {
			if !r.hub.Leave(a.member, "r:1") || r.hub.Leave(a.member, "r:1") {
				t.Error("leave must report whether the member was in the room")
			}
		})
		r.router.append(0, message("x", "r:1"))
		r.shards[0].do(func() { r.hub.Remove(b.member) })
		r.router.append(0, message("y", "r:1", "user:b"))
		synctest.Wait()
		if got := a.take(); got != nil {
			t.Errorf("a got %v", names(got))
		}
		if len(r.hub.counts) != 1 { // user:a
			t.Errorf("%d rooms counted, want 1", len(r.hub.counts))
		}
		time.Sleep(31 * time.Second)
		synctest.Wait()
		if s := r.hub.Status(); s.Rooms != 1 {
			t.Errorf("%d rooms announced, want 1", s.Rooms)
		}
	})
}

func TestASocketThatGoesWhileItJoinsLeavesNothingBehind(t *testing.T) {
	withRig(t, 1, func(r *rig) {
		a := r.connect(0, "a")
		done := make(chan Outcome, 1)
		r.hub.Join(a.member, Request{Grants: grants([]string{"r:9"})}, func(o Outcome) { done <- o })
		r.shards[0].do(func() { r.hub.Remove(a.member) })
		if out := r.await(done); !errors.Is(out.Err, ErrGone) {
			t.Errorf("got %v", out.Err)
		}
		synctest.Wait()
		if len(r.hub.counts) != 0 || len(r.hub.tables[0].rooms) != 0 {
			t.Errorf("%d counts, %d rooms left", len(r.hub.counts), len(r.hub.tables[0].rooms))
		}
	})
}

func TestJoiningTwiceCountsOnce(t *testing.T) {
	withRig(t, 1, func(r *rig) {
		a := r.connect(0, "a", "r:1")
		if out := r.join(a, "r:1"); out.Err != nil {
			t.Fatal(out.Err)
		}
		r.router.append(0, message("x", "r:1"))
		synctest.Wait()
		if got := a.take(); len(got) != 1 {
			t.Errorf("%d copies, want 1", len(got))
		}
		r.shards[0].do(func() { r.hub.Leave(a.member, "r:1") })
		synctest.Wait()
		if len(r.hub.counts) != 1 {
			t.Errorf("%d rooms counted, want only the user's own", len(r.hub.counts))
		}
	})
}

func TestAPingCarriesACursorUnlessAnEventDid(t *testing.T) {
	withRig(t, 1, func(r *rig) {
		a := r.connect(0, "a", "r:1")
		b := r.connect(0, "b")
		ping := func(c *testConn) (f *engine.Frame) {
			c.shard.do(func() { f = c.member.Ping() })
			return f
		}
		r.router.append(0, message("x", "r:1"))
		synctest.Wait()
		if ping(a) != nil {
			t.Error("a ping right behind an event carried a cursor")
		}
		first := ping(a)
		if first == nil || ping(b) != first {
			t.Fatal("sockets of one shard must share one frame")
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		second := ping(a)
		if second == first {
			t.Error("the cursor did not become younger")
		}
		if err := b.Send(second); !err {
			t.Fatal("not sent")
		}
		got := b.take()
		if e := got[len(got)-1]; e.Name != "session:cursor" || string(e.Data) != "null" || !slices.Equal(r.position(e.Cursor), []int64{101}) {
			t.Errorf("got %+v", e)
		}
	})
}

func TestCursorsCiteABaseWhenItIsStoredAndNoneWhileTheStoreIsAway(t *testing.T) {
	withRig(t, 3, func(r *rig) {
		a := r.connect(0, "a", "r:1")
		cited := func() uint64 {
			r.router.append(0, message("x", "r:1"))
			synctest.Wait()
			got := a.take()
			r.position(got[0].Cursor)
			return r.parse(got[0].Cursor).Base
		}
		time.Sleep(2 * time.Second)
		before := cited()
		if before == 0 {
			t.Fatal("no base cited although the store is there")
		}
		time.Sleep(2 * time.Second)
		if now := cited(); now == before {
			t.Error("the base was not renewed although the position moved")
		}
		r.bases.mu.Lock()
		r.bases.away = true
		r.bases.mu.Unlock()
		time.Sleep(6 * time.Minute)
		if now := cited(); now != 0 {
			t.Error("a base was cited until its end")
		}
		r.bases.mu.Lock()
		r.bases.away = false
		r.bases.mu.Unlock()
		time.Sleep(2 * time.Second)
		if now := cited(); now == 0 {
			t.Error("no base cited although the store is back")
		}
		time.Sleep(2 * time.Second)
		second := cited()
		r.bases.mu.Lock()
		clear(r.bases.got)
		r.bases.mu.Unlock()
		r.hub.Forgotten()
		time.Sleep(100 * time.Millisecond)
		cited() // fails if what it cites is not stored
		r.bases.mu.Lock()
		_, again := r.bases.got[BaseID(second)]
		r.bases.mu.Unlock()
		if !again {
			t.Error("a base that clients may come back with was not stored again")
		}
	})
}

func TestCreditIsReturnedForAllThatWasHandled(t *testing.T) {
	withRig(t, 1, func(r *rig) {
		before := r.router.credit
		r.router.append(0, message("x", "r:nobody"))
		r.router.handle(&deliveryv1.AttachRequest{Kind: &deliveryv1.AttachRequest_Ranges{Ranges: &deliveryv1.Ranges{Ranges: []*deliveryv1.Range{
			{Partition: 0, From: 900, To: 901, Records: [][]byte{make([]byte, 500)}}, // refused
		}}}})
		synctest.Wait()
		if got := r.router.credit - before; got <= 500 {
			t.Errorf("credit of %d bytes, want that of both", got)
		}
		if s, ok := r.router.said[len(r.router.said)-1].(placement.Seek); !ok || s.Offset != 101 {
			t.Errorf("said %v, want a seek to 101", r.router.said)
		}
	})
}

func TestAnotherTopicEndsAllSessions(t *testing.T) {
	withRig(t, 1, func(r *rig) {
		a := r.connect(0, "a", "r:1")
		r.router.stream.Detach()
		synctest.Wait()
		router := &testRouter{t: t}
		stream, err := r.hub.Attach(context.Background(), &deliveryv1.Hello{TopicEpoch: "f", Partitions: 1, Owned: []*deliveryv1.Ownership{{Head: 3}}}, router)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if !slices.Equal(a.ends, []End{Restarted}) {
			t.Errorf("ends %v", a.ends)
		}
		stream.Detach()
		synctest.Wait()
	})
}

func TestSocketsAreListed(t *testing.T) {
	withRig(t, 1, func(r *rig) {
		r.connect(0, "a", "r:1")
		b := r.connect(1, "b", "r:1")
		done := make(chan Outcome, 1)
		r.hub.Join(b.member, Request{Grants: []Grant{{Room: "presence:a", Internal: true}}}, func(o Outcome) { done <- o })
		r.await(done)
		got, err := r.hub.Sockets(context.Background(), "r:1", 10)
		if err != nil || len(got) != 2 {
			t.Fatalf("got %v, %v", got, err)
		}
		for _, i := range got {
			if !slices.Equal(i.Rooms, []room.Room{room.OfUser(i.User), "r:1"}) || i.UserAgent != "test" || i.Since.UnixMilli() != 7 {
				t.Errorf("got %+v", i)
			}
		}
	})
}
