package sessionrecord

import (
	"fmt"
	"slices"
	"testing"
)

// moving is one state of the second model: a session lives at A, is resumed by B and C, perhaps both at once, while
// the life that was left behind does not know it and writes on; the store is emptied once. Properties: of two takes of
// one version one wins; and whoever may resume has every room that was acknowledged to him.
type moving struct {
	stored  *Record
	lives   [3]known // A, B, C
	home    int      // where the client is connected: its joins are made and acknowledged there
	rooms   int      // acknowledged to the client
	cursor  Life
	reading [3]uint64 // version that B or C has read, to take the session; 0 none
	flushed bool
	twice   bool // two takes of one version were answered with success
	takenAt uint64
}

// known is what one life knows of the session.
type known struct {
	owner   bool
	rooms   int
	extra   bool // it has added a room by itself, which nobody acknowledged
	version uint64
	before  string
}

var names = [3]Life{"A", "B", "C"}

const mostRooms = 2

func (k known) list(of Life) []string {
	out := roomNames(k.rooms)
	if k.extra {
		out = append(out, "extra"+string(of))
	}
	return out
}

func lives(s string) []Life {
	var out []Life
	for i := range len(s) {
		out = append(out, Life(s[i:i+1]))
	}
	return out
}

// put writes the whole record of life i; losing means that it learns so.
func (m moving) put(u rules, i int) (moving, bool) {
	k := &m.lives[i]
	w := Write{Kind: Whole, Record: Record{Life: names[i], Before: lives(k.before), Rooms: k.list(names[i])}, Base: k.version}
	next, outcome := u.apply(m.stored, w, "run")
	if outcome != Written {
		k.owner = false
		return m, false
	}
	m.stored, k.version = next, next.Version
	return m, true
}

func (m moving) steps(u rules) []moving {
	var out []moving
	for i := range names {
		k := m.lives[i]
		if k.owner && i == m.home && k.rooms < mostRooms { // the client joins: written, then acknowledged
			n := m
			n.lives[i].rooms++
			if n, ok := n.put(u, i); ok {
				n.rooms, n.cursor = n.lives[i].rooms, names[i]
				out = append(out, n)
			} else {
				out = append(out, n)
			}
		}
		if k.owner { // it notices a flush, or changes a room by itself
			n := m
			if !k.extra && i == 0 {
				n.lives[i].extra = true
			}
			n, _ = n.put(u, i)
			out = append(out, n)
		}
		if i > 0 && !k.owner { // the client comes here: read, later take
			if m.reading[i] == 0 && m.stored != nil && k.version == 0 {
				n := m
				n.reading[i] = m.stored.Version
				out = append(out, n)
			}
			if m.reading[i] != 0 {
				out = append(out, m.take(u, i))
			}
		}
	}
	if !m.flushed {
		n := m
		n.stored, n.flushed = nil, true
		out = append(out, n)
	}
	return out
}

func (m moving) take(u rules, i int) moving {
	var rooms []string
	if m.stored != nil {
		rooms = m.stored.Rooms
	}
	w := Write{Kind: Take, Record: Record{Life: names[i], Rooms: rooms}, Base: m.reading[i], Cursor: Cursor{Life: m.cursor}}
	next, outcome := u.apply(m.stored, w, "run")
	base := m.reading[i]
	m.reading[i] = 0
	if outcome != Written {
		return m
	}
	m.twice = m.twice || m.takenAt == base
	m.takenAt = base
	m.stored = next
	before := ""
	for _, l := range next.Before {
		before += string(l)
	}
	count := 0
	for _, r := range next.Rooms {
		if r == fmt.Sprintf("room%d", count) {
			count++
		}
	}
	m.lives[i] = known{owner: true, rooms: count, version: next.Version, before: before}
	m.home = i
	return m
}

