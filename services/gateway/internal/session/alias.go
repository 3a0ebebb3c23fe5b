package session

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/edumatrix/interlink/services/gateway/internal/hub"
	"github.com/edumatrix/interlink/services/gateway/internal/socket"
	"github.com/edumatrix/interlink/services/internal/auth"
	"github.com/edumatrix/interlink/services/internal/mapping"
	"github.com/edumatrix/interlink/services/internal/room"
)

// Aliases is what pages of a platform say, in our words. It is called on shards: it does not block.
type Aliases interface {
	// Client says what an event means; mapping.ErrNoProgram: it is none of the platform's.
	Client(ctx context.Context, name, user string, arg json.RawMessage) (mapping.Op, error)
	// Reply makes the data of an event that answers, of our ack.
	Reply(ctx context.Context, name, user string, arg, answer json.RawMessage, now time.Time) (json.RawMessage, error)
	// Room is what a room of the platform is called here.
	Room(name string) string
	// Code is what its pages call the code of a refused CONNECT.
	Code(code string) string
}

// Questions asks the application on behalf of its pages. It blocks. The event goes to the asking socket.
type Questions interface {
	Answer(ctx context.Context, p auth.Principal, name string, arg json.RawMessage) (event string, data json.RawMessage, err error)
}

const asksAtOnce = 64

type server = func(st *session, name string, arg json.RawMessage, a acker)

// aliased serves an event that the platform's pages have their own name or shape for. It reports whether it is one. Its
// ack and its reply are the platform's; permissions are those of our events.
func (h *Handler) aliased(st *session, e socket.Event, a acker) bool {
	if h.options.Aliases == nil || len(e.Args) > 1 || len(e.Binary) > 0 {
		return false
	}
	var arg json.RawMessage
	if len(e.Args) == 1 {
		arg = e.Args[0]
	}
	// The programs are the operator's own, and take microseconds of an argument that is bounded.
	op, err := h.options.Aliases.Client(context.Background(), e.Name, st.member.User, arg)
	if errors.Is(err, mapping.ErrNoProgram) {
		return false
	}
	a = st.translated(op, arg, a)
	if err != nil {
		h.options.Logger.Debug("event of a page not understood", "event", e.Name, "error", err)
		a.refuse(fault{Code: badRequest, Message: "Not the argument that this event has"})
		return true
	}
	serve, name, ours := h.ours(op, e.Name, arg)
	if st.member.Held() {
		st.postpone(serve, name, ours, a)
		return true
	}
	serve(st, name, ours, a)
	return true
}

// ours is what serves an op, with our name and argument for it.
func (h *Handler) ours(op mapping.Op, name string, arg json.RawMessage) (server, string, json.RawMessage) {
	switch {
	case op.Join != "":
		return join, "room:join", quoted(h.options.Aliases.Room(op.Join))
	case op.Leave != "":
		return leave, "room:leave", quoted(h.options.Aliases.Room(op.Leave))
	case op.Own != "":
		return own, "", quoted(op.Own)
	case op.Typing != nil:
		name := "typing:stop"
		if op.Typing.Active {
			name = "typing:start"
		}
		return typing, name, object("room", h.options.Aliases.Room(op.Typing.Room))
	case op.Watch != nil:
		if list := watchable(op.Watch); len(list) > 0 {
			return subscribe, "presence:subscribe", object("users", list)
		}
		return nobodyWatched, "", nil
	case op.Status != "":
		return setStatus, "presence:set", object("status", op.Status)
	case op.Received != nil:
		return received, "message:received", object("ids", op.Received)
	case op.Forward:
		forwarded, err := json.Marshal(struct {
			Room string          `json:"room,omitempty"`
			Data json.RawMessage `json:"data"`
		}{op.Room, orNull(arg)})
		if err != nil {
			return refused("The event could not be written"), "", nil
		}
		return publish, name, forwarded
	case op.Ask != "":
		return question, op.Ask, arg
	case op.Refuse != "":
		return refused(op.Refuse), "", nil
	default:
		return keep, "", nil
	}
}

