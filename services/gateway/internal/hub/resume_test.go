package hub

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	deliveryv1 "github.com/edumatrix/interlink/proto/delivery/v1"
	"github.com/edumatrix/interlink/services/gateway/internal/cursor"
	"github.com/edumatrix/interlink/services/internal/permission"
	"github.com/edumatrix/interlink/services/internal/room"
)

func TestTheEraIsRaisedBetweenTwoStepsOfTheSequencer(t *testing.T) {
	withRig(t, 1, func(r *rig) {
		a := r.connect(0, "a", "r:1")
		var marked []byte
		r.hub.Mark(0, 3, func(text []byte) { marked = text })
		r.router.append(0, message("x", "r:1"))
		r.hub.Mark(0, 2, func([]byte) {}) // an era never goes back
		r.router.append(0, message("y", "r:1"))
		synctest.Wait()
		got := a.take()
		for i, text := range []string{string(marked), got[0].Cursor, got[1].Cursor} {
			if era := r.parse(text).Era; era != 3 {
				t.Errorf("cursor %d is of era %d, want 3", i, era)
			}
		}
		if at := r.position(string(marked)); !slices.Equal(at, []int64{100}) {
			t.Errorf("marked at %v, want the position before the next event", at)
		}
	})
}

func TestJoiningAtAPositionOfAnotherTopicIsRefused(t *testing.T) {
	withRig(t, 1, func(r *rig) {
		a := r.connect(0, "a")
		done := make(chan Outcome, 1)
		r.hub.Join(a.member, Request{Grants: grants([]string{"r:1"}), Hold: true, Epoch: cursor.Epoch("other"), Reach: []int64{1 << 40}}, func(o Outcome) { done <- o })
		if out := r.await(done); !errors.Is(out.Err, ErrEpoch) {
			t.Errorf("got %v", out.Err)
		}
		r.hub.Join(a.member, Request{Grants: grants([]string{"r:1"}), Hold: true, Epoch: cursor.Epoch("e")}, func(o Outcome) { done <- o })
		if out := r.await(done); out.Err != nil || out.Epoch != cursor.Epoch("e") || !slices.Equal(out.At, []int64{100}) {
			t.Errorf("got %+v", out)
		}
	})
}

func TestWhatWasHeldForHiddenRoomsIsNotShown(t *testing.T) {
	withRig(t, 1, func(r *rig) {
		a := r.connect(0, "a")
		done := make(chan Outcome, 1)
		r.hub.Join(a.member, Request{Grants: grants([]string{"r:1", "r:2"}), Hold: true}, func(o Outcome) { done <- o })
		r.await(done)
		r.router.append(0, message("one", "r:1"))
		r.router.append(0, message("two", "r:2"))
		r.router.append(0, message("both", "r:1", "r:2"))
		r.router.append(0, message("elsewhere", "r:1", "r:3"))
		synctest.Wait()
		var ids []string
		a.shard.do(func() {
			r.hub.Hide(a.member, []room.Room{"r:1"})
			for _, f := range a.member.NextHeld(1) {
				a.Send(f)
			}
			frames, over := a.member.Release()
			if over || len(frames) != 1 || a.member.In("r:1") {
				t.Error("more or less than the second is left")
			}
			for _, f := range frames {
				a.Send(f)
			}
		})
		for _, e := range a.take() {
			ids = append(ids, string(e.Meta))
		}
		if len(ids) != 2 {
			t.Errorf("got %v, want two and both", ids)
		}
	})
}

func TestRemovalsSinceAPositionAreKnown(t *testing.T) {
	withRig(t, 1, func(r *rig) {
		r.connect(0, "a", "r:1", "r:2")
		r.router.append(0, control(&deliveryv1.Control{Kind: deliveryv1.Control_MEMBERSHIP_CHANGED, Room: "r:1", Remove: []string{"a"}}))
		synctest.Wait()
		ask := func(from int64) []room.Room {
			out, err := r.hub.Removed(context.Background(), "a", []room.Room{"r:1", "r:2"}, []int64{from})
			if err != nil {
				t.Error(err)
			}
			return out
		}
		if got := ask(100); !slices.Equal(got, []room.Room{"r:1"}) {
			t.Errorf("since before the removal: %v", got)
		}
		if got := ask(101); got != nil {
			t.Errorf("since after the removal: %v", got)
		}
	})
}

func TestTheOldSocketOfASessionIsDisplaced(t *testing.T) {
	withRig(t, 1, func(r *rig) {
		old, other := r.connect(0, "a"), r.connect(1, "b")
		if err := r.hub.Displace(context.Background(), "a", "socket-of-a", nil); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(old.ends, []End{Displaced}) || other.ends != nil {
			t.Errorf("ends: %v, %v", old.ends, other.ends)
		}
		if err := r.hub.Displace(context.Background(), "nobody", "socket-of-a", nil); err != nil {
			t.Error(err)
		}
	})
}

func TestPermissionsChangeInPlace(t *testing.T) {
	withRig(t, 1, func(r *rig) {
		a := r.connect(0, "a", "r:1")
		a.shard.do(func() {
			a.member.Regrant("r:1", permission.Join)
			a.member.Regrant("r:2", permission.All)
			if set, in := a.member.Permissions("r:1"); !in || set != permission.Join {
				t.Errorf("got %v, %v", set, in)
			}
			if a.member.In("r:2") {
				t.Error("joined by a change of permissions")
			}
		})
	})
}

func TestAPartOfTheLogThatHasExpiredEndsEverySession(t *testing.T) {
	withRig(t, 2, func(r *rig) {
		a := r.connect(0, "a", "r:1")
		gone := func(position, earliest int64) {
			r.router.handle(&deliveryv1.AttachRequest{Kind: &deliveryv1.AttachRequest_Gone{Gone: &deliveryv1.Gone{Partition: 0, Position: position, Earliest: earliest}}})
			synctest.Wait()
		}
		gone(50, 400) // stale
		gone(100, 90) // nonsense
		if a.ends != nil {
			t.Fatalf("ended: %v", a.ends)
		}
		gone(100, 400)
		if !slices.Equal(a.ends, []End{Restarted}) {
			t.Errorf("ended: %v", a.ends)
		}
		r.router.head[0] = 400
		r.router.append(0, message("x", "r:1"))
		time.Sleep(time.Second)
		got := a.take()
		if len(got) == 0 {
			t.Fatal("the partition does not go on")
		}
		if at := r.position(got[0].Cursor); !slices.Equal(at, []int64{401, 200}) {
			t.Errorf("at %v", at)
		}
	})
}
