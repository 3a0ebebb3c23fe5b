package session

import (
	"context"
	"errors"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/edumatrix/interlink/services/gateway/internal/hub"
	"github.com/edumatrix/interlink/services/gateway/internal/recovery"
	"github.com/edumatrix/interlink/services/internal/permission"
	"github.com/edumatrix/interlink/services/internal/room"
)

// since is a room:join that asks for what the room had since a time (DESIGN, "Delivery", 3).
//
// What lies before the gateway's position is read and given while the session goes on as ever, again for what came
// meanwhile, until little is left; then the room is joined at one position, with live events held for the moment that
// it takes to read and give the rest. So the session has the room whole, in order and once, and stands still for
// milliseconds, however much was replayed.
//
// What is given carries the cursor of what the session has: everything before it was queued already. It says nothing of
// the room, which the client is not in before the ack; cut off before that, it asks again.
type since struct {
	room       room.Room
	ms         int64 // epoch milliseconds
	in         bool  // the session is in the room already: what it had is given again
	joining    *joining
	asked      uint64
	outcome    joined
	at         []int64 // everything before was given; nil: nothing yet
	rounds     int
	count      int
	bytes      int64
	incomplete bool
	answer     func(o joined, replayed *int)
}

var errTooMuch = errors.New("session: too much is being replayed")

const (
	sincesAtOnce = 32              // replays of room:join that are read at once
	sinceBytes   = 256 << 20       // of events read and not given yet, over all sessions
	sinceRounds  = 3               // before the rest is read during the join
	sinceTimeout = 3 * time.Second // of reading while the session goes on
	restTimeout  = 1 * time.Second // of reading while it stands still
)

// joinSince serves room:join {room, since}.
func joinSince(st *session, r *request, a acker) {
	name := r.rooms[0]
	s := &since{room: name, ms: r.since}
	s.outcome.room = name
	s.outcome.permissions, s.in = st.member.Permissions(name)
	if !s.in {
		if f := st.joinable(name, 0); f != nil {
			a.refuse(*f)
			return
		}
		s.joining = &joining{rooms: []room.Room{name}}
		st.some().joining = append(st.rare.joining, s.joining)
	}
	s.answer = func(o joined, replayed *int) {
		if o.fault != nil {
			a.refuse(*o.fault)
			return
		}
		a.ok(answer{OK: true, Room: o.room, Permissions: o.permissions.Names(), Replayed: replayed})
	}
	oldest := st.handler.options.Now().Add(-st.handler.options.ResumeWindow).UnixMilli()
	s.incomplete = s.ms < oldest
	st.busy++ // also without an ack: a session that moves finishes this first
	st.some().sinces = append(st.rare.sinces, s)
	if len(st.rare.sinces) == 1 {
		st.beginSince(s)
	}
}

// joinable says why a socket may not join a room, whoever admits to it. Asking is how many rooms it is about to join beside.
func (st *session) joinable(name room.Room, asking int) *fault {
	shown, _ := st.member.Rooms()
	for _, j := range st.joining() {
		shown += len(j.rooms)
	}
	switch {
	case name.Type() == reserved:
		return &fault{Code: forbidden, Message: "Not admitted"}
	case shown+asking >= st.handler.options.RoomsPerSocket:
		return &fault{Code: tooLarge, Message: "Too many rooms for one socket"}
	}
	return nil
}

// beginSince asks for permission, if that is needed.
func (st *session) beginSince(s *since) {
	if s.in {
		st.sinceRound(s)
		return
	}
	h, principal := st.handler, st.principal()
	h.pool.do(func(ctx context.Context) {
		asked := h.options.Hub.Changes()
		sets, err := h.options.Authorizer.Permissions(ctx, principal, []room.Room{s.room})
		if err != nil {
			h.options.Logger.Debug("permissions in doubt", "error", err)
		}
		st.post(func() {
			set, decided := sets[s.room]
			s.asked, s.outcome.permissions = asked, set
			switch {
			case !decided:
				s.outcome.fault = &away
			case !set.Has(permission.Join):
				s.outcome.fault = &fault{Code: forbidden, Message: "Not admitted"}
			}
			if s.outcome.fault != nil {
				st.sinceJoined(s, hub.Outcome{})
				return
			}
			st.sinceRound(s)
		})
	})
}

