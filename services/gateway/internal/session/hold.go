package session

import (
	"bytes"
	"encoding/json"

	"github.com/edumatrix/interlink/services/gateway/internal/engine"
	"github.com/edumatrix/interlink/services/gateway/internal/hub"
)

// While a session is held, live events of its rooms are kept back: it is being given what lies before them. Whatever
// would carry a cursor of a later position has to wait, and so does what the client asks meanwhile: an answer may carry
// one. What is given carries the cursor of the position at which the hold began, behind which nothing was sent.

const (
	feedBytes   = 64 << 10  // given without proof that they arrived
	feedEvents  = 400       // and events
	behindBytes = 256 << 10 // of events that wait for the end of a hold
)

// feed is events that a socket is given one batch after the other, a ping behind each and the next at its pong.
type feed struct {
	items []given
	then  func() // called when all were queued, or, if proven, have arrived
	// proven has then wait for the last pong.
	proven bool
	cut    func() // called, before then, if some were left out; may be nil
	ping   uint32 // that is awaited, if waits
	waits  bool   // nothing is given before that pong
}

// given is one event of a feed.
type given struct {
	hub.Given
	seq uint64 // its place in the inbox, 0: of the log
}

// feed queues a feed behind those that are there.
func (st *session) feed(f *feed) {
	r := st.some()
	r.feeds = append(r.feeds, f)
	st.pour()
}

// pour goes on giving, as far as the last pong allows.
func (st *session) pour() {
	if st.rare == nil || st.rare.pouring {
		return
	}
	r := st.rare
	r.pouring = true
	defer func() {
		r.pouring = false
		st.tidy()
	}()
	for st.state == connected && len(r.feeds) > 0 {
		f := r.feeds[0]
		if st.member.Held() && r.held == nil { // what was kept back is following, or what lies before the hold
			st.settled(st.pour)
			return
		}
		if f.waits && int32(f.ping-st.socket.Session().Answered()) > 0 || !st.batch(f) {
			return
		}
		if len(f.items) > 0 || f.proven {
			f.proven = f.proven && len(f.items) > 0
			f.waits, f.ping = true, st.socket.Session().NextPing()
			st.socket.Session().PingBehind()
			return
		}
		r.feeds = r.feeds[1:]
		f.then()
	}
}

// batch queues what may be on its way at once; false if the socket takes no more.
func (st *session) batch(f *feed) bool {
	bytes := 0
	for n := 0; len(f.items) > 0 && n < feedEvents && bytes < feedBytes; n++ {
		g := f.items[0]
		f.items = f.items[1:]
		frame := g.Frame(st.cursor())
		bytes += frame.Len()
		if !st.socket.Send(frame) {
			return false
		}
		if g.seq > 0 {
			st.inbox.after = g.seq
		}
	}
	return true
}

// cut has everything that is being given end with what was queued: the session is about to go elsewhere, and its polls
// bring no pongs any more. Should it stay, what is left of the inbox is given after a while.
func (st *session) cut() {
	if st.rare == nil || len(st.rare.feeds)+len(st.rare.sinces) == 0 && st.rare.opening == nil {
		return
	}
	st.rare.leaving = true
	st.retryInbox()
	for _, f := range st.rare.feeds {
		if f.cut != nil && len(f.items) > 0 {
			f.cut()
		}
		f.items, f.proven, f.waits = nil, false, false
	}
	st.pour()
	st.goLive()
}

// cursor is what an event that is given now has to carry.
func (st *session) cursor() []byte {
	if st.member.Held() {
		return st.rare.held
	}
	return st.member.Cursor()
}

// settled calls f now, or when the session is held no longer. On the shard.
func (st *session) settled(f func()) {
	if st.member.Held() {
		st.some().behind = append(st.rare.behind, f)
		return
	}
	f()
}

// settle does what waited for the end of a hold. It is to be called when one has ended.
func (st *session) settle() {
	for st.state == connected && st.rare != nil && len(st.rare.behind) > 0 && !st.member.Held() {
		f := st.rare.behind[0]
		if st.rare.behind = st.rare.behind[1:]; len(st.rare.behind) == 0 {
			st.rare.behindBytes = 0
		}
		f()
	}
	st.tidy()
	st.answered()
}

// postpone keeps an event of the client until the session is held no longer; arg is copied.
func (st *session) postpone(serve func(*session, string, json.RawMessage, acker), name string, arg json.RawMessage, a acker) {
	r := st.some()
	if r.behindBytes += len(arg) + 64; r.behindBytes > behindBytes {
		r.behindBytes -= len(arg) + 64
		a.refuse(fault{Code: rateLimited, Message: "Too many events", RetryAfterMs: 1000})
		return
	}
	kept := json.RawMessage(bytes.Clone(arg))
	r.behind = append(r.behind, func() { serve(st, name, kept, a) })
}

// release ends a hold: what was kept back follows, in order, and then what the client asked meanwhile.
func (st *session) release() {
	if st.rare != nil {
		st.rare.held = nil
	}
	frames, over := st.member.Release()
	for _, f := range frames {
		st.socket.Send(f)
	}
	if over {
		st.socket.CloseTransport(engine.Slow)
		return
	}
	st.settle()
}

// halt ends all that is under way.
func (r *rare) halt() {
	if r.retry != nil {
		r.retry()
	}
	if r.opening != nil && r.opening.cancel != nil {
		r.opening.cancel()
	}
	*r = rare{idle: r.idle}
}
