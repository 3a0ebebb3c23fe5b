package session

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	deliveryv1 "github.com/edumatrix/interlink/proto/delivery/v1"
	"github.com/edumatrix/interlink/services/gateway/internal/engine"
	"github.com/edumatrix/interlink/services/gateway/internal/hub"
	"github.com/edumatrix/interlink/services/gateway/internal/recovery"
	"github.com/edumatrix/interlink/services/gateway/internal/resume"
	"github.com/edumatrix/interlink/services/gateway/internal/socket"
	"github.com/edumatrix/interlink/services/internal/auth"
	"github.com/edumatrix/interlink/services/internal/permission"
	"github.com/edumatrix/interlink/services/internal/room"
)

const (
	replayBytes    = 256 << 20 // of replays that are read and not given yet, over all sessions
	replayAgain    = 20 * time.Millisecond
	feedEvery      = 10 * time.Millisecond // while a socket's queue is half full
	rechecksAtOnce = 16
	recheckFirst   = 5 * time.Second // until rooms in doubt are asked about again, at random up to twice
	recheckLast    = time.Minute
)

// replay reads the whole of what the client has missed, and encodes it. It waits while too much is being given to
// others.
func (a *attempt) replay(ctx context.Context, p auth.Principal, r *resuming) ([]*engine.Frame, error) {
	h := a.session.handler
	ctx, cancel := context.WithDeadline(ctx, a.until)
	defer cancel()
	var hashes []uint64
	var names []string
	for _, g := range r.grants {
		if !g.Internal && !slices.Contains(r.out.Denied, g.Room) {
			hashes, names = append(hashes, g.Room.Hash()), append(names, string(g.Room))
		}
	}
	parts, err := h.options.Replays.Fetch(ctx, recovery.Spans(r.since, r.out.At), hashes, len(r.out.At))
	if err != nil {
		return nil, a.unreplayed(err)
	}
	controls := recovery.ReadControls(parts, p.User)
	if controls.Ended {
		return nil, a.not(resume.NoSession)
	}
	if err := a.reserve(ctx, r, parts); err != nil {
		return nil, err
	}
	hidden := a.hidden(ctx, p, controls)
	for _, name := range hidden { // also if it was taken out while it was lost already: nobody has told the client
		if !slices.Contains(r.lost, room.Room(name)) {
			r.lost = append(r.lost, room.Room(name))
		}
	}
	names = slices.DeleteFunc(names, func(name string) bool { return slices.Contains(hidden, name) })
	frames := h.options.Hub.Replay(recovery.NewReplay(r.since, r.out.At, names, p.User, r.record.Socket, parts), r.out)
	for _, name := range controls.Added {
		if !slices.Contains(names, name) && !slices.Contains(r.lost, room.Room(name)) {
			r.invited = append(r.invited, room.Room(name))
		}
	}
	return frames, nil
}

// hidden returns the rooms of which nothing is shown: those that the log says the user was removed from last, and those
// that he was added to again, but is not known to be admitted to now. What this gateway remembers of them may be from
// before.
func (a *attempt) hidden(ctx context.Context, p auth.Principal, c recovery.Controls) []string {
	var hidden []string
	var added []room.Room
	for _, name := range c.Removed {
		a.session.handler.options.Authorizer.Remove(room.Room(name), []string{p.User})
		if slices.Contains(c.Added, name) {
			added = append(added, room.Room(name))
		} else {
			hidden = append(hidden, name)
		}
	}
	sets := a.again(ctx, p, added)
	for _, name := range added {
		if !sets[name].Has(permission.Join) {
			hidden = append(hidden, string(name))
		}
	}
	return hidden
}

// reserve takes the memory of a replay out of what all have.
func (a *attempt) reserve(ctx context.Context, r *resuming, parts [][]*deliveryv1.Record) error {
	h := a.session.handler
	for _, records := range parts {
		for _, record := range records {
			r.bytes += int64(len(record.Data)) + recordRoom
		}
	}
	for h.feeding.Add(r.bytes) > max(replayBytes, r.bytes) {
		h.feeding.Add(-r.bytes)
		if err := pause(ctx, replayAgain); err != nil {
			r.bytes = 0
			return err
		}
	}
	return nil
}

// recordRoom is about what an event takes beside its data, in bytes.
const recordRoom = 512

