package session

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/oklog/ulid/v2"

	"github.com/edumatrix/interlink/services/gateway/internal/hub"
	"github.com/edumatrix/interlink/services/internal/auth"
	"github.com/edumatrix/interlink/services/internal/permission"
	"github.com/edumatrix/interlink/services/internal/room"
)

const (
	maxTyping      = 8   // rooms in which a socket types at once
	maxUsers       = 100 // of one presence:subscribe
	maxSubscribed  = 500 // of one socket
	maxStatusBytes = 64
	maxIDBytes     = 128
	maxIDs         = 1000
	tellTimeout    = 2 * time.Second
	askTimeout     = 3 * time.Second
)

type yes struct {
	OK bool `json:"ok"`
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// typed is a start or stop of typing on its way to presence.
type typed struct {
	room   room.Room
	user   string
	socket string
	shown  string // the user's name
	typing bool
}

func (st *session) tell(r room.Room, typing bool) {
	st.handler.lanes.put(st.member.Socket, typed{room: r, user: st.member.User, socket: st.member.Socket, shown: st.name, typing: typing})
}

func (h *Handler) tellTyping(ctx context.Context, t typed) {
	ctx, cancel := context.WithTimeout(ctx, tellTimeout)
	defer cancel()
	if err := h.options.Presence.Typing(ctx, t.room, t.user, t.socket, t.shown, t.typing); err != nil {
		h.options.Logger.Debug("typing not told", "error", err)
	}
}

// typing serves typing:start and typing:stop.
func typing(st *session, name string, arg json.RawMessage, a acker) {
	var in struct {
		Room string `json:"room"`
	}
	if json.Unmarshal(arg, &in) != nil {
		a.refuse(fault{Code: badRequest, Message: "Say {room}"})
		return
	}
	r := room.Room(in.Room)
	set, joined := st.member.Permissions(r)
	switch {
	case !joined:
		a.refuse(fault{Code: notJoined, Message: "Not in this room"})
		return
	case !set.Has(permission.Type):
		a.refuse(fault{Code: forbidden, Message: "Not allowed to type here"})
		return
	}
	if name == "typing:stop" {
		st.stopTyping(r)
	} else {
		if !slices.Contains(st.typing(), r) {
			if len(st.typing()) == maxTyping {
				st.stopTyping(st.rare.typing[0])
			}
			st.some().typing = append(st.rare.typing, r)
		}
		st.tell(r, true) // again too: it keeps the typing alive
	}
	a.ok(yes{true})
}

// users reads the argument of presence:subscribe and presence:unsubscribe.
func users(arg json.RawMessage) ([]string, *fault) {
	var in struct {
		Users []string `json:"users"`
	}
	if json.Unmarshal(arg, &in) != nil || len(in.Users) == 0 {
		return nil, &fault{Code: badRequest, Message: "Say {users}"}
	}
	if len(in.Users) > maxUsers {
		return nil, &fault{Code: tooLarge, Message: "At most " + strconv.Itoa(maxUsers) + " users at a time"}
	}
	for _, user := range in.Users {
		if _, err := room.Parse(string(watching(user))); err != nil {
			return nil, &fault{Code: badRequest, Message: "Not a user"}
		}
	}
	slices.Sort(in.Users)
	return slices.Compact(in.Users), nil
}

func watching(user string) room.Room { return room.Room(reserved + ":" + user) }

// subscribe joins the rooms first and asks for the snapshot then: what changes in between is told twice, never missed.
func subscribe(st *session, _ string, arg json.RawMessage, a acker) {
	list, f := users(arg)
	if f != nil {
		a.refuse(*f)
		return
	}
	var grants []hub.Grant
	for _, user := range list {
		if !st.member.In(watching(user)) {
			grants = append(grants, hub.Grant{Room: watching(user), Internal: true})
		}
	}
	if _, internal := st.member.Rooms(); internal+len(grants) > maxSubscribed {
		a.refuse(fault{Code: tooLarge, Message: "At most " + strconv.Itoa(maxSubscribed) + " users"})
		return
	}
	if len(grants) == 0 {
		st.snapshot(list, nil, a)
		return
	}
	h := st.handler
	h.options.Hub.Join(&st.member, hub.Request{Grants: grants, Asked: h.options.Hub.Changes()}, func(out hub.Outcome) {
		switch {
		case st.state != connected:
		case out.Err != nil:
			a.refuse(away)
		default:
			st.noteRooms()
			st.snapshot(list, grants, a)
		}
	})
}

// snapshot acks with the state of users; on failure the rooms that were joined for it are left again.
func (st *session) snapshot(list []string, joined []hub.Grant, a acker) {
	h := st.handler
	h.pool.do(func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, askTimeout)
		defer cancel()
		states, err := h.options.Presence.Query(ctx, list)
		st.post(func() {
			if err != nil {
				h.options.Logger.Debug("presence not known", "error", err)
				for _, g := range joined {
					h.options.Hub.Leave(&st.member, g.Room)
				}
				st.noteRooms()
				a.refuse(away)
				return
			}
			a.ok(struct {
				OK    bool             `json:"ok"`
				Users map[string]State `json:"users"`
			}{true, states})
		})
	})
}

