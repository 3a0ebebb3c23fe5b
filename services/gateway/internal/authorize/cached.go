package authorize

import (
	"context"
	"maps"
	"time"

	"github.com/edumatrix/interlink/services/internal/auth"
	"github.com/edumatrix/interlink/services/internal/permission"
	"github.com/edumatrix/interlink/services/internal/room"
)

// Known is Permissions without asking anybody: what the user's own rooms, his grants and the caches say. Rooms of which
// they say nothing are absent. It blocks for at most twice CacheTimeout.
func (a *Authorizer) Known(ctx context.Context, p auth.Principal, rooms []room.Room) map[room.Room]permission.Set {
	out := make(map[room.Room]permission.Set, len(rooms))
	var open []room.Room
	for _, r := range a.decideAll(ctx, p, rooms, out) {
		if set, ok := a.remembered(p.User, r); ok {
			out[r] = set
		} else {
			open = append(open, r)
		}
	}
	maps.Copy(out, a.askShared(ctx, p.User, open).Sets)
	return out
}

func (a *Authorizer) remembered(user string, r room.Room) (permission.Set, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.known.Get(key{user, r}, time.Now())
}
