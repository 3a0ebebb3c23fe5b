package gateway

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	deliveryv1 "github.com/edumatrix/interlink/proto/delivery/v1"
)

// scene is one gateway with everything around it.
type scene struct {
	*host
	feed    *feed
	backend *backend
	tokens  *tokens
}

func newScene(t *testing.T, change func(*Options)) *scene {
	t.Helper()
	f := newFeed(t, 2)
	s := &scene{feed: f, backend: newBackend(t, f), tokens: &tokens{}}
	s.host = start(t, func(o *Options) {
		s.backend.use(o)
		o.Authenticator = s.tokens
		o.ClientEvents = []string{"reaction:add"}
		if change != nil {
			change(o)
		}
	})
	f.attach(s.grpc)
	s.awaitReady(t)
	return s
}

// authorizer answers for rooms: `open:*` admits to everything, `read:*` to joining, `doubt:*` is in doubt while doubt
// holds and admits then, everything else is refused. The list of a user is `open:of-{user}`.
type authorizer struct {
	*httptest.Server
	doubt atomic.Bool
}

func newAuthorizer(t *testing.T) *authorizer {
	a := &authorizer{}
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			User, Room string
			List       bool
		}
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			t.Error(err)
		}
		kind, _, _ := strings.Cut(in.Room, ":")
		switch {
		case in.List:
			fmt.Fprintf(w, `{"rooms":{"open:of-%s":["join"]}}`, in.User)
		case kind == "open":
			fmt.Fprint(w, `{"join":true,"type":true,"publish":true,"presence":true,"ttlSeconds":1}`)
		case kind == "read":
			fmt.Fprint(w, `{"join":true}`)
		case kind == "doubt" && a.doubt.Load():
			w.WriteHeader(http.StatusBadGateway)
		case kind == "doubt":
			fmt.Fprint(w, `{"join":true}`)
		default:
			w.WriteHeader(http.StatusForbidden)
		}
	}))
	t.Cleanup(a.Close)
	return a
}

func (a *authorizer) use(o *Options) {
	o.Authorize = Authorize{URL: a.URL, Keys: func() [][]byte { return [][]byte{[]byte("k")} }}
}

// fields picks what a test looks at out of an ack.
type fields struct {
	OK    bool
	Error struct {
		Code         string
		RetryAfterMs int64
	}
	Room        string
	Permissions []string
	Replayed    *int
	Rooms       []fields
	Users       map[string]struct {
		Online bool
		Status string
	}
	ID        string
	ExpiresAt int64
}

func (c *client) fields(name, arg string) fields {
	c.t.Helper()
	var f fields
	text := c.ask(name, arg)
	if err := json.Unmarshal([]byte(text), &f); err != nil {
		c.t.Fatalf("%s: %v", text, err)
	}
	if f.OK != (f.Error.Code == "") && f.Rooms == nil {
		c.t.Errorf("%s %s: an ack is either ok or has an error: %s", name, arg, text)
	}
	return f
}

