package inbox

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// world is one state of the model: a partition of queued events for one user, a gateway and the inbox consumer that
// read it independently; the user connects and is cut at any moment; receipts travel. Property: in the end every event
// was handled at least once and nothing is left in the box; without a cut, exactly once.
type world struct {
	gateway  int64   // next record that the gateway applies
	consumer int64   // next record that the consumer takes
	log      []step  // what the box was asked, from which it is rebuilt
	live     bool    // a session is connected
	start    int64   // where it starts
	queue    []int64 // on the way to the client
	receipts []int64 // on the way back
	handled  []int64
	cuts     int
	box      *Box
}

// step is one call of the box.
type step struct {
	what string
	at   int64
}

const (
	events  = 3
	maxCuts = 1
)

var (
	limits = Limits{Entries: 10, TTL: time.Hour}
	noon   = time.Date(2026, 1, 5, 12, 0, 0, 0, time.UTC)
)

// do applies a step to a copy of the box, rebuilt from all steps: a Box has no copy of its own.
func (w world) do(r rules, s step) (world, []Entry, Appended) {
	w.log = append(slices.Clone(w.log), s)
	w.box = &Box{rules: r}
	var read []Entry
	var appended Appended
	for _, s := range w.log {
		switch s.what {
		case "append":
			appended = w.box.Append(Entry{Place: Place{0, s.at}, ID: fmt.Sprint("id", s.at), At: noon}, limits, noon)
		case "connect":
			w.box.Connect("s", map[uint32]int64{0: s.at})
			read, _ = w.box.Read("s", 0, 100, 1<<20)
		case "cut":
			w.box.Disconnect("s")
		case "receive":
			w.box.Receive(Span{0, s.at, s.at + 1})
		}
	}
	return w, read, appended
}

func with(list []int64, o int64) []int64 { return append(slices.Clone(list), o) }

func (w world) steps(r rules) []world {
	var out []world
	if w.gateway < events {
		n := w
		n.gateway++
		if n.live {
			n.queue = with(n.queue, w.gateway)
		}
		out = append(out, n)
	}
	if w.consumer < events {
		n, _, appended := w.do(r, step{"append", w.consumer})
		n.consumer++
		if len(appended.Wake) > 0 {
			n.queue = with(n.queue, w.consumer)
		}
		out = append(out, n)
	}
	if !w.live {
		n, read, _ := w.do(r, step{"connect", w.gateway})
		n.live, n.start, n.queue = true, w.gateway, nil
		for _, e := range read {
			n.queue = with(n.queue, e.Offset)
		}
		out = append(out, n)
	}
	if len(w.queue) > 0 {
		n := w
		n.queue, n.handled, n.receipts = w.queue[1:], with(w.handled, w.queue[0]), with(w.receipts, w.queue[0])
		out = append(out, n)
	}
	if len(w.receipts) > 0 {
		n, _, _ := w.do(r, step{"receive", w.receipts[0]})
		n.receipts = w.receipts[1:]
		out = append(out, n)
	}
	if w.live && w.cuts < maxCuts {
		n, _, _ := w.do(r, step{"cut", 0})
		n.live, n.queue, n.receipts, n.cuts = false, nil, nil, w.cuts+1
		out = append(out, n)
	}
	return out
}

// key names the state: the box by what is in it, not by how it came there.
func (w world) key() string {
	var waiting []int64
	var tombs []Span
	if w.box != nil {
		for _, e := range w.box.ordered() {
			waiting = append(waiting, e.Offset)
		}
		tombs = w.box.tombs[0]
	}
	return fmt.Sprint(w.gateway, w.consumer, waiting, tombs, w.live, w.start, w.queue, w.receipts, w.handled, w.cuts)
}

// wrong judges a state in which nothing is on its way any more.
func (w world) wrong() bool {
	count := map[int64]int{}
	for _, o := range w.handled {
		count[o]++
	}
	for o := range int64(events) {
		if count[o] == 0 || (w.cuts == 0 && count[o] != 1) {
			return true
		}
	}
	ordered := slices.IsSorted(w.handled) || w.cuts > 0 || w.start > 0
	return w.box.Len() > 0 || len(w.box.tombs) > 0 || !ordered
}

func TestEveryQueuedEventIsHandledAndLeavesTheBox(t *testing.T) {
	tests := map[string]struct {
		rules      rules
		wantCaught bool
	}{
		"the design": {},
		"the consumer appends only when no session is live":      {rules{ifOffline: true}, true},
		"a receipt that overtakes the consumer is forgotten":     {rules{noTombstone: true}, true},
		"what is appended late waits for the next connect":       {rules{noWake: true}, true},
		"a connect is given every entry, also those coming live": {rules{all: true}, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			seen, stack := map[string]bool{}, []world{{}}
			ends, violations, example := 0, 0, ""
			for len(stack) > 0 {
				w := stack[len(stack)-1]
				stack = stack[:len(stack)-1]
				k := w.key()
				if seen[k] {
					continue
				}
				seen[k] = true
				if w.gateway == events && w.consumer == events && w.live && len(w.queue) == 0 && len(w.receipts) == 0 {
					ends++
					if w.wrong() {
						violations++
						example = k
					}
				}
				stack = append(stack, w.steps(tt.rules)...)
			}
			t.Logf("%d states, %d ends, %d violations", len(seen), ends, violations)
			if (violations > 0) != tt.wantCaught || ends == 0 {
				t.Errorf("%d violations in %d ends, e.g. %s", violations, ends, example)
			}
		})
	}
}

