package storetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edumatrix/interlink/services/presence/internal/inbox"
	"github.com/edumatrix/interlink/services/presence/internal/store"
)

var mine = store.Box{Log: "cluster/interlink.events/12", User: "u1"}

// noon is when the clock of a subject starts.
var noon = NewClock().Now()

var inboxes = map[string]func(*testing.T, *bench){
	"a box does as its rules say": func(t *testing.T, b *bench) {
		// Random calls, each answered as inbox.Box would.
		random := rand.New(rand.NewPCG(3, 4))
		want := &inbox.Box{}
		settings := Settings()
		limits := inbox.Limits{Entries: settings.InboxEntries, TTL: settings.InboxTTL}
		next := [3]int64{}
		for step := range 500 {
			switch random.IntN(6) {
			case 0, 1:
				p := random.IntN(3)
				next[p] = max(0, next[p]+int64(random.IntN(4))-1)
				e := inbox.Entry{Place: inbox.Place{Partition: uint32(p), Offset: next[p]}, ID: fmt.Sprint("id", random.IntN(60)), At: noon, Value: fmt.Append(nil, "v\n", step)}
				model := want.Append(e, limits, noon)
				got := b.appendOne(e)
				if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", withoutSeq(model)) {
					t.Fatalf("step %d: append %+v: got %+v, want %+v", step, e, got, model)
				}
			case 2:
				session, start := fmt.Sprint("s", random.IntN(3)), map[uint32]int64{0: random.Int64N(60), 1: random.Int64N(60)}
				want.Connect(session, start)
				b.ok(b.Store.ConnectInbox(b.ctx(), mine, session, start))
			case 3:
				session := fmt.Sprint("s", random.IntN(3))
				want.Disconnect(session)
				b.ok(b.Store.DisconnectInbox(b.ctx(), mine, session))
			case 4:
				from := random.Int64N(60)
				span := inbox.Span{Partition: uint32(random.IntN(3)), From: from, To: from + random.Int64N(4)}
				id := fmt.Sprint("id", random.IntN(60))
				model := want.Receive(span)
				if want.ReceiveID(id) {
					model++
				}
				got, err := b.Store.ReceiveInbox(b.ctx(), mine, []inbox.Span{span}, []string{id})
				b.ok(err)
				if got != model {
					t.Fatalf("step %d: receive %+v, %s: got %d, want %d", step, span, id, got, model)
				}
			}
			place := inbox.Place{Partition: uint32(random.IntN(3)), Offset: random.Int64N(60)}
			looks, err := b.Store.LookInbox(b.ctx(), []store.Box{mine, {Log: mine.Log, User: "nobody"}}, place)
			b.ok(err)
			if looks[0] != want.Look(place) || looks[1] != inbox.Expected {
				t.Fatalf("step %d: look at %+v: got %v, want %v", step, place, looks, want.Look(place))
			}
			session, after, limit, bytes := fmt.Sprint("s", random.IntN(3)), random.Uint64N(20), 1+random.IntN(4), random.IntN(20)
			entries, more := want.Read(session, after, limit, bytes)
			got, gotMore, err := b.Store.ReadInbox(b.ctx(), mine, session, after, limit, bytes)
			b.ok(err)
			if shown(got) != shown(entries) || more != gotMore {
				t.Fatalf("step %d: read %s: got %s %v, want %s %v", step, session, shown(got), gotMore, shown(entries), more)
			}
		}
	},
	"an entry that waits too long is reported once": func(t *testing.T, b *bench) {
		b.put(1, "a")
		b.put(2, "b")
		b.put(3, "c")
		b.Advance(59 * time.Second)
		b.want("in time", b.overdue(), "")
		if _, err := b.Store.ReceiveInbox(b.ctx(), mine, []inbox.Span{{Partition: 0, From: 2, To: 3}}, nil); err != nil {
			t.Fatal(err)
		}
		b.Advance(time.Second)
		items, entries, more, err := b.Store.OverdueInbox(b.ctx(), 10)
		b.ok(err)
		if len(items) != 2 || entries != 2 || more || items[0].Box != mine || string(items[0].Entry.Value) == "" {
			t.Errorf("%+v, %d entries", items, entries)
		}
		b.want("claimed", b.overdue(), "")
		b.Advance(store.ClaimTime)
		b.want("whoever claimed it has died", b.overdue(), "a c")
		b.ok(b.Store.ToldInbox(b.ctx(), items))
		looks, err := b.Store.LookInbox(b.ctx(), []store.Box{mine}, inbox.Place{Offset: 3})
		b.ok(err)
		b.want("looked at", fmt.Sprint(looks[0] == inbox.Reported), "true")
		b.Advance(30 * time.Minute)
		b.want("reported", b.overdue(), "")
		b.ok(b.Store.ConnectInbox(b.ctx(), mine, "s", map[uint32]int64{0: 100}))
		got, _, err := b.Store.ReadInbox(b.ctx(), mine, "s", 0, 10, 1000)
		b.ok(err)
		b.want("it waits on", shown(got), "a c")
		b.Advance(30 * time.Minute)
		b.want("too old", b.overdue(), "")
		if _, entries, _, err = b.Store.OverdueInbox(b.ctx(), 10); err != nil || entries != 0 {
			t.Errorf("%d entries after their time, %v", entries, err)
		}
	},
	"several pods report each entry once": func(t *testing.T, b *bench) {
		var items []store.InboxItem
		for i := range 200 {
			items = append(items, store.InboxItem{Box: store.Box{Log: "l", User: fmt.Sprintf("u%d", i)},
				Entry: inbox.Entry{Place: inbox.Place{Offset: int64(i)}, ID: fmt.Sprint(i), At: noon}})
		}
		answers, err := b.Store.AppendInbox(b.ctx(), items)
		b.ok(err)
		for i, a := range answers {
			if !a.Added {
				t.Errorf("item %d was not added", i)
			}
		}
		b.Advance(time.Minute)
		pods, seen := []Store{b.Store, b.Another()}, map[string]int{}
		for n, more := 0, true; more; n++ {
			var got []store.InboxItem
			got, _, more, err = pods[n%2].OverdueInbox(b.ctx(), 3)
			b.ok(err)
			for _, it := range got {
				seen[it.Box.User]++
			}
		}
		if len(seen) != 200 {
			t.Errorf("%d of 200", len(seen))
		}
		for u, n := range seen {
			if n != 1 {
				t.Errorf("%s %d times", u, n)
			}
		}
	},
	"another log is another box": func(_ *testing.T, b *bench) {
		b.put(5, "a")
		other := store.InboxItem{Box: store.Box{Log: "made anew", User: "u1"}, Entry: inbox.Entry{Place: inbox.Place{Offset: 1}, ID: "b", At: noon}}
		answers, err := b.Store.AppendInbox(b.ctx(), []store.InboxItem{other})
		b.ok(err)
		b.want("added", fmt.Sprint(answers[0].Added), "true")
	},
}

