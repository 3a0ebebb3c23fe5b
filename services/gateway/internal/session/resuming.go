package session

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/edumatrix/interlink/services/gateway/internal/cursor"
	"github.com/edumatrix/interlink/services/gateway/internal/hub"
	"github.com/edumatrix/interlink/services/gateway/internal/recovery"
	"github.com/edumatrix/interlink/services/gateway/internal/replay"
	"github.com/edumatrix/interlink/services/gateway/internal/resume"
	"github.com/edumatrix/interlink/services/internal/auth"
	"github.com/edumatrix/interlink/services/internal/permission"
	"github.com/edumatrix/interlink/services/internal/room"
	"github.com/edumatrix/interlink/services/internal/sessionrecord"
)

const (
	resumesAtOnce   = 1024            // the others wait their turn, after their CONNECT
	storePatience   = 5 * time.Second // that a resume waits for a store that is away
	rewritePatience = 3 * time.Second // and for a gateway that has to write its record again
	lookAgain       = 200 * time.Millisecond
	freshPatience   = 3 * time.Second // to ask about rooms that the user was removed from meanwhile
)

// resuming is a session on its way to this gateway.
type resuming struct {
	record  sessionrecord.Record // as this gateway has taken it
	start   resume.Start
	since   recovery.Vector
	grants  []hub.Grant
	fresh   map[room.Room]bool // those of grants that were asked about after a removal
	asked   uint64             // Hub.Changes before that
	kept    []room.Room        // those of grants that nobody could decide about: they are asked about later
	lost    []room.Room        // the user is not admitted to them any more
	invited []room.Room        // to be asked about when the session goes on
	losses  uint64             // of the store, when the record was read
	out     hub.Outcome
	bytes   int64 // reserved for the replay
}

// errFresh means that there is a reason not to resume; it is in attempt.reason.
var errFresh = errors.New("session: not resumed")

// not says why a session is not resumed.
func (a *attempt) not(reason resume.Reason) error {
	a.reason = reason
	return errFresh
}

// resume brings the session of the client's offer here. Errors: errFresh, errRefused, or doubt. It blocks.
func (a *attempt) resume(ctx context.Context, p auth.Principal) error {
	h := a.session.handler
	r, err := a.claim(ctx, p.User)
	if err != nil {
		return err
	}
	a.taken = &r.record
	if err := h.options.Hub.Displace(ctx, p.User, r.record.Socket, nil); err != nil {
		return err
	}
	a.authorize(ctx, p, r)
	if err := a.register(ctx, p, r); err != nil {
		return err
	}
	frames, err := a.replay(ctx, p, r)
	if err != nil {
		h.feeding.Add(-r.bytes)
		return a.unregister(ctx, err)
	}
	a.session.post(func() { a.session.resumed(a, r, frames) })
	return nil
}

// claim reads and judges the session's record and takes it.
func (a *attempt) claim(ctx context.Context, user string) (*resuming, error) {
	h := a.session.handler
	if h.records == nil {
		return nil, a.not(resume.StoreUnavailable)
	}
	begun := h.options.Now()
	var owners []string // gateways that had the session, beside this one
	for {
		r, reason, wait, err := a.look(ctx, user)
		waited := h.options.Now().Sub(begun)
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case err != nil:
			if h.records.store.gone(&h.records.store.reads, waited) {
				h.options.Logger.Debug("session not resumed, the store is away", "error", err)
				return nil, a.not(resume.StoreUnavailable)
			}
		case reason == "":
			// Its life may change meanwhile: by a take of this attempt whose answer did not come in time, or by an older
			// attempt of this client, whose connection has gone. A client has one connection: who takes last has it.
			if gateway := string(r.record.Extra); r.record.Life != h.records.life && !slices.Contains(owners, gateway) {
				owners = append(owners, gateway)
			}
			done, again, err := a.take(ctx, r)
			if done {
				for _, gateway := range owners {
					if h.options.Peers != nil {
						h.options.Peers.CloseSocket(gateway, user, r.record.Socket, r.record.Version)
					}
				}
				return r, nil
			}
			if err == nil && !again && waited >= rewritePatience {
				return nil, a.not(resume.NoSession)
			}
			if err != nil && h.records.store.gone(&h.records.store.writes, waited) {
				h.options.Logger.Debug("session not resumed, the store takes no write", "error", err)
				return nil, a.not(resume.StoreUnavailable)
			}
			if err == nil && again && waited < storePatience {
				continue
			}
		case !wait || waited >= rewritePatience:
			return nil, a.not(reason)
		}
		if err := pause(ctx, lookAgain); err != nil {
			return nil, err
		}
	}
}