func TestEveryClientEventIsAckedOnce(t *testing.T) {
	a := newAuthorizer(t)
	s := newScene(t, a.use)
	a.doubt.Store(true)
	c := connect(t, s.host, "u")
	tests := []struct{ event, arg, code string }{
		{"no:such", `{}`, "unknown_event"},
		{"message:read", "", "unknown_event"},
		{"room:join", "", "bad_request"},
		{"room:join", `"open:1","open:2"`, "bad_request"},
		{"room:join", `7`, "bad_request"},
		{"room:join", `"nokind"`, "bad_request"},
		{"room:join", `{"room":5}`, "bad_request"},
		{"room:join", `[]`, "too_large"},
		{"room:join", `["a:1",5]`, "bad_request"},
		{"room:join", `"closed:1"`, "forbidden"},
		{"room:join", `"user:someone"`, "forbidden"},
		{"room:join", `"presence:someone"`, "forbidden"},
		{"room:join", `"doubt:1"`, "unavailable"},
		{"room:join", `"user:u"`, ""},
		{"room:join", `"open:1"`, ""},
		{"room:join", `"read:1"`, ""},
		{"room:leave", `"open:other"`, "not_joined"},
		{"room:leave", `"user:u"`, "forbidden"},
		{"typing:start", `{"room":"open:1"}`, ""},
		{"typing:stop", `{"room":"open:1"}`, ""},
		{"typing:start", `{"room":"read:1"}`, "forbidden"},
		{"typing:start", `{"room":"open:2"}`, "not_joined"},
		{"typing:start", `"open:1"`, "bad_request"},
		{"presence:subscribe", `{"users":[]}`, "bad_request"},
		{"presence:subscribe", `{"users":"v"}`, "bad_request"},
		{"presence:set", `{"status":""}`, "bad_request"},
		{"presence:set", `{"status":"busy"}`, ""},
		{"message:received", `{"ids":["x"]}`, ""},
		{"message:received", `{"ids":"x"}`, "bad_request"},
		{"session:refresh", `{}`, "bad_request"},
		{"session:refresh", `{"token":"bad"}`, "unauthenticated"},
		{"session:refresh", `{"token":"other"}`, "forbidden"},
		{"session:refresh", `{"token":"u"}`, ""},
		{"reaction:add", `{"id":"r1","room":"open:1","data":{"n":1}}`, ""},
		{"reaction:add", `{"room":"read:1"}`, "forbidden"},
		{"reaction:add", `{"room":"open:9"}`, "not_joined"},
		{"reaction:add", `"x"`, "bad_request"},
		{"room:leave", `"open:1"`, ""},
	}
	for _, test := range tests {
		if got := c.fields(test.event, test.arg); got.Error.Code != test.code {
			t.Errorf("%s %s: got %q, want %q", test.event, test.arg, got.Error.Code, test.code)
		}
	}
	s.backend.mu.Lock()
	defer s.backend.mu.Unlock()
	if s.backend.statuses["u"] != "busy" || len(s.backend.entries) != 1 {
		t.Fatalf("statuses %v, %d entries", s.backend.statuses, len(s.backend.entries))
	}
	e := s.backend.entries[0]
	var value map[string]any
	if err := json.Unmarshal(e.Value, &value); err != nil {
		t.Fatal(err)
	}
	if e.Topic != "client-events" || string(e.Key) != "open:1" || value["id"] != "r1" || value["event"] != "reaction:add" ||
		value["user"] != "u" || value["room"] != "open:1" || value["socket"] == "" || value["time"] == nil {
		t.Errorf("published %s %s %s", e.Topic, e.Key, e.Value)
	}
}

func TestJoiningAListAnswersForEachRoom(t *testing.T) {
	a := newAuthorizer(t)
	s := newScene(t, func(o *Options) { a.use(o); o.RoomsPerSocket = 6 })
	c := connect(t, s.host, "u") // in user:u and open:of-u
	got := c.fields("room:join", `["open:1","closed:1","open:1","read:1"]`)
	if got.OK || len(got.Rooms) != 3 || !got.Rooms[0].OK || got.Rooms[1].Error.Code != "forbidden" || !slices.Equal(got.Rooms[2].Permissions, []string{"join"}) {
		t.Errorf("got %+v", got)
	}
	if got := c.fields("room:join", `{"room":"open:2","since":1700000000000}`); !got.OK || got.Replayed != nil {
		t.Errorf("with since: got %+v, want joined and not replayed", got)
	}
	got = c.fields("room:join", `["open:3","open:4"]`)
	if got.OK || !got.Rooms[0].OK || got.Rooms[1].Error.Code != "too_large" {
		t.Errorf("over the limit: got %+v", got)
	}
	if got := c.fields("room:leave", `["open:3","open:4"]`); got.OK || !got.Rooms[0].OK || got.Rooms[1].Error.Code != "not_joined" {
		t.Errorf("left: got %+v", got)
	}
}

func TestTheAuthorizersListIsJoinedAtConnect(t *testing.T) {
	a := newAuthorizer(t)
	s := newScene(t, a.use)
	c := dial(t, s.host, `{"token":"u","pid":"old","offset":"older"}`)
	if answer := c.next(); !strings.HasPrefix(answer, "40{") {
		t.Fatal(answer)
	}
	var ready struct {
		SessionID, UserID, Reason string
		Recovered                 bool
		Rooms                     []string
		ExpiresAt                 int64
	}
	e := c.event()
	if err := json.Unmarshal(e.args[0], &ready); err != nil {
		t.Fatal(err)
	}
	if e.name != "session:ready" || e.cursor == "" || ready.UserID != "u" || ready.Recovered || ready.Reason != "bad_cursor" || ready.SessionID == "" ||
		!slices.Equal(ready.Rooms, []string{"user:u", "open:of-u"}) || ready.ExpiresAt <= time.Now().UnixMilli() {
		t.Errorf("got %s %+v", e.name, ready)
	}
	s.feed.publish(0, &deliveryv1.Record{Id: "x", Event: "e", Rooms: []string{"open:of-u"}})
	if e := c.event(); e.name != "e" {
		t.Errorf("got %s", e.name)
	}
}