// resumed is the first moment of a session here, on its shard: CONNECT with the ids it had, what it has missed,
// session:ready, what its inbox has, what was held, live.
func (st *session) resumed(a *attempt, r *resuming, frames []*engine.Frame) {
	h := st.handler
	free := func() { h.feeding.Add(-r.bytes) }
	if st.state != connecting || st.unwelcome(a) {
		free()
		return
	}
	h.options.Hub.Hide(&st.member, r.lost)
	st.pid = r.record.Session
	st.record(r.record)
	if h.records.losses() != r.losses { // it may have been lost since it was taken
		st.rare.writer.Rewrite(r.record.Era)
	}
	st.connect()
	st.socket.Accept(socket.Accepted{SID: st.member.Socket, PID: st.pid})
	h.options.Metrics.Connected("ok")
	h.options.Metrics.Resumed(string(resume.Resumed))
	h.options.Roster.Online(st.member.User, st.member.Socket)
	st.watchExpiry()
	st.noteRooms()
	st.busy++ // a move waits
	st.feedFrames(frames, free, func() {
		st.ready(resume.Resumed, true, r.out.Cursor)
		for _, name := range r.lost {
			st.evicted(name)
		}
		st.giveInbox(r.start.At, recovery.Spans(r.start.At, r.since), r.out.Cursor, st.goOn)
		for _, name := range r.invited {
			st.Invited(name)
		}
		st.recheck(r.kept, recheckFirst)
	})
}

// goOn lets what was held follow, as the socket takes it, and then live events.
func (st *session) goOn() {
	if st.state != connected {
		return
	}
	if st.room() {
		held := st.member.NextHeld(int(st.handler.options.QueueBytes / 4))
		if len(held) == 0 {
			st.busy--
			st.release()
			return
		}
		for _, f := range held {
			st.socket.Send(f)
		}
	}
	st.socket.Shard().After(feedEvery, st.goOn)
}

// room reports whether less than half of what may wait for the socket does.
func (st *session) room() bool {
	bytes, frames := st.socket.Session().Queued()
	return frames == 0 || int64(bytes) < st.handler.options.QueueBytes/2 && frames < st.handler.options.QueueEvents/2
}

// feedFrames queues a replay as the socket takes it, so that its bounds hold, and calls then; free is called once, also
// if the socket goes.
func (st *session) feedFrames(frames []*engine.Frame, free, then func()) {
	for len(frames) > 0 && st.state == connected {
		if !st.room() {
			rest := frames
			st.socket.Shard().After(feedEvery, func() { st.feedFrames(rest, free, then) })
			return
		}
		st.socket.Send(frames[0])
		frames = frames[1:]
	}
	free()
	if st.state == connected {
		then()
	}
}

// unwelcome acts on what came for a session before it was accepted.
func (st *session) unwelcome(a *attempt) bool {
	switch st.ending {
	case 0:
		return false
	case hub.Revoked:
		a.refuse(string(unauthenticated), "Authentication was revoked, sign in again")
	default:
		st.socket.CloseTransport(engine.Server)
	}
	return true
}

// recheck asks about rooms that the session is in by its record alone. A refusal evicts; doubt is asked again, ever
// more rarely.
func (st *session) recheck(rooms []room.Room, within time.Duration) {
	if len(rooms) == 0 {
		return
	}
	h, principal := st.handler, st.principal()
	h.rechecks.do(func(ctx context.Context) {
		sets, err := h.options.Authorizer.Permissions(ctx, principal, rooms)
		if err != nil {
			h.options.Logger.Debug("permissions in doubt", "error", err)
		}
		st.post(func() {
			var open []room.Room
			for _, name := range rooms {
				set, decided := sets[name]
				switch {
				case !st.member.In(name):
				case !decided:
					open = append(open, name)
				case set.Has(permission.Join):
					st.member.Regrant(name, set)
				default:
					h.options.Hub.Leave(&st.member, name)
					st.stopTyping(name)
					st.evicted(name)
				}
			}
			st.noteRooms()
			if len(open) > 0 {
				wait := within + rand.N(within)
				st.socket.Shard().After(wait, func() {
					if st.state == connected {
						st.recheck(open, min(2*within, recheckLast))
					}
				})
			}
		})
	})
}

// noteRooms has the record follow when nobody waits for it.
func (st *session) noteRooms() {
	if !st.recorded() || st.state != connected {
		return
	}
	st.compare()
	st.writeNow()
	if st.rare != nil && st.rare.writer != nil {
		st.park()
	}
}
