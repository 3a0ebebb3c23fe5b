package session

import (
	"context"
	"encoding/json"
	"errors"
	"time"
	"unique"

	"github.com/edumatrix/interlink/services/gateway/internal/engine"
	"github.com/edumatrix/interlink/services/gateway/internal/hub"
	"github.com/edumatrix/interlink/services/gateway/internal/socket"
	"github.com/edumatrix/interlink/services/internal/auth"
	"github.com/edumatrix/interlink/services/internal/permission"
	"github.com/edumatrix/interlink/services/internal/room"
)

const (
	firstRetry   = 250 * time.Millisecond
	lastRetry    = 4 * time.Second
	maxUserAgent = 256
	expiryNotice = time.Minute // before the end, or half of what is left
)

// Info implements hub.Conn.
func (st *session) Info() (since time.Time, userAgent string) {
	return time.UnixMilli(st.since), st.userAgent.Value()
}

// hello is what a client sends with CONNECT.
type hello struct {
	Token string `json:"token"`
	PID   string `json:"pid"`
}

// attempt is one CONNECT on its way to an answer.
type attempt struct {
	session     *session
	credentials auth.Credentials
	reason      string // of session:ready
	until       time.Time
	retry       time.Duration
}

// Connect implements socket.Handler.
func (h *Handler) Connect(s *socket.Socket, data json.RawMessage, shake engine.Handshake) {
	var in hello
	if len(data) > 0 {
		// Fields of other types than ours are as good as none: the token is then missing, and that is the answer.
		_ = json.Unmarshal(data, &in)
	}
	now := h.options.Now()
	st := &session{handler: h, socket: s, shard: int16(s.Shard().Index()), since: now.UnixMilli()}
	st.userAgent = unique.Make(shake.UserAgent[:min(len(shake.UserAgent), maxUserAgent)])
	s.State = st
	a := &attempt{
		session: st, credentials: auth.Credentials{Token: in.Token, CookieHeader: shake.Cookie}, reason: "new",
		until: now.Add(h.options.ConnectTimeout), retry: firstRetry,
	}
	if in.PID != "" {
		a.reason = "no_session"
	}
	h.pool.do(a.run)
}

// run decides who it is and where he belongs. It may block.
func (a *attempt) run(ctx context.Context) {
	h := a.session.handler
	a.credentials.Now = h.options.Now()
	p, err := h.options.Auth.Authenticate(ctx, a.credentials)
	var refusal *auth.Refusal
	switch {
	case errors.As(err, &refusal):
		h.options.Logger.Info("connect refused", "code", refusal.Code, "reason", refusal.Reason)
		a.refuse(string(refusal.Code), refusal.Message())
		return
	case err != nil:
		a.doubt("authentication", err)
		return
	}
	asked := h.options.Hub.Changes()
	grants, err := h.rooms(ctx, p)
	if err != nil {
		a.doubt("rooms", err)
		return
	}
	a.session.post(func() { a.join(p, grants, asked) })
}

// rooms lists what a user is put into at connect: his own room, and what the authorizer lists and admits to.
func (h *Handler) rooms(ctx context.Context, p auth.Principal) ([]hub.Grant, error) {
	grants := []hub.Grant{{Room: room.OfUser(p.User), Permissions: permission.All}}
	listed, err := h.options.Authorizer.Rooms(ctx, p)
	if err != nil || len(listed) == 0 {
		return grants, err
	}
	listed = listed[:min(len(listed), h.options.RoomsPerSocket-1)]
	admitted, err := h.options.Authorizer.Permissions(ctx, p, listed)
	if err != nil {
		return nil, err
	}
	for _, r := range listed {
		if set := admitted[r]; set.Has(permission.Join) && r != grants[0].Room {
			grants = append(grants, hub.Grant{Room: r, Permissions: set})
		}
	}
	return grants, nil
}

// join runs on the shard.
func (a *attempt) join(p auth.Principal, grants []hub.Grant, asked uint64) {
	st := a.session
	if st.state != connecting {
		return
	}
	h := st.handler
	st.identify(p)
	h.options.Hub.Init(&st.member, int(st.shard), st, h.options.Random(), p.User, st.issued)
	h.options.Hub.Join(&st.member, hub.Request{Grants: grants, Asked: asked, Hold: true}, a.joined)
}