// look reads what the store has and judges it. wait means that the reason may yet be overcome.
func (a *attempt) look(ctx context.Context, user string) (r *resuming, reason resume.Reason, wait bool, err error) {
	h := a.session.handler
	ctx, cancel := context.WithTimeout(ctx, recordTimeout)
	defer cancel()
	c, reason, err := a.cursor(ctx)
	if err != nil || reason != "" {
		return nil, reason, reason == resume.NoBase && a.forgotten(ctx), err
	}
	losses := h.records.losses()
	record, run, err := h.records.store.Read(ctx, a.offer.Session)
	if errors.Is(err, ErrNotStored) {
		return nil, resume.NoSession, a.forgotten(ctx), nil
	}
	if err != nil {
		return nil, "", false, err
	}
	start, err := resume.ParseStart(record.Start)
	if err != nil {
		h.options.Logger.Error("session record not readable", "error", err)
		return nil, resume.NoSession, false, nil
	}
	v := resume.Judge(resume.Input{
		Arrived: a.arrived, Window: h.options.ResumeWindow, User: user, Cursor: c, Record: &record, Start: start, Run: run,
	})
	a.proof = v.Proof
	return &resuming{losses: losses, record: record, start: start, since: v.Since}, v.Reason, v.Wait, nil
}

// forgotten reports whether the store has lately lost what it knew: gateways are writing it again.
func (a *attempt) forgotten(ctx context.Context) bool {
	if a.lost == nil {
		lost := a.session.handler.options.Forgotten != nil && a.session.handler.options.Forgotten(ctx)
		a.lost = &lost
	}
	return *a.lost
}

// cursor verifies the client's cursor and completes it; nil if it has none.
func (a *attempt) cursor(ctx context.Context) (*cursor.Cursor, resume.Reason, error) {
	h := a.session.handler
	switch {
	case a.offer.Bad:
		return nil, resume.BadCursor, nil
	case a.offer.Cursor == "":
		return nil, "", nil
	}
	c, err := h.options.Hub.ReadCursor(a.offer.Cursor)
	if err != nil {
		return nil, resume.BadCursor, nil
	}
	if c.Base == 0 {
		return &c, "", nil
	}
	base, err := h.bases.get(ctx, c.Base)
	switch {
	case errors.Is(err, ErrNotStored):
		return nil, resume.NoBase, nil
	case err != nil:
		return nil, "", err
	case c.Resolve(base) != nil:
		return nil, resume.BadCursor, nil
	}
	return &c, "", nil
}

// take writes the record as this life's own. again means that it was changed by its owner since it was read; an error,
// that the store is away.
func (a *attempt) take(ctx context.Context, r *resuming) (done, again bool, err error) {
	h := a.session.handler
	era, _ := h.records.attempt()
	ctx, cancel := context.WithTimeout(ctx, recordTimeout)
	defer cancel()
	taken := r.record
	taken.Life, taken.Before, taken.Era, taken.Extra = h.records.life, sessionrecord.Lineage(&r.record, h.records.life), era, []byte(h.options.Gateway)
	stored, err := h.records.store.Write(ctx, sessionrecord.Write{
		Kind: sessionrecord.Take, Record: taken, Base: r.record.Version, Cursor: a.proof,
	}, h.records.ttl())
	if err != nil {
		return false, false, err
	}
	if stored.Outcome != sessionrecord.Written {
		return false, stored.Outcome != sessionrecord.Untrusted, nil
	}
	taken.Version, taken.Run = stored.Version, stored.Run
	r.record = taken
	return true, false, nil
}

