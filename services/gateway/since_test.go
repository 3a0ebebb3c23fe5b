package gateway

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	deliveryv1 "github.com/edumatrix/interlink/proto/delivery/v1"
	"github.com/edumatrix/interlink/services/gateway/internal/cursor"
)

// witness reads everything that a client is told, and checks each cursor against what it was given of a room.
type witness struct {
	t       *testing.T
	c       *client
	feed    *feed
	backend *backend
	signer  *cursor.Signer
	room    string
	at      []int64 // given of the room up to here; nil: not joined yet
	got     []string
	acks    []string
}

// read takes one message; it returns the id of an event m, or "".
func (w *witness) read() string {
	w.t.Helper()
	text := w.c.next()
	if strings.HasPrefix(text, "43") {
		w.acks = append(w.acks, text)
		return ""
	}
	e := w.c.parse(text)
	stands := w.backend.vector(w.t, w.signer, e.cursor)
	if w.at == nil {
		if e.name == "session:cursor" {
			w.at = stands
		}
		return ""
	}
	id := ""
	if e.name == "m" {
		id = e.id(w.t)
	}
	w.feed.mu.Lock()
	defer w.feed.mu.Unlock()
	if id != "" {
		var p int
		var o int64
		if _, err := fmt.Sscanf(id, "%d/%d", &p, &o); err != nil {
			w.t.Fatal(err)
		}
		if w.feed.log[p][o].Rooms[0] == w.room {
			for ; w.at[p] < o; w.at[p]++ {
				if w.mine(p, w.at[p]) {
					w.t.Fatalf("%d/%d was left out before %s", p, w.at[p], id)
				}
			}
			if w.at[p] > o {
				w.t.Fatalf("%s came again", id)
			}
			w.at[p]++
		} else {
			w.got = append(w.got, id)
		}
	}
	for p := range stands {
		for o := min(stands[p], w.at[p]); o < max(stands[p], w.at[p]); o++ {
			if w.mine(p, o) {
				w.t.Fatalf("%s %s: its cursor says %v, given was up to %v", e.name, id, stands, w.at)
			}
		}
	}
	return id
}

func (w *witness) mine(p int, o int64) bool { return w.feed.log[p][o].Rooms[0] == w.room }

