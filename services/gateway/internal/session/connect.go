package session

import (
	"context"
	"encoding/json"
	"errors"
	"sync/atomic"
	"time"
	"unique"

	"github.com/edumatrix/interlink/services/gateway/internal/engine"
	"github.com/edumatrix/interlink/services/gateway/internal/hub"
	"github.com/edumatrix/interlink/services/gateway/internal/resume"
	"github.com/edumatrix/interlink/services/gateway/internal/socket"
	"github.com/edumatrix/interlink/services/internal/auth"
	"github.com/edumatrix/interlink/services/internal/permission"
	"github.com/edumatrix/interlink/services/internal/room"
	"github.com/edumatrix/interlink/services/internal/sessionrecord"
)

const (
	firstRetry   = 250 * time.Millisecond
	lastRetry    = 4 * time.Second
	maxUserAgent = 256
	expiryNotice = time.Minute // before the end, or half of what is left
)

// Info implements hub.Conn.
func (st *session) Info() (since time.Time, userAgent string) {
	return time.Unix(int64(st.since), 0), st.userAgent.Value()
}

// hello is what a client sends with CONNECT.
type hello struct {
	Token  string          `json:"token"`
	PID    string          `json:"pid"`
	Offset json.RawMessage `json:"offset"`
	APIKey string          `json:"internalApiKey"` // of the application itself
}

// attempt is one CONNECT on its way to an answer.
type attempt struct {
	session     *session
	credentials auth.Credentials
	arrived     time.Time
	until       time.Time // when doubt ends; zero before its turn came
	retry       time.Duration

	offer  *resume.Offer         // what the client would go on with, nil: nothing, or it is known that it can't
	reason resume.Reason         // of session:ready, if it does not go on
	proof  sessionrecord.Cursor  // what the record has to stand for
	taken  *sessionrecord.Record // the record of the offer, which is this life's now
	lost   *bool                 // whether the store has lately forgotten, nil: not asked

	gone   atomic.Bool // the client has gone
	cancel atomic.Pointer[context.CancelFunc]
}

// Connect implements socket.Handler.
func (h *Handler) Connect(s *socket.Socket, data json.RawMessage, shake engine.Handshake) {
	var in hello
	if len(data) > 0 {
		// Fields of other types than ours are as good as none: the token is then missing, and that is the answer.
		_ = json.Unmarshal(data, &in)
	}
	if in.APIKey != "" {
		h.connectService(s, in.APIKey)
		return
	}
	now := h.options.Now()
	st := &session{handler: h, socket: s, shard: int16(s.Shard().Index()), since: uint32(now.Unix())}
	st.userAgent = unique.Make(shake.UserAgent[:min(len(shake.UserAgent), maxUserAgent)])
	s.State = st
	a := &attempt{
		session: st, credentials: auth.Credentials{Token: in.Token, CookieHeader: shake.Cookie}, arrived: now, retry: firstRetry, reason: resume.New,
	}
	if offer, ok := resume.ReadOffer(in.PID, in.Offset); ok {
		a.offer = &offer
	}
	st.some().attempt = a
	a.queue()
}

// queue has the attempt wait its turn: resumes apart from the work of sockets that are here.
func (a *attempt) queue() {
	h := a.session.handler
	if a.offer != nil {
		h.resumes.do(a.run)
		return
	}
	h.pool.do(a.run)
}

// leave ends an attempt whose client has gone. Any goroutine.
func (a *attempt) leave() {
	a.gone.Store(true)
	if cancel := a.cancel.Load(); cancel != nil {
		(*cancel)()
	}
}

// errRevoked means that the user's token is void.
var errRevoked = errors.New("session: the user's token was revoked")

