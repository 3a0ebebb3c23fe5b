package engine

import (
	"testing"

	"github.com/edumatrix/interlink/services/gateway/internal/poller"
	"github.com/edumatrix/interlink/services/gateway/internal/wsframe"
)

func TestEventOfAnOlderGenerationIsIgnored(t *testing.T) {
	e, err := New(Options{Open: func(*Session, Handshake) Handler { return nil }, Shards: 1, Portable: true})
	if err != nil {
		t.Fatal(err)
	}
	defer e.closeShards()
	sh := e.shards[0]
	first, second := &conn{shard: sh, consumer: &counting{}}, &conn{shard: sh, consumer: &counting{}, blocked: true, deadline: &timer{}}
	sh.enter(first)
	stale := poller.Event{Token: first.token, Write: true}
	sh.leave(first)
	sh.enter(second)
	if uint32(first.token) != uint32(second.token) || first.token == second.token {
		t.Fatalf("tokens %x and %x: the slot was not used again, or its generation", first.token, second.token)
	}
	sh.serve(stale)
	if second.consumer.(*counting).readied != 0 {
		t.Error("an event of the closed descriptor reached its successor")
	}
	second.stream = &stream{} // so that no system call is made
	sh.serve(poller.Event{Token: second.token, Write: true})
	if second.consumer.(*counting).readied != 1 {
		t.Error("its own event did not")
	}
	sh.serve(poller.Event{Token: 77})
	sh.leave(second)
	sh.serve(poller.Event{Token: second.token, Write: true})
}

// counting counts what a connection is told.
type counting struct{ readied int }

func (c *counting) message(*conn, wsframe.Opcode, []byte) {}
func (c *counting) gone(*conn, Reason)                    {}
func (c *counting) ready(*conn)                           { c.readied++ }
func (c *counting) reply(*conn, *Frame)                   {}

func TestPostsRunInOrderAndTheirFollowUpsBetween(t *testing.T) {
	e, err := New(Options{Open: func(*Session, Handshake) Handler { return nil }, Shards: 1, Portable: true})
	if err != nil {
		t.Fatal(err)
	}
	defer e.closeShards()
	sh := e.shards[0]
	var order []int
	for i := range 3 {
		sh.Post(func() {
			order = append(order, 10*i)
			sh.Later(func() {
				order = append(order, 10*i+1)
				sh.Later(func() { order = append(order, 10*i+2) })
			})
			sh.Post(func() { order = append(order, 100+i) })
		})
	}
	sh.runPosts()
	sh.shut()
	want := []int{0, 1, 2, 10, 11, 12, 20, 21, 22, 100, 101, 102}
	for i, n := range want {
		if i >= len(order) || order[i] != n {
			t.Fatalf("order %v, want %v", order, want)
		}
	}
	if sh.post(func() {}) {
		t.Error("a post was taken after the end")
	}
}

func TestTimersWaitForOneRoundOfDescriptors(t *testing.T) {
	sh := &Shard{slots: make([]slot, 3*poller.Batch)}
	for turn, want := range []bool{false, false, false, false, true, false} {
		if got := sh.caughtUp(poller.Batch); got != want {
			t.Errorf("full turn %d: %v", turn, got)
		}
	}
	if !sh.caughtUp(poller.Batch - 1) {
		t.Error("a turn that has served all holds timers up")
	}
}
