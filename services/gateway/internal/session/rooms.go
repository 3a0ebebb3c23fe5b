package session

import (
	"context"
	"encoding/json"
	"errors"
	"slices"

	"github.com/edumatrix/interlink/services/gateway/internal/hub"
	"github.com/edumatrix/interlink/services/internal/permission"
	"github.com/edumatrix/interlink/services/internal/room"
)

// joining is a join under way. It belongs to the shard.
type joining struct {
	rooms []room.Room // those that the client has not left again
}

// joined is what became of one room.
type joined struct {
	room        room.Room
	permissions permission.Set
	fault       *fault
}

// answer is a room of an ack.
type answer struct {
	OK          bool      `json:"ok"`
	Room        room.Room `json:"room"`
	Permissions []string  `json:"permissions,omitempty"`
	Replayed    *int      `json:"replayed"`
	Error       *fault    `json:"error,omitempty"`
}

// request is the argument of room:join and room:leave: a name, names, or an object with a name.
type request struct {
	rooms []room.Room
	list  bool
	since int64 // epoch milliseconds, 0: not asked for
}

func (r *request) parse(arg json.RawMessage, most int) *fault {
	var names []string
	switch {
	case len(arg) == 0:
		return &fault{Code: badRequest, Message: "Name a room"}
	case arg[0] == '"':
		names = make([]string, 1)
		if json.Unmarshal(arg, &names[0]) != nil {
			return &fault{Code: badRequest, Message: "A room is a string"}
		}
	case arg[0] == '[':
		r.list = true
		if json.Unmarshal(arg, &names) != nil {
			return &fault{Code: badRequest, Message: "A list of rooms is a list of strings"}
		}
	default:
		var object struct {
			Room  string      `json:"room"`
			Since json.Number `json:"since"`
		}
		if json.Unmarshal(arg, &object) != nil {
			return &fault{Code: badRequest, Message: "An object names one room"}
		}
		names = []string{object.Room}
		if object.Since != "" {
			since, err := object.Since.Float64()
			if err != nil || since < 1 || since > 1<<53 {
				return &fault{Code: badRequest, Message: "since is a time in epoch milliseconds"}
			}
			r.since = int64(since)
		}
	}
	if len(names) == 0 || len(names) > most {
		return &fault{Code: tooLarge, Message: "Too many rooms, or none"}
	}
	for _, name := range names {
		parsed, err := room.Parse(name)
		if err != nil {
			return &fault{Code: badRequest, Message: "Not a room: " + err.Error()}
		}
		if !slices.Contains(r.rooms, parsed) {
			r.rooms = append(r.rooms, parsed)
		}
	}
	return nil
}

// reserved is the type of rooms that only the gateway joins.
const reserved = "presence"

func join(st *session, _ string, arg json.RawMessage, a acker) {
	var r request
	if f := r.parse(arg, st.handler.options.RoomsPerSocket); f != nil {
		a.refuse(*f)
		return
	}
	if r.since != 0 {
		joinSince(st, &r, a)
		return
	}
	outcomes := make(map[room.Room]joined, len(r.rooms))
	var ask []room.Room
	for _, name := range r.rooms {
		set, in := st.member.Permissions(name)
		if in {
			outcomes[name] = joined{room: name, permissions: set}
		} else if f := st.joinable(name, len(ask)); f != nil {
			outcomes[name] = joined{room: name, fault: f}
		} else {
			ask = append(ask, name)
		}
	}
	finish := func(asked []joined, cursor []byte) {
		st.settled(func() { // the cursor is of a position behind what is kept back
			for _, o := range asked {
				outcomes[o.room] = o
			}
			if cursor != nil { // of a later position, perhaps: events have been sent since
				st.socket.Send(hub.Note("session:cursor", nil, st.handler.options.Now().UnixMilli(), st.member.Cursor()))
			}
			r.answer(outcomes, a)
		})
	}
	if len(ask) == 0 {
		finish(nil, nil)
		return
	}
	st.ask(ask, finish)
}

// answer acks a join.
func (r *request) answer(outcomes map[room.Room]joined, a acker) {
	answers := make([]answer, len(r.rooms))
	var failed *fault
	for i, name := range r.rooms {
		o := outcomes[name]
		answers[i] = answer{OK: o.fault == nil, Room: name, Error: o.fault}
		if o.fault != nil {
			failed = o.fault
			continue
		}
		answers[i].Permissions, answers[i].Replayed = o.permissions.Names(), new(int)
	}
	switch {
	case r.list:
		a.ok(struct {
			OK    bool     `json:"ok"`
			Rooms []answer `json:"rooms"`
			Error *fault   `json:"error,omitempty"`
		}{failed == nil, answers, failed})
	case failed != nil:
		a.refuse(*failed)
	default:
		a.ok(answers[0])
	}
}