// joined runs on the shard, at the position at which the session begins. CONNECT goes out first, so nothing that comes
// later can reach the client before it.
func (a *attempt) joined(out hub.Outcome) {
	st := a.session
	if st.state != connecting {
		return
	}
	switch {
	case errors.Is(out.Err, hub.ErrRevoked):
		a.refuse(string(unauthenticated), "Authentication was revoked, sign in again")
		return
	case out.Err != nil:
		a.doubt("routers", out.Err)
		return
	}
	h := st.handler
	st.state, st.pid = connected, h.options.Random()
	st.socket.Accept(socket.Accepted{SID: st.member.Socket, PID: st.pid})
	h.options.Metrics.Connected("ok")
	h.options.Roster.Online(st.member.User, st.member.Socket)
	st.ready(a.reason, false, out.Cursor)
	st.watchExpiry()
	st.giveInbox(out.At, nil, out.Cursor, st.release)
	st.answered()
}

// ready tells the client what it is, and gives it its first cursor.
func (st *session) ready(reason string, recovered bool, cursor []byte) {
	rooms := []room.Room{}
	for _, g := range st.member.Grants() {
		if !g.Internal {
			rooms = append(rooms, g.Room)
		}
	}
	data, err := json.Marshal(struct {
		SessionID string      `json:"sessionId"`
		UserID    string      `json:"userId"`
		Recovered bool        `json:"recovered"`
		Reason    string      `json:"reason"`
		Rooms     []room.Room `json:"rooms"`
		ExpiresAt int64       `json:"expiresAt"`
	}{st.pid, st.member.User, recovered, reason, rooms, st.expires})
	if err != nil {
		st.handler.options.Logger.Error("session:ready not encoded", "error", err)
		return
	}
	st.socket.Send(hub.Note("session:ready", data, st.handler.options.Now().UnixMilli(), cursor))
}

// refuse ends the attempt for good: the stock client does not try again. Any goroutine.
func (a *attempt) refuse(code, message string) {
	data, err := json.Marshal(struct {
		Code    string `json:"code"`
		Message string `json:"message"`
		Action  string `json:"action"`
	}{code, message, "sign_in"})
	if err != nil {
		data = nil
	}
	a.session.post(func() {
		if st := a.session; st.state == connecting {
			st.state = closed
			st.end()
			st.handler.options.Metrics.Connected("refused")
			st.socket.Refuse(message, data)
		}
	})
}

// doubt tries again a little later, and in the end sends the client away to come back. Any goroutine.
func (a *attempt) doubt(about string, err error) {
	h := a.session.handler
	wait := a.retry
	a.retry = min(2*a.retry, lastRetry)
	over := h.options.Now().Add(wait).After(a.until)
	if over {
		h.options.Logger.Warn("connect given up in doubt", "about", about, "error", err)
	} else {
		h.options.Logger.Debug("connect in doubt", "about", about, "error", err)
	}
	a.session.post(func() {
		if a.session.state != connecting {
			return
		}
		if over {
			h.options.Metrics.Connected("doubt")
			a.session.socket.CloseTransport(engine.Server)
			return
		}
		a.session.socket.Shard().After(wait, func() {
			if a.session.state == connecting {
				h.pool.do(a.run)
			}
		})
	})
}

// watchExpiry arms the timer of the session's end when that is near; it is called at each ping. Most sessions have none.
func (st *session) watchExpiry() {
	if st.expiry != nil {
		return
	}
	end := time.UnixMilli(st.expires)
	left := end.Sub(st.handler.options.Now())
	if left > expiryNotice+2*st.handler.options.PingInterval {
		return
	}
	notice := max(0, left-min(expiryNotice, left/2))
	st.expiry = st.socket.Shard().After(notice, func() {
		data := []byte(`{"expiresAt":` + itoa(end.UnixMilli()) + `}`)
		st.socket.Send(hub.Note("session:expiring", data, st.handler.options.Now().UnixMilli(), nil))
		st.expiry = st.socket.Shard().After(max(0, left-notice), func() {
			st.expiry = nil
			st.socket.Disconnect()
		})
	})
}

// extend gives the session another end.
func (st *session) extend() {
	if st.expiry != nil {
		st.expiry()
		st.expiry = nil
	}
	st.watchExpiry()
}
