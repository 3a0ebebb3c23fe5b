package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
	"unique"

	deliveryv1 "github.com/edumatrix/interlink/proto/delivery/v1"
	"github.com/edumatrix/interlink/services/gateway/internal/engine"
	"github.com/edumatrix/interlink/services/gateway/internal/hub"
	"github.com/edumatrix/interlink/services/gateway/internal/receipts"
	"github.com/edumatrix/interlink/services/gateway/internal/recovery"
	"github.com/edumatrix/interlink/services/gateway/internal/socket"
	"github.com/edumatrix/interlink/services/internal/auth"
	"github.com/edumatrix/interlink/services/internal/room"
	"github.com/edumatrix/interlink/services/internal/sessionrecord"
)

// Moved is a session on its way from one gateway to another.
type Moved struct {
	Socket    string // public id
	PID       string
	Principal auth.Principal
	Grants    []hub.Grant
	At        []int64 // Unsent reaches up to this position, and nothing behind it was sent
	Since     time.Time
	UserAgent string
	Unsent    []*engine.Frame
	Pings     uint32 // that the client has yet to answer
	Inbox     MovedInbox
	Start     []byte   // where the session starts, as its record has it
	Lives     []string // of its record: the one that gives, then those before; none if there is no record
}

// MovedInbox is how far a session's inbox was given.
type MovedInbox struct {
	After   uint64            // number of the last entry that was queued
	Start   []int64           // where the session starts, nil: the inbox knows it
	Awaited []*receipts.Event // queued and not proven to have arrived
}

// ErrCannotMove means that a session has to stay where it is, or has ended.
var ErrCannotMove = errors.New("session: can't move")

// settleWithin bounds how long a session may have answers outstanding before it moves all the same.
const settleWithin = 6 * time.Second

// Give freezes a session between two steps of the sequencer, once its CONNECT and its events are answered, and forgets
// it here. Any goroutine; it blocks. A session without a socket gives its unsent frames and connected is false.
func (h *Handler) Give(ctx context.Context, find func() *socket.Socket, s *engine.Session) (m Moved, connected bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, settleWithin)
	defer cancel()
	settled := make(chan *session, 1)
	fail := make(chan error, 1)
	bare := make(chan []*engine.Frame, 1)
	s.Shard().Post(func() {
		sock := find()
		if sock == nil {
			if unsent, ok := s.Freeze(); ok {
				bare <- unsent
				return
			}
			fail <- ErrCannotMove
			return
		}
		st := of(sock)
		if st == nil { // the application's own: it comes back by itself
			fail <- ErrCannotMove
			return
		}
		st.whenIdle(func() { settled <- st })
	})
	select {
	case unsent := <-bare:
		return Moved{Unsent: unsent}, false, nil
	case err := <-fail:
		return Moved{}, false, err
	case st := <-settled:
		return st.give(ctx)
	case <-ctx.Done():
		return Moved{}, false, fmt.Errorf("%w: its events are not answered yet", ErrCannotMove)
	}
}

// give lets the sequencer name the position at which the session is frozen.
func (st *session) give(ctx context.Context) (Moved, bool, error) {
	type result struct {
		moved Moved
		err   error
	}
	done := make(chan result, 1)
	st.handler.options.Hub.At(int(st.shard), func(at []int64) {
		m, err := st.freeze(at)
		done <- result{m, err}
	})
	select {
	case r := <-done:
		return r.moved, true, r.err
	case <-ctx.Done():
		return Moved{}, true, ctx.Err()
	}
}

// freeze runs on the shard.
func (st *session) freeze(at []int64) (Moved, error) {
	if st.state != connected || at == nil || st.member.Held() {
		return Moved{}, ErrCannotMove
	}
	unsent, ok := st.socket.Freeze()
	if !ok {
		return Moved{}, ErrCannotMove
	}
	m := Moved{
		Socket: st.member.Socket, PID: st.pid, Principal: st.principal(), Grants: st.member.Grants(), At: at,
		Since: time.Unix(int64(st.since), 0), UserAgent: st.userAgent.Value(), Unsent: unsent,
	}
	m.Pings, m.Inbox = st.socket.Session().Unanswered(), st.moveInbox()
	if record, ok := st.forsakeRecord(); ok {
		m.Start, m.Lives = record.Start, []string{string(record.Life)}
		for _, life := range record.Before {
			m.Lives = append(m.Lives, string(life))
		}
	}
	st.state = closed
	st.end()
	st.handler.options.Roster.Offline(st.member.User, st.member.Socket, false) // the grace outlasts the move
	return m, nil
}

// whenIdle calls f on the shard, now or later, when CONNECT and all events are answered; at once if the session ends.
func (st *session) whenIdle(f func()) {
	st.cut()
	if st.occupied() {
		st.some().idle = append(st.rare.idle, f)
		return
	}
	f()
}

// occupied reports whether something is under way that a move must not cut off.
func (st *session) occupied() bool {
	switch st.state {
	case closed:
		return false
	case connecting:
		return true
	}
	return st.busy > 0 || len(st.joining()) > 0 || st.member.Held() || st.rare != nil && len(st.rare.behind) > 0
}

// answered is called when something has been answered.
func (st *session) answered() {
	if st.rare == nil || st.occupied() {
		return
	}
	waiting := st.rare.idle
	st.rare.idle = nil
	st.tidy()
	for _, f := range waiting {
		f()
	}
}