// ask joins rooms that the authorizer admits to. done runs on the shard when that has taken effect; cursor is nil if
// nothing was joined.
func (st *session) ask(rooms []room.Room, done func(outcomes []joined, cursor []byte)) {
	h, principal := st.handler, st.principal()
	j := &joining{rooms: slices.Clone(rooms)}
	st.some().joining = append(st.rare.joining, j)
	h.pool.do(func(ctx context.Context) {
		asked := h.options.Hub.Changes()
		sets, err := h.options.Authorizer.Permissions(ctx, principal, rooms)
		if err != nil {
			h.options.Logger.Debug("permissions in doubt", "error", err)
		}
		outcomes := make([]joined, 0, len(rooms))
		var grants []hub.Grant
		for _, r := range rooms {
			set, decided := sets[r]
			switch {
			case !decided:
				outcomes = append(outcomes, joined{room: r, fault: &away})
			case !set.Has(permission.Join):
				outcomes = append(outcomes, joined{room: r, fault: &fault{Code: forbidden, Message: "Not admitted"}})
			default:
				outcomes = append(outcomes, joined{room: r, permissions: set})
				grants = append(grants, hub.Grant{Room: r, Permissions: set})
			}
		}
		if len(grants) == 0 {
			st.post(func() { st.asked(j, outcomes, hub.Outcome{}, done) })
			return
		}
		h.options.Hub.Join(&st.member, hub.Request{Grants: grants, Asked: asked}, func(out hub.Outcome) {
			if st.state == connected {
				st.asked(j, outcomes, out, done)
			}
		})
	})
}

// asked is the end of ask, on the shard: once the session's record has what was joined, or cursors are of an era that
// says that it may not. The cursor that done gets is of the position at which the session is held, if it is.
func (st *session) asked(j *joining, outcomes []joined, out hub.Outcome, done func([]joined, []byte)) {
	if out.Err != nil || out.Cursor == nil {
		st.answer(j, outcomes, out, nil, done)
		return
	}
	var held *hub.Outcome
	if st.member.Held() && out.At != nil {
		held = &out
	}
	st.whenRecorded(func(era uint64) {
		st.citing(era, held, func(cursor []byte) { st.answer(j, outcomes, out, cursor, done) })
	})
}

// answer says what became of each room of a join.
func (st *session) answer(j *joining, outcomes []joined, out hub.Outcome, cursor []byte, done func([]joined, []byte)) {
	if st.rare != nil {
		st.rare.joining = slices.DeleteFunc(st.rare.joining, func(other *joining) bool { return other == j })
		st.tidy()
	}
	left := false
	for i := range outcomes {
		o := &outcomes[i]
		switch {
		case o.fault != nil:
		case errors.Is(out.Err, hub.ErrRevoked):
			o.fault = &fault{Code: unauthenticated, Message: "Authentication was revoked"}
		case out.Err != nil:
			o.fault = &away
		case slices.Contains(out.Denied, o.room):
			o.fault = &fault{Code: forbidden, Message: "Not admitted"}
		case !slices.Contains(j.rooms, o.room):
			st.handler.options.Hub.Leave(&st.member, o.room)
			left = true
			o.fault = &fault{Code: notJoined, Message: "Left before it was joined"}
		}
	}
	done(outcomes, cursor)
	if left {
		st.noteRooms()
	}
	st.answered()
}

func leave(st *session, _ string, arg json.RawMessage, a acker) {
	var r request
	if f := r.parse(arg, st.handler.options.RoomsPerSocket); f != nil {
		a.refuse(*f)
		return
	}
	outcomes := make(map[room.Room]joined, len(r.rooms))
	for _, name := range r.rooms {
		outcomes[name] = joined{room: name, fault: st.leave(name)}
	}
	type left struct {
		OK    bool      `json:"ok"`
		Room  room.Room `json:"room"`
		Error *fault    `json:"error,omitempty"`
	}
	var answers []left
	var failed *fault
	for _, name := range r.rooms {
		f := outcomes[name].fault
		answers = append(answers, left{OK: f == nil, Room: name, Error: f})
		if f != nil {
			failed = f
		}
	}
	switch {
	case r.list:
		a.ok(struct {
			OK    bool   `json:"ok"`
			Rooms []left `json:"rooms"`
			Error *fault `json:"error,omitempty"`
		}{failed == nil, answers, failed})
	case failed != nil:
		a.refuse(*failed)
	default:
		a.ok(answers[0])
	}
}

func (st *session) leave(r room.Room) *fault {
	if r == room.OfUser(st.member.User) {
		return &fault{Code: forbidden, Message: "A user's own room is not left"}
	}
	for _, j := range st.joining() {
		if i := slices.Index(j.rooms, r); i >= 0 {
			j.rooms = slices.Delete(j.rooms, i, i+1)
			return nil
		}
	}
	if _, in := st.member.Permissions(r); !in {
		return &fault{Code: notJoined, Message: "Not in this room"}
	}
	st.stopTyping(r)
	st.handler.options.Hub.Leave(&st.member, r)
	st.noteRooms()
	return nil
}
