package hub

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	deliveryv1 "github.com/edumatrix/interlink/proto/delivery/v1"
	"github.com/edumatrix/interlink/services/internal/room"
)

func TestWhoIsConcernedByAnEventAndHowFarItWentIsKnown(t *testing.T) {
	withRig(t, 2, func(r *rig) {
		r.connect(0, "a", "r:1", "r:2")
		r.connect(1, "b", "r:2")
		r.connect(1, "c", "r:3")
		r.router.append(1, &deliveryv1.Record{Id: "x", Event: "e", Rooms: []string{"r:1"}, Data: []byte("1")})
		synctest.Wait()
		if epoch, at, err := r.hub.Standing(context.Background(), 1); err != nil || epoch != "e" || at != 201 {
			t.Errorf("%s %d %v", epoch, at, err)
		}
		if _, at, _ := r.hub.Standing(context.Background(), 7); at != -1 {
			t.Errorf("of a partition that does not exist: %d", at)
		}
		find := func(limit int, users ...string) Found {
			t.Helper()
			f, err := r.hub.Find(context.Background(), Asked{Rooms: []room.Room{"r:1", "r:2"}, Users: users, Limit: limit})
			if err != nil {
				t.Fatal(err)
			}
			slices.SortFunc(f.Sockets, func(a, b Stander) int { return int(a.User[0]) - int(b.User[0]) })
			return f
		}
		if f := find(10); f.Members != 2 || len(f.Sockets) != 2 || f.More || f.Sockets[0].User != "a" || !f.Sockets[0].Member || f.Sockets[1].Socket != "socket-of-b" {
			t.Errorf("all: %+v", f)
		}
		if f := find(10, "b", "c", "nobody"); f.Members != 2 || len(f.Sockets) != 2 || !f.Sockets[0].Member || f.Sockets[1].Member || f.Sockets[1].Since.UnixMilli() != 7 {
			t.Errorf("two users: %+v", f)
		}
		if f := find(1, "a", "b", "c"); len(f.Sockets) != 2 || !f.More {
			t.Errorf("over the limit of a shard: %+v", f)
		}
	})
}

func BenchmarkFindInARoomOf10000(b *testing.B) {
	h, _ := benchHub(b)
	for i := range 10_000 {
		h.benchJoin(i%2, fmt.Sprint("u", i), "conversation:1")
	}
	b.ReportAllocs()
	for b.Loop() {
		for _, t := range h.tables {
			if f := t.find(Asked{Rooms: []room.Room{"conversation:1"}, Limit: 500}); f.Members != 5000 || !f.More {
				b.Fatal(f.Members)
			}
		}
	}
}