// Replays reads parts of partitions again.
type Replays interface {
	Fetch(ctx context.Context, spans []recovery.Span, rooms []uint64, partitions int) ([][]*deliveryv1.Record, error)
}

// Take makes a session that another gateway has given one of this gateway: it waits until this gateway has come as far,
// joins the rooms at one position, reads what lies between, and lets adopt go on with the client. Any goroutine; it
// blocks. adopt is called once at most, and hands opened to the shard with what has to be sent first.
func (h *Handler) Take(ctx context.Context, m Moved, shard int, adopt func(unsent []*engine.Frame, opened func(*socket.Socket)) bool) error {
	st := &session{handler: h, pid: m.PID, shard: int16(shard), since: uint32(m.Since.Unix()), userAgent: unique.Make(m.UserAgent)}
	st.identify(m.Principal)
	h.options.Hub.Init(&st.member, shard, st, m.Socket, m.Principal.User, st.issued)
	replay, err := h.catchUp(ctx, st, m)
	if err != nil {
		h.forget(st)
		return err
	}
	h.recordMoved(ctx, st, m)
	if !adopt(append(m.Unsent, replay...), func(s *socket.Socket) { st.moved(s, m.Inbox, replay) }) {
		h.forget(st)
		return ErrCannotMove
	}
	return nil
}

// forget takes a session that was never opened out of its rooms.
func (h *Handler) forget(st *session) {
	h.options.Hub.Do(int(st.shard), func() {
		st.state = closed
		st.endRecord()
		h.options.Hub.Remove(&st.member)
	})
}

// recordMoved has the session's record say that it is this gateway's, before its client is told anything from here. With
// the store away the session goes on all the same: its cursors are then of a life that the record does not know.
func (h *Handler) recordMoved(ctx context.Context, st *session, m Moved) {
	if h.records == nil || len(m.Lives) == 0 {
		return
	}
	done := make(chan struct{})
	st.post(func() {
		era, _ := h.records.present()
		record := sessionrecord.Record{Era: era, Start: m.Start, Rooms: st.entries()}
		for _, life := range m.Lives[:min(len(m.Lives), sessionrecord.MaxBefore)] {
			record.Before = append(record.Before, sessionrecord.Life(life))
		}
		st.record(record)
		st.whenRecorded(func(uint64) { close(done) })
	})
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// catchUp registers the session at one position and returns what it needs to get there. From then on live events are
// held.
func (h *Handler) catchUp(ctx context.Context, st *session, m Moved) ([]*engine.Frame, error) {
	outcome := make(chan hub.Outcome, 1)
	h.options.Hub.Join(&st.member, hub.Request{Grants: m.Grants, From: m.At, Hold: true, Reach: m.At}, func(out hub.Outcome) {
		if len(out.Denied) > 0 {
			st.some().denied = out.Denied
		}
		outcome <- out
	})
	var out hub.Outcome
	select {
	case out = <-outcome:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if out.Err != nil {
		return nil, out.Err
	}
	spans := recovery.Spans(m.At, out.At)
	if len(spans) == 0 {
		return nil, nil
	}
	hashes, names := make([]uint64, 0, len(m.Grants)), make([]string, 0, len(m.Grants))
	for _, g := range m.Grants {
		if !slices.Contains(out.Denied, g.Room) {
			hashes, names = append(hashes, g.Room.Hash()), append(names, string(g.Room))
		}
	}
	parts, err := h.options.Replays.Fetch(ctx, spans, hashes, len(out.At))
	if err != nil {
		return nil, err
	}
	return h.options.Hub.Replay(recovery.NewReplay(m.At, out.At, names, m.Principal.User, m.Socket, parts), out), nil
}

// moved is the first moment of a session that came from elsewhere, on its shard. What it needs to be up to date is
// queued already; what was held follows.
func (st *session) moved(s *socket.Socket, in MovedInbox, replay []*engine.Frame) {
	st.socket, s.State = s, st
	st.state = connected
	h := st.handler
	h.options.Roster.Online(st.member.User, st.member.Socket)
	if st.rare != nil {
		denied := st.rare.denied
		st.rare.denied = nil
		st.tidy()
		for _, r := range denied {
			st.evict(r)
		}
	}
	st.await(in.Awaited, replay)
	held, over := st.member.Release()
	for _, f := range held {
		s.Send(f)
	}
	switch {
	case st.ending == hub.Displaced:
		st.displace()
	case st.ending == hub.Restarted, over:
		s.CloseTransport(engine.Slow)
	case st.ending != 0:
		s.Disconnect()
	default:
		st.watchExpiry()
		st.noteRooms()
		st.inboxMoved(in)
	}
}

// evict tells the client that it lost a room on the way, and asks whether it may be in it again.
func (st *session) evict(r room.Room) {
	st.evicted(r)
	st.Invited(r)
}

// evicted tells the client that it is not in a room any more.
func (st *session) evicted(r room.Room) {
	data, err := json.Marshal(struct {
		Room   room.Room `json:"room"`
		Reason string    `json:"reason"`
	}{r, "removed"})
	if err != nil {
		st.handler.options.Logger.Error("eviction not encoded", "error", err)
		return
	}
	st.socket.Send(hub.Note("room:evicted", data, st.handler.options.Now().UnixMilli(), nil))
}
