package hub

import (
	"encoding/json"
	"time"

	deliveryv1 "github.com/edumatrix/interlink/proto/delivery/v1"
	"github.com/edumatrix/interlink/services/gateway/internal/engine"
	"github.com/edumatrix/interlink/services/internal/room"
)

// revocationsKept is above the longest session of the platform.
const revocationsKept = 32 * 24 * time.Hour

// control acts on a control record of the log, at its place in the log.
func (h *Hub) control(partition uint32, r *record) {
	c := r.control
	switch c.Kind {
	case deliveryv1.Control_MEMBERSHIP_CHANGED:
		h.membership(c, removal{change: h.change.Load() + 1, partition: partition, offset: r.offset}, r.timeMs)
	case deliveryv1.Control_SESSION_REVOKED:
		before := c.BeforeMs
		if before == 0 {
			before = r.timeMs
		}
		h.revoke(c.User, before)
	case deliveryv1.Control_USER_DISCONNECT:
		h.toUser(c.User, func(m *Member) { m.conn.End(Disconnected) })
	}
}

// membership evicts who was removed, and has the authorizer asked about who was added.
func (h *Hub) membership(c *deliveryv1.Control, at removal, timeMs int64) {
	r := room.Room(c.Room)
	for _, user := range c.Remove {
		h.evicted.add(r, user, at, h.now)
	}
	h.change.Store(at.change)
	if h.options.Changed != nil {
		h.options.Changed(r, c.Add, c.Remove)
	}
	if len(c.Remove) > 0 {
		h.evict(r, c.Remove, timeMs)
	}
	for _, user := range c.Add {
		h.toUser(user, func(m *Member) {
			if _, in := m.Permissions(r); !in {
				m.conn.Invited(r)
			}
		})
	}
}

func (h *Hub) evict(r room.Room, users []string, timeMs int64) {
	gone := make(map[string]bool, len(users))
	for _, user := range users {
		gone[user] = true
	}
	var frame *engine.Frame
	var cursor []byte
	for shard := range h.tables {
		if !h.has(r, shard) {
			continue
		}
		if frame == nil {
			data, err := json.Marshal(struct {
				Room   room.Room `json:"room"`
				Reason string    `json:"reason"`
			}{r, "removed"})
			if err != nil {
				h.logger.Error("eviction not encoded", "error", err)
				return
			}
			cursor = h.pens.append(nil, h.now)
			frame = Note("room:evicted", data, timeMs, cursor)
		}
		h.hand(shard, item{cursor: cursor, run: func(t *table) {
			t.each(r, func(m *Member) {
				if gone[m.User] && h.Leave(m, r) {
					m.deliver(&item{frame: frame, durable: true})
					m.conn.Evicted(r)
				}
			})
		}})
	}
}

// revoke ends the user's sockets whose token was issued before, now and while they connect.
func (h *Hub) revoke(user string, before int64) {
	if before <= h.revoked[user] {
		return
	}
	h.revoked[user] = before
	h.toUser(user, func(m *Member) {
		if m.issued.Load() < before {
			m.conn.End(Revoked)
		}
	})
}

// toUser calls f for every socket of a user, on its shard.
func (h *Hub) toUser(user string, f func(m *Member)) {
	own := room.OfUser(user)
	for shard := range h.tables {
		if h.has(own, shard) {
			h.hand(shard, item{run: func(t *table) { t.each(own, f) }})
		}
	}
}

// toAll calls f for every member.
func (h *Hub) toAll(f func(m *Member)) {
	h.handAll(item{run: func(t *table) {
		seen := map[*Member]bool{}
		for name := range t.rooms {
			t.each(name, func(m *Member) { seen[m] = true })
		}
		for m := range seen {
			f(m)
		}
	}})
}

// prune forgets what has become too old to matter.
func (h *Hub) prune() {
	h.evicted.prune(h.now)
	if h.now.Sub(h.pruned) < time.Hour {
		return
	}
	h.pruned = h.now
	horizon := h.now.Add(-revocationsKept).UnixMilli()
	for user, before := range h.revoked {
		if before < horizon {
			delete(h.revoked, user)
		}
	}
}
