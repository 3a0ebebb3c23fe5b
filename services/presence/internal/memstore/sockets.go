package memstore

import (
	"container/heap"
	"context"
	"time"

	"github.com/edumatrix/interlink/services/presence/internal/store"
)

// Sync applies changes of a gateway's sockets; see redisstore.
func (s *Store) Sync(ctx context.Context, l store.Life, full bool, changes []store.Change) (store.Synced, error) {
	now, leave, err := s.enter(ctx)
	if err != nil {
		return store.Synced{}, err
	}
	defer leave()
	held := s.leases[l]
	if held == nil || !held.ends.After(now) || (!held.synced && !full) {
		return store.Synced{Forgotten: true}, nil
	}
	own := s.lives[l]
	if own == nil {
		own = &life{sockets: map[owned]bool{}}
		s.lives[l] = own
	}
	own.due = time.Time{}
	var out store.Synced
	named := map[owned]bool{}
	for _, c := range changes {
		o := owned{c.User, c.Socket}
		switch c.Kind {
		case store.Online:
			named[o] = true
			s.arrive(l, own, o, now, &out)
		case store.Lost:
			s.lose(l, own, o, now, &out)
		default:
			s.leave(l, own, o, now, &out)
		}
	}
	if full {
		for o := range own.sockets {
			if !named[o] {
				s.lose(l, own, o, now, &out)
			}
		}
		held.synced = true
	}
	if len(own.sockets) == 0 {
		delete(s.lives, l)
	}
	return out, nil
}

func (s *Store) user(name string) *user {
	u := s.users[name]
	if u == nil {
		u = &user{sockets: map[key]time.Time{}}
		s.users[name] = u
	}
	return u
}

func (s *Store) arrive(l store.Life, own *life, o owned, now time.Time, out *store.Synced) {
	u := s.user(o.user)
	u.sockets[key{l, o.socket}] = time.Time{}
	own.sockets[o] = true
	if u.on {
		return
	}
	u.on, u.seen, u.status, u.forget = true, now, store.StatusOnline, time.Time{}
	if u.want != "" && now.Sub(u.wantAt) <= store.StatusWait {
		u.status = u.want
	}
	u.want = ""
	s.online++
	out.Transitions = append(out.Transitions, u.transition(o.user, now))
}

func (s *Store) lose(l store.Life, own *life, o owned, now time.Time, out *store.Synced) {
	u := s.users[o.user]
	if u == nil {
		return
	}
	if until, ok := u.sockets[key{l, o.socket}]; !ok || !until.IsZero() {
		return
	}
	u.sockets[key{l, o.socket}] = now.Add(s.settings.Grace)
	u.seen = now
	heap.Push(&s.due, deadline{now.Add(s.settings.Grace), o.user})
	delete(own.sockets, o)
	out.Typing = append(out.Typing, s.typingAt(o, now)...)
}

// leave removes the life's own socket, and what the same socket has left behind, already lost, at other gateways.
func (s *Store) leave(l store.Life, own *life, o owned, now time.Time, out *store.Synced) {
	u := s.users[o.user]
	if u == nil {
		return
	}
	delete(u.sockets, key{l, o.socket})
	delete(own.sockets, o)
	for k, until := range u.sockets {
		if k.socket == o.socket && !until.IsZero() {
			delete(u.sockets, k)
		}
	}
	out.Typing = append(out.Typing, s.typingAt(o, now)...)
	out.Transitions = append(out.Transitions, s.settle(o.user, u, now, now)...)
}

// settle makes a user offline who has no socket any more.
func (s *Store) settle(name string, u *user, now, seen time.Time) []store.Transition {
	if !u.on || len(u.sockets) > 0 {
		return nil
	}
	u.on, u.seen, u.forget = false, seen, now.Add(s.settings.SeenTTL)
	heap.Push(&s.due, deadline{u.forget, name})
	s.online--
	return []store.Transition{u.transition(name, now)}
}

func (u *user) transition(name string, now time.Time) store.Transition {
	st := u.state()
	return store.Transition{User: name, Online: st.Online, Sockets: st.Sockets, Status: st.Status, Seen: st.Seen, At: now}
}

func (u *user) state() store.State {
	st := store.State{Online: u.on, Status: store.StatusOffline, Seen: u.seen}
	if u.on {
		st.Status = u.status
	}
	for _, until := range u.sockets {
		if until.IsZero() {
			st.Sockets++
		}
	}
	return st
}

