package authorize

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/edumatrix/interlink/services/internal/auth"
	"github.com/edumatrix/interlink/services/internal/permission"
	"github.com/edumatrix/interlink/services/internal/room"
)

var (
	errTooMany = errors.New("too many questions are waiting")
	errLeft    = errors.New("who asked has left")
)

// flight is one question for a user and a room.
type flight struct {
	key    key
	cookie string        // the asking principal's
	done   chan struct{} // closed once outcome is set

	// Guarded by Authorizer.mu until done is closed, then only forgotten is.
	outcome   outcome
	forgotten bool // Forget came after the start: the outcome counts for nobody
	settled   bool
}

// outcome of a flight: a permission, or err which is doubt.
type outcome struct {
	set   permission.Set
	err   error
	again bool // the leader gave up; whoever still wants to know starts anew
	// personal is an answer about the asking cookie, not about user and room (401): no other cookie goes by it.
	personal bool
}

func forget(list []*flight) {
	for _, f := range list {
		f.forgotten = true
	}
}

// round decides what it can of the open rooms into out, notes doubt, and returns the rooms to start again with.
func (a *Authorizer) round(ctx context.Context, p auth.Principal, open []room.Room, out map[room.Room]permission.Set, doubt *DoubtError) (again []room.Room) {
	var lead, all []*flight
	now := time.Now()
	a.mu.Lock()
	for _, r := range open {
		k := key{p.User, r}
		if set, ok := a.known.Get(k, now); ok {
			out[r] = set
			continue
		}
		f, first := a.join(k, p)
		if f == nil {
			doubt.Rooms, doubt.Err = append(doubt.Rooms, r), errTooMany
			continue
		}
		if first {
			lead = append(lead, f)
		}
		all = append(all, f)
	}
	a.mu.Unlock()

	a.lead(ctx, p, lead)
	for _, f := range all {
		select {
		case <-f.done:
		case <-ctx.Done():
			doubt.Rooms, doubt.Err = append(doubt.Rooms, f.key.room), ctx.Err()
			continue
		}
		a.mu.Lock()
		o, stale := f.outcome, f.forgotten
		a.mu.Unlock()
		switch {
		case ctx.Err() != nil && (stale || o.again):
			doubt.Rooms, doubt.Err = append(doubt.Rooms, f.key.room), ctx.Err()
		case stale || o.again || o.personal && f.cookie != p.Cookie:
			again = append(again, f.key.room)
		case o.err != nil:
			doubt.Rooms, doubt.Err = append(doubt.Rooms, f.key.room), o.err
		default:
			out[f.key.room] = o.set
		}
	}
	return again
}

// join returns the flight under way for k, or a new one which the caller must lead, or nil if there are too many.
// The caller holds mu.
func (a *Authorizer) join(k key, p auth.Principal) (f *flight, first bool) {
	list := a.flights[k]
	if n := len(list); n > 0 && !list[n-1].settled && !list[n-1].forgotten {
		return list[n-1], false
	}
	if a.underway >= maxQuestions {
		return nil, false
	}
	f = &flight{key: k, cookie: p.Cookie, done: make(chan struct{})}
	a.flights[k] = append(list, f)
	a.underway++
	return f, true
}

// settle makes the outcome known and, if ttl is not zero, remembers it.
func (a *Authorizer) settle(f *flight, o outcome, ttl time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f.outcome, f.settled = o, true
	if ttl > 0 && !f.forgotten {
		a.known.Put(f.key, o.set, time.Now().Add(ttl))
	}
	close(f.done)
}

// land ends a flight that is settled. Reports whether it was forgotten.
func (a *Authorizer) land(f *flight) (forgotten bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := slices.DeleteFunc(a.flights[f.key], func(o *flight) bool { return o == f })
	if a.flights[f.key] = list; len(list) == 0 {
		delete(a.flights, f.key)
	}
	a.underway--
	return f.forgotten
}

// lead decides flights of one user: the shared cache in one question, then the askers, some at a time. Returns when all
// are settled and written.
func (a *Authorizer) lead(ctx context.Context, p auth.Principal, flights []*flight) {
	if len(flights) == 0 {
		return
	}
	rooms := make([]room.Room, len(flights))
	for i, f := range flights {
		rooms[i] = f.key.room
	}
	cached := a.askShared(ctx, p.User, rooms).Sets
	var rest []*flight
	for _, f := range flights {
		if set, ok := cached[f.key.room]; ok {
			a.settle(f, outcome{set: set}, a.localTTL(set))
			a.land(f)
		} else {
			rest = append(rest, f)
		}
	}
	work := make(chan *flight, len(rest))
	for _, f := range rest {
		work <- f
	}
	close(work)
	var wg sync.WaitGroup
	for range min(len(rest), a.opts.MaxAsksUser) - 1 {
		wg.Go(func() { a.fly(ctx, p, work) })
	}
	a.fly(ctx, p, work)
	wg.Wait()
}

