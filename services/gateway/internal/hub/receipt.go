package hub

import (
	"encoding/json"
	"slices"
	"strings"

	deliveryv1 "github.com/edumatrix/interlink/proto/delivery/v1"
	"github.com/edumatrix/interlink/services/gateway/internal/engine"
	"github.com/edumatrix/interlink/services/gateway/internal/receipts"
	"github.com/edumatrix/interlink/services/internal/room"
)

// WakeEvent is the name of the ephemeral event that wakes sessions whose inbox got an entry that lies before their
// start. It never reaches a browser.
const WakeEvent = "interlink:inbox"

// Sleeper is a Conn that can be woken to look into its inbox.
type Sleeper interface {
	// Woken is called on the socket's shard. Sessions names those that are meant; none means all.
	Woken(sessions []string)
}

// tagged gives the frame of a record whose arrival somebody wants to know of a tag for that.
func tagged(f *engine.Frame, partition uint32, r *record) *engine.Frame {
	if !r.receipt && !r.queue {
		return f
	}
	e := &receipts.Event{
		ID: strings.Clone(r.id), Partition: partition, Offset: r.offset, From: strings.Clone(r.from), Confirm: r.receipt, Waits: r.queue,
	}
	if r.queue {
		for _, name := range r.rooms {
			if user, own := room.Room(name).User(); own {
				e.Users = append(e.Users, strings.Clone(user))
			}
		}
		slices.Sort(e.Users)
	}
	return f.WithTag(e)
}

// Given is one record that is given to one socket again: from its inbox, or from the log.
type Given struct {
	Partition uint32
	Record    *deliveryv1.Record
	Queued    bool // from the inbox
}

// Frame encodes it with a cursor that is known already. It may be called on any goroutine.
func (g Given) Frame(cursor []byte) *engine.Frame {
	r := fromProto(g.Record)
	f, _ := encodeDurable(&r, g.Queued, func(b []byte) []byte { return append(b, cursor...) })
	return tagged(f, g.Partition, &r)
}

// wakeUp passes on that inboxes have entries for sessions that are there.
func (h *Hub) wakeUp(r *record) {
	var in struct {
		Session []string `json:"session"`
	}
	if len(r.data) > 0 && json.Unmarshal(r.data, &in) != nil {
		h.metrics.Malformed()
		return
	}
	for _, name := range r.rooms {
		if user, own := room.Room(name).User(); own {
			h.toUser(strings.Clone(user), func(m *Member) {
				if s, ok := m.conn.(Sleeper); ok {
					s.Woken(in.Session)
				}
			})
		}
	}
}

// Log names the topic that positions are of, as its routers do; empty before the first came. Any goroutine.
func (h *Hub) Log() string {
	if log := h.log.Load(); log != nil {
		return *log
	}
	return ""
}

// Held reports whether what is sent to the member's rooms is kept back. On the member's shard.
func (m *Member) Held() bool { return m.hold != nil }

// Cursor is the text of a cursor of which everything before was handed to the member's shard, and, unless the member is
// held, queued to its socket; nil before there was any. It must not be changed. On the member's shard.
func (m *Member) Cursor() []byte { return m.table.cursor }
