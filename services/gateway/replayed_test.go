package gateway

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	deliveryv1 "github.com/edumatrix/interlink/proto/delivery/v1"
)

func TestBeyondTheBoundsAClientStartsFresh(t *testing.T) {
	p := newPair(t, 2, func(o *Options) { o.ResumeEvents, o.ResumeBytes = 100, 20_000 })
	big := []byte(`"` + strings.Repeat("x", 5000) + `"`)
	for name, tt := range map[string]struct {
		missed func()
		want   string
	}{
		"as many events as allowed": {func() {
			for n := range 100 {
				p.publish(n%2, "user:u")
			}
		}, "resumed"},
		"one more": {func() {
			for n := range 101 {
				p.publish(n%2, "user:u")
			}
		}, "events"},
		"more bytes": {func() {
			for n := range 4 {
				p.feed.publish(n%2, &deliveryv1.Record{Id: "big", Event: "big", Rooms: []string{"user:u"}, Data: big})
			}
		}, "bytes"},
		"what the log has no longer": {func() {
			p.publish(0, "user:u")
			p.backend.mu.Lock()
			p.backend.earliest = int64(len(p.feed.log[0]))
			p.backend.mu.Unlock()
		}, "window"},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() { p.backend.mu.Lock(); p.backend.earliest = 0; p.backend.mu.Unlock() }()
			c := p.client("u")
			c.t = t
			p.caughtUp() // what is before its cursor, and what it missed, is the same for both
			c.connect(p.one)
			pid := c.pid
			c.cut()
			tt.missed()
			p.caughtUp()
			c.connect(p.two)
			c.want(tt.want)
			if tt.want != "resumed" {
				c.wantIDs()
				if c.pid == pid {
					t.Error("it has its old session all the same")
				}
			}
			last := p.publish(0, "user:u") // and goes on live
			c.drain(last)
			if tt.want == "resumed" && len(c.got) != 101 {
				t.Errorf("got %d events, want 101", len(c.got))
			}
		})
	}
}

func TestALongReplayIsFedAsTheSocketTakesIt(t *testing.T) {
	p := newPair(t, 2, func(o *Options) { o.QueueEvents, o.QueueBytes = 50, 16<<10 })
	c := p.client("u")
	c.connect(p.one)
	c.cut()
	data := []byte(`"` + strings.Repeat("x", 300) + `"`)
	var want []string
	for n := range 3000 {
		id := fmt.Sprintf("%d/%d", n%2, len(p.feed.log[n%2]))
		p.feed.publish(n%2, &deliveryv1.Record{Id: id, Event: "m", Rooms: []string{"user:u"}, Data: data})
		want = append(want, id)
	}
	c.dial(p.two)
	c.accept()
	c.send(`421["room:join","r:1"]`) // answered when it has caught up
	for c.ready.Reason == "" {
		c.handle()
	}
	c.want("resumed")
	c.wantIDs(want...)
	for {
		text := c.next()
		if strings.HasPrefix(text, "431[") {
			break
		}
		c.handled(text, c.parse(text))
	}
}

func TestACutInTheMiddleOfAReplayLosesNothing(t *testing.T) {
	p := newPair(t, 2, func(o *Options) { o.QueueEvents, o.QueueBytes = 50, 16<<10 })
	c := p.client("u")
	c.connect(p.one)
	c.cut()
	var want []string
	for n := range 400 {
		want = append(want, p.publish(n%2, "user:u"))
	}
	for turn := 0; len(c.got) < 400; turn++ {
		c.dial([]*host{p.two, p.one}[turn%2])
		c.accept()
		for range 37 {
			if e := c.handle(); e.name == "session:ready" {
				c.want("resumed")
				break
			}
		}
		c.cut()
	}
	c.wantIDs(want...)
}