// run decides who it is and where he belongs. It may block.
func (a *attempt) run(ctx context.Context) {
	h := a.session.handler
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	a.cancel.Store(&cancel)
	if a.gone.Load() {
		return
	}
	if a.until.IsZero() {
		a.until = h.options.Now().Add(h.options.ConnectTimeout)
	}
	a.credentials.Now = h.options.Now()
	p, err := h.options.Auth.Authenticate(ctx, a.credentials)
	var refusal *auth.Refusal
	switch {
	case errors.As(err, &refusal):
		h.options.Logger.Info("connect refused", "code", refusal.Code, "reason", refusal.Reason)
		a.refuse(h.refusalCode(refusal), refusal.Message())
		return
	case err != nil:
		a.doubt("authentication", err)
		return
	}
	if a.offer != nil {
		switch err := a.resume(ctx, p); {
		case err == nil, ctx.Err() != nil:
			return
		case errors.Is(err, errRevoked):
			a.refuse(string(unauthenticated), "Authentication was revoked, sign in again")
			return
		case !errors.Is(err, errFresh):
			a.doubt("resume", err)
			return
		}
		a.forsake()
	}
	asked := h.options.Hub.Changes()
	grants, err := h.rooms(ctx, p)
	if err != nil {
		a.doubt("rooms", err)
		return
	}
	a.session.post(func() { a.join(p, grants, asked) })
}

// forsake gives up the session that the client came with: it gets another one.
func (a *attempt) forsake() {
	h := a.session.handler
	h.options.Metrics.Resumed(string(a.reason))
	h.options.Logger.Debug("session not resumed", "reason", a.reason)
	if r := a.taken; r != nil {
		h.records.later(func(ctx context.Context) { h.records.end(ctx, r.Session, r.Version, 0) })
	}
	a.offer, a.taken = nil, nil
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

// joined runs on the shard, at the position at which the session begins. What is published from now on is held until
// the session's record is written, CONNECT and session:ready are out and the inbox was given.
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
	st.pid = h.options.Random()
	st.keepRecord(resume.Start{Epoch: out.Epoch, At: out.At, MadeMs: h.options.Now().UnixMilli()})
	st.whenRecorded(func(uint64) { a.accept(out) })
}

// accept begins the session. Without a record, if the store is away, its era does not matter: there is none to be taken
// for enough.
func (a *attempt) accept(out hub.Outcome) {
	st := a.session
	if st.state != connecting || st.unwelcome(a) {
		return
	}
	h := st.handler
	st.connect()
	st.socket.Accept(socket.Accepted{SID: st.member.Socket, PID: st.pid})
	h.options.Metrics.Connected("ok")
	h.options.Roster.Online(st.member.User, st.member.Socket)
	st.ready(a.reason, false, out.Cursor)
	st.watchExpiry()
	st.busy++ // a move waits
	st.giveInbox(out.At, nil, out.Cursor, st.goOn)
	st.answered()
}

// ready tells the client what it is, and gives it its first cursor.
func (st *session) ready(reason resume.Reason, recovered bool, cursor []byte) {
	rooms := []room.Room{}
	for _, g := range st.member.Grants() {
		if !g.Internal {
			rooms = append(rooms, g.Room)
		}
	}
	data, err := json.Marshal(struct {
		SessionID string        `json:"sessionId"`
		UserID    string        `json:"userId"`
		Recovered bool          `json:"recovered"`
		Reason    resume.Reason `json:"reason"`
		Rooms     []room.Room   `json:"rooms"`
		ExpiresAt int64         `json:"expiresAt"`
	}{st.pid, st.member.User, recovered, reason, rooms, st.expires})
	if err != nil {
		st.handler.options.Logger.Error("session:ready not encoded", "error", err)
		return
	}
	st.socket.Send(hub.Note("session:ready", data, st.handler.options.Now().UnixMilli(), cursor))
}

// refuse ends the attempt for good: the stock client does not try again. Any goroutine.
func (a *attempt) refuse(code, message string) {
	data := refusalData(code, message, "sign_in")
	a.session.post(func() {
		if st := a.session; st.state == connecting {
			st.over = true
			st.finish()
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
				a.queue()
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
