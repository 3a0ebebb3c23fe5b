package storetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edumatrix/interlink/services/internal/sessionrecord"
	"github.com/edumatrix/interlink/services/presence/internal/store"
)

const sessionTTL = time.Hour

var sessions = map[string]func(*testing.T, *bench){
	"a session record is kept as it was written": func(t *testing.T, b *bench) {
		r := sessionrecord.Record{Session: "s1", Socket: "k1", User: "u1", Life: "gw-1/A", Before: []sessionrecord.Life{"gw-2/B", "gw-3/C"},
			Rooms: []string{"conversation:2", "user:u1", "conversation:1"}, Start: []byte{0, 255, '\n'}, Extra: []byte("{}"), Era: 7}
		wrote := b.write(sessionrecord.Write{Kind: sessionrecord.Whole, Record: r})
		read := b.session("s1")
		r.Version, r.Run, r.Rooms = 1, wrote.Run, []string{"conversation:1", "conversation:2", "user:u1"}
		if fmt.Sprint(read.Record) != fmt.Sprint(r) || read.Run != wrote.Run || wrote.Version != 1 {
			t.Errorf("read %+v, want %+v", read, r)
		}
		b.Advance(sessionTTL)
		if _, err := b.Store.ReadSession(b.ctx(), "s1"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("after its time: %v", err)
		}
	},
	"a session ends only by its owner": func(t *testing.T, b *bench) {
		b.write(sessionrecord.Write{Kind: sessionrecord.Whole, Record: sessionrecord.Record{Session: "s1", Life: "A", Rooms: []string{"a:1"}}})
		for _, tt := range []struct {
			life    sessionrecord.Life
			version uint64
			ttl     time.Duration
			want    bool
		}{{"B", 9, 0, false}, {"A", 0, 0, false}, {"A", 1, time.Minute, true}, {"A", 2, 0, true}, {"A", 9, 0, false}} {
			if got, err := b.Store.EndSession(b.ctx(), "s1", tt.life, tt.version, tt.ttl); err != nil || got != tt.want {
				t.Errorf("%+v: %v, %v", tt, got, err)
			}
		}
		if _, err := b.Store.ReadSession(b.ctx(), "s1"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("after its end: %v", err)
		}
	},
	"of two takes one wins": func(t *testing.T, b *bench) {
		b.write(sessionrecord.Write{Kind: sessionrecord.Whole, Record: sessionrecord.Record{Session: "s1", Life: "A"}})
		take := func(life sessionrecord.Life) sessionrecord.Write {
			return sessionrecord.Write{Kind: sessionrecord.Take, Base: 1, Record: sessionrecord.Record{Session: "s1", Life: life}}
		}
		first := b.write(take("B"))
		second, err := b.Another().WriteSession(b.ctx(), take("C"), sessionTTL)
		b.ok(err)
		if first.Outcome != sessionrecord.Written || second.Outcome != sessionrecord.Moved {
			t.Errorf("%+v, %+v", first, second)
		}
	},
	"writes are decided as the rules say": func(t *testing.T, b *bench) {
		// Random writes by three lives, each answered as sessionrecord.Apply would.
		random := rand.New(rand.NewPCG(1, 2))
		run := b.renew(gw1).Run
		var want *sessionrecord.Record
		for step := range 600 {
			w := randomWrite(random, want, run)
			got := b.write(w)
			next, outcome := sessionrecord.Apply(want, w, got.Run)
			if got.Outcome != outcome || (outcome == sessionrecord.Written && got.Version != next.Version) {
				t.Fatalf("step %d: %+v on %+v: got %+v, want outcome %d of %+v", step, w, want, got, outcome, next)
			}
			if want = next; want != nil {
				if read := b.session("s1").Record; fmt.Sprint(read) != fmt.Sprint(*want) {
					t.Fatalf("step %d: %+v: stored %+v, want %+v", step, w, read, *want)
				}
			}
			if random.IntN(40) == 0 {
				b.Flush()
				run, want = b.renew(gw1).Run, nil
			}
		}
	},
}

func randomWrite(random *rand.Rand, stored *sessionrecord.Record, run string) sessionrecord.Write {
	pick := func(list ...string) string { return list[random.IntN(len(list))] }
	some := func() (out []string) {
		for range random.IntN(3) {
			out = append(out, pick("a:1", "b:2", "c:3", "d:4"))
		}
		slices.Sort(out)
		return slices.Compact(out)
	}
	w := sessionrecord.Write{Kind: sessionrecord.Kind(1 + random.IntN(3)), Add: some(), Base: random.Uint64N(3), Run: run,
		Cursor: sessionrecord.Cursor{Life: sessionrecord.Life(pick("", "A", "B", "C")), Era: random.Uint64N(3)}}
	for _, room := range some() {
		if !slices.Contains(w.Add, room) {
			w.Remove = append(w.Remove, room)
		}
	}
	w.Record = sessionrecord.Record{Session: "s1", User: "u1", Socket: "k", Life: sessionrecord.Life(pick("A", "B", "C")), Era: random.Uint64N(2), Rooms: some()}
	for _, l := range strings.Fields(pick("", "", "A", "B", "C A")) {
		w.Record.Before = append(w.Record.Before, sessionrecord.Life(l))
	}
	if stored != nil && random.IntN(3) > 0 { // mostly a writer who knows
		w.Base, w.Record.Era = stored.Version, stored.Era
		w.Run = stored.Run
	}
	if random.IntN(10) == 0 {
		w.Run = "another"
	}
	return w
}

func (b *bench) write(w sessionrecord.Write) store.SessionWritten {
	b.Helper()
	got, err := b.Store.WriteSession(b.ctx(), w, sessionTTL)
	b.ok(err)
	return got
}

func (b *bench) session(id string) store.SessionRead {
	b.Helper()
	got, err := b.Store.ReadSession(b.ctx(), id)
	b.ok(err)
	return got
}
