package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"

	deliveryv1 "github.com/edumatrix/interlink/proto/delivery/v1"
	emitv1 "github.com/edumatrix/interlink/proto/emit/v1"
	presencev1 "github.com/edumatrix/interlink/proto/presence/v1"
	"github.com/edumatrix/interlink/services/gateway/internal/hub"
	"github.com/edumatrix/interlink/services/internal/room"
	"github.com/edumatrix/interlink/services/presence"
)

// Push hands ephemeral records to every gateway.
func (b *backend) Push(_ context.Context, r *emitv1.PushRequest) (*emitv1.PushResponse, error) {
	b.feed.mu.Lock()
	defer b.feed.mu.Unlock()
	for _, p := range b.feed.pipes {
		// A gateway that has gone takes no more.
		_ = p.stream.Send(&deliveryv1.AttachRequest{Kind: &deliveryv1.AttachRequest_Push{Push: &deliveryv1.Push{Records: r.Records}}})
	}
	return &emitv1.PushResponse{}, nil
}

// published lists the values on one topic.
func (b *backend) published(topic string) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []string
	for _, e := range b.entries {
		if e.Topic == topic {
			out = append(out, string(e.Key)+" "+string(e.Value))
		}
	}
	return out
}

// post is a presence service of its own with the inbox consumer beside it, which reads the feed when it is told to.
type post struct {
	t      *testing.T
	feed   *feed
	client presencev1.PresenceClient
	conn   *grpc.ClientConn
	next   []int64
}