func (m moving) key() string {
	s := "-"
	if m.stored != nil {
		s = fmt.Sprint(m.stored.Life, m.stored.Before, m.stored.Rooms, m.stored.Version)
	}
	return fmt.Sprint(s, m.lives, m.home, m.rooms, m.cursor, m.reading, m.flushed, m.twice, m.takenAt)
}

func TestASessionThatMovesIsNeverMistakenForTheOneLeftBehind(t *testing.T) {
	tests := map[string]struct {
		rules      rules
		wantCaught bool
	}{
		"the design":                          {},
		"a record of any life is trusted":     {rules{noLife: true}, true},
		"a take does not compare the version": {rules{noCAS: true}, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			start := moving{cursor: "A"}
			start.lives[0].owner = true
			start, _ = start.put(tt.rules, 0)
			seen, stack := map[string]bool{}, []moving{start}
			violations, resumable, example := 0, 0, ""
			for len(stack) > 0 && len(seen) < 400000 {
				m := stack[len(stack)-1]
				stack = stack[:len(stack)-1]
				k := m.key()
				if seen[k] || (m.stored != nil && m.stored.Version > 5) {
					continue
				}
				seen[k] = true
				ok := tt.rules.resumable(m.stored, Cursor{Life: m.cursor}, "run")
				if ok {
					resumable++
				}
				if m.twice || ok && !holds(m.stored, m.rooms) {
					violations++
					example = k
				}
				stack = append(stack, m.steps(tt.rules)...)
			}
			t.Logf("%d states, %d resumable, %d violations", len(seen), resumable, violations)
			if (violations > 0) != tt.wantCaught || resumable == 0 || len(seen) >= 400000 {
				t.Errorf("%d violations in %d states, e.g. %s", violations, len(seen), example)
			}
		})
	}
}

func TestTheWriterSharesWritesAndFallsBackToTheWhole(t *testing.T) {
	var stored *Record
	run := "r1"
	w := NewWriter(Record{Session: "s", Life: "A", Rooms: []string{"user:u1"}})
	send := func(wantKind Kind) Outcome {
		t.Helper()
		req, ok := w.Next()
		if !ok || req.Kind != wantKind {
			t.Fatalf("next write %+v, %v, want kind %d", req, ok, wantKind)
		}
		next, outcome := Apply(stored, req, run)
		stored = next
		if !w.Done(outcome, stored.Version, stored.Run) {
			t.Fatal("taken")
		}
		return outcome
	}
	send(Whole)
	first := w.Join("a")
	req, _ := w.Next()
	second := w.Join("b")
	third := w.Leave("a")
	if _, ok := w.Next(); ok {
		t.Fatal("two writes in flight")
	}
	next, outcome := Apply(stored, req, run)
	stored = next
	w.Done(outcome, stored.Version, stored.Run)
	if !w.Covers(first) || w.Covers(second) {
		t.Error("the first write covers the wrong joins")
	}
	send(Delta)
	if !w.Covers(third) || !slices.Equal(stored.Rooms, []string{"b", "user:u1"}) {
		t.Errorf("rooms %v", stored.Rooms)
	}
	if _, ok := w.Next(); ok {
		t.Error("a write with nothing to say")
	}
	stored = nil // a flush
	mark := w.Join("c")
	req, _ = w.Next()
	if _, outcome := Apply(nil, req, run); outcome != NeedWhole || !w.Done(outcome, 0, "") {
		t.Fatalf("outcome %d", outcome)
	}
	send(Whole)
	if !w.Covers(mark) || !slices.Equal(stored.Rooms, []string{"b", "c", "user:u1"}) {
		t.Errorf("rooms %v", stored.Rooms)
	}
	w.Join("d")
	_, _ = w.Next()
	w.Failed()
	send(Whole)
	mark = w.Rewrite(3)
	send(Whole)
	if !w.Covers(mark) || stored.Era != 3 {
		t.Errorf("era %d", stored.Era)
	}
	w.Join("e")
	send(Delta)
}
