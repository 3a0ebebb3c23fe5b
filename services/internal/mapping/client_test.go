package mapping

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

// effect is an op in the fixtures' words.
func effect(t *testing.T, op Op) map[string]any {
	t.Helper()
	out := map[string]any{}
	switch {
	case op.Join != "":
		out["op"], out["room"] = "join", op.Join
	case op.Leave != "":
		out["op"], out["room"] = "leave", op.Leave
	case op.Keep:
		out["op"] = "keep"
	case op.Own != "":
		out["op"], out["user"] = "own", op.Own
	case op.Typing != nil:
		out["op"], out["room"], out["active"] = "typing", op.Typing.Room, op.Typing.Active
	case op.Watch != nil:
		users := make([]any, len(op.Watch))
		for i, user := range op.Watch {
			users[i] = user
		}
		out["op"], out["users"] = "watch", users
	case op.Status != "":
		out["op"], out["status"] = "status", op.Status
	case op.Received != nil:
		out["op"], out["id"] = "received", strings.TrimPrefix(op.Received[0], "m:")
	case op.Forward:
		out["op"] = "forward"
	case op.Ask != "":
		out["op"], out["what"], out["reply"] = "ask", op.Ask, "unread-counts-update"
	}
	if op.Ack != nil {
		var ack any
		if err := json.Unmarshal(op.Ack, &ack); err != nil {
			t.Fatal(err)
		}
		out["ack"] = ack
	}
	if op.Reply != "" {
		out["reply"] = op.Reply
	}
	return out
}

func TestEveryRecordedEventOfThePlatformsPagesIsUnderstood(t *testing.T) {
	m := load(t)
	for n, line := range lines(t, "testdata/platform-client-events.jsonl") {
		var fixture struct {
			Event, Principal string
			Args             []json.RawMessage
			Effect           map[string]any
		}
		if err := json.Unmarshal(line, &fixture); err != nil {
			t.Fatal(err)
		}
		if fixture.Event == "$connect" || fixture.Event == "server:emit" {
			continue
		}
		t.Run(fmt.Sprintf("line %d, %s", n+1, fixture.Event), func(t *testing.T) {
			op, err := m.Client(t.Context(), fixture.Event, "u1", fixture.Args[0])
			switch {
			case fixture.Event == "presence:set":
				if !errors.Is(err, ErrNoProgram) {
					t.Fatalf("got %+v, %v; it is one of ours as it is", op, err)
				}
			case err != nil:
				t.Fatal(err)
			case fixture.Effect == nil:
				if op.Refuse == "" {
					t.Errorf("got %+v, want a refusal with its reason", op)
				}
			default:
				delete(fixture.Effect, "as") // the room says it
				if got := effect(t, op); !reflect.DeepEqual(got, fixture.Effect) {
					t.Errorf("got %s, want %s", pretty(got), pretty(fixture.Effect))
				}
			}
		})
	}
}

func TestOurOwnEventsStayOurs(t *testing.T) {
	m := load(t)
	for name, arg := range map[string]string{
		"room:join": `"conversation:1"`, "room:leave": `{"room":"a:b"}`, "typing:start": `{"room":"a:b"}`, "typing:stop": `{"room":"a:b"}`,
		"presence:subscribe": `{"users":["a"]}`, "session:refresh": `{"token":"x"}`,
	} {
		if op, err := m.Client(t.Context(), name, "u1", json.RawMessage(arg)); !errors.Is(err, ErrNoProgram) {
			t.Errorf("%s: got %+v, %v", name, op, err)
		}
	}
}

func TestWhatAPageMustNotSayIsAnError(t *testing.T) {
	m, err := Parse("m.yaml", []byte(`client:
  two: '{join: "a:b", leave: "a:b"}'
  none: '{ack: 1}'
  other: '{jion: "a:b"}'
  fails: '{join: .a.b.c}'
`))
	if err != nil {
		t.Fatal(err)
	}
	for name, arg := range map[string]string{
		"two": `{}`, "none": `{}`, "other": `{}`, "fails": `{"a":[1]}`, "not JSON": `{`, "long": `"` + strings.Repeat("x", MaxArgument) + `"`,
	} {
		event := name
		if name == "not JSON" || name == "long" {
			event = "two"
		}
		if op, err := m.Client(t.Context(), event, "u", json.RawMessage(arg)); err == nil || errors.Is(err, ErrNoProgram) {
			t.Errorf("%s: got %+v, %v", name, op, err)
		}
	}
}

func TestRepliesHaveTheShapesOfThePages(t *testing.T) {
	m := load(t)
	now := time.Date(2026, 1, 5, 10, 0, 0, 0, time.UTC)
	const states = `{"ok":true,"users":{"u2":{"online":true,"status":"away","lastSeen":7,"sockets":1}}}`
	for event, c := range map[string]struct{ arg, answer, want string }{
		"group:joined":             {`{"groupId":"g1"}`, `{"ok":true}`, `{"groupId":"g1","message":"Joined","timestamp":"2026-01-05T10:00:00.000Z"}`},
		"presence:multiple-update": {`{"userIds":["u2"]}`, states, `{"timestamp":"2026-01-05T10:00:00.000Z","users":{"u2":{"activity":"away","isOnline":true,"lastSeen":7}}}`},
		"presence:status":          {`{"userId":"u2"}`, states, `{"isActive":true,"lastSeen":7,"status":"away","userId":"u2"}`},
	} {
		if got, err := m.Reply(t.Context(), event, "u1", json.RawMessage(c.arg), json.RawMessage(c.answer), now); err != nil || string(got) != c.want {
			t.Errorf("%s: got %s, %v; want %s", event, got, err, c.want)
		}
	}
}

