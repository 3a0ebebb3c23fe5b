package storetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/edumatrix/interlink/services/presence/internal/store"
)

var gateways = map[string]func(*testing.T, *bench){
	"a dead gateway's users go after lease and grace": func(t *testing.T, b *bench) {
		b.live(gw1, gw2)
		b.change(gw1, on("gone", "s1"), on("back", "s2"), on("both", "s3"), on("lost", "s4"))
		b.change(gw2, on("both", "s9"))
		b.change(gw1, lost("lost", "s4"))
		b.Advance(leaseTTL)
		b.renew(gw2)
		b.sync(gw2, true, on("both", "s9"))
		b.want("lease ended", b.sweep(100), "")
		ended := b.state("gone").Seen.Add(leaseTTL)
		b.want("back elsewhere", b.change(gw2, on("back", "s2")), "")
		for range 2 {
			b.Advance(7 * time.Second)
			b.renew(gw2)
		}
		b.want("in the grace", b.sweep(100), "-lost")
		b.Advance(time.Second)
		b.renew(gw2)
		b.want("after it", b.sweep(100), "-gone")
		b.want("once", b.sweep(100), "")
		if st := b.state("gone"); st.Online || !st.Seen.Equal(ended) {
			t.Errorf("state %+v, lease ended %v", st, ended)
		}
		if st := b.state("back"); !st.Online || st.Sockets != 1 {
			t.Errorf("state %+v", st)
		}
	},
	"a gateway that comes back within the grace keeps its users": func(_ *testing.T, b *bench) {
		b.live(gw1)
		b.change(gw1, on("u1", "s1"))
		b.Advance(leaseTTL)
		b.want("ended", b.sweep(100), "")
		b.Advance(8 * time.Second)
		b.renew(gw1)
		b.want("back", b.sweep(100), "")
		b.want("full", words(b.sync(gw1, true, on("u1", "s1")).Transitions), "")
		for range 4 {
			b.Advance(8 * time.Second)
			b.renew(gw1)
			b.want("later", b.sweep(100), "")
		}
		b.want("leave", b.change(gw1, left("u1", "s1")), "-u1")
	},
	"a released lease goes the same way": func(_ *testing.T, b *bench) {
		b.live(gw1)
		b.change(gw1, on("u1", "s1"), on("u2", "s2"), left("u2", "s2"))
		b.ok(b.Store.Release(b.ctx(), gw1))
		b.want("released", b.sweep(100), "")
		b.Advance(15 * time.Second)
		b.want("after the grace", b.sweep(100), "-u1")
	},
	"a sweep is bounded and several pods tell each user once": func(t *testing.T, b *bench) {
		b.live(gw1)
		var changes []store.Change
		for i := range 600 {
			changes = append(changes, on(fmt.Sprintf("u%d", i), "s"))
		}
		b.sync(gw1, false, changes...)
		b.Advance(leaseTTL)
		b.tick()
		b.Advance(15 * time.Second)
		dead := b.tickAll(100).Dead
		if len(dead) == 0 {
			t.Fatal("nothing is dead")
		}
		pods := []Store{b.Store, b.Another()}
		seen := map[string]int{}
		for _, d := range dead {
			for n, left := 0, 1; left > 0; n++ {
				s, err := pods[n%2].Sweep(b.ctx(), d, 7)
				b.ok(err)
				if s.Sockets > 7 {
					t.Fatalf("%d sockets at once", s.Sockets)
				}
				left = s.Left
				for _, tr := range s.Transitions {
					seen[tr.User]++
				}
			}
		}
		if len(seen) != 600 {
			t.Errorf("%d of 600 told", len(seen))
		}
		for u, n := range seen {
			if n != 1 {
				t.Errorf("%s told %d times", u, n)
			}
		}
		if got := b.tickAll(100); len(got.Dead) > 0 || got.Users != 0 {
			t.Errorf("left over: %+v", got)
		}
	},
}

// sweep looks at all deadlines and removes the sockets of the dead.
func (b *bench) sweep(limit int) string {
	b.Helper()
	tick := b.tickAll(1000)
	all := tick.Transitions
	for _, d := range tick.Dead {
		s, err := b.Store.Sweep(b.ctx(), d, limit)
		b.ok(err)
		all = append(all, s.Transitions...)
	}
	return words(all)
}