func newPost(t *testing.T, f *feed, b *backend) *post {
	l := listen(t)
	p, err := presence.New(presence.Options{Memory: true, GRPCListener: l, Emit: b.conn, UndeliveredAfter: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := p.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	conn, err := grpc.NewClient("passthrough:///"+l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close()
		cancel()
		running.Wait()
	})
	return &post{t: t, feed: f, client: presencev1.NewPresenceClient(conn), conn: conn, next: make([]int64, len(f.log))}
}

// consume brings what is new to the inboxes, and wakes who has to be.
func (p *post) consume() {
	p.t.Helper()
	p.feed.mu.Lock()
	var entries []*presencev1.InboxEntry
	for partition, log := range p.feed.log {
		for ; p.next[partition] < int64(len(log)); p.next[partition]++ {
			r := log[p.next[partition]]
			if !r.Queue {
				continue
			}
			raw, err := proto.Marshal(r)
			if err != nil {
				p.t.Error(err)
			}
			for _, name := range r.Rooms {
				if user, own := room.Room(name).User(); own {
					entries = append(entries, &presencev1.InboxEntry{
						User: user, Id: r.Id, Partition: uint32(partition), Offset: r.Offset, TimeMs: r.TimeMs, Record: raw,
					})
				}
			}
		}
	}
	p.feed.mu.Unlock()
	answer, err := p.client.AppendInbox(p.t.Context(), &presencev1.AppendInboxRequest{Log: "e", Entries: entries})
	if err != nil {
		p.t.Fatal(err)
	}
	for i, a := range answer.Appended {
		if len(a.Wake) > 0 {
			data, err := json.Marshal(map[string][]string{"session": a.Wake})
			if err != nil {
				p.t.Error(err)
			}
			p.feed.push(&deliveryv1.Record{Event: hub.WakeEvent, Rooms: []string{string(room.OfUser(entries[i].User))}, Data: data})
		}
	}
}

// waiting lists the ids in a user's inbox.
func (p *post) waiting(user string) []string {
	p.t.Helper()
	ctx := p.t.Context()
	far := map[uint32]int64{}
	for partition := range p.feed.log {
		far[uint32(partition)] = 1 << 40
	}
	if _, err := p.client.OpenInbox(ctx, &presencev1.OpenInboxRequest{Log: "e", User: user, Session: "test", Start: far}); err != nil {
		p.t.Fatal(err)
	}
	answer, err := p.client.ReadInbox(ctx, &presencev1.ReadInboxRequest{Log: "e", User: user, Session: "test", Limit: 5000, Bytes: 8 << 20})
	if err != nil {
		p.t.Fatal(err)
	}
	if _, err := p.client.CloseInbox(ctx, &presencev1.CloseInboxRequest{Log: "e", User: user, Session: "test"}); err != nil {
		p.t.Fatal(err)
	}
	var ids []string
	for _, e := range answer.Entries {
		ids = append(ids, e.Id)
	}
	return ids
}

// queue publishes queued events for a user.
func (p *post) queue(user string, ids ...string) {
	for _, id := range ids {
		p.feed.publish(0, &deliveryv1.Record{Id: id, Event: "notice", Rooms: []string{"user:" + user}, Queue: true, Data: []byte(`{"n":"` + id + `"}`)})
	}
}

func newPostScene(t *testing.T, change func(*Options)) (*scene, *post) {
	t.Helper()
	var p *post
	s := &scene{feed: newFeed(t, 2), tokens: &tokens{}}
	s.backend = newBackend(t, s.feed)
	s.feed.replay = s.backend.addr
	p = newPost(t, s.feed, s.backend)
	s.host = start(t, func(o *Options) {
		s.backend.use(o)
		o.Presence, o.Authenticator = p.conn, s.tokens
		o.ClientEvents = []string{"reaction:add"}
		if change != nil {
			change(o)
		}
	})
	s.feed.attach(s.grpc)
	s.awaitReady(t)
	return s, p
}

// id is the event's meta.id, with a + if it comes from the inbox.
func (e event) id(t *testing.T) string {
	t.Helper()
	var meta struct {
		ID     string
		Queued bool
	}
	if err := json.Unmarshal(e.args[1], &meta); err != nil {
		t.Fatal(err)
	}
	if meta.Queued {
		return meta.ID + "+"
	}
	return meta.ID
}

// ids takes the next n events.
func (c *client) ids(n int) []string {
	c.t.Helper()
	var out []string
	for range n {
		e := c.event()
		if e.cursor == "" {
			c.t.Errorf("%s without a cursor", e.args)
		}
		out = append(out, e.id(c.t))
	}
	return out
}

// answer reads what is there, so that pings are answered.
func (c *client) answer() { c.fields("message:received", `{"ids":[]}`) }

// last checks that nothing else comes before an event that is published now.
func (c *client) last(f *feed, user string) {
	c.t.Helper()
	f.publish(len(f.log)-1, &deliveryv1.Record{Id: "last", Event: "last", Rooms: []string{"user:" + user}})
	for {
		e := c.event()
		if e.name == "last" {
			return
		}
		c.t.Errorf("something else came: %s %s", e.name, e.args)
	}
}

func TestAUserWhoWasAwayIsGivenWhatWaitsBeforeWhatComesLive(t *testing.T) {
	s, p := newPostScene(t, nil)
	p.queue("u", "1", "2", "3")
	p.consume()
	c := connect(t, s.host, "u")
	p.queue("u", "4")
	p.consume()
	if got, want := c.ids(4), []string{"1+", "2+", "3+", "4"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	await(t, "an empty inbox", func() bool { c.answer(); return len(p.waiting("u")) == 0 })
	_ = c.ws.Close()
	again := connect(t, s.host, "u")
	again.last(s.feed, "u")
}

func TestAnEventGoesWhenOneOfTwoTabsHasIt(t *testing.T) {
	s, p := newPostScene(t, nil)
	p.queue("u", "1")
	p.consume()
	one := dial(t, s.host, `{"token":"u"}`)
	one.mute = true
	one.next() // CONNECT
	if got := one.event(); got.name != "session:ready" {
		t.Fatalf("got %s", got.name)
	}
	if got := one.ids(1); got[0] != "1+" {
		t.Fatalf("got %v", got)
	}
	if got := p.waiting("u"); len(got) != 1 {
		t.Fatalf("given and not proven, it waits no longer: %v", got)
	}
	two := connect(t, s.host, "u")
	if got := two.ids(1); got[0] != "1+" {
		t.Errorf("the other tab got %v", got)
	}
	await(t, "an empty inbox", func() bool { two.answer(); return len(p.waiting("u")) == 0 })
	p.queue("u", "2")
	if a, b := one.ids(1), two.ids(1); a[0] != "2" || b[0] != "2" {
		t.Errorf("got %v and %v", a, b)
	}
	two.answer()
	p.consume() // behind the receipt: a tombstone was left for it
	await(t, "an empty inbox", func() bool { return len(p.waiting("u")) == 0 })
}

func TestWhatWasCutOffInTheMiddleOfAnInboxComesNextTime(t *testing.T) {
	s, p := newPostScene(t, nil)
	const n = 700
	var want []string
	for i := range n {
		want = append(want, fmt.Sprint(i))
	}
	p.queue("u", want...)
	p.consume()
	c := dial(t, s.host, `{"token":"u"}`)
	c.next()
	c.event()
	var got []string
	for len(got) < n/2 {
		got = append(got, strings.TrimSuffix(c.ids(1)[0], "+"))
	}
	_ = c.ws.Close()
	if !slices.Equal(got, want[:len(got)]) {
		t.Fatal("out of order")
	}
	await(t, "some proven", func() bool { left := len(p.waiting("u")); return left < n && left >= n-len(got) })
	left := p.waiting("u")
	if !slices.Equal(left, want[n-len(left):]) {
		t.Fatalf("%d are left, but not the last", len(left))
	}
	next := connect(t, s.host, "u")
	for _, id := range left {
		if got := next.ids(1)[0]; got != id+"+" {
			t.Fatalf("got %s, want %s", got, id)
		}
	}
	next.last(s.feed, "u")
	next.answer()
	await(t, "an empty inbox", func() bool { return len(p.waiting("u")) == 0 })
}

func TestALateEntryWakesTheSession(t *testing.T) {
	s, p := newPostScene(t, nil)
	p.queue("u", "1") // the consumer is late
	await(t, "the position behind it", func() bool { return s.hub.Status().Lag == 0 })
	c := connect(t, s.host, "u")
	await(t, "the inbox open", func() bool {
		answer, err := p.client.AppendInbox(t.Context(), &presencev1.AppendInboxRequest{Log: "e", Entries: []*presencev1.InboxEntry{
			{User: "u", Id: fmt.Sprint("probe", time.Now().UnixNano()), Partition: 1, Offset: time.Now().UnixNano(), TimeMs: 1},
		}})
		return err == nil && len(answer.Appended) == 1
	})
	p.consume()
	if got := c.ids(1); got[0] != "1+" {
		t.Errorf("got %v", got)
	}
	s.feed.push(&deliveryv1.Record{Event: hub.WakeEvent, Rooms: []string{"user:u"}, Data: []byte(`{"session":["someone"]}`)})
	s.feed.push(&deliveryv1.Record{Event: hub.WakeEvent, Rooms: []string{"user:u"}, Data: []byte(`nonsense`)})
	c.last(s.feed, "u")
}

func TestMessageReceivedTakesAnEventOutOfTheInbox(t *testing.T) {
	s, p := newPostScene(t, nil)
	p.queue("u", "1", "2", "3")
	p.consume()
	c := dial(t, s.host, `{"token":"u"}`)
	c.mute = true
	c.next()
	c.event()
	c.ids(3)
	if got := c.fields("message:received", `{"ids":["2","unknown"]}`); !got.OK {
		t.Fatalf("got %+v", got)
	}
	await(t, "two that wait", func() bool { return slices.Equal(p.waiting("u"), []string{"1", "3"}) })
	other := connect(t, s.host, "v") // another user's word changes nothing
	other.fields("message:received", `{"ids":["1"]}`)
	other.last(s.feed, "v")
	if got := p.waiting("u"); len(got) != 2 {
		t.Errorf("left: %v", got)
	}
}

func TestTheSenderHearsOfEachRecipientOnce(t *testing.T) {
	s, p := newPostScene(t, nil)
	_ = p
	sender, tab, other, later := connect(t, s.host, "s"), connect(t, s.host, "u"), connect(t, s.host, "u"), connect(t, s.host, "v")
	for _, c := range []*client{sender, tab, other} {
		c.ask("room:join", `"r:1"`)
	}
	later.mute = true
	later.ask("room:join", `"r:1"`)
	s.feed.publish(0, &deliveryv1.Record{Id: "m1", Event: "m", Rooms: []string{"r:1"}, From: "s", Receipt: true})
	for _, c := range []*client{tab, other, later, sender} {
		if got := c.ids(1); got[0] != "m1" {
			t.Fatalf("got %v", got)
		}
	}
	tab.answer()
	other.answer()
	delivered := func() string {
		e := sender.event()
		if e.name != "message:delivered" || e.cursor != "" {
			t.Errorf("the sender got %s %s", e.name, e.args)
		}
		var data struct {
			ID, User string
			Time     int64
		}
		if err := json.Unmarshal(e.args[0], &data); err != nil || data.Time == 0 {
			t.Errorf("got %s, %v", e.args[0], err)
		}
		return data.ID + " " + data.User
	}
	if got := delivered(); got != "m1 u" {
		t.Errorf("got %s", got)
	}
	if got := later.fields("message:received", `{"ids":["m1"]}`); !got.OK {
		t.Errorf("got %+v", got)
	}
	if got := delivered(); got != "m1 v" {
		t.Errorf("got %s", got)
	}
	sender.last(s.feed, "s")
	await(t, "two receipts", func() bool { return len(s.backend.published("receipts")) == 2 })
	got := s.backend.published("receipts")
	slices.SortFunc(got, func(a, b string) int {
		return strings.Compare(a[strings.Index(a, "user"):], b[strings.Index(b, "user"):])
	})
	for i, want := range []string{`s {"id":"m1","user":"u","by":"pong","time":"`, `s {"id":"m1","user":"v","by":"client","time":"`} {
		if !strings.HasPrefix(got[i], want) {
			t.Errorf("got %s, want %s", got[i], want)
		}
	}
}

func TestPresenceThatIsAwayHoldsNothingUpAndTheInboxComesWhenItIsBack(t *testing.T) {
	f := newFeed(t, 1)
	b := newBackend(t, f)
	h := start(t, b.use) // its presence knows nothing of inboxes
	f.attach(h.grpc)
	h.awaitReady(t)
	c := connect(t, h, "u")
	began := time.Now()
	c.last(f, "u")
	if waited := time.Since(began); waited > time.Second {
		t.Errorf("live events waited %v", waited)
	}
}

func TestAnInboxGoesOnWhereTheSessionMoves(t *testing.T) {
	f := newFeed(t, 1)
	b := newBackend(t, f)
	p := newPost(t, f, b)
	use := func(o *Options) { b.use(o); o.Presence = p.conn }
	one, two := start(t, use), start(t, use)
	f.attach(one.grpc)
	f.attach(two.grpc)
	one.awaitReady(t)
	two.awaitReady(t)
	await(t, "both gateways known", func() bool {
		answer, err := p.client.Gateways(t.Context(), &presencev1.GatewaysRequest{})
		return err == nil && len(answer.Gateways) == 2
	})
	var want []string
	for i := range 500 {
		want = append(want, fmt.Sprint(i))
	}
	p.queue("u", want...)
	p.consume()
	browser := &poller{t: t, hosts: []*host{one}}
	browser.open()
	browser.request("POST", `40{"token":"u"}`)
	var texts []string
	for len(texts) < 3 {
		texts = append(texts, browser.get()...)
	}
	c, last := browser.upgrade(two)
	texts = append(texts, last...)
	var got []string
	for _, text := range texts {
		if strings.HasPrefix(text, `42["notice"`) {
			got = append(got, c.parse(text).id(t))
		}
	}
	for len(got) < len(want) {
		got = append(got, c.ids(1)...)
	}
	for i := range got {
		if got[i] != want[i]+"+" {
			t.Fatalf("event %d is %s", i, got[i])
		}
	}
	await(t, "an empty inbox", func() bool { c.answer(); return len(p.waiting("u")) == 0 })
	c.last(f, "u")
}

func TestAResumesCursorIsAReceiptForAllThatItCovers(t *testing.T) {
	s, p := newPostScene(t, nil)
	p.queue("u", "before")
	p.consume()
	c := dial(t, s.host, `{"token":"u"}`)
	c.mute = true // it proves nothing by itself
	var accepted struct{ PID string }
	if err := json.Unmarshal([]byte(strings.TrimPrefix(c.next(), "40")), &accepted); err != nil {
		t.Fatal(err)
	}
	c.event()
	c.ids(1)
	p.queue("u", "1", "2", "3")
	c.ids(1)
	second := c.event()
	_ = c.ws.Close()
	p.consume()
	if got := p.waiting("u"); len(got) != 4 {
		t.Fatalf("waiting before the resume: %v", got)
	}
	back := dial(t, s.host, fmt.Sprintf(`{"token":"u","pid":%q,"offset":%q}`, accepted.PID, second.cursor))
	back.mute = true
	if answer := back.next(); !strings.Contains(answer, accepted.PID) {
		t.Fatalf("not resumed: %s", answer)
	}
	if got := back.ids(1); got[0] != "3" {
		t.Errorf("replayed %v", got)
	}
	if e := back.event(); e.name != "session:ready" || !strings.Contains(string(e.args[0]), `"recovered":true`) {
		t.Errorf("got %s %s", e.name, e.args)
	}
	if got := back.ids(1); got[0] != "before+" {
		t.Errorf("what lies before the session's start is given again: got %v", got)
	}
	await(t, "what the cursor covers to go", func() bool { return slices.Equal(p.waiting("u"), []string{"before", "3"}) })
	back.mute = false
	back.fields("message:received", `{"ids":["before","3"]}`)
	await(t, "an empty inbox", func() bool { return len(p.waiting("u")) == 0 })
	back.last(s.feed, "u")
}