// sinceRound reads up to the present position.
func (st *session) sinceRound(s *since) {
	if s.incomplete || s.rounds == sinceRounds || st.rare.leaving {
		s.incomplete = s.incomplete || st.rare.leaving
		st.sinceJoin(s)
		return
	}
	s.rounds++
	st.handler.options.Hub.At(int(st.shard), func(at []int64) {
		if st.state != connected {
			return
		}
		spans := recovery.Spans(s.at, at)
		if s.at == nil {
			spans = s.spans(at)
		}
		switch {
		case at == nil:
			s.incomplete = true
			st.sinceJoin(s)
		case len(spans) == 0:
			s.at = at
			st.sinceJoin(s)
		default:
			st.sinceFetch(s, spans, at, sinceTimeout, func() { st.sinceRound(s) })
		}
	})
}

// spans is everything from the time on.
func (s *since) spans(at []int64) []recovery.Span {
	var spans []recovery.Span
	for p, to := range at {
		if to > 0 {
			spans = append(spans, recovery.Span{Partition: p, To: to, SinceMs: max(1, s.ms)})
		}
	}
	return spans
}

// sinceFetch reads spans up to a position, gives what they hold, and goes on.
func (st *session) sinceFetch(s *since, spans []recovery.Span, at []int64, within time.Duration, then func()) {
	h := st.handler
	from := s.at
	if from == nil {
		from = make([]int64, len(at))
	}
	user, id := st.member.User, st.member.Socket
	h.sinces.do(func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, within)
		defer cancel()
		parts, err := h.options.Replays.Fetch(ctx, spans, []uint64{s.room.Hash()}, len(at))
		f := &feed{then: then}
		var bytes int64
		if err == nil {
			replay := recovery.NewReplay(from, at, []string{string(s.room)}, user, id, parts)
			for record, _ := replay.Next(); record != nil; record, _ = replay.Next() {
				bytes += int64(proto.Size(record))
				f.items = append(f.items, given{Given: hub.Given{Partition: replay.Partition(), Record: record}})
			}
		}
		st.post(func() {
			if err == nil && h.feeding.Load()+bytes > sinceBytes {
				err = errTooMuch
			}
			if err != nil {
				h.options.Logger.Debug("room not replayed", "error", err)
				s.incomplete = true
				then()
				return
			}
			h.feeding.Add(bytes)
			s.bytes += bytes
			s.at, s.count = at, s.count+len(f.items)
			f.cut = func() { s.incomplete = true }
			st.feed(f)
		})
	})
}

// sinceJoin joins the room at one position, live events held if the replay goes on up to there.
func (st *session) sinceJoin(s *since) {
	if s.in {
		st.sinceEnd(s, []joined{s.outcome}, nil)
		return
	}
	request := hub.Request{Grants: []hub.Grant{{Room: s.room, Permissions: s.outcome.permissions}}, Asked: s.asked, Hold: !s.incomplete}
	st.handler.options.Hub.Join(&st.member, request, func(out hub.Outcome) {
		if st.state != connected {
			return
		}
		if !st.member.Held() {
			st.sinceJoined(s, out)
			return
		}
		st.some().held = out.Cursor
		spans := recovery.Spans(s.at, out.At)
		if len(spans) == 0 || slices.Contains(out.Denied, s.room) {
			st.sinceJoined(s, out)
			return
		}
		st.sinceFetch(s, spans, out.At, restTimeout, func() { st.sinceJoined(s, out) })
	})
}

// sinceJoined is the end of the join, as of any other.
func (st *session) sinceJoined(s *since, out hub.Outcome) {
	st.asked(s.joining, []joined{s.outcome}, out, func(outcomes []joined, cursor []byte) { st.sinceEnd(s, outcomes, cursor) })
}

// sinceEnd acks, lets live events follow, and begins with the next.
func (st *session) sinceEnd(s *since, outcomes []joined, cursor []byte) {
	if st.state != connected { // its end has let go of everything
		return
	}
	st.handler.feeding.Add(-s.bytes)
	st.rare.sinces = st.rare.sinces[1:]
	var next *since // before anything that waited for the end of the hold begins another
	if len(st.rare.sinces) > 0 {
		next = st.rare.sinces[0]
	}
	if cursor != nil {
		st.socket.Send(hub.Note("session:cursor", nil, st.handler.options.Now().UnixMilli(), cursor))
	}
	var replayed *int
	if !s.incomplete {
		replayed = &s.count
	}
	s.answer(outcomes[0], replayed)
	st.busy--
	st.release()
	if st.state == connected && next != nil {
		st.beginSince(next)
	}
	st.tidy()
	st.answered()
}
