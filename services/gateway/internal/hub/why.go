package hub

import (
	"context"

	"github.com/edumatrix/interlink/services/gateway/internal/placement"
	"github.com/edumatrix/interlink/services/internal/room"
)

// Asked is a question about the sockets of some rooms and users.
type Asked struct {
	Rooms []room.Room // a socket in one of them is a member
	Users []string    // whose sockets to list; none: those of the members
	Limit int         // sockets listed of each shard
}

// Found answers Asked.
type Found struct {
	Members int // each once
	Sockets []Stander
	More    bool // there are more than the limit
}

// Stander is a socket and whether it is a member.
type Stander struct {
	Info
	Member bool
}

// Find looks for sockets. Any goroutine; it waits for the shards. What a shard has to do for it is bounded by the
// members of the rooms, which it walks through once.
func (h *Hub) Find(ctx context.Context, a Asked) (Found, error) {
	answers := make(chan Found, len(h.tables))
	for _, t := range h.tables {
		t.shard.Post(func() { answers <- t.find(a) })
	}
	var all Found
	for range h.tables {
		select {
		case f := <-answers:
			all.Members += f.Members
			all.Sockets = append(all.Sockets, f.Sockets...)
			all.More = all.More || f.More
		case <-ctx.Done():
			return Found{}, ctx.Err()
		}
	}
	return all, nil
}

func (t *table) find(a Asked) (f Found) {
	members := map[*Member]bool{}
	for _, name := range a.Rooms {
		if r := t.rooms[name]; r != nil {
			for _, s := range r.members {
				members[s.member] = true
			}
		}
	}
	f.Members = len(members)
	list := func(m *Member) {
		if len(f.Sockets) >= a.Limit {
			f.More = true
			return
		}
		i := Info{Socket: m.Socket, User: m.User}
		i.Since, i.UserAgent = m.conn.Info()
		f.Sockets = append(f.Sockets, Stander{Info: i, Member: members[m]})
	}
	if len(a.Users) == 0 {
		for m := range members {
			list(m)
		}
		return f
	}
	for _, u := range a.Users {
		if r := t.rooms[room.OfUser(u)]; r != nil {
			for _, s := range r.members {
				if s.member.User == u {
					list(s.member)
				}
			}
		}
	}
	return f
}

// Standing is how far the hub has come in a partition of a topic.
func (h *Hub) Standing(ctx context.Context, partition uint32) (epoch string, position int64, err error) {
	type answer struct {
		epoch    string
		position int64
	}
	out := make(chan answer, 1)
	h.do(func() { out <- answer{h.core.Epoch(), h.core.Position(partition)} })
	select {
	case a := <-out:
		return a.epoch, a.position, nil
	case <-ctx.Done():
		return "", placement.Unknown, ctx.Err()
	}
}

// Routers lists the addresses of the attached routers, each once, in no order. Any goroutine.
func (h *Hub) Routers() []string {
	seen := map[string]bool{}
	var out []string
	for _, addrs := range *h.routes.Load() {
		for _, a := range addrs {
			if !seen[a] {
				seen[a] = true
				out = append(out, a)
			}
		}
	}
	return out
}