func orNull(b json.RawMessage) json.RawMessage {
	if len(b) == 0 {
		return json.RawMessage("null")
	}
	return b
}

func quoted(s string) json.RawMessage {
	b, err := json.Marshal(s)
	if err != nil {
		return nil // not of a string
	}
	return b
}

func object(field string, value any) json.RawMessage {
	b, err := json.Marshal(map[string]any{field: value})
	if err != nil {
		return nil // not of strings
	}
	return b
}

// watchable are the users of a list that can be watched at once: the first of many.
func watchable(list []string) []string {
	out := make([]string, 0, min(len(list), maxUsers))
	for _, user := range list {
		if _, err := room.Parse(string(watching(user))); err == nil && !slices.Contains(out, user) && len(out) < maxUsers {
			out = append(out, user)
		}
	}
	return out
}

func keep(_ *session, _ string, _ json.RawMessage, a acker) { a.ok(yes{true}) }

func nobodyWatched(_ *session, _ string, _ json.RawMessage, a acker) {
	a.ok(struct {
		OK    bool     `json:"ok"`
		Users struct{} `json:"users"`
	}{OK: true})
}

// own serves what asks for the user's own room, in which he is.
func own(st *session, _ string, arg json.RawMessage, a acker) {
	var user string
	if json.Unmarshal(arg, &user) != nil || user != st.member.User {
		a.refuse(fault{Code: forbidden, Message: "Another user's"})
		return
	}
	a.ok(yes{true})
}

func refused(why string) server {
	return func(_ *session, _ string, _ json.RawMessage, a acker) {
		a.refuse(fault{Code: unknownEvent, Message: why})
	}
}

// question asks the application and sends what it says.
func question(st *session, name string, arg json.RawMessage, a acker) {
	h, principal := st.handler, st.principal()
	if h.options.Questions == nil {
		a.refuse(away)
		return
	}
	arg = bytes.Clone(arg)
	h.asks.do(func(ctx context.Context) {
		event, data, err := h.options.Questions.Answer(ctx, principal, name, arg)
		if err != nil {
			h.options.Logger.Debug("question not answered", "question", name, "error", err)
		}
		st.post(func() {
			if event != "" {
				st.Send(hub.Note(event, data, h.options.Now().UnixMilli(), nil))
			}
			if err != nil {
				a.refuse(away)
				return
			}
			a.ok(yes{true})
		})
	})
}

// translated answers in the platform's shapes: its ack to the callback, its event to the socket.
func (st *session) translated(op mapping.Op, arg json.RawMessage, a acker) acker {
	if a == nil && op.Reply == "" {
		return nil
	}
	if a == nil {
		a = st.acker(func([]byte) {}) // a move waits for the reply
	}
	arg = bytes.Clone(arg)
	return func(answer []byte) {
		var ours struct {
			OK    bool  `json:"ok"`
			Error fault `json:"error"`
		}
		_ = json.Unmarshal(answer, &ours) // an ack is always an object of ours
		if !ours.OK {
			b, err := json.Marshal(theirFault{Error: ours.Error.Message, Code: ours.Error.Code, RetryAfterMs: ours.Error.RetryAfterMs})
			if err == nil {
				a(b)
			}
			return
		}
		if op.Reply != "" {
			st.reply(op.Reply, arg, answer)
		}
		if op.Ack != nil {
			a(op.Ack)
			return
		}
		a([]byte(`{"success":true}`))
	}
}

// theirFault is a fault as the platform's callbacks read it.
type theirFault struct {
	Success      bool   `json:"success"`
	Error        string `json:"error"`
	Code         code   `json:"code"`
	RetryAfterMs int64  `json:"retryAfterMs,omitempty"`
}

func (st *session) reply(event string, arg, answer json.RawMessage) {
	h := st.handler
	now := h.options.Now()
	data, err := h.options.Aliases.Reply(context.Background(), event, st.member.User, arg, answer, now)
	if err != nil {
		h.options.Logger.Warn("reply not made", "event", event, "error", err)
		return
	}
	st.Send(hub.Note(event, data, now.UnixMilli(), nil))
}