func TestARefusalSaysWhatToDoAndDoubtWaits(t *testing.T) {
	s := newScene(t, nil)
	c := dial(t, s.host, `{"token":"bad"}`)
	answer := c.next()
	if !strings.HasPrefix(answer, "44{") || !strings.Contains(answer, "Authentication") || !strings.Contains(answer, `"data":{"code":"unauthenticated","message":"`) {
		t.Errorf("refused with %s", answer)
	}
	for _, word := range []string{"websocket", "transport", "timeout"} {
		if strings.Contains(strings.ToLower(answer), word) {
			t.Errorf("the refusal says %q: %s", word, answer)
		}
	}
	s.tokens.setDoubt(true)
	c = dial(t, s.host, `{"token":"u"}`)
	c.send(`421["room:join","r:1"]`) // right behind CONNECT
	time.AfterFunc(300*time.Millisecond, func() { s.tokens.setDoubt(false) })
	if answer := c.next(); !strings.HasPrefix(answer, "40{") {
		t.Errorf("after the doubt: %s", answer)
	}
	for {
		if text := c.next(); strings.HasPrefix(text, "431[") {
			break
		}
	}
}

func TestTypingIsToldAndStopsByItself(t *testing.T) {
	s := newScene(t, nil)
	c := connect(t, s.host, "u")
	c.ask("room:join", `["r:1","r:2","r:3"]`)
	for _, r := range []string{"r:1", "r:2", "r:3"} {
		if got := c.fields("typing:start", `{"room":"`+r+`"}`); !got.OK {
			t.Fatalf("got %+v", got)
		}
	}
	c.ask("room:leave", `"r:1"`)
	s.feed.publish(0, &deliveryv1.Record{Control: &deliveryv1.Control{Kind: deliveryv1.Control_MEMBERSHIP_CHANGED, Room: "r:2", Remove: []string{"u"}}})
	if e := c.event(); e.name != "room:evicted" {
		t.Fatalf("got %s", e.name)
	}
	_ = c.ws.Close()
	want := []string{"start r:1 u U", "start r:2 u U", "start r:3 u U", "stop r:1 u U", "stop r:2 u U", "stop r:3 u U"}
	await(t, "all stopped", func() bool { return slices.Equal(s.backend.typed(), want) })
}

func TestPresenceIsSubscribedToWithASnapshot(t *testing.T) {
	s := newScene(t, nil)
	v := connect(t, s.host, "v")
	await(t, "v online", func() bool { s.backend.mu.Lock(); defer s.backend.mu.Unlock(); return len(s.backend.sockets) == 1 })
	c := connect(t, s.host, "u")
	got := c.fields("presence:subscribe", `{"users":["v","w"]}`)
	if !got.OK || !got.Users["v"].Online || got.Users["w"].Online || got.Users["w"].Status != "offline" {
		t.Fatalf("got %+v", got)
	}
	s.feed.push(&deliveryv1.Record{Event: "user:offline", Rooms: []string{"presence:v"}, Data: []byte(`{"userId":"v"}`)})
	if e := c.event(); e.name != "user:offline" {
		t.Errorf("got %s", e.name)
	}
	c.ask("presence:unsubscribe", `{"users":["v"]}`)
	s.backend.setAway(true)
	if got := c.fields("presence:subscribe", `{"users":["x"]}`); got.Error.Code != "unavailable" || got.Error.RetryAfterMs == 0 {
		t.Errorf("with presence away: got %+v", got)
	}
	s.feed.push(&deliveryv1.Record{Event: "user:offline", Rooms: []string{"presence:v", "presence:x"}})
	s.feed.push(&deliveryv1.Record{Event: "last", Rooms: []string{"presence:w"}})
	if e := c.event(); e.name != "last" {
		t.Errorf("got %s of a user not subscribed to", e.name)
	}
	s.backend.setAway(false)
	v.send("41")
	await(t, "v left", func() bool {
		s.backend.mu.Lock()
		defer s.backend.mu.Unlock()
		return slices.Equal(s.backend.left, []string{"v"})
	})
}

func TestTooManyEventsAreLimited(t *testing.T) {
	s := newScene(t, func(o *Options) { o.EventsPerSecond = 10 })
	c := connect(t, s.host, "u")
	limited := 0
	for range 60 {
		got := c.fields("message:received", `{"ids":[]}`)
		if got.Error.Code == "rate_limited" && got.Error.RetryAfterMs > 0 && got.Error.RetryAfterMs <= 101 {
			limited++
		} else if !got.OK {
			t.Fatalf("got %+v", got)
		}
	}
	if limited == 0 || limited > 40 {
		t.Errorf("%d of 60 limited, with a burst of 20", limited)
	}
}

