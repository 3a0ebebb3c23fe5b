package hub

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	deliveryv1 "github.com/edumatrix/interlink/proto/delivery/v1"
	"github.com/edumatrix/interlink/services/internal/room"
)

func control(c *deliveryv1.Control) *deliveryv1.Record {
	return &deliveryv1.Record{Id: "c", TimeMs: 5000, Control: c}
}

func TestARemovedUserIsEvictedAtOnceAndTold(t *testing.T) {
	withRig(t, 1, func(r *rig) {
		a := r.connect(0, "a", "r:1")
		b := r.connect(1, "b", "r:1")
		r.router.append(0, control(&deliveryv1.Control{Kind: deliveryv1.Control_MEMBERSHIP_CHANGED, Room: "r:1", Remove: []string{"a", "nobody"}}))
		r.router.append(0, message("x", "r:1"))
		synctest.Wait()
		got := a.take()
		if len(got) != 1 || got[0].Name != "room:evicted" || string(got[0].Data) != `{"room":"r:1","reason":"removed"}` {
			t.Fatalf("a got %v", got)
		}
		if at := r.position(got[0].Cursor); !slices.Equal(at, []int64{101}) {
			t.Errorf("cursor at %v", at)
		}
		if !slices.Equal(a.evicted, []room.Room{"r:1"}) || !slices.Equal(r.changed, []string{"r:1"}) {
			t.Errorf("evicted %v, changed %v", a.evicted, r.changed)
		}
		if got := names(b.take()); !slices.Equal(got, []string{"message:new"}) {
			t.Errorf("b got %v", got)
		}
	})
}

func TestAPermissionAskedForBeforeTheRemovalDoesNotLetIn(t *testing.T) {
	withRig(t, 1, func(r *rig) {
		a := r.connect(0, "a")
		asked := r.hub.Changes()
		r.router.append(0, control(&deliveryv1.Control{Kind: deliveryv1.Control_MEMBERSHIP_CHANGED, Room: "r:1", Remove: []string{"a"}}))
		synctest.Wait()
		done := make(chan Outcome, 1)
		r.hub.Join(a.member, Request{Grants: grants([]string{"r:1", "r:2"}), Asked: asked}, func(o Outcome) { done <- o })
		out := r.await(done)
		if out.Err != nil || !slices.Equal(out.Denied, []room.Room{"r:1"}) {
			t.Fatalf("outcome %+v", out)
		}
		if a.member.In("r:1") || !a.member.In("r:2") {
			t.Error("the member must be in r:2 only")
		}
		if out := r.join(a, "r:1"); out.Err != nil || out.Denied != nil || !a.member.In("r:1") {
			t.Errorf("asked again: %+v", out)
		}
	})
}

func TestTheRemovalOfAUserWhoIsAboutToJoinHolds(t *testing.T) {
	withRig(t, 1, func(r *rig) {
		a := r.connect(0, "a")
		done := make(chan Outcome, 1)
		r.hub.Join(a.member, Request{Grants: grants([]string{"r:1"}), Asked: r.hub.Changes()}, func(o Outcome) { done <- o })
		synctest.Wait()
		r.router.append(0, control(&deliveryv1.Control{Kind: deliveryv1.Control_MEMBERSHIP_CHANGED, Room: "r:1", Remove: []string{"a"}}))
		if out := r.await(done); !slices.Equal(out.Denied, []room.Room{"r:1"}) || a.member.In("r:1") {
			t.Errorf("outcome %+v", out)
		}
	})
}

func TestWhatIsNoLongerKnownOfRemovalsIsDenied(t *testing.T) {
	e := newEvictions(time.Minute)
	now := time.Unix(0, 0)
	e.add("r:1", "a", removal{change: 1, partition: 2, offset: 10}, now)
	e.add("r:1", "a", removal{change: 2, partition: 2, offset: 20}, now.Add(time.Minute))
	asked := func(user string, change uint64) bool { return e.since("r:1", user, &Request{Asked: change}) }
	from := func(user string, offset int64) bool {
		return e.since("r:1", user, &Request{From: []int64{0, 0, offset}})
	}
	if !asked("a", 1) || asked("a", 2) || asked("b", 0) || !from("a", 20) || from("a", 21) || from("b", 5) {
		t.Error("wrong answer while everything is known")
	}
	e.prune(now.Add(time.Minute + time.Second))
	if !asked("b", 0) || asked("b", 1) || !asked("a", 1) || !from("b", 10) || from("b", 11) || !e.since("r:1", "b", &Request{From: []int64{0}}) {
		t.Error("wrong answer after the first was forgotten")
	}
	e.prune(now.Add(time.Hour))
	if len(e.last) != 0 || len(e.order) != 0 {
		t.Error("something is kept for ever")
	}
}

func TestAddedUsersAreAskedAbout(t *testing.T) {
	withRig(t, 1, func(r *rig) {
		a := r.connect(0, "a", "r:1")
		b := r.connect(1, "b")
		r.router.append(0, control(&deliveryv1.Control{Kind: deliveryv1.Control_MEMBERSHIP_CHANGED, Room: "r:1", Add: []string{"a", "b"}}))
		synctest.Wait()
		if a.invited != nil || !slices.Equal(b.invited, []room.Room{"r:1"}) {
			t.Errorf("invited: a %v, b %v; a is in already", a.invited, b.invited)
		}
	})
}

func TestARevocationEndsSocketsWithOlderTokens(t *testing.T) {
	withRig(t, 1, func(r *rig) {
		a := r.connect(0, "a") // issued at 1000
		b := r.connect(1, "b")
		r.router.append(0, control(&deliveryv1.Control{Kind: deliveryv1.Control_SESSION_REVOKED, User: "a", BeforeMs: 1000}))
		synctest.Wait()
		if a.ends != nil {
			t.Error("a token issued at that very time is good")
		}
		r.router.append(0, control(&deliveryv1.Control{Kind: deliveryv1.Control_SESSION_REVOKED, User: "a"})) // now: 5000
		r.router.handle(&deliveryv1.AttachRequest{Kind: &deliveryv1.AttachRequest_Revocations{Revocations: &deliveryv1.Revocations{
			Revocations: []*deliveryv1.Revocation{{User: "b", BeforeMs: 2000}, {User: "b", BeforeMs: 1500}},
		}}})
		synctest.Wait()
		if !slices.Equal(a.ends, []End{Revoked}) || !slices.Equal(b.ends, []End{Revoked}) {
			t.Errorf("ends: a %v, b %v", a.ends, b.ends)
		}
		c := &testConn{shard: r.shards[0]}
		c.member = newMember(r.hub, 0, c, "s", "a", 4999)
		if out := r.join(c, "user:a"); !errors.Is(out.Err, ErrRevoked) || c.member.In("user:a") {
			t.Errorf("connecting with an older token: %+v", out)
		}
		c.member = newMember(r.hub, 0, c, "s", "a", 5000)
		if out := r.join(c, "user:a"); out.Err != nil {
			t.Errorf("connecting with a newer token: %+v", out)
		}
	})
}

func TestADisconnectedUsersSocketsEnd(t *testing.T) {
	withRig(t, 1, func(r *rig) {
		a, b := r.connect(0, "a"), r.connect(1, "a")
		r.router.append(0, control(&deliveryv1.Control{Kind: deliveryv1.Control_USER_DISCONNECT, User: "a"}))
		synctest.Wait()
		if !slices.Equal(a.ends, []End{Disconnected}) || !slices.Equal(b.ends, []End{Disconnected}) {
			t.Errorf("ends %v %v", a.ends, b.ends)
		}
	})
}