func TestWhatHappenedInARoomThatTheUserWasRemovedFromIsNotShown(t *testing.T) {
	for name, tt := range map[string]struct {
		again, admitted bool
	}{
		"removed":                               {false, false},
		"removed, as Next.js does not know yet": {false, true},
		"removed and added again":               {true, true},
		"added again, and Next.js refuses":      {true, false},
	} {
		for _, same := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, same gateway %t", name, same), func(t *testing.T) {
				rooms := &doorman{}
				p := newPair(t, 1, func(o *Options) { rooms.use(o) })
				c := p.client("u")
				c.connect(p.one)
				rooms.admit("r:1", true)
				rooms.admit("r:2", true)
				c.join("r:1")
				c.join("r:2")
				c.cut()
				await(t, "the socket's end noticed", func() bool { return p.one.engine.Sockets() == 0 })
				a := p.publish(0, "r:1") // nothing of this, if he is not in the room now
				rooms.admit("r:1", tt.admitted)
				p.control(0, &deliveryv1.Control{Kind: deliveryv1.Control_MEMBERSHIP_CHANGED, Room: "r:1", Remove: []string{"u"}})
				p.publish(0, "r:1") // nothing of this
				b := p.publish(0, "r:2")
				if tt.again {
					p.control(0, &deliveryv1.Control{Kind: deliveryv1.Control_MEMBERSHIP_CHANGED, Room: "r:1", Add: []string{"u"}})
				}
				d := p.publish(0, "r:1")
				want := []string{b}
				if tt.again && tt.admitted {
					want = []string{a, b, d}
				}
				h := p.two
				if same {
					h = p.one
				}
				p.caughtUp() // a gateway that has not heard of the removal shows what came before it
				c.connect(h)
				c.want("resumed")
				c.wantIDs(want...)
				in := slices.Contains(c.ready.Rooms, "r:1")
				if in != (tt.again && tt.admitted) {
					t.Errorf("rooms %v", c.ready.Rooms)
				}
				if !in {
					if e := c.handle(); e.name != "room:evicted" || !strings.Contains(string(e.args[0]), `"r:1"`) || e.cursor != "" {
						t.Errorf("got %s %s, want room:evicted", e.name, e.args)
					}
				}
				e := p.publish(0, "r:1")
				f := p.publish(0, "r:2")
				if in {
					want = append(want, e)
				}
				c.drain(f)
				c.wantIDs(append(want, f)...)
			})
		}
	}
}

func TestAUserAddedToARoomWhileAwayIsIn(t *testing.T) {
	p := newPair(t, 1, nil)
	c := p.client("u")
	c.connect(p.one)
	c.cut()
	p.control(0, &deliveryv1.Control{Kind: deliveryv1.Control_MEMBERSHIP_CHANGED, Room: "r:9", Add: []string{"u"}})
	c.connect(p.two)
	c.want("resumed")
	await(t, "r:9 joined", func() bool { return p.recorded(c, "r:9") })
	a := p.publish(0, "r:9")
	c.drain(a)
}

func TestARevokedUserIsRefusedAndADisconnectedOneStartsFresh(t *testing.T) {
	p := newPair(t, 1, nil)
	c := p.client("u")
	c.connect(p.one)
	c.cut()
	p.control(0, &deliveryv1.Control{Kind: deliveryv1.Control_USER_DISCONNECT, User: "u"})
	p.caughtUp()
	c.connect(p.two)
	c.want("no_session")
	c.cut()
	p.control(0, &deliveryv1.Control{Kind: deliveryv1.Control_SESSION_REVOKED, User: "u", BeforeMs: time.Now().Add(time.Minute).UnixMilli()})
	p.feed.revoke("u", time.Now().Add(time.Minute).UnixMilli())
	await(t, "told of the revocation", func() bool {
		c.dial(p.two)
		answer, err := c.read()
		c.cut()
		return err == nil && strings.HasPrefix(answer, "44") && strings.Contains(answer, "unauthenticated")
	})
}

func TestRoomsInDoubtAreKeptAndAskedAboutAgain(t *testing.T) {
	rooms := &doorman{}
	p := newPair(t, 1, func(o *Options) { rooms.use(o) })
	c := p.client("u")
	c.connect(p.one)
	rooms.admit("r:1", true)
	c.join("r:1")
	c.cut()
	rooms.doubt("r:1")
	a := p.publish(0, "r:1")
	c.connect(p.two)
	c.want("resumed")
	c.wantIDs(a)
	b := p.publish(0, "r:1")
	c.drain(b)
	rooms.admit("r:1", false)
	e := c.await("room:evicted")
	if !strings.Contains(string(e.args[0]), "r:1") {
		t.Errorf("evicted from %s", e.args[0])
	}
	await(t, "out of the record", func() bool { return !p.recorded(c, "r:1") })
}

func TestAResumeWaitsForRoutersAndGoesOnWhenTheyAreBack(t *testing.T) {
	p := newPair(t, 2, nil)
	c := p.client("u")
	c.connect(p.one)
	c.cut()
	a := p.publish(0, "user:u")
	p.backend.setFrozen(true)
	c.dial(p.two)
	thaw := time.AfterFunc(time.Second, func() { p.backend.setFrozen(false) })
	defer thaw.Stop()
	c.accept()
	c.await("session:ready")
	c.want("resumed")
	c.wantIDs(a)
	c.cut()
	p.feed.detach()
	c.dial(p.one) // nobody serves: it waits
	p.feed.attach(p.one.grpc)
	p.feed.attach(p.two.grpc)
	c.accept()
	c.await("session:ready")
	c.want("resumed")
	c.wantIDs(a)
}