func TestASessionEndsWithItsToken(t *testing.T) {
	s := newScene(t, nil)
	c := connect(t, s.host, "u|short")
	if e := c.event(); e.name != "session:expiring" || e.cursor != "" || !strings.Contains(string(e.args[0]), "expiresAt") {
		t.Errorf("got %s %s", e.name, e.args)
	}
	for {
		if text := c.next(); text == "41" {
			break
		}
	}
	c = connect(t, s.host, "u|short")
	got := c.fields("session:refresh", `{"token":"u|later"}`)
	if !got.OK {
		t.Fatalf("got %+v", got)
	}
	for { // the first token's end would come before
		e := c.event()
		if e.name != "session:expiring" {
			t.Fatalf("got %s", e.name)
		}
		if strings.Contains(string(e.args[0]), fmt.Sprint(got.ExpiresAt)) {
			break
		}
	}
}

func TestControlRecordsReachSockets(t *testing.T) {
	a := newAuthorizer(t)
	s := newScene(t, a.use)
	c, other := connect(t, s.host, "u"), connect(t, s.host, "v")
	control := func(c *deliveryv1.Control) { s.feed.publish(1, &deliveryv1.Record{Control: c}) }
	control(&deliveryv1.Control{Kind: deliveryv1.Control_MEMBERSHIP_CHANGED, Room: "open:7", Add: []string{"u"}})
	control(&deliveryv1.Control{Kind: deliveryv1.Control_MEMBERSHIP_CHANGED, Room: "closed:7", Add: []string{"u"}})
	await(t, "u joined", func() bool {
		infos, err := s.hub.Sockets(t.Context(), "open:7", 10)
		return err == nil && len(infos) == 1
	})
	s.feed.publish(0, &deliveryv1.Record{Id: "x", Event: "e", Rooms: []string{"open:7", "closed:7"}})
	if e := c.event(); e.name != "e" {
		t.Errorf("got %s", e.name)
	}
	control(&deliveryv1.Control{Kind: deliveryv1.Control_SESSION_REVOKED, User: "u"})
	for {
		if text := c.next(); text == "41" {
			break
		}
	}
	control(&deliveryv1.Control{Kind: deliveryv1.Control_USER_DISCONNECT, User: "v"})
	for {
		if text := other.next(); text == "41" {
			break
		}
	}
}

func TestEventsKeepTheirOrderInBurstsBothWays(t *testing.T) {
	s := newScene(t, func(o *Options) { o.EventsPerSecond, o.QueueBytes = 1e6, 8<<20 }) // it reads nothing until all was sent
	c := connect(t, s.host, "u")
	c.ask("room:join", `"r:1"`)
	const n = 2000
	for i := range n {
		s.feed.publish(0, &deliveryv1.Record{Id: fmt.Sprint(i), Event: "m", Rooms: []string{"r:1"}})
	}
	for i := range n {
		if e := c.event(); !strings.Contains(string(e.args[1]), fmt.Sprintf(`"id":"%d"`, i)) {
			t.Fatalf("event %d is %s", i, e.args[1])
		}
	}
	for i := range n {
		c.send(fmt.Sprintf(`42["reaction:add",{"id":"%d","room":"r:1"}]`, i))
	}
	await(t, "all published", func() bool { s.backend.mu.Lock(); defer s.backend.mu.Unlock(); return len(s.backend.entries) == n })
	for i, e := range s.backend.entries {
		if !strings.Contains(string(e.Value), fmt.Sprintf(`"id":"%d"`, i)) {
			t.Fatalf("entry %d is %s", i, e.Value)
		}
	}
}

func TestPresenceAwayChangesNothingForMessages(t *testing.T) {
	s := newScene(t, func(o *Options) { o.PingTimeout, o.ResumeWindow = time.Minute, 2*time.Minute }) // this client reads no pings
	s.backend.setAway(true)
	c := connect(t, s.host, "u")
	if got := c.fields("room:join", `"r:1"`); !got.OK {
		t.Fatalf("got %+v", got)
	}
	s.feed.publish(0, &deliveryv1.Record{Id: "x", Event: "e", Rooms: []string{"r:1"}})
	if e := c.event(); e.name != "e" {
		t.Errorf("got %s", e.name)
	}
	s.backend.setAway(false)
	await(t, "u online once presence is back", func() bool { s.backend.mu.Lock(); defer s.backend.mu.Unlock(); return len(s.backend.sockets) == 1 })
}
