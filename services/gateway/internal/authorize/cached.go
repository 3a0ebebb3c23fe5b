package authorize

import (
	"context"
	"time"

	"github.com/edumatrix/interlink/services/internal/auth"
	"github.com/edumatrix/interlink/services/internal/permission"
	"github.com/edumatrix/interlink/services/internal/room"
)

// Known is Permissions without asking anybody: what the user's own rooms, his grants and the caches say. Rooms of which
// they say nothing are absent. It blocks for at most CacheTimeout.
func (a *Authorizer) Known(ctx context.Context, p auth.Principal, rooms []room.Room) map[room.Room]permission.Set {
	out := make(map[room.Room]permission.Set, len(rooms))
	var open []room.Room
	for _, r := range rooms {
		if set, ok := a.decide(p, r); ok {
			out[r] = set
		} else if set, ok := a.remembered(p.User, r); ok {
			out[r] = set
		} else {
			open = append(open, r)
		}
	}
	if len(open) == 0 || a.opts.Cache == nil || !a.shared.allow(time.Now()) {
		return out
	}
	ctx, cancel := context.WithTimeout(ctx, a.opts.CacheTimeout)
	defer cancel()
	found, err := a.opts.Cache.Get(ctx, p.User, open)
	a.noteShared(err)
	for r, set := range found {
		out[r] = set
	}
	return out
}

func (a *Authorizer) remembered(user string, r room.Room) (permission.Set, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.known.Get(key{user, r}, time.Now())
}
