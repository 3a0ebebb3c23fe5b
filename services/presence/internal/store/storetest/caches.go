package storetest

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/edumatrix/interlink/services/internal/permission"
	"github.com/edumatrix/interlink/services/presence/internal/store"
)

var caches = map[string]func(*testing.T, *bench){
	"a base is kept for its time": func(t *testing.T, b *bench) {
		vector := []byte{0, 1, 0xff, '\n'}
		b.ok(b.Store.PutBase(b.ctx(), "b1", vector, 3*time.Minute))
		b.Advance(2 * time.Minute)
		got, err := b.Store.GetBase(b.ctx(), "b1")
		if err != nil || string(got) != string(vector) {
			t.Errorf("got %v, %v", got, err)
		}
		b.Advance(time.Minute)
		if _, err := b.Store.GetBase(b.ctx(), "b1"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("after its time: %v", err)
		}
		if _, err := b.Store.GetBase(b.ctx(), "b2"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("unknown: %v", err)
		}
	},
	"permissions are cached, refusals too": func(_ *testing.T, b *bench) {
		b.ok(b.Store.PutPermission(b.ctx(), "u1", "conversation:1", permission.Join|permission.Type, time.Minute))
		b.ok(b.Store.PutPermission(b.ctx(), "u1", "conversation:2", permission.None, 10*time.Second))
		b.ok(b.Store.PutPermission(b.ctx(), "u2", "conversation:3", permission.All, time.Minute))
		b.want("cached", b.permissions("u1"), "map[conversation:1:3 conversation:2:0]")
		b.Advance(10 * time.Second)
		b.want("refusal over", b.permissions("u1"), "map[conversation:1:3]")
		b.ok(b.Store.PutPermission(b.ctx(), "u1", "conversation:1", permission.Join, time.Minute))
		b.want("newer answer", b.permissions("u1"), "map[conversation:1:1]")
		b.Advance(time.Minute)
		b.want("over", b.permissions("u1"), "map[]")
	},
	"a dropped permission does not come back by an older answer": func(_ *testing.T, b *bench) {
		b.ok(b.Store.PutPermission(b.ctx(), "u1", "conversation:1", permission.Join, time.Minute))
		b.ok(b.Store.PutPermission(b.ctx(), "u1", "conversation:2", permission.Join, time.Minute))
		b.ok(b.Store.DropPermissions(b.ctx(), store.Drop{Room: "conversation:1", Users: []string{"u1", "u9"}}))
		b.want("dropped", b.permissions("u1"), "map[conversation:2:1]")
		b.ok(b.Store.PutPermission(b.ctx(), "u1", "conversation:1", permission.Join, time.Minute))
		b.want("an answer to an older question", b.permissions("u1"), "map[conversation:2:1]")
		b.Advance(store.PermissionQuiet)
		b.ok(b.Store.PutPermission(b.ctx(), "u1", "conversation:1", permission.Join, time.Minute))
		b.want("a new answer", b.permissions("u1"), "map[conversation:1:1 conversation:2:1]")
	},
	"a removal is kept until an answer admits": func(_ *testing.T, b *bench) {
		at := time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)
		remove := func(at time.Time) {
			b.ok(b.Store.DropPermissions(b.ctx(), store.Drop{Room: "conversation:1", Users: []string{"u2"}, Removed: []string{"u1"}, At: at}))
		}
		b.ok(b.Store.PutPermission(b.ctx(), "u1", "conversation:1", permission.Join, time.Minute))
		remove(at.Add(time.Second))
		remove(at) // read again
		b.want("forgotten", b.permissions("u1"), "map[]")
		b.want("removed", b.removals("u1"), "conversation:1 09:00:01")
		b.want("not removed", b.removals("u2"), "")
		b.ok(b.Store.PutPermission(b.ctx(), "u1", "conversation:1", permission.Join, time.Minute))
		b.want("an answer to an older question", b.removals("u1"), "conversation:1 09:00:01")
		b.Advance(store.PermissionQuiet)
		b.ok(b.Store.PutPermission(b.ctx(), "u1", "conversation:1", permission.Type, time.Minute))
		b.want("refused", b.removals("u1"), "conversation:1 09:00:01")
		b.ok(b.Store.PutPermission(b.ctx(), "u1", "conversation:1", permission.Join, time.Minute))
		b.want("admitted", b.removals("u1"), "")
		remove(at.Add(time.Hour))
		b.Advance(store.RemovedTTL - time.Second)
		b.want("until its time is over", b.removals("u1"), "conversation:1 10:00:00")
		b.Advance(time.Second)
		b.want("over", b.removals("u1"), "")
	},
}

func (b *bench) permissions(user string) string {
	b.Helper()
	got, err := b.Store.GetPermissions(b.ctx(), user, []string{"conversation:1", "conversation:2", "conversation:3"})
	b.ok(err)
	return fmt.Sprint(got.Sets)
}

func (b *bench) removals(user string) string {
	b.Helper()
	got, err := b.Store.GetPermissions(b.ctx(), user, []string{"conversation:1", "conversation:2"})
	b.ok(err)
	var out []string
	for room, at := range got.Removed {
		out = append(out, room+" "+at.UTC().Format(time.TimeOnly))
	}
	return strings.Join(out, ", ")
}