func TestAnotherTopicIsToldToEveryone(t *testing.T) {
	p := newPair(t, 2, nil)
	away, here := p.client("u"), p.client("v")
	away.connect(p.one)
	here.connect(p.one)
	away.cut()
	p.feed.detach()
	await(t, "the old routers gone", func() bool { return p.one.hub.Status().Routers+p.two.hub.Status().Routers == 0 })
	p.feed.mu.Lock()
	p.feed.epoch = "another"
	p.feed.log = make([][]*deliveryv1.Record, 2)
	p.feed.mu.Unlock()
	p.feed.attach(p.one.grpc)
	p.feed.attach(p.two.grpc)
	await(t, "both gateways at the new topic", func() bool { return p.one.hub.Log() == "another" && p.two.hub.Log() == "another" })
	for {
		if _, err := here.read(); err != nil {
			break
		}
	}
	for _, c := range []*stock{away, here} {
		c.connect(p.two)
		c.want("epoch")
		id := p.publish(0, "user:"+c.token)
		c.drain(id)
		c.cut()
		c.connect(p.one)
		c.want("resumed")
		c.cut()
	}
}

func TestClientsThatAreCutAtRandomLoseNothing(t *testing.T) {
	p := newPair(t, 3, nil)
	rooms := []string{"r:0", "r:1", "r:2", "r:3"}
	stop := make(chan struct{})
	publishing := publishUntil(p.feed, rooms, stop)
	var running sync.WaitGroup
	clients := make([]*stock, 16)
	starts := make([][]int64, len(clients))
	cuts := make([]int, len(clients))
	for i := range clients {
		c := p.client(fmt.Sprintf("u%d", i))
		clients[i] = c
		random := rand.New(rand.NewPCG(uint64(i), 7))
		running.Go(func() {
			hosts := []*host{p.one, p.two}
			c.connect(hosts[i%2])
			c.join(rooms[i%4])
			starts[i] = p.backend.vector(t, newSigner(t), strings.Trim(c.offset, `"`))
			c.got = nil
			for ; cuts[i] < 20 && !t.Failed(); cuts[i]++ {
				c.cut()
				c.dial(hosts[random.IntN(2)])
				if random.IntN(5) == 0 {
					continue // cut before it has heard anything
				}
				c.accept()
				if random.IntN(4) == 0 {
					continue // before session:ready
				}
				for most := random.IntN(200); c.ready.Reason == "" && most > 0; most-- {
					c.handle() // or in the middle of the replay
				}
				if c.ready.Reason == "" {
					continue
				}
				c.want("resumed")
				for range random.IntN(30) {
					c.handle()
				}
			}
			c.cut()
		})
	}
	running.Wait()
	close(stop)
	publishing.Wait()
	if t.Failed() {
		return
	}
	total := 0
	for i, c := range clients {
		c.connect(p.one)
		c.want("resumed")
		last := p.publish(0, rooms[i%4])
		c.drain(last)
		judge(t, p.feed, p.backend, c.token, rooms[i%4], starts[i], c.got)
		total += len(c.got)
		c.cut()
	}
	t.Logf("%d clients, %d cuts, %d events judged", len(clients), cuts[0]*len(clients), total)
}

// doorman says who may join which room, as Next.js does.
type doorman struct {
	mu    sync.Mutex
	rooms map[string]string // yes, no; absent: doubt
}

func (d *doorman) admit(room string, yes bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.rooms == nil {
		d.rooms = map[string]string{}
	}
	d.rooms = maps.Clone(d.rooms)
	d.rooms[room] = map[bool]string{true: "yes", false: "no"}[yes]
}

func (d *doorman) doubt(room string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.rooms, room)
}

func (d *doorman) use(o *Options) {
	o.Authorize = Authorize{URL: "http://next.invalid/authorize", Keys: func() [][]byte { return [][]byte{[]byte("key")} }, HTTPClient: &http.Client{Transport: d}, PositiveTTL: time.Millisecond, NegativeTTL: time.Millisecond}
}

// RoundTrip answers the authorizer's questions.
func (d *doorman) RoundTrip(r *http.Request) (*http.Response, error) {
	var in struct {
		Room string
		List bool
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	status, body := http.StatusInternalServerError, ""
	switch {
	case in.List:
		status = http.StatusNotFound
	case d.rooms[in.Room] == "yes":
		status, body = http.StatusOK, `{"join":true,"type":true}`
	case d.rooms[in.Room] == "no":
		status = http.StatusForbidden
	}
	return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader(body)), Header: http.Header{}, Request: r}, nil
}
