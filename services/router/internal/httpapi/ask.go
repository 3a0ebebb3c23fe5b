package httpapi

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	deliveryv1 "github.com/edumatrix/interlink/proto/delivery/v1"
	"github.com/edumatrix/interlink/services/internal/room"
	"github.com/edumatrix/interlink/services/router/internal/envelope"
)

type roomAnswer struct {
	Room       string   `json:"room"`
	Sockets    int      `json:"sockets"`
	Users      []string `json:"users"`
	Incomplete []string `json:"incomplete,omitempty"` // gateways that did not answer
}

// room tells who is in a room, asked of every gateway.
func (a *api) room(w http.ResponseWriter, r *http.Request) {
	name, err := room.Parse(r.PathValue("room"))
	if err != nil {
		fail(w, problem{Code: codeBadRequest, Field: "room", Detail: err.Error()})
		return
	}
	sockets, silent := a.opts.Sockets.Sockets(r.Context(), &deliveryv1.SocketsRequest{Of: &deliveryv1.SocketsRequest_Room{Room: string(name)}})
	users := make([]string, 0, len(sockets))
	for _, s := range sockets {
		users = append(users, s.GetUser())
	}
	slices.Sort(users)
	write(w, http.StatusOK, roomAnswer{Room: string(name), Sockets: len(sockets), Users: slices.Compact(users), Incomplete: silent})
}

type stateAnswer struct {
	Online   bool    `json:"online"`
	Status   string  `json:"status"`
	LastSeen *string `json:"lastSeen"`
	Sockets  uint32  `json:"sockets"`
}

// presence tells who is online.
func (a *api) presence(w http.ResponseWriter, r *http.Request) {
	users := slices.DeleteFunc(strings.Split(r.URL.Query().Get("users"), ","), func(u string) bool { return u == "" })
	switch {
	case len(users) == 0:
		fail(w, problem{Code: codeBadRequest, Field: "users", Detail: "users: name at least one, separated by commas"})
		return
	case len(users) > maxAsked:
		fail(w, problem{Code: codeBadRequest, Field: "users", Detail: "users: at most 1000"})
		return
	case a.opts.Presence == nil:
		fail(w, problem{Code: codeUnavailable, Detail: "presence is not connected"})
		return
	}
	states, err := a.opts.Presence.Query(r.Context(), users)
	if err != nil {
		a.opts.Logger.WarnContext(r.Context(), "cannot ask presence", "error", err)
		fail(w, problem{Code: codeUnavailable, Detail: "presence does not answer"})
		return
	}
	out := make(map[string]stateAnswer, len(users))
	for _, u := range users {
		s := states[u]
		answer := stateAnswer{Online: s.GetOnline(), Status: s.GetStatus(), Sockets: s.GetSockets()}
		if answer.Status == "" {
			answer.Status = "offline"
		}
		if ms := s.GetLastSeenMs(); ms != 0 {
			seen := iso(ms)
			answer.LastSeen = &seen
		}
		out[u] = answer
	}
	write(w, http.StatusOK, map[string]any{"users": out})
}

func iso(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z07:00") }

type sessionAnswer struct {
	Socket    string   `json:"socket"`
	Gateway   string   `json:"gateway"`
	Since     string   `json:"since"`
	Rooms     []string `json:"rooms"`
	UserAgent string   `json:"userAgent"`
}

type sessionsAnswer struct {
	Sessions   []sessionAnswer `json:"sessions"`
	Incomplete []string        `json:"incomplete,omitempty"`
}

// sessions tells where a user is connected, asked of every gateway.
func (a *api) sessions(w http.ResponseWriter, r *http.Request) {
	user, ok := userOf(w, r)
	if !ok {
		return
	}
	sockets, silent := a.opts.Sockets.Sockets(r.Context(), &deliveryv1.SocketsRequest{Of: &deliveryv1.SocketsRequest_User{User: user}})
	out := sessionsAnswer{Sessions: make([]sessionAnswer, 0, len(sockets)), Incomplete: silent}
	for _, s := range sockets {
		rooms := s.GetRooms()
		if rooms == nil {
			rooms = []string{}
		}
		out.Sessions = append(out.Sessions, sessionAnswer{Socket: s.GetSocket(), Gateway: s.GetGateway(), Since: iso(s.GetSinceMs()), Rooms: rooms, UserAgent: s.GetUserAgent()})
	}
	slices.SortFunc(out.Sessions, func(x, y sessionAnswer) int { return strings.Compare(x.Since+x.Socket, y.Since+y.Socket) })
	write(w, http.StatusOK, out)
}

func userOf(w http.ResponseWriter, r *http.Request) (string, bool) {
	user := r.PathValue("id")
	if _, err := room.Parse(string(room.OfUser(user))); err != nil {
		fail(w, problem{Code: codeBadRequest, Field: "id", Detail: "id: is not a user id"})
		return "", false
	}
	return user, true
}

// disconnect ends a user's sockets, by a record on the log: also those of gateways that are away now.
func (a *api) disconnect(w http.ResponseWriter, r *http.Request) {
	user, ok := userOf(w, r)
	if !ok {
		return
	}
	var body struct {
		Reason string `json:"reason,omitempty"`
	}
	if !readBody(w, r, &body, true) {
		return
	}
	a.control(w, r, map[string]any{"control": "user.disconnect", "user": user, "reason": body.Reason})
}

// evict takes users out of a room, by a record on the log.
func (a *api) evict(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Users []string `json:"users"`
	}
	if !readBody(w, r, &body, false) {
		return
	}
	if len(body.Users) == 0 {
		fail(w, problem{Code: codeBadRequest, Field: "users", Detail: "users: name at least one"})
		return
	}
	a.control(w, r, map[string]any{"control": "membership.changed", "room": r.PathValue("room"), "remove": body.Users})
}

func readBody(w http.ResponseWriter, r *http.Request, into any, optional bool) bool {
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxEmit))
	if err != nil {
		fail(w, problemOf(readError(err)))
		return false
	}
	if len(b) == 0 && optional {
		return true
	}
	if err := json.Unmarshal(b, into); err != nil {
		fail(w, problem{Code: codeBadRequest, Detail: "the body is not the JSON object that this path takes"})
		return false
	}
	return true
}

// control publishes a control record, checked like any other.
func (a *api) control(w http.ResponseWriter, r *http.Request, record map[string]any) {
	b, err := json.Marshal(record)
	if err != nil {
		fail(w, problemOf(err))
		return
	}
	e, err := envelope.Parse(b)
	if err == nil {
		err = idempotent(e, r.Header.Get("Idempotency-Key"))
	}
	var answer emitted
	if err == nil {
		e.SetTrace(r.Header.Get("traceparent"))
		answer, err = a.publish(r, e)
	}
	if err != nil {
		p := problemOf(err)
		a.note(r, p, err)
		fail(w, p)
		return
	}
	write(w, http.StatusAccepted, answer)
}