func (a *Authorizer) localTTL(set permission.Set) time.Duration {
	return min(sharedTTL, a.defaultTTL(set))
}

func (a *Authorizer) defaultTTL(set permission.Set) time.Duration {
	if set.Has(permission.Join) {
		return a.opts.PositiveTTL
	}
	return a.opts.NegativeTTL
}

// fly asks for one flight after the other.
func (a *Authorizer) fly(ctx context.Context, p auth.Principal, work <-chan *flight) {
	for f := range work {
		answer, err := a.question(ctx, p, f.key.room)
		o := outcome{set: answer.set, err: err, again: errors.Is(err, errLeft), personal: answer.personal}
		ttl := answer.ttl
		switch {
		case err != nil || answer.personal:
			ttl = 0
		case !answer.hasTTL:
			ttl = a.defaultTTL(answer.set)
		}
		a.settle(f, o, ttl)
		a.toShared(ctx, f, ttl)
	}
}

// question asks the room's asker once there is a free slot of the user's and of all.
func (a *Authorizer) question(ctx context.Context, p auth.Principal, r room.Room) (answer, error) {
	wait, cancel := context.WithTimeout(ctx, 2*a.opts.Timeout)
	defer cancel()
	mine := a.userSlots(p.User)
	defer a.leaveSlots(p.User, mine)
	for _, slots := range []chan struct{}{mine.slots, a.slots} {
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
		case <-wait.Done():
			if ctx.Err() != nil {
				return answer{}, errLeft
			}
			return answer{}, errTooMany
		}
	}
	if ctx.Err() != nil {
		return answer{}, errLeft
	}
	asking, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.opts.Timeout)
	defer cancel()
	return a.askerOf(r).ask(asking, p, r)
}

// userSlots bounds the questions of one user, so that he can't take all slots with rooms that are slow to ask for.
type userSlots struct {
	slots chan struct{}
	refs  int // guarded by Authorizer.mu
}

func (a *Authorizer) userSlots(user string) *userSlots {
	a.mu.Lock()
	defer a.mu.Unlock()
	u := a.users[user]
	if u == nil {
		u = &userSlots{slots: make(chan struct{}, a.opts.MaxAsksUser)}
		a.users[user] = u
	}
	u.refs++
	return u
}

func (a *Authorizer) leaveSlots(user string, u *userSlots) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if u.refs--; u.refs == 0 {
		delete(a.users, user)
	}
}

// askShared asks the shared cache for all rooms at once. Whatever goes wrong, the cache knows nothing.
func (a *Authorizer) askShared(ctx context.Context, user string, rooms []room.Room) Cached {
	if len(rooms) == 0 || a.opts.Cache == nil || !a.shared.allow(time.Now()) {
		return Cached{}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.opts.CacheTimeout)
	defer cancel()
	found, err := a.opts.Cache.Get(ctx, user, rooms)
	a.noteShared(err)
	if err != nil {
		return Cached{}
	}
	return found
}

// toShared writes a settled answer to the shared cache and lands the flight. A Forget that overtakes the write drops
// it again.
func (a *Authorizer) toShared(ctx context.Context, f *flight, ttl time.Duration) {
	a.mu.Lock()
	write := ttl > 0 && !f.forgotten && a.opts.Cache != nil
	a.mu.Unlock()
	if !write || !a.shared.allow(time.Now()) {
		a.land(f)
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.opts.CacheTimeout)
	defer cancel()
	err := a.opts.Cache.Put(ctx, f.key.user, f.key.room, f.outcome.set, ttl)
	a.noteShared(err)
	if a.land(f) {
		err := a.Drop(context.WithoutCancel(ctx), f.key.room, []string{f.key.user})
		a.noteShared(err)
	}
}

// noteShared logs when the shared cache goes and comes.
func (a *Authorizer) noteShared(err error) {
	switch a.shared.report(time.Now(), err == nil) {
	case opened:
		a.opts.Logger.Warn("permission cache unreachable, going on without", "error", fmt.Sprint(err))
	case closed:
		a.opts.Logger.Info("permission cache reachable again")
	}
}
