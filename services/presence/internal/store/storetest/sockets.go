package storetest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/edumatrix/interlink/services/presence/internal/store"
)

var sockets = map[string]func(*testing.T, *bench){
	"a user is online while any tab is": func(t *testing.T, b *bench) {
		b.live(gw1, gw2)
		b.want("first tab", b.change(gw1, on("u1", "s1")), "+u1(1,online)")
		b.want("second tab", b.change(gw1, on("u1", "s2")), "")
		b.want("phone", b.change(gw2, on("u1", "s3")), "")
		b.want("told again", b.change(gw1, on("u1", "s1")), "")
		if st := b.state("u1"); !st.Online || st.Sockets != 3 || st.Status != store.StatusOnline {
			t.Errorf("state %+v", st)
		}
		b.want("tabs leave", b.change(gw1, left("u1", "s1"), left("u1", "s2")), "")
		b.want("phone leaves", b.change(gw2, left("u1", "s3")), "-u1")
		if st := b.state("u1"); st.Online || st.Sockets != 0 || st.Status != store.StatusOffline || st.Seen.IsZero() {
			t.Errorf("state %+v", st)
		}
	},
	"changes of one call are applied in order": func(_ *testing.T, b *bench) {
		b.live(gw1)
		b.want("changes", b.change(gw1, on("u1", "s1"), left("u1", "s1"), on("u1", "s2"), on("u2", "x"), left("u2", "x")),
			"+u1(1,online) -u1 +u1(1,online) +u2(1,online) -u2")
	},
	"a lost socket waits the grace": func(t *testing.T, b *bench) {
		b.live(gw1)
		b.change(gw1, on("u1", "s1"))
		b.Advance(time.Second)
		b.want("lost", b.change(gw1, lost("u1", "s1")), "")
		when := b.state("u1").Seen
		b.Advance(14*time.Second + 999*time.Millisecond)
		b.renew(gw1)
		b.want("in the grace", b.tick(), "")
		if st := b.state("u1"); !st.Online || st.Sockets != 0 {
			t.Errorf("state in the grace %+v", st)
		}
		b.Advance(time.Millisecond)
		got := b.tickAll(100)
		b.want("after it", words(got.Transitions), "-u1")
		if got.Expired != 1 || !got.Transitions[0].Seen.Equal(when) || !got.Transitions[0].At.Equal(when.Add(15*time.Second)) {
			t.Errorf("tick %+v, lost at %v", got, when)
		}
		b.want("once", b.tick(), "")
	},
	"whoever comes back within the grace was never away": func(_ *testing.T, b *bench) {
		b.live(gw1, gw2)
		b.change(gw1, on("same", "s1"), on("other", "s2"), on("elsewhere", "s3"))
		b.change(gw1, lost("same", "s1"), lost("other", "s2"), lost("elsewhere", "s3"))
		b.Advance(5 * time.Second)
		b.want("back", b.change(gw1, on("same", "s1"), on("other", "s9")), "")
		b.want("back elsewhere", b.change(gw2, on("elsewhere", "s3")), "")
		for range 4 {
			b.Advance(5 * time.Second)
			b.renew(gw1)
			b.renew(gw2)
			b.want("tick", b.tick(), "")
		}
	},
	"losing twice does not lengthen the grace": func(_ *testing.T, b *bench) {
		b.live(gw1)
		b.change(gw1, on("u1", "s1"), lost("u1", "s1"))
		b.Advance(8 * time.Second)
		b.renew(gw1)
		b.change(gw1, lost("u1", "s1"))
		b.Advance(7 * time.Second)
		b.want("tick", b.tick(), "-u1")
	},
	"a leave is immediate even if the same socket was lost elsewhere": func(_ *testing.T, b *bench) {
		b.live(gw1, gw2)
		b.change(gw1, on("u1", "s1"), lost("u1", "s1"))
		b.want("resumed", b.change(gw2, on("u1", "s1")), "")
		b.want("leave", b.change(gw2, left("u1", "s1")), "-u1")
		b.Advance(time.Minute)
		b.want("tick", b.tick(), "")
	},
	"a gateway removes only its own": func(_ *testing.T, b *bench) {
		next := store.Life{Gateway: gw1.Gateway, Incarnation: "A2"}
		b.live(gw1, next)
		b.change(gw1, on("u1", "s1"))
		b.change(next, on("u1", "s1"))
		b.want("old one leaves", b.change(gw1, left("u1", "s1")), "")
		b.want("old one again", b.change(gw1, left("u1", "s1"), lost("u1", "s1")), "")
		b.want("a stranger", b.change(gw1, left("u2", "s1"), lost("u3", "s1")), "")
		b.want("new one leaves", b.change(next, left("u1", "s1")), "-u1")
	},
	"a full sync loses what it does not name": func(_ *testing.T, b *bench) {
		b.live(gw1, gw2)
		b.change(gw1, on("u1", "s1"), on("u2", "s2"), on("u3", "s3"))
		b.change(gw2, on("u4", "s4"))
		b.want("full", words(b.sync(gw1, true, on("u1", "s1"), on("u5", "s5")).Transitions), "+u5(1,online)")
		b.Advance(8 * time.Second)
		b.renew(gw1)
		b.renew(gw2)
		b.want("in the grace", b.tick(), "")
		b.Advance(7 * time.Second)
		b.renew(gw1)
		b.renew(gw2)
		b.want("after it", b.tick(), "-u2 -u3")
	},
	"status is told once and ends with the user": func(t *testing.T, b *bench) {
		b.live(gw1)
		b.change(gw1, on("u1", "s1"), on("u1", "s2"))
		b.want("set", b.status("u1", "busy"), "+u1(2,busy)")
		b.want("again", b.status("u1", "busy"), "")
		b.want("state", b.state("u1").Status, "busy")
		b.change(gw1, left("u1", "s1"), left("u1", "s2"))
		b.want("new day", b.change(gw1, on("u1", "s3")), "+u1(1,online)")
	},
	"a status that overtakes its socket waits for it": func(_ *testing.T, b *bench) {
		b.live(gw1)
		b.want("early", b.status("u1", "away"), "")
		b.want("state", b.state("u1").Status, "offline")
		b.want("connect", b.change(gw1, on("u1", "s1")), "+u1(1,away)")
		b.status("u2", "away")
		b.Advance(store.StatusWait + time.Millisecond)
		b.renew(gw1)
		b.sync(gw1, true)
		b.want("too late", b.change(gw1, on("u2", "s2")), "+u2(1,online)")
	},
	"last seen is kept for a while": func(t *testing.T, b *bench) {
		b.live(gw1)
		if st := b.state("never"); st.Online || !st.Seen.IsZero() || st.Status != store.StatusOffline {
			t.Errorf("never seen: %+v", st)
		}
		b.change(gw1, on("u1", "s1"), left("u1", "s1"))
		b.Advance(23 * time.Hour)
		if b.state("u1").Seen.IsZero() {
			t.Error("gone too early")
		}
		b.Advance(2 * time.Hour)
		if !b.state("u1").Seen.IsZero() {
			t.Error("never gone")
		}
	},
	"a long connection does not lose its user": func(_ *testing.T, b *bench) {
		b.live(gw1)
		b.change(gw1, on("u1", "s1"), left("u1", "s1"), on("u1", "s2"))
		for range 13 {
			b.Advance(4 * time.Hour)
			b.renew(gw1)
			b.sync(gw1, true, on("u1", "s2"))
			b.want("tick", b.tick(), "")
		}
		b.want("leave", b.change(gw1, left("u1", "s2")), "-u1")
	},
	"names may look like anything": func(_ *testing.T, b *bench) {
		b.live(gw1)
		for _, user := range []string{"a b", "}{", "{x}", "ü€😀", "auth0|1:2", "*", "%00", "-"} {
			b.want(user, b.change(gw1, on(user, "s-"+user)), "+"+user+"(1,online)")
			b.want(user, b.change(gw1, lost(user, "s-"+user)), "")
		}
		b.Advance(15 * time.Second)
		b.want("tick", b.tick(), "-%00 -* -- -a b -auth0|1:2 -{x} -}{ -ü€😀")
	},
	"thousands of changes fit one call": func(t *testing.T, b *bench) {
		b.live(gw1)
		var changes []store.Change
		for i := range 3000 {
			u := fmt.Sprintf("u%d", i)
			changes = append(changes, on(u, "a"), on(u, "b"), left(u, "a"))
		}
		if got := len(b.sync(gw1, false, changes...).Transitions); got != 3000 {
			t.Errorf("%d transitions", got)
		}
		if got := b.tickAll(10).Users; got != 3000 {
			t.Errorf("%d users online", got)
		}
	},
	"several pods share the deadlines and tell each once": func(t *testing.T, b *bench) {
		b.live(gw1)
		var ons, losts []store.Change
		for i := range 400 {
			u := fmt.Sprintf("u%d", i)
			ons, losts = append(ons, on(u, "s")), append(losts, lost(u, "s"))
		}
		b.sync(gw1, false, ons...)
		b.sync(gw1, false, losts...)
		b.Advance(15 * time.Second)
		var mu sync.Mutex
		count, more := map[string]int{}, false
		var pods sync.WaitGroup
		for range 3 {
			pod := b.Another()
			pods.Go(func() {
				for range 8 {
					got, err := pod.Tick(b.ctx(), nil, 20)
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					more = more || got.More
					for _, tr := range got.Transitions {
						count[tr.User]++
					}
					mu.Unlock()
				}
			})
		}
		pods.Wait()
		for u, n := range count {
			if n != 1 {
				t.Errorf("%s told %d times", u, n)
			}
		}
		if len(count) < 400 && !more {
			t.Errorf("%d of 400 told, and no tick said that there is more", len(count))
		}
	},
}

func (b *bench) status(user, status string) string {
	b.Helper()
	tr, err := b.Store.SetStatus(b.ctx(), user, status)
	b.ok(err)
	return words(tr)
}
