package storetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/edumatrix/interlink/services/presence/internal/store"
)

var leases = map[string]func(*testing.T, *bench){
	"a new lease is forgotten until a full sync": func(t *testing.T, b *bench) {
		for range 2 {
			if !b.renew(gw1).Forgotten {
				t.Error("a lease whose sockets were never told is not forgotten")
			}
		}
		if !b.sync(gw1, false, on("u1", "s1")).Forgotten {
			t.Error("a delta was taken before the full sync")
		}
		b.sync(gw1, true)
		if b.renew(gw1).Forgotten {
			t.Error("still forgotten after a full sync")
		}
	},
	"a sync without a lease applies nothing": func(t *testing.T, b *bench) {
		if s := b.sync(gw1, true, on("u1", "s1")); !s.Forgotten || len(s.Transitions) > 0 {
			t.Errorf("got %+v", s)
		}
		if b.state("u1").Online {
			t.Error("the user is online by a gateway without a lease")
		}
	},
	"an expired lease is forgotten": func(t *testing.T, b *bench) {
		b.live(gw1)
		b.Advance(leaseTTL - time.Millisecond)
		if b.renew(gw1).Forgotten {
			t.Error("forgotten before its end")
		}
		b.Advance(leaseTTL)
		if !b.sync(gw1, false, on("u1", "s1")).Forgotten || !b.renew(gw1).Forgotten {
			t.Error("known after its end")
		}
	},
	"another incarnation has a lease of its own": func(t *testing.T, b *bench) {
		b.live(gw1)
		next := store.Life{Gateway: gw1.Gateway, Incarnation: "A2"}
		if !b.renew(next).Forgotten || b.renew(gw1).Forgotten {
			t.Error("two lives share a lease")
		}
	},
	"gateways lists live leases in order": func(t *testing.T, b *bench) {
		b.live(gw2)
		b.Advance(5 * time.Second)
		b.live(gw1)
		if got := b.listed(); got != "gw-1/A@gw-1:9101 gw-2/B@gw-2:9101" {
			t.Error(got)
		}
		b.Advance(5 * time.Second)
		if got := b.listed(); got != "gw-1/A@gw-1:9101" {
			t.Error(got)
		}
		b.ok(b.Store.Release(b.ctx(), gw1))
		if got := b.listed(); got != "" {
			t.Error(got)
		}
	},
	"the run stays while the store runs": func(t *testing.T, b *bench) {
		first := b.renew(gw1).Run
		if first == "" || b.renew(gw1).Run != first {
			t.Errorf("run %q", first)
		}
		r, err := b.Another().Renew(b.ctx(), store.Lease{Life: gw2}, leaseTTL)
		b.ok(err)
		if r.Run != first {
			t.Errorf("another pod sees run %q, not %q", r.Run, first)
		}
	},
	"a flush forgets everything and a full sync brings it back": func(t *testing.T, b *bench) {
		b.live(gw1)
		b.change(gw1, on("u1", "s1"))
		b.Flush()
		if b.state("u1").Online {
			t.Error("online after the flush")
		}
		if !b.sync(gw1, false, on("u2", "s2")).Forgotten || !b.renew(gw1).Forgotten {
			t.Error("the lease is known after the flush")
		}
		b.want("full", words(b.sync(gw1, true, on("u1", "s1"), on("u2", "s2")).Transitions), "+u1(1,online) +u2(1,online)")
	},
}

func (b *bench) listed() string {
	b.Helper()
	list, err := b.Store.Gateways(b.ctx())
	b.ok(err)
	out := ""
	for i, l := range list {
		if i > 0 {
			out += " "
		}
		out += fmt.Sprintf("%s/%s@%s", l.Gateway, l.Incarnation, l.Addr)
	}
	return out
}
