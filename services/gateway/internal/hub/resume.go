package hub

import (
	"context"
	"slices"

	deliveryv1 "github.com/edumatrix/interlink/proto/delivery/v1"
	"github.com/edumatrix/interlink/services/gateway/internal/cursor"
	"github.com/edumatrix/interlink/services/internal/permission"
	"github.com/edumatrix/interlink/services/internal/room"
)

// ReadCursor verifies what a client gives back. Errors: those of cursor.Signer's Parse. Any goroutine.
func (h *Hub) ReadCursor(text string) (cursor.Cursor, error) {
	signers := h.signers.Load()
	signer := signers.Get().(*cursor.Signer)
	defer signers.Put(signer)
	return signer.Parse(text)
}

// Mark raises the era to at least the given one and calls f on a shard with a cursor of it: everything before that
// cursor was handed to the shard, nothing behind it was. Any goroutine. f must not change the cursor, which is nil if
// there is no position yet.
func (h *Hub) Mark(shard int, era uint64, f func(cursor []byte)) {
	h.do(func() {
		p := &h.pens
		p.era = max(p.era, era)
		it := item{run: func(*table) { f(nil) }}
		if p.offsets != nil {
			text := p.append(nil, h.now)
			it.cursor, it.run = text, func(*table) { f(text) }
		}
		h.hand(shard, it)
	})
}

// Sign makes a cursor of a position that is not the present one; it carries the whole vector. Any goroutine.
func (h *Hub) Sign(at []int64, epoch, era uint64) []byte {
	signers := h.signers.Load()
	signer := signers.Get().(*cursor.Signer)
	defer signers.Put(signer)
	return signer.Append(nil, &cursor.Base{Epoch: epoch, Life: h.options.Life}, era, at, h.options.Now().UnixMilli())
}

// Removed returns those of the rooms that the user was, or may have been, removed from since the position. It waits for
// the sequencer.
func (h *Hub) Removed(ctx context.Context, user string, rooms []room.Room, from []int64) ([]room.Room, error) {
	answer := make(chan []room.Room, 1)
	h.do(func() {
		var out []room.Room
		for _, r := range rooms {
			if h.evicted.since(r, user, &Request{From: from}) {
				out = append(out, r)
			}
		}
		answer <- out
	})
	select {
	case out := <-answer:
		return out, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Displace ends the members of a user that have a socket's id, if old says so of them, and returns when they know. old
// is called on their shards; nil: all. It waits for the sequencer and the shards.
func (h *Hub) Displace(ctx context.Context, user, socket string, old func(Conn) bool) error {
	done := make(chan struct{}, len(h.tables))
	count := make(chan int, 1)
	h.do(func() {
		own, n := room.OfUser(user), 0
		for shard := range h.tables {
			if !h.has(own, shard) {
				continue
			}
			n++
			h.hand(shard, item{run: func(t *table) {
				t.each(own, func(m *Member) {
					if m.User == user && m.Socket == socket && (old == nil || old(m.conn)) {
						m.conn.End(Displaced)
					}
				})
				done <- struct{}{}
			}})
		}
		count <- n
	})
	wait := 1 // for the count
	for wait > 0 {
		select {
		case n := <-count:
			wait += n - 1
		case <-done:
			wait--
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// Each calls f for every member's socket, on its shard, some time later. Any goroutine; never blocks.
func (h *Hub) Each(f func(Conn)) {
	h.do(func() {
		h.toAll(func(m *Member) { f(m.conn) })
	})
}

// Regrant changes what a member may do in a room that it is in. On the member's shard.
func (m *Member) Regrant(r room.Room, set permission.Set) {
	if i := m.find(r); i >= 0 && m.rooms[i].rights != internal {
		m.rooms[i].rights = rightsOf(Grant{Permissions: set})
	}
}

// expired takes over where the log goes on after a part that Kafka has no longer: whoever is here has missed something.
func (h *Hub) expired(s *Stream, g *deliveryv1.Gone) {
	if h.pens.offsets == nil || !h.core.Gone(s.id, g.Partition, g.Position, g.Earliest) {
		return
	}
	h.logger.Error("the log has expired past this gateway's position: its clients start anew",
		"partition", g.Partition, "position", g.Position, "earliest", g.Earliest)
	h.toAll(func(m *Member) { m.conn.End(Restarted) })
	h.pens.move(g.Partition, g.Earliest, 0)
}

// Hide takes a member that is held out of rooms that it must not be shown, together with what was kept back only for
// them. On the member's shard.
func (h *Hub) Hide(m *Member, rooms []room.Room) {
	for _, r := range rooms {
		h.Leave(m, r)
	}
	if m.hold == nil || len(rooms) == 0 {
		return
	}
	m.hold.items = slices.DeleteFunc(m.hold.items, func(it heldItem) bool {
		hidden := it.hidden(m, rooms)
		if hidden {
			m.hold.bytes -= it.frame.Len()
		}
		return hidden
	})
}

// hidden reports whether an event that was kept back was for the member only by rooms that it must not be shown.
func (it *heldItem) hidden(m *Member, rooms []room.Room) bool {
	if it.rooms == nil {
		return slices.Contains(rooms, room.Room(it.room))
	}
	mine := false
	for _, name := range it.rooms {
		if m.In(room.Room(name)) {
			return false
		}
		mine = mine || slices.Contains(rooms, room.Room(name))
	}
	return mine
}
