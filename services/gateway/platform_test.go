package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	emitv1 "github.com/edumatrix/interlink/proto/emit/v1"
	"github.com/edumatrix/interlink/services/internal/auth"
	"github.com/edumatrix/interlink/services/internal/mapping"
)

const serviceKey = "0123456789abcdef-service"

// Ready implements the router's part of service sockets.
func (b *backend) Ready(_ context.Context, r *emitv1.ReadyRequest) (*emitv1.ReadyResponse, error) {
	answer := &emitv1.ReadyResponse{}
	return answer, b.do(func() {
		for _, e := range r.Events {
			result := &emitv1.ReadyResult{}
			if e.Target == "nowhere" {
				result.Outcome, result.Error = emitv1.ReadyResult_REFUSED, "to.rooms: nowhere is no room"
			}
			b.ready = append(b.ready, e)
			answer.Results = append(answer.Results, result)
		}
	})
}

func (b *backend) readied() (events []string) {
	_ = b.do(func() {
		for _, e := range b.ready {
			events = append(events, fmt.Sprintf("%s %s %s", e.Target, e.Event, e.Data))
		}
	})
	return events
}

func withKey(o *Options) { o.APIKeys = func() [][]byte { return [][]byte{[]byte(serviceKey)} } }

func TestTheApplicationPublishesAsASocket(t *testing.T) {
	s := newScene(t, withKey)
	c := dial(t, s.host, fmt.Sprintf(`{"source":"api-server","internalApiKey":%q}`, serviceKey))
	c.send(`42["server:emit",{"target":"user:u1","event":"first","data":{"a":1}}]`) // right behind CONNECT
	if answer := c.next(); !strings.HasPrefix(answer, `40{"sid":`) || strings.Contains(answer, "pid") {
		t.Fatalf("CONNECT answered by %s", answer)
	}
	await(t, "the first emit", func() bool { return len(s.backend.readied()) == 1 })
	var answer struct{ OK, Success bool }
	if err := json.Unmarshal([]byte(c.ask("server:emit", `{"target":"conversation:1","event":"second"}`)), &answer); err != nil || !answer.OK || !answer.Success {
		t.Errorf("got %+v, %v", answer, err)
	}
	if got := s.backend.readied(); !slices.Equal(got, []string{`user:u1 first {"a":1}`, `conversation:1 second null`}) {
		t.Errorf("published %q", got)
	}
	for arg, code := range map[string]string{`{"event":"x"}`: "bad_request", `"x"`: "bad_request", `{"target":"nowhere","event":"x"}`: "bad_request"} {
		if got := c.fields("server:emit", arg).Error.Code; got != code {
			t.Errorf("%s: %s, want %s", arg, got, code)
		}
	}
	for _, name := range []string{"room:join", "typing:start", "session:refresh", "reaction:add"} {
		if got := c.fields(name, `"open:1"`).Error.Code; got != "forbidden" {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestWhatTheApplicationPublishesWaitsForARouter(t *testing.T) {
	s := newScene(t, withKey)
	c := dial(t, s.host, fmt.Sprintf(`{"internalApiKey":%q}`, serviceKey))
	c.next()
	s.backend.setAway(true)
	for i := range 3 {
		c.send(fmt.Sprintf(`42["server:emit",{"target":"user:u1","event":"e","data":%d}]`, i))
	}
	c.ask("room:join", `"open:1"`) // refused, behind the others
	_ = c.ws.Close()
	s.backend.setAway(false)
	await(t, "all of it, in order, though the socket has gone", func() bool {
		return slices.Equal(s.backend.readied(), []string{"user:u1 e 0", "user:u1 e 1", "user:u1 e 2"})
	})
}

func TestWhoIsNotTheApplicationIsRefused(t *testing.T) {
	s := newScene(t, withKey)
	c := dial(t, s.host, `{"internalApiKey":"wrong","token":"u1"}`)
	if answer := c.next(); !strings.HasPrefix(answer, `44{"message":"Authentication failed"`) {
		t.Errorf("got %s", answer)
	}
	u := connect(t, s.host, "u1")
	if got := u.fields("server:emit", `{"target":"user:u2","event":"message:new","data":1}`).Error.Code; got != "forbidden" {
		t.Errorf("a user: %s", got)
	}
	none := newScene(t, nil)
	c = dial(t, none.host, fmt.Sprintf(`{"internalApiKey":%q}`, serviceKey))
	if answer := c.next(); !strings.HasPrefix(answer, "44{") {
		t.Errorf("without keys: %s", answer)
	}
}

// nextjs is the platform's own routes: u1 is in conversations 1 and 2, and in group 1.
type nextjs struct {
	*httptest.Server
	mu    sync.Mutex // guards asked
	asked []string
}

func newNextjs(t *testing.T) *nextjs {
	n := &nextjs{}
	n.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n.mu.Lock()
		n.asked = append(n.asked, r.URL.RequestURI()+" "+r.Header.Get("Cookie"))
		n.mu.Unlock()
		switch r.URL.RequestURI() {
		case "/api/messages/conversations?page=1&limit=50":
			fmt.Fprint(w, `{"conversations":[{"id":"2"}],"pagination":{"hasMore":true}}`)
		case "/api/messages/conversations?page=2&limit=50":
			fmt.Fprint(w, `{"conversations":[{"id":"1"}],"pagination":{"hasMore":false}}`)
		case "/api/messages/conversations/3/participants":
			fmt.Fprint(w, `{"participants":[]}`)
		case "/api/students-interlinked/groups/1":
			fmt.Fprint(w, `{"isJoined":true}`)
		case "/api/students-interlinked/groups/2":
			fmt.Fprint(w, `{"isJoined":false}`)
		case "/api/messages/unread-counts?includeZero=true":
			fmt.Fprint(w, `{"totalUnread":3,"conversations":[{"conversationId":"1","unreadCount":3}]}`)
		case "/api/notifications/counts":
			fmt.Fprint(w, `{"unread":2}`)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	t.Cleanup(n.Close)
	return n
}

// cookies gives every user a cookie to ask with.
type cookies struct{ auth.Authenticator }

func (a cookies) Authenticate(ctx context.Context, c auth.Credentials) (auth.Principal, error) {
	p, err := a.Authenticator.Authenticate(ctx, c)
	p.Cookie = "session=" + p.User
	return p, err
}

func newPlatform(t *testing.T) (*scene, *nextjs) {
	next := newNextjs(t)
	m, err := mapping.Load("../../config/edu-matrix.yaml")
	if err != nil {
		t.Fatal(err)
	}
	m, missing := m.With(map[string]string{"API_BASE_URL": next.URL})
	if len(missing) > 0 {
		t.Fatal(missing)
	}
	return newScene(t, func(o *Options) {
		withKey(o)
		o.Mapping, o.Authenticator, o.Authorize = m, cookies{o.Authenticator}, Authorize{}
	}), next
}

func TestAPlatformsPagesSpeakInTheirOwnWords(t *testing.T) {
	s, _ := newPlatform(t)
	c := connect(t, s.host, "u1")
	for _, step := range []struct{ event, arg, want string }{
		{"conversation:join", `{"conversationId":"3"}`, `{"conversationId":"3","success":true}`},
		{"conversation:join", `{"conversationId":"9"}`, `{"success":false,"error":"Not admitted","code":"forbidden"}`},
		{"conversation:leave", `{"conversationId":"3"}`, `{"success":true}`},
		{"conversation:typing:start", `{"conversationId":"3"}`, `{"success":true}`},
		{"conversation:typing:start", `{"conversationId":"9"}`, `{"success":false,"error":"Not in this room","code":"not_joined"}`},
		{"join_room", `"post:1:comments"`, `{"success":true}`},
		{"leave_room", `"post:1:comments"`, `{"success":true}`},
		{"join_room", `{"a":1}`, `{"success":false,"error":"A room is a string","code":"unknown_event"}`},
		{"join-students-interlinked", `{}`, `{"success":true}`},
		{"group:join", `{"groupId":"2"}`, `{"success":false,"error":"Not admitted","code":"forbidden"}`},
		{"join:notifications", `{"userId":"u1"}`, `{"success":true}`},
		{"join:notifications", `{"userId":"u2"}`, `{"success":false,"error":"Another user's","code":"forbidden"}`},
		{"presence:join", `{"userIds":[]}`, `{"success":true}`},
		{"conversation:join", `[1]`, `{"success":false,"error":"Not the argument that this event has","code":"bad_request"}`},
		{"message:edit", `{"messageId":"1","content":"x"}`, `{"success":true}`},
		{"call:start", `{}`, `{"success":false,"error":"Not served here","code":"unknown_event"}`},
	} {
		if got := c.ask(step.event, step.arg); got != step.want {
			t.Errorf("%s %s: %s, want %s", step.event, step.arg, got, step.want)
		}
	}
	if f := c.fields("room:join", `"conversation:1"`); !f.OK {
		t.Errorf("our own words: %+v", f)
	}
}

func TestAPlatformsPagesAreAnsweredByEvents(t *testing.T) {
	s, _ := newPlatform(t)
	c := connect(t, s.host, "u1")
	for event, tt := range map[string]struct{ emit, arg, want string }{
		"group:joined":             {"group:join", `{"groupId":"1"}`, `"groupId":"1"`},
		"presence:status":          {"presence:get", `{"userId":"u9"}`, `"isActive":false,"lastSeen":null,"status":"offline","userId":"u9"`},
		"presence:multiple-update": {"presence:request-multiple", `{"userIds":["u9"]}`, `"u9":{"activity":"offline","isOnline":false,"lastSeen":null}`},
		"unread-counts-update":     {"request-unread-counts", `{"userId":"someone else"}`, `"counts":{"conversationUnreadCounts":{"1":3},"messageUnreadCount":3,"notificationUnreadCount":2}`},
	} {
		c.send(fmt.Sprintf(`42[%q,%s]`, tt.emit, tt.arg)) // without an ack
		if e := c.event(); e.name != event || !strings.Contains(string(e.args[0]), tt.want) || e.cursor != "" {
			t.Errorf("%s: %s %s, want %s %s", tt.emit, e.name, e.args, event, tt.want)
		}
	}
}

func TestConversationsAreJoinedAtConnect(t *testing.T) {
	s, next := newPlatform(t)
	c := dial(t, s.host, `{"token":"u1"}`)
	c.next()
	e := c.event()
	for _, room := range []string{"user:u1", "conversation:1", "conversation:2"} {
		if !strings.Contains(string(e.args[0]), room) {
			t.Errorf("%s is not in %s", room, e.args[0])
		}
	}
	next.mu.Lock()
	defer next.mu.Unlock()
	if !slices.Equal(next.asked, []string{"/api/messages/conversations?page=1&limit=50 session=u1", "/api/messages/conversations?page=2&limit=50 session=u1"}) {
		t.Errorf("asked %q", next.asked)
	}
}

func TestRefusalsHaveThePlatformsCodes(t *testing.T) {
	s, _ := newPlatform(t)
	for hello, want := range map[string]string{
		`{"token":"bad"}`: `"code":"INVALID_TOKEN"`, `{"internalApiKey":"wrong"}`: `"code":"AUTH_FAILED"`,
	} {
		c := dial(t, s.host, hello)
		if answer := c.next(); !strings.HasPrefix(answer, "44{") || !strings.Contains(answer, want) || !strings.Contains(answer, "Authentication") {
			t.Errorf("%s: %s, want %s", hello, answer, want)
		}
	}
}
