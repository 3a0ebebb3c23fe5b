package hub

import (
	"context"
	"time"

	"github.com/edumatrix/interlink/services/internal/room"
)

// Info is one socket, for those who ask.
type Info struct {
	Socket    string
	User      string
	Since     time.Time
	UserAgent string
	Rooms     []room.Room // those that are shown
}

// Sockets lists the sockets of a room, at most limit of each shard. Any goroutine; it waits for the shards.
func (h *Hub) Sockets(ctx context.Context, r room.Room, limit int) ([]Info, error) {
	answers := make(chan []Info, len(h.tables))
	for _, t := range h.tables {
		t.shard.Post(func() { answers <- t.infos(r, limit) })
	}
	var all []Info
	for range h.tables {
		select {
		case infos := <-answers:
			all = append(all, infos...)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return all, nil
}

func (t *table) infos(name room.Room, limit int) []Info {
	r := t.rooms[name]
	if r == nil {
		return nil
	}
	var out []Info
	for _, s := range r.members {
		if len(out) == limit {
			break
		}
		m := s.member
		i := Info{Socket: m.Socket, User: m.User}
		i.Since, i.UserAgent = m.conn.Info()
		for _, ms := range m.rooms {
			if ms.rights != internal {
				i.Rooms = append(i.Rooms, ms.room.name)
			}
		}
		out = append(out, i)
	}
	return out
}

// Present is a socket and its user.
type Present struct{ User, Socket string }

// All lists the sockets of all users. Any goroutine; it waits for the shards. A socket that has been put into its
// user's room before the call, and has not been removed, is among them.
func (h *Hub) All(ctx context.Context) ([]Present, error) {
	answers := make(chan []Present, len(h.tables))
	for _, t := range h.tables {
		t.shard.Post(func() { answers <- t.all() })
	}
	var all []Present
	for range h.tables {
		select {
		case some := <-answers:
			all = append(all, some...)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return all, nil
}

func (t *table) all() []Present {
	var out []Present
	for name, r := range t.rooms {
		user, own := name.User()
		if !own {
			continue
		}
		for _, s := range r.members {
			if s.member.User == user {
				out = append(out, Present{User: user, Socket: s.member.Socket})
			}
		}
	}
	return out
}