func TestBox(t *testing.T) {
	add := func(b *Box, partition uint32, offset int64, id string) Appended {
		return b.Append(Entry{Place: Place{partition, offset}, ID: id, At: noon}, Limits{Entries: 3, TTL: time.Hour}, noon)
	}
	waiting := func(b *Box) string {
		out := ""
		for _, e := range b.ordered() {
			out += e.ID
		}
		return out
	}
	tests := map[string]struct {
		do   func(b *Box)
		want string // ids that wait
	}{
		"the consumer may bring an event again": {func(b *Box) {
			add(b, 0, 5, "a")
			b.Receive(Span{0, 5, 6})
			add(b, 0, 5, "a")
			add(b, 0, 6, "b")
		}, "b"},
		"an id waits once": {func(b *Box) { add(b, 0, 5, "a"); add(b, 1, 9, "a") }, "a"},
		"a cursor covers a span, also what is not appended yet": {func(b *Box) {
			add(b, 0, 5, "a")
			b.Receive(Span{0, 3, 8})
			add(b, 0, 7, "b")
			add(b, 0, 8, "c")
		}, "c"},
		"partitions are apart": {func(b *Box) {
			b.Receive(Span{1, 0, 10})
			add(b, 0, 5, "a")
			add(b, 1, 5, "b")
		}, "a"},
		"the oldest goes for want of room": {func(b *Box) {
			for i, id := range []string{"a", "b", "c", "d"} {
				if got := add(b, 0, int64(i), id).Dropped; (len(got) > 0) != (id == "d") || (id == "d" && got[0].ID != "a") {
					t.Errorf("%s drops %v", id, got)
				}
			}
		}, "bcd"},
		"an old entry goes for its age": {func(b *Box) {
			add(b, 0, 1, "a")
			later := noon.Add(time.Hour)
			if got := b.Append(Entry{Place: Place{0, 2}, ID: "b", At: later}, Limits{3, time.Hour}, later).Dropped; len(got) != 1 {
				t.Errorf("drops %v", got)
			}
		}, "b"},
		"a receipt by id": {func(b *Box) {
			add(b, 0, 1, "a")
			add(b, 0, 2, "b")
			if !b.ReceiveID("a") || b.ReceiveID("a") || b.ReceiveID("x") {
				t.Error("wrong answers")
			}
		}, "b"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b := &Box{}
			tt.do(b)
			if got := waiting(b); got != tt.want {
				t.Errorf("waiting %q, want %q", got, tt.want)
			}
			for p := range b.tombs {
				if b.tombs[p][0].To <= b.appended[p] {
					t.Errorf("a tombstone that was passed is kept: %v", b.tombs[p])
				}
			}
		})
	}
}

func TestTombstonesAreMergedAndBounded(t *testing.T) {
	var spans []Span
	for _, s := range []Span{{0, 5, 6}, {0, 1, 2}, {0, 3, 4}, {0, 2, 3}, {0, 4, 5}} {
		spans = merge(spans, s)
	}
	if got := fmt.Sprint(spans); got != "[{0 1 6}]" {
		t.Error(got)
	}
	spans = nil
	for i := range int64(1000) {
		spans = merge(spans, Span{0, 2 * i, 2*i + 1})
	}
	if len(spans) != MaxSpans || spans[0].From != 2*(1000-MaxSpans) {
		t.Errorf("%d spans from %d", len(spans), spans[0].From)
	}
}

func TestReadIsPaged(t *testing.T) {
	b := &Box{}
	for i := range int64(5) {
		b.Append(Entry{Place: Place{0, i}, ID: fmt.Sprint(i), At: noon, Value: make([]byte, 10)}, limits, noon)
	}
	b.Connect("s", map[uint32]int64{0: 4})
	var got []string
	var pages int
	for after, more := uint64(0), true; more; pages++ {
		var page []Entry
		page, more = b.Read("s", after, 3, 25)
		for _, e := range page {
			got = append(got, e.ID)
			after = e.Seq
		}
	}
	if fmt.Sprint(got) != "[0 1 2 3]" || pages != 2 {
		t.Errorf("%v in %d pages", got, pages)
	}
	if page, _ := b.Read("other", 0, 3, 25); page != nil {
		t.Errorf("a session that is not live reads %v", page)
	}
}