// Query reads the state of users, every one asked for.
func (s *Store) Query(ctx context.Context, users []string) (map[string]store.State, error) {
	now, leave, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	out := make(map[string]store.State, len(users))
	for _, name := range users {
		u := s.users[name]
		if u == nil || (!u.forget.IsZero() && !u.forget.After(now)) {
			out[name] = store.State{Status: store.StatusOffline}
			continue
		}
		out[name] = u.state()
	}
	return out, nil
}

// SetStatus sets a user's own status text; see redisstore.
func (s *Store) SetStatus(ctx context.Context, name, status string) ([]store.Transition, error) {
	now, leave, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	u := s.user(name)
	switch {
	case !u.on:
		u.want, u.wantAt = status, now
		if u.forget.IsZero() {
			u.forget = now.Add(store.StatusWait)
			heap.Push(&s.due, deadline{u.forget, name})
		}
		return nil, nil
	case u.status == status:
		return nil, nil
	}
	u.status = status
	return []store.Transition{u.transition(name, now)}, nil
}

// Tick takes what is over; see redisstore. There is one shard.
func (s *Store) Tick(ctx context.Context, alive []store.Life, limit int) (store.Tick, error) {
	now, leave, err := s.enter(ctx)
	if err != nil {
		return store.Tick{}, err
	}
	defer leave()
	living := map[store.Life]bool{}
	for _, l := range alive {
		living[l] = true
	}
	out := s.expire(now, limit)
	for l, own := range s.lives {
		switch {
		case living[l]:
			own.due = time.Time{}
		case own.due.IsZero():
			own.due = now.Add(s.settings.Grace)
		case !own.due.After(now):
			out.Dead = append(out.Dead, store.Dead{Life: l})
		}
	}
	out.Users = s.online
	return out, nil
}

// expire removes lost sockets whose grace is over and entries that nobody needs.
func (s *Store) expire(now time.Time, limit int) store.Tick {
	var out store.Tick
	for len(s.due) > 0 && !s.due[0].at.After(now) {
		if out.Expired >= limit {
			out.More = true
			break
		}
		name := heap.Pop(&s.due).(deadline).user
		u := s.users[name]
		switch {
		case u == nil:
			continue
		case !u.on && !u.forget.IsZero() && !u.forget.After(now):
			delete(s.users, name)
			continue
		}
		for k, until := range u.sockets {
			if !until.IsZero() && !until.After(now) {
				delete(u.sockets, k)
				out.Expired++
			}
		}
		out.Transitions = append(out.Transitions, s.settle(name, u, now, u.seen)...)
	}
	for k, b := range s.bases {
		if !b.ends.After(now) {
			delete(s.bases, k)
		}
	}
	for k, r := range s.sessions {
		if !r.ends.After(now) {
			delete(s.sessions, k)
		}
	}
	for k, p := range s.permissions {
		if !p.ends.After(now) {
			delete(s.permissions, k)
		}
	}
	for k, r := range s.removals {
		if !r.ends.After(now) {
			delete(s.removals, k)
		}
	}
	return out
}

// Sweep removes up to limit sockets of an ended life; see redisstore.
func (s *Store) Sweep(ctx context.Context, dead store.Dead, limit int) (store.Swept, error) {
	now, leave, err := s.enter(ctx)
	if err != nil {
		return store.Swept{}, err
	}
	defer leave()
	own := s.lives[dead.Life]
	if own == nil || own.due.IsZero() || own.due.After(now) {
		return store.Swept{}, nil
	}
	var out store.Swept
	for o := range own.sockets {
		if out.Sockets == limit {
			break
		}
		delete(own.sockets, o)
		out.Sockets++
		if u := s.users[o.user]; u != nil {
			delete(u.sockets, key{dead.Life, o.socket})
			out.Transitions = append(out.Transitions, s.settle(o.user, u, now, own.due.Add(-s.settings.Grace))...)
		}
	}
	out.Left = len(own.sockets)
	if out.Left == 0 {
		delete(s.lives, dead.Life)
	}
	return out, nil
}

// deadline is a moment at which a user is looked at; deadlines is a heap of them, the next one first.
type (
	deadline struct {
		at   time.Time
		user string
	}
	deadlines []deadline
)

func (d deadlines) Len() int           { return len(d) }
func (d deadlines) Less(i, j int) bool { return d[i].at.Before(d[j].at) }
func (d deadlines) Swap(i, j int)      { d[i], d[j] = d[j], d[i] }

// Push implements heap.Interface.
func (d *deadlines) Push(x any) { *d = append(*d, x.(deadline)) }

// Pop implements heap.Interface.
func (d *deadlines) Pop() any {
	last := len(*d) - 1
	x := (*d)[last]
	*d = (*d)[:last]
	return x
}