func TestEphemeralEventsHaveTheShapesOfThePages(t *testing.T) {
	m := load(t)
	for name, c := range map[string]struct{ event, data, want string }{
		"typing in a conversation": {"typing:start", `{"room":"conversation:c1","userId":"u1","name":"Ana"}`,
			`{"data":{"conversationId":"c1","name":"Ana","room":"conversation:c1","userId":"u1","username":"Ana"},"event":"typing:start"} ` +
				`{"data":{"conversationId":"c1","isTyping":true,"userId":"u1","userName":"Ana"},"event":"conversation:typing"} ` +
				`{"data":{"conversationId":"c1","userId":"u1"},"event":"user:typing:start"}`},
		"the end of typing under a post": {"typing:stop", `{"room":"post:p1:comments","userId":"u1"}`,
			`{"data":{"room":"post:p1:comments","userId":"u1"},"event":"typing:stop"} ` +
				`{"data":{"postId":"p1","userId":"u1","userImage":null,"userName":null},"event":"students-interlinked:user-stopped-typing"}`},
		"somebody who comes": {"user:online", `{"userId":"u1","isOnline":true,"status":"online","lastSeen":5}`,
			`{"data":{"activity":"online","isOnline":true,"lastSeen":5,"status":"online","userId":"u1"},"event":"user:online"} ` +
				`{"data":{"isActive":true,"lastSeen":5,"status":"online","userId":"u1"},"event":"presence:status"}`},
	} {
		out, err := m.Ephemeral(t.Context(), c.event, []byte(c.data))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got := make([]string, len(out))
		for i := range out {
			got[i] = string(out[i])
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s:\n got %s\nwant %s", name, strings.Join(got, " "), c.want)
		}
	}
}

func TestNamesOfRoomsAndCodes(t *testing.T) {
	m := load(t)
	out := m.Named(json.RawMessage(`{"event":"x","to":{"rooms":["students-interlinked-main","post:1"]}}`))
	if string(out) != `{"event":"x","to":{"rooms":["feed:students-interlinked-main","post:1"]}}` {
		t.Errorf("got %s", out)
	}
	if got := m.Room("conversation:1"); got != "conversation:1" {
		t.Errorf("got %q", got)
	}
	if got := m.Code("token_expired"); got != "TOKEN_EXPIRED" {
		t.Errorf("got %q", got)
	}
}

func TestAddressesAreFilledInOrLeftOut(t *testing.T) {
	m, missing := load(t).With(map[string]string{"API_BASE_URL": "http://next:3000/"})
	if len(missing) > 0 {
		t.Fatal(missing)
	}
	if got := m.Access().Routes["conversation"].URL; got != "http://next:3000/api/messages/conversations/{id}/participants" {
		t.Errorf("got %q", got)
	}
	if q, _ := m.Question("unread"); q.Get["notifications"] != "http://next:3000/api/notifications/counts" {
		t.Errorf("got %v", q.Get)
	}
	none, missing := load(t).With(map[string]string{"API_BASE_URL": ""})
	if len(missing) != 4 || len(none.Access().Routes)+len(none.Access().Lists) != 0 || none.AsksWithCookies() {
		t.Errorf("got %v and %+v", missing, none.Access())
	}
	if len(none.Access().Open) == 0 {
		t.Error("what needs no address is gone too")
	}
}

func TestAnswersOfThePlatformsRoutesAreRead(t *testing.T) {
	m := load(t)
	rooms, more, err := m.Access().Lists[0].Read(t.Context(), []byte(`{"conversations":[{"id":"c1"},{"id":"c2"}],"pagination":{"hasMore":true}}`))
	if err != nil || !more || !reflect.DeepEqual(rooms, []string{"conversation:c1", "conversation:c2"}) {
		t.Errorf("got %v, %v, %v", rooms, more, err)
	}
	group := m.Access().Routes["group"]
	for body, want := range map[string]bool{`{"isJoined":true}`: true, `{"isJoined":false}`: false, `{}`: false} {
		if got, err := group.Admits(t.Context(), []byte(body)); err != nil || got != want {
			t.Errorf("%s: got %v, %v", body, got, err)
		}
	}
	q, _ := m.Question("unread")
	got, err := q.Data(t.Context(), "u1", nil, map[string]json.RawMessage{
		"messages":      json.RawMessage(`{"totalUnread":3,"conversations":[{"conversationId":"c1","unreadCount":3}]}`),
		"notifications": json.RawMessage(`{"unread":2}`),
	}, time.Date(2026, 1, 5, 10, 0, 0, 0, time.UTC))
	want := `{"counts":{"conversationUnreadCounts":{"c1":3},"messageUnreadCount":3,"notificationUnreadCount":2},"timestamp":"2026-01-05T10:00:00.000Z","userId":"u1"}`
	if err != nil || string(got) != want {
		t.Errorf("got %s, %v", got, err)
	}
}

func BenchmarkClient(b *testing.B) {
	m := load(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.Client(b.Context(), "conversation:join", "u1", json.RawMessage(`{"conversationId":"c1"}`)); err != nil {
			b.Fatal(err)
		}
	}
}
