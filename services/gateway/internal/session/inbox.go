package session

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/edumatrix/interlink/services/gateway/internal/engine"
	"github.com/edumatrix/interlink/services/gateway/internal/hub"
	"github.com/edumatrix/interlink/services/gateway/internal/receipts"
	"github.com/edumatrix/interlink/services/gateway/internal/recovery"
)

// Inbox is where events wait for users that nobody could give them to. All methods block.
type Inbox interface {
	// Open makes a session live: what lies before start is read, what follows comes to it by itself. Covered is what a
	// cursor proves that the user has.
	Open(ctx context.Context, user, session string, start []int64, covered []recovery.Span) error
	// Read returns what waits before the session's start and came after the entry numbered after; more says that some is left.
	Read(ctx context.Context, user, session string, after uint64) (entries []Entry, more bool, err error)
	// Close ends a session.
	Close(ctx context.Context, user, session string) error
}

// Entry is an event in an inbox.
type Entry struct {
	hub.Given
	Seq uint64 // order of arrival
}

const (
	inboxWorkers = 64              // calls at once, apart from all other work: nothing waits for an inbox that does not answer
	inboxTimeout = 2 * time.Second // of a call
	inboxHold    = 2 * time.Second // that live events wait for an inbox at most
	inboxAway    = time.Second     // that it is left alone after a failure
	inboxRetry   = 5 * time.Second // after which a session asks again
)

// inbox is how far a session's inbox was given. It belongs to the shard.
type inbox struct {
	after   uint64 // number of the last entry that was queued
	open    bool   // the inbox knows of the session
	reading bool   // or giving
	again   bool   // there may be more
}

// opening is a session whose inbox has not been opened yet, or that is held for it. It belongs to the shard.
type opening struct {
	start   []int64
	covered []recovery.Span
	release func()      // nil: live events follow already
	cancel  func() bool // of the timer that lets them
}

// giveInbox gives the session what waits in its user's inbox and lies before start, where its live events begin.
// Covered is what a resume's cursor proves. The session may be held: release is called once, soon, when live events may
// follow; cursor is of the position at which the hold began, and everything before it has been queued. On the shard.
func (st *session) giveInbox(start []int64, covered []recovery.Span, cursor []byte, release func()) {
	h := st.handler
	if h.options.Inbox == nil {
		release()
		return
	}
	r := st.some()
	r.held = cursor
	r.opening = &opening{start: start, covered: covered, release: release}
	if h.inboxAway.before(h.options.Now()) {
		st.goLive()
	} else {
		r.opening.cancel = st.socket.Shard().After(inboxHold, st.goLive)
	}
	st.readInbox()
}

// goLive lets live events follow, whatever of the inbox has been given.
func (st *session) goLive() {
	if st.rare == nil || st.rare.opening == nil || st.rare.opening.release == nil {
		return
	}
	o := st.rare.opening
	release := o.release
	o.release, st.rare.held = nil, nil
	if o.cancel != nil {
		o.cancel()
	}
	if st.inbox.open {
		st.rare.opening = nil
	}
	release()
	st.settle()
}

// Woken implements hub.Sleeper.
func (st *session) Woken(sessions []string) {
	begun := st.inbox.open || st.rare != nil && st.rare.opening != nil // else all is read when it begins
	if st.state == connected && begun && (len(sessions) == 0 || slices.Contains(sessions, st.pid)) {
		st.readInbox()
	}
}