// authorize decides about the session's rooms without waiting for Next.js: what the caches know, else what the record
// says, to be asked about later. Only about rooms that the user was removed from since the cursor he is asked now.
func (a *attempt) authorize(ctx context.Context, p auth.Principal, r *resuming) {
	h := a.session.handler
	own := room.OfUser(p.User)
	r.grants = []hub.Grant{{Room: own, Permissions: permission.All}}
	kept := make(map[room.Room]permission.Set)
	var rooms []room.Room
	for _, text := range r.record.Rooms {
		e, ok := resume.ParseEntry(text)
		switch {
		case !ok || e.Room == own:
		case e.Internal:
			r.grants = append(r.grants, hub.Grant{Room: e.Room, Internal: true})
		default:
			kept[e.Room] = e.Permissions
			rooms = append(rooms, e.Room)
		}
	}
	r.asked = h.options.Hub.Changes()
	removed, err := h.options.Hub.Removed(ctx, p.User, rooms, r.since)
	if err != nil {
		return // the attempt is over
	}
	r.fresh = make(map[room.Room]bool, len(removed))
	for _, name := range removed {
		r.fresh[name] = true
	}
	asked := a.again(ctx, p, removed)
	known := h.options.Authorizer.Known(ctx, p, slices.DeleteFunc(slices.Clone(rooms), func(name room.Room) bool { return r.fresh[name] }))
	for _, name := range rooms {
		set, decided := known[name]
		if r.fresh[name] {
			if set, decided = asked[name]; !decided {
				r.lost, r.invited = append(r.lost, name), append(r.invited, name)
				continue
			}
		}
		if !decided {
			set = kept[name]
			r.kept = append(r.kept, name)
		}
		if decided && !set.Has(permission.Join) {
			r.lost = append(r.lost, name)
			continue
		}
		r.grants = append(r.grants, hub.Grant{Room: name, Permissions: set})
	}
}

// again asks about rooms that the log says the user was removed from; those that cannot be decided are not in the answer.
func (a *attempt) again(ctx context.Context, p auth.Principal, rooms []room.Room) map[room.Room]permission.Set {
	if len(rooms) == 0 {
		return nil
	}
	h := a.session.handler
	ctx, cancel := context.WithTimeout(ctx, freshPatience)
	defer cancel()
	sets, err := h.options.Authorizer.Permissions(ctx, p, rooms)
	if err != nil {
		h.options.Logger.Debug("permissions in doubt", "error", err)
	}
	return sets
}

// register joins the rooms at one position, once this gateway has come as far as the client has. From there on live
// events are held.
func (a *attempt) register(ctx context.Context, p auth.Principal, r *resuming) error {
	st, h := a.session, a.session.handler
	outcome := make(chan hub.Outcome, 1)
	st.post(func() {
		if st.state != connecting {
			return
		}
		st.identify(p)
		h.options.Hub.Init(&st.member, int(st.shard), st, r.record.Socket, p.User, st.issued)
		h.options.Hub.Join(&st.member, hub.Request{
			Grants: r.grants, From: r.since, Fresh: r.fresh, Asked: r.asked, Epoch: r.start.Epoch, Reach: r.since, Hold: true,
		}, func(out hub.Outcome) { outcome <- out })
	})
	select {
	case r.out = <-outcome:
	case <-ctx.Done():
		return ctx.Err()
	}
	switch {
	case errors.Is(r.out.Err, hub.ErrEpoch):
		return a.not(resume.Epoch)
	case errors.Is(r.out.Err, hub.ErrRevoked):
		return errRevoked
	case r.out.Err != nil:
		return r.out.Err
	}
	r.lost, r.invited = append(r.lost, r.out.Denied...), append(r.invited, r.out.Denied...)
	return nil
}

// unregister takes the session out of its rooms again, for another attempt or a fresh start.
func (a *attempt) unregister(ctx context.Context, why error) error {
	st := a.session
	done := make(chan struct{})
	st.post(func() {
		defer close(done)
		for _, g := range st.member.Grants() {
			st.handler.options.Hub.Leave(&st.member, g.Room)
		}
		st.member.Release()
	})
	select {
	case <-done:
		return why
	case <-ctx.Done():
		return ctx.Err()
	}
}

// reason says what an error of a fetch means.
func (a *attempt) unreplayed(err error) error {
	switch {
	case errors.Is(err, replay.ErrBytes):
		return a.not(resume.Bytes)
	case errors.Is(err, replay.ErrBounds):
		return a.not(resume.Events)
	case errors.Is(err, replay.ErrWindow):
		return a.not(resume.Window)
	}
	return err
}

// pause waits.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close closes the socket of a session that goes on at another gateway, which has written the given version of its
// record, unless it has come back here since. It blocks.
func (h *Handler) Close(ctx context.Context, user, socket string, version uint64) error {
	return h.options.Hub.Displace(ctx, user, socket, func(c hub.Conn) bool {
		st, ok := c.(*session)
		return ok && st.state == connected && st.recordVersion() < version
	})
}

// StoreForgot tells that the store has lost what it knew: all records are written again. Any goroutine.
func (h *Handler) StoreForgot() {
	if h.records != nil {
		h.records.forgotten()
	}
}
