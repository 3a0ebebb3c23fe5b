package authorize

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/edumatrix/interlink/services/internal/auth"
	"github.com/edumatrix/interlink/services/internal/permission"
	"github.com/edumatrix/interlink/services/internal/room"
)

const (
	maxListed  = 1000 // rooms of one user
	noListHold = time.Minute
)

// list is a question for all rooms of a user.
type list struct {
	forgotten map[room.Room]bool // guarded by Authorizer.mu: membership changed while it was under way
}

// Rooms returns the rooms to join at connect, in order of their names, at most 1,000; none if there is no authorizer or
// it gives no lists (400, 404, 405 or an answer without rooms, remembered for a minute). Their permissions are remembered, so that Permissions
// need not ask again. An error is doubt. It blocks while Next.js is asked.
func (a *Authorizer) Rooms(ctx context.Context, p auth.Principal) ([]room.Room, error) {
	if len(a.lists) > 0 {
		return a.listByRoutes(ctx, p)
	}
	a.mu.Lock()
	silent := a.url == nil || time.Now().Before(a.noListTil)
	a.mu.Unlock()
	if silent || p.User == "" {
		return nil, nil
	}
	done := a.asks.DoChan(p.User, func() (any, error) { return a.askList(context.WithoutCancel(ctx), p) })
	select {
	case r := <-done:
		rooms, _ := r.Val.([]room.Room)
		return slices.Clone(rooms), r.Err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (a *Authorizer) askList(ctx context.Context, p auth.Principal) ([]room.Room, error) {
	ctx, cancel := context.WithTimeout(ctx, a.opts.Timeout)
	defer cancel()
	select {
	case a.slots <- struct{}{}:
		defer func() { <-a.slots }()
	case <-ctx.Done():
		return nil, errTooMany
	}
	l, done := a.beginList(p.User)
	defer done()
	status, body, err := a.url.post(ctx, question{User: p.User, List: true, Claims: p.Claims})
	if err != nil {
		return nil, err
	}
	switch status {
	case http.StatusOK:
	case http.StatusForbidden:
		return nil, nil
	case http.StatusBadRequest, http.StatusNotFound, http.StatusMethodNotAllowed:
		a.holdLists()
		return nil, nil
	default:
		return nil, fmt.Errorf("ask the authorizer for a list: status %d", status)
	}
	rooms, given, err := readList(body)
	if err != nil {
		return nil, err
	}
	if given == nil {
		a.holdLists()
		return nil, nil
	}
	names := slices.Sorted(maps.Keys(rooms))
	names = names[:min(len(names), maxListed)]
	a.keepList(p.User, names, rooms, l)
	return names, nil
}

// beginList lets membership changes be noted while a list is under way.
func (a *Authorizer) beginList(user string) (l *list, done func()) {
	l = &list{forgotten: map[room.Room]bool{}}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.listing[user] == nil {
		a.listing[user] = map[*list]bool{}
	}
	a.listing[user][l] = true
	return l, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		if delete(a.listing[user], l); len(a.listing[user]) == 0 {
			delete(a.listing, user)
		}
	}
}

// holdLists notes that the authorizer does not give lists.
func (a *Authorizer) holdLists() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.noListTil = time.Now().Add(noListHold)
}

// readList reads `{rooms: {"conversation:1": ["join",…]}}`: the rooms that the user may join. An answer without rooms
// is that of an authorizer that does not know the question; given is nil then.
func readList(body []byte) (rooms map[room.Room]permission.Set, given map[string][]string, err error) {
	var a struct {
		Rooms map[string][]string `json:"rooms"`
	}
	if err := json.Unmarshal(body, &a); err != nil {
		return nil, nil, errors.New("ask the authorizer for a list: the answer is not {rooms}")
	}
	rooms = make(map[room.Room]permission.Set, len(a.Rooms))
	for name, permissions := range a.Rooms {
		r, err := room.Parse(name)
		if err != nil || r.Type() == "user" || reserved(r) {
			continue
		}
		if set := permission.Parse(permissions); set.Has(permission.Join) {
			rooms[r] = set
		}
	}
	return rooms, a.Rooms, nil
}

// keepList remembers what a list says, but of rooms that changed under way.
func (a *Authorizer) keepList(user string, names []room.Room, rooms map[room.Room]permission.Set, l *list) {
	ends := time.Now().Add(a.opts.PositiveTTL)
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, r := range names {
		if !l.forgotten[r] {
			a.known.Put(key{user, r}, rooms[r], ends)
		}
	}
}
