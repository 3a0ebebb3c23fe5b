package hub

import (
	"sync/atomic"
	"time"

	"github.com/edumatrix/interlink/services/gateway/internal/engine"
	"github.com/edumatrix/interlink/services/internal/permission"
	"github.com/edumatrix/interlink/services/internal/room"
)

// End is why a socket has to go.
type End uint8

// The ends.
const (
	Revoked      End = iota + 1 // its token is void
	Disconnected                // user.disconnect
	Restarted                   // the topic is another one: positions mean nothing any more
	Displaced                   // its session goes on with another socket
)

// Conn is a socket as the hub sees it. All is called on the socket's shard.
type Conn interface {
	// Send queues a frame. It never blocks; false means that the socket is going.
	Send(f *engine.Frame) bool
	// Evicted tells that the socket was taken out of a room; the client has been told.
	Evicted(r room.Room)
	// Invited tells that the authorizer should be asked again about a room.
	Invited(r room.Room)
	// End tells that the socket has to go.
	End(why End)
	// Info tells since when the socket is there, and what its client calls itself.
	Info() (since time.Time, userAgent string)
}

// Member is a socket's place in the rooms of its shard. But for its first fields, which never change, it belongs to
// the shard's goroutine.
type Member struct {
	Socket string // public id
	User   string
	issued atomic.Int64 // when the user's token was issued, epoch milliseconds, 0 if unknown

	conn  Conn
	table *table
	rooms []membership
	mark  uint64 // the last delivery to several rooms that it got
	hold  *Hold
	cited bool // a cursor went out since the last ping
	gone  bool
}

// membership is one room of one member.
type membership struct {
	room   *roomOf
	at     uint32 // the member's index in room.members
	rights rights
}

// rights is a permission.Set, or internal: joined by the gateway for its own ends, not shown, not counted.
type rights uint32

const internal rights = 1 << 31

func rightsOf(g Grant) rights {
	if g.Internal {
		return internal
	}
	return rights(g.Permissions) &^ internal
}

func (s membership) grant() Grant {
	if s.rights == internal {
		return Grant{Room: s.room.name, Internal: true}
	}
	return Grant{Room: s.room.name, Permissions: permission.Set(s.rights)}
}

// Init makes m a member of a shard that is in no room. Conn and shard are kept. issuedMs is when the user's token was
// issued, in epoch milliseconds, 0 if it does not say.
func (h *Hub) Init(m *Member, shard int, conn Conn, socket, user string, issuedMs int64) {
	m.Socket, m.User, m.conn, m.table = socket, user, conn, h.tables[shard]
	m.issued.Store(issuedMs)
}

// Reissue notes that the user has shown a token of another time. Any goroutine. If tokens of that time are void, the
// member's End follows.
func (h *Hub) Reissue(m *Member, issuedMs int64) {
	m.issued.Store(issuedMs)
	h.do(func() {
		if issuedMs < h.revoked[m.User] {
			h.hand(m.table.index, item{run: func(*table) {
				if !m.gone {
					m.conn.End(Revoked)
				}
			}})
		}
	})
}

// Permissions returns what the member may do in a room; false if it is not in it. Internal rooms count as not in it.
func (m *Member) Permissions(r room.Room) (permission.Set, bool) {
	if i := m.find(r); i >= 0 && m.rooms[i].rights != internal {
		return permission.Set(m.rooms[i].rights), true
	}
	return permission.None, false
}

// In reports whether the member is in a room, internal ones included.
func (m *Member) In(r room.Room) bool { return m.find(r) >= 0 }

func (m *Member) find(r room.Room) int {
	for i := range m.rooms {
		if m.rooms[i].room.name == r {
			return i
		}
	}
	return -1
}

// Grants lists the rooms that the member is in, in the order of its joins.
func (m *Member) Grants() []Grant {
	out := make([]Grant, 0, len(m.rooms))
	for _, s := range m.rooms {
		out = append(out, s.grant())
	}
	return out
}

// Rooms counts the rooms that are not internal, and those that are.
func (m *Member) Rooms() (shown, hidden int) {
	for _, s := range m.rooms {
		if s.rights == internal {
			hidden++
		} else {
			shown++
		}
	}
	return shown, hidden
}

// grow makes memory for n more rooms, and no more: most sockets keep the rooms that they joined first.
func (m *Member) grow(n int) {
	if need := len(m.rooms) + n; need > cap(m.rooms) {
		m.rooms = append(make([]membership, 0, need), m.rooms...)
	}
}

// Hold keeps back what is sent to a member's rooms while it is being brought up to date.
type Hold struct {
	items []heldItem
	bytes int
	limit int
	over  bool
}

// heldItem is one event that is kept back, with its room or rooms.
type heldItem struct {
	frame *engine.Frame
	room  string
	rooms []string
}

func (h *Hold) add(it *item) {
	if h.over {
		return
	}
	if h.bytes += it.frame.Len(); h.bytes > h.limit {
		h.over, h.items = true, nil
		return
	}
	h.items = append(h.items, heldItem{frame: it.frame, room: it.room, rooms: it.rooms})
}

// Release ends the member's hold and returns what was kept back, in order. Over means that it was more than the limit
// and is lost: the socket must not go on. To be called on the shard's goroutine; what comes later goes to the socket.
func (m *Member) Release() (frames []*engine.Frame, over bool) {
	h := m.hold
	m.hold = nil
	if h == nil {
		return nil, false
	}
	return h.take(len(h.items)), h.over
}

func (h *Hold) take(n int) []*engine.Frame {
	frames := make([]*engine.Frame, n)
	for i, it := range h.items[:n] {
		frames[i] = it.frame
		h.bytes -= it.frame.Len()
	}
	h.items = h.items[n:]
	return frames
}

// NextHeld takes the oldest of what is kept back, of about as many bytes at most; the hold goes on. None are left, or
// lost, when it returns none. On the member's shard.
func (m *Member) NextHeld(bytes int) []*engine.Frame {
	if m.hold == nil {
		return nil
	}
	n := 0
	for n < len(m.hold.items) && bytes > 0 {
		bytes -= m.hold.items[n].frame.Len()
		n++
	}
	return m.hold.take(n)
}

func (m *Member) deliver(it *item) {
	if m.hold != nil {
		if it.durable {
			m.hold.add(it)
		}
		return
	}
	if m.conn.Send(it.frame) && it.durable {
		m.cited = true
	}
}