func unsubscribe(st *session, _ string, arg json.RawMessage, a acker) {
	list, f := users(arg)
	if f != nil {
		a.refuse(*f)
		return
	}
	for _, user := range list {
		st.handler.options.Hub.Leave(&st.member, watching(user))
	}
	st.noteRooms()
	a.ok(yes{true})
}

func setStatus(st *session, _ string, arg json.RawMessage, a acker) {
	var in struct {
		Status string `json:"status"`
	}
	if json.Unmarshal(arg, &in) != nil || in.Status == "" || len(in.Status) > maxStatusBytes || !utf8.ValidString(in.Status) {
		a.refuse(fault{Code: badRequest, Message: "Say {status}, at most " + strconv.Itoa(maxStatusBytes) + " bytes"})
		return
	}
	h, user := st.handler, st.member.User
	h.pool.do(func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, askTimeout)
		defer cancel()
		err := h.options.Presence.SetStatus(ctx, user, in.Status)
		st.post(func() {
			if err != nil {
				h.options.Logger.Debug("status not set", "error", err)
				a.refuse(away)
				return
			}
			a.ok(struct {
				OK     bool   `json:"ok"`
				Status string `json:"status"`
			}{true, in.Status})
		})
	})
}

// refresh lets a newer token of the same user extend the session.
func refresh(st *session, _ string, arg json.RawMessage, a acker) {
	var in struct {
		Token string `json:"token"`
	}
	if json.Unmarshal(arg, &in) != nil || in.Token == "" {
		a.refuse(fault{Code: badRequest, Message: "Say {token}"})
		return
	}
	h := st.handler
	h.pool.do(func(ctx context.Context) {
		p, err := h.options.Auth.Authenticate(ctx, auth.Credentials{Token: in.Token, Now: h.options.Now()})
		st.post(func() { st.refreshed(p, err, a) })
	})
}

func (st *session) refreshed(p auth.Principal, err error, a acker) {
	var refusal *auth.Refusal
	switch {
	case errors.As(err, &refusal):
		a.refuse(fault{Code: code(refusal.Code), Message: refusal.Message()})
		return
	case err != nil:
		st.handler.options.Logger.Debug("refresh in doubt", "error", err)
		a.refuse(away)
		return
	case p.User != st.member.User:
		a.refuse(fault{Code: forbidden, Message: "The token is another user's"})
		return
	}
	if p.Cookie == "" {
		p.Cookie = st.principal().Cookie
	}
	st.identify(p)
	st.handler.options.Hub.Reissue(&st.member, st.issued)
	st.extend()
	a.ok(struct {
		OK        bool  `json:"ok"`
		ExpiresAt int64 `json:"expiresAt"`
	}{true, st.expires})
}

// clientEvent is a record of the client-events topic.
type clientEvent struct {
	ID     string          `json:"id"`
	Event  string          `json:"event"`
	User   string          `json:"user"`
	Socket string          `json:"socket"`
	Room   room.Room       `json:"room,omitempty"`
	Data   json.RawMessage `json:"data"`
	Time   time.Time       `json:"time"`
}

// publish serves the events that the application has allowed.
func publish(st *session, name string, arg json.RawMessage, a acker) {
	var in struct {
		ID   string          `json:"id"`
		Room room.Room       `json:"room"`
		Data json.RawMessage `json:"data"`
	}
	if json.Unmarshal(arg, &in) != nil || len(in.ID) > maxIDBytes {
		a.refuse(fault{Code: badRequest, Message: "Say {id, room, data}"})
		return
	}
	h, user := st.handler, st.member.User
	now := h.options.Now().UTC()
	ended := func(error) {}
	if in.ID == "" {
		in.ID = ulid.MustNew(ulid.Timestamp(now), ulid.DefaultEntropy()).String()
	} else {
		id := clientID{event: name, id: in.ID}
		p := h.recent.begin(user, id, now, st.published(in.ID, a))
		if p == nil {
			return
		}
		ended = func(err error) { h.recent.end(p, user, id, h.options.Now(), err) }
	}
	key, f := st.publishable(in.Room)
	if f != nil {
		ended(errNotPublished)
		a.refuse(*f)
		return
	}
	value, err := json.Marshal(clientEvent{
		ID: in.ID, Event: name, User: user, Socket: st.member.Socket, Room: in.Room, Data: in.Data, Time: now,
	})
	if err != nil {
		ended(errNotPublished)
		a.refuse(fault{Code: internal, Message: "The event could not be written"})
		return
	}
	answer := st.published(in.ID, a)
	h.options.Publisher.Publish(key, value, func(err error) {
		ended(err)
		answer(err)
	})
}

var errNotPublished = errors.New("session: the event was refused")

// publishable returns the key of an event for a room, or for the user if there is none, or why it may not be published.
func (st *session) publishable(r room.Room) (string, *fault) {
	if r == "" {
		return st.member.User, nil
	}
	set, joined := st.member.Permissions(r)
	switch {
	case !joined:
		return "", &fault{Code: notJoined, Message: "Not in this room"}
	case !set.Has(permission.Publish):
		return "", &fault{Code: forbidden, Message: "Not allowed to publish here"}
	}
	return string(r), nil
}