func withoutSeq(a inbox.Appended) inbox.Appended {
	a.Dropped = slices.Clone(a.Dropped)
	for i := range a.Dropped {
		a.Dropped[i].Seq = 0
	}
	return a
}

// appendOne adds an entry; the answer leaves out what a store does not say.
func (b *bench) appendOne(e inbox.Entry) inbox.Appended {
	b.Helper()
	got, err := b.Store.AppendInbox(b.ctx(), []store.InboxItem{{Box: mine, Entry: e}})
	b.ok(err)
	for i := range got[0].Dropped {
		got[0].Dropped[i].At = got[0].Dropped[i].At.UTC()
	}
	return withoutSeq(got[0])
}

func (b *bench) put(offset int64, id string) {
	b.Helper()
	b.appendOne(inbox.Entry{Place: inbox.Place{Offset: offset}, ID: id, At: noon, Value: []byte(id)})
}

func (b *bench) overdue() string {
	b.Helper()
	items, _, _, err := b.Store.OverdueInbox(b.ctx(), 10)
	b.ok(err)
	ids := make([]string, 0, len(items))
	for _, it := range items {
		ids = append(ids, it.Entry.ID)
	}
	slices.Sort(ids)
	return strings.Join(ids, " ")
}

func shown(entries []inbox.Entry) string {
	ids := make([]string, 0, len(entries))
	for _, e := range entries {
		ids = append(ids, e.ID)
	}
	return strings.Join(ids, " ")
}