func TestAPageRenderedSomeTimeAgoJoinsWithoutAGap(t *testing.T) {
	s := newScene(t, nil)
	s.feed.replay = s.backend.addr
	h := start(t, func(o *Options) { // knows where partitions are read again, and is patient with a reader that checks all it gets
		s.backend.use(o)
		o.QueueBytes, o.QueueEvents, o.PingTimeout = 16<<20, 1<<20, 5*time.Second
	})
	s.feed.attach(h.grpc)
	h.awaitReady(t)
	rooms := []string{"r:known", "r:new"}
	stop := make(chan struct{})
	publishing := publishUntil(s.feed, rooms, stop)
	length := func() int { s.feed.mu.Lock(); defer s.feed.mu.Unlock(); return len(s.feed.log[0]) }
	signer, err := cursor.NewSigner([][]byte{[]byte("key")})
	if err != nil {
		t.Fatal(err)
	}
	w := &witness{t: t, c: connect(t, h, "u"), feed: s.feed, backend: s.backend, signer: signer, room: "r:known"}
	w.c.send(`421["room:join","r:known"]`)
	for len(w.acks) == 0 {
		w.read()
	}
	for length() < 700 { // more than is given without proof
		w.read()
	}
	s.feed.mu.Lock()
	since := s.feed.log[0][100].TimeMs
	s.feed.mu.Unlock()
	w.c.send(fmt.Sprintf(`422["room:join",{"room":"r:new","since":%d}]`, since))
	for len(w.acks) == 1 {
		w.read()
	}
	count := len(w.got)
	if want := fmt.Sprintf(`432[{"ok":true,"room":"r:new","permissions":["join","type","publish","presence"],"replayed":%d}]`, count); w.acks[1] != want || count < 600 {
		t.Errorf("got %s, want %s", w.acks[1], want)
	}
	for end := length() + 100; length() < end; {
		w.read()
	}
	close(stop)
	publishing.Wait()
	last := map[string]bool{}
	for p := range s.feed.log {
		for _, name := range rooms {
			id := fmt.Sprintf("%d/%d", p, len(s.feed.log[p]))
			s.feed.publish(p, &deliveryv1.Record{Id: id, Event: "m", Rooms: []string{name}})
			last[id] = true
		}
	}
	for len(last) > 0 {
		delete(last, w.read())
	}
	for p, log := range s.feed.log {
		var want, got []string
		for _, r := range log {
			if r.Rooms[0] == "r:new" && r.TimeMs >= since {
				want = append(want, r.Id)
			}
		}
		for _, id := range w.got {
			if strings.HasPrefix(id, fmt.Sprintf("%d/", p)) {
				got = append(got, id)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("partition %d: got %d events of the room, want %d, each once and in order", p, len(got), len(want))
		}
	}
}

func TestWhatCannotBeReplayedIsJoinedAllTheSame(t *testing.T) {
	a := newAuthorizer(t)
	s := newScene(t, a.use) // no router says where to read again
	c := connect(t, s.host, "u")
	now := time.Now().UnixMilli()
	join := func(room string, since int64) fields {
		return c.fields("room:join", fmt.Sprintf(`{"room":%q,"since":%d}`, room, since))
	}
	if got := join("open:1", now-10*60_000); !got.OK || got.Replayed != nil || len(got.Permissions) != 4 {
		t.Errorf("before the window: got %+v", got)
	}
	s.feed.publish(0, &deliveryv1.Record{Id: "x", Event: "m", Rooms: []string{"open:2"}})
	await(t, "caught up", func() bool { return s.hub.Status().Lag == 0 })
	if got := join("open:2", now-1000); !got.OK || got.Replayed != nil {
		t.Errorf("nowhere to read: got %+v", got)
	}
	for room, code := range map[string]string{"closed:1": "forbidden", "presence:u": "forbidden"} {
		if got := join(room, now); got.Error.Code != code {
			t.Errorf("%s: got %+v", room, got)
		}
	}
	for _, r := range []string{"open:1", "open:2"} {
		s.feed.publish(0, &deliveryv1.Record{Id: r, Event: "m", Rooms: []string{r}})
		if got := c.ids(1); got[0] != r {
			t.Errorf("got %v", got)
		}
	}
}

func TestARoomThatOneIsInIsReplayedToo(t *testing.T) {
	f := newFeed(t, 1)
	b := newBackend(t, f)
	f.replay = b.addr
	h := start(t, b.use)
	f.attach(h.grpc)
	h.awaitReady(t)
	began := time.Now().UnixMilli()
	for _, id := range []string{"1", "2", "3"} {
		record := &deliveryv1.Record{Id: id, Event: "m", Rooms: []string{"r:1"}}
		if id == "2" {
			record.ExceptUsers = []string{"u"}
		}
		f.publish(0, record)
	}
	await(t, "caught up", func() bool { return h.hub.Status().Lag == 0 })
	c := connect(t, h, "u")
	c.send(`42["room:join","r:1"]`) // both at once: the second finds the room joined, or joins it
	for range 2 {
		if got := c.fields("room:join", fmt.Sprintf(`{"room":"r:1","since":%d}`, began)); !got.OK || got.Replayed == nil || *got.Replayed != 2 {
			t.Fatalf("got %+v", got)
		}
		if got := c.ids(2); !slices.Equal(got, []string{"1", "3"}) {
			t.Errorf("got %v", got)
		}
	}
	c.send(fmt.Sprintf(`42["room:join",{"room":"r:2","since":%d}]`, began)) // without an ack, several at once
	c.send(fmt.Sprintf(`42["room:join",{"room":"r:3","since":%d}]`, began))
	if got := c.fields("room:join", fmt.Sprintf(`{"room":"r:4","since":%d}`, began)); !got.OK || *got.Replayed != 0 {
		t.Errorf("got %+v", got)
	}
	for _, r := range []string{"r:1", "r:2", "r:3", "r:4"} {
		f.publish(0, &deliveryv1.Record{Id: r, Event: "m", Rooms: []string{r}})
		if got := c.ids(1); got[0] != r {
			t.Errorf("got %v", got)
		}
	}
}

func TestAClientEventIsPublishedOnceHoweverOftenItIsSent(t *testing.T) {
	s := newScene(t, nil)
	c, other := connect(t, s.host, "u"), connect(t, s.host, "v")
	c.ask("room:join", `"r:1"`)
	other.ask("room:join", `"r:1"`)
	const event = `{"id":"a","room":"r:1","data":1}`
	c.send(`4290["reaction:add",` + event + `]`) // its ack is lost, and it is sent again before and after
	c.send(`4291["reaction:add",` + event + `]`)
	acks := []string{c.next(), c.next()}
	slices.Sort(acks)
	if want := []string{`4390[{"ok":true,"id":"a"}]`, `4391[{"ok":true,"id":"a"}]`}; !slices.Equal(acks, want) {
		t.Errorf("got %v, want %v", acks, want)
	}
	_ = c.ws.Close()
	back := connect(t, s.host, "u") // in no room now, and answered all the same
	if got := back.ask("reaction:add", event); got != `{"ok":true,"id":"a"}` {
		t.Errorf("got %s", got)
	}
	if got := s.backend.published("client-events"); len(got) != 1 {
		t.Fatalf("published %v", got)
	}
	for _, test := range []struct {
		c     *client
		event string
		code  string
		total int
	}{
		{other, event, "", 2}, // another user's id is another
		{back, `{"id":"b","room":"r:1"}`, "not_joined", 2},
		{back, `{"data":1}`, "", 3},
		{back, `{"data":1}`, "", 4}, // without an id nothing is the same
	} {
		got := test.c.fields("reaction:add", test.event)
		if got.Error.Code != test.code || len(s.backend.published("client-events")) != test.total {
			t.Errorf("%s: got %+v, %d published", test.event, got, len(s.backend.published("client-events")))
		}
	}
	s.backend.setAway(true)
	if got := other.fields("reaction:add", `{"id":"c","room":"r:1"}`); got.Error.Code != "unavailable" {
		t.Errorf("got %+v", got)
	}
	s.backend.setAway(false)
	if got := other.fields("reaction:add", `{"id":"c","room":"r:1"}`); !got.OK {
		t.Errorf("what failed is tried again: got %+v", got)
	}
}
