package hub

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	deliveryv1 "github.com/edumatrix/interlink/proto/delivery/v1"
	"github.com/edumatrix/interlink/services/internal/room"
)

// A random run of joins, leaves and records over several partitions and two shards, judged by the log: from the cursor
// of its join on, a socket has got each record of its rooms once, in the order of its partition, and each cursor stands
// for exactly what the socket had been given.

type life struct {
	room   string
	cursor string // at its start
	start  []int64
	end    []int64 // nil while it lasts
}

type player struct {
	conn    *testConn
	lives   []*life // of rooms, over time
	pending map[string]bool
}

func TestRandomJoinsAndRecordsAgainstTheLog(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			withRig(t, 3, func(r *rig) { play(r, rand.New(rand.NewPCG(seed, 7))) })
		})
	}
}

func play(r *rig, rng *rand.Rand) {
	t := r.t
	base := slices.Clone(r.router.head)
	log := make([][][]string, 3) // rooms of each record
	names := []string{"r:0", "r:1", "r:2", "r:3"}
	var players []*player
	for i := range 8 {
		players = append(players, &player{conn: r.connect(i%2, fmt.Sprintf("u%d", i)), pending: map[string]bool{}})
	}
	for range 1500 {
		p := players[rng.IntN(len(players))]
		name := names[rng.IntN(len(names))]
		switch n := rng.IntN(100); {
		case n < 60:
			q := rng.IntN(3)
			rooms := []string{name}
			if other := names[rng.IntN(len(names))]; rng.IntN(3) == 0 && other != name {
				rooms = append(rooms, other)
			}
			record := &deliveryv1.Record{Id: fmt.Sprintf("%d/%d", q, r.router.head[q]), Event: "m", Rooms: rooms}
			log[q] = append(log[q], rooms)
			r.router.append(q, record)
		case n < 75:
			p.join(r, name)
		case n < 85:
			p.leave(r, name)
		case n < 95:
			r.router.idle()
		default:
			time.Sleep(time.Duration(rng.IntN(400)) * time.Millisecond)
			synctest.Wait()
		}
	}
	for range 4 {
		synctest.Wait()
		r.router.idle()
	}
	time.Sleep(time.Second)
	synctest.Wait()
	for i, p := range players {
		for _, l := range p.lives {
			l.start = r.position(l.cursor)
		}
		events := p.conn.take()
		events = slices.DeleteFunc(events, func(e event) bool { return e.Name != "m" })
		judge(r, fmt.Sprintf("u%d", i), p.lives, base, log, events)
		if len(events) == 0 {
			t.Errorf("u%d got nothing at all", i)
		}
	}
}

func (p *player) join(r *rig, name string) {
	p.conn.shard.do(func() {
		if p.pending[name] || p.conn.member.In(room.Room(name)) {
			return
		}
		p.pending[name] = true
		r.hub.Join(p.conn.member, Request{Grants: grants([]string{name})}, func(out Outcome) {
			delete(p.pending, name)
			if out.Err == nil {
				p.lives = append(p.lives, &life{room: name, cursor: string(out.Cursor)})
			}
		})
	})
}

// leave ends the life at what the shard has been handed so far: the sequencer is asked to let nothing lie in between.
func (p *player) leave(r *rig, name string) {
	done := make(chan struct{})
	r.hub.At(p.conn.member.table.index, func(at []int64) {
		defer close(done)
		if r.hub.Leave(p.conn.member, room.Room(name)) {
			for _, l := range p.lives {
				if l.room == name && l.end == nil {
					l.end = at
				}
			}
		}
	})
	<-done
}

func judge(r *rig, who string, lives []*life, base []int64, log [][][]string, events []event) {
	r.t.Helper()
	owed := func(q int, offset int64) bool {
		return slices.ContainsFunc(log[q][offset-base[q]], func(name string) bool {
			return slices.ContainsFunc(lives, func(l *life) bool {
				return l.room == name && offset >= l.start[q] && (l.end == nil || offset < l.end[q])
			})
		})
	}
	at := slices.Clone(base)
	for _, e := range events {
		var q int
		var offset int64
		if _, err := fmt.Sscanf(string(e.Meta), `{"id":"%d/%d"`, &q, &offset); err != nil {
			r.t.Fatal(err)
		}
		for ; at[q] < offset; at[q]++ {
			if owed(q, at[q]) {
				r.t.Fatalf("%s: %d/%d was left out before %d", who, q, at[q], offset)
			}
		}
		if at[q] > offset || !owed(q, offset) {
			r.t.Fatalf("%s: %d/%d came again, late, or from a room it was not in", who, q, offset)
		}
		at[q]++
		for p, stands := range r.position(e.Cursor) {
			for o := min(at[p], stands); o < max(at[p], stands); o++ {
				if owed(p, o) {
					r.t.Fatalf("%s: the cursor of %d/%d stands for %d in partition %d, it was given up to %d", who, q, offset, stands, p, at[p])
				}
			}
		}
	}
	for q := range log {
		for end := base[q] + int64(len(log[q])); at[q] < end; at[q]++ {
			if owed(q, at[q]) {
				r.t.Fatalf("%s: %d/%d never came", who, q, at[q])
			}
		}
	}
}