// readInbox reads the next page, unless that is under way.
func (st *session) readInbox() {
	h := st.handler
	if h.options.Inbox == nil || st.state != connected {
		return
	}
	if st.inbox.reading {
		st.inbox.again = true
		return
	}
	if h.inboxAway.before(h.options.Now()) || st.rare != nil && st.rare.leaving {
		st.retryInbox()
		return
	}
	st.inbox.reading, st.inbox.again = true, false
	st.busy++
	user, pid, after := st.member.User, st.pid, st.inbox.after
	var o *opening
	if !st.inbox.open && st.rare != nil {
		o = st.rare.opening
	}
	h.inboxes.do(func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, inboxTimeout)
		defer cancel()
		page := page{opened: o != nil}
		if o != nil {
			page.err = h.options.Inbox.Open(ctx, user, pid, o.start, o.covered)
		}
		if page.err == nil {
			page.entries, page.more, page.err = h.options.Inbox.Read(ctx, user, pid, after)
		}
		if page.err != nil {
			h.inboxAway.set(h.options.Now().Add(inboxAway))
			h.options.Logger.Debug("inbox not read", "error", page.err)
		}
		st.post(func() { st.inboxRead(page) })
	})
}

// page is what a reading of an inbox brought.
type page struct {
	entries      []Entry
	more, opened bool
	err          error
}

// inboxRead gives a page. The next one is read when this one has arrived.
func (st *session) inboxRead(p page) {
	st.busy--
	if st.state != connected {
		return
	}
	if p.err != nil {
		st.inbox.reading = false
		st.goLive()
		st.retryInbox()
		st.answered()
		return
	}
	if p.opened {
		st.inbox.open = true
	}
	f := &feed{proven: p.more, then: func() {
		st.inbox.reading = false
		if p.more || st.inbox.again {
			st.readInbox()
			return
		}
		st.goLive()
		st.forgetOpening()
	}}
	for _, e := range p.entries {
		f.items = append(f.items, given{Given: e.Given, seq: e.Seq})
	}
	st.feed(f)
	st.answered()
}

// forgetOpening lets go of what is needed until an inbox is open.
func (st *session) forgetOpening() {
	if o := st.rare; o != nil && o.opening != nil && o.opening.release == nil && st.inbox.open {
		o.opening = nil
		st.tidy()
	}
}

// retryInbox asks again later.
func (st *session) retryInbox() {
	r := st.some()
	if r.retry != nil {
		return
	}
	r.retry = st.socket.Shard().After(inboxRetry, func() {
		if st.rare != nil {
			st.rare.retry, st.rare.leaving = nil, false
			st.tidy()
		}
		st.readInbox()
	})
}

// closeInbox tells that a session will not come back.
func (st *session) closeInbox() {
	h := st.handler
	if h.options.Inbox == nil || st.pid == "" {
		return
	}
	user, pid := st.member.User, st.pid
	h.inboxes.do(func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, inboxTimeout)
		defer cancel()
		if err := h.options.Inbox.Close(ctx, user, pid); err != nil {
			h.options.Logger.Debug("inbox not closed", "error", err)
		}
	})
}

// until is a time that several goroutines share.
type until struct{ ms atomic.Int64 }

func (u *until) set(t time.Time)           { u.ms.Store(t.UnixMilli()) }
func (u *until) before(now time.Time) bool { return now.UnixMilli() < u.ms.Load() }

// moveInbox is what another gateway needs to go on.
func (st *session) moveInbox() MovedInbox {
	m := MovedInbox{After: st.inbox.after}
	if st.rare == nil {
		return m
	}
	m.Awaited = st.rare.track.Open()
	if o := st.rare.opening; o != nil && !st.inbox.open {
		m.Start = o.start
	}
	return m
}

// await notes what was queued before the session came here, and at its coming, and has one ping prove it all.
func (st *session) await(events []*receipts.Event, replay []*engine.Frame) {
	for _, f := range replay {
		if e, ok := f.Tag().(*receipts.Event); ok && e.Of(st.member.User) != (receipts.Concern{}) {
			events = append(events, e)
		}
	}
	if len(events) == 0 {
		return
	}
	for _, e := range events {
		st.some().track.Given(e, st.socket.Session().NextPing())
	}
	st.socket.Session().PingBehind()
}

// inboxMoved goes on giving the inbox of a session that came from another gateway.
func (st *session) inboxMoved(in MovedInbox) {
	st.inbox.after, st.inbox.open = in.After, in.Start == nil
	if in.Start != nil {
		st.giveInbox(in.Start, nil, nil, func() {})
		return
	}
	st.readInbox()
}
