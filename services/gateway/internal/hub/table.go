package hub

import (
	"slices"
	"sync/atomic"

	"github.com/edumatrix/interlink/services/gateway/internal/engine"
	"github.com/edumatrix/interlink/services/internal/room"
)

// Shard runs functions on the goroutine that owns its sockets, in order.
type Shard interface {
	Post(fn func())
}

// roomOf is the part of a room that is in one shard. It exists while it has members.
type roomOf struct {
	name    room.Room
	members []slot
}

// slot is one member of a room. Invariant: members[i].member.rooms[members[i].back] is this room, with at == i.
type slot struct {
	member *Member
	back   uint32
}

// table is the rooms of one shard. But for its queue it belongs to the shard's goroutine.
type table struct {
	hub   *Hub
	shard Shard
	index int
	rooms map[room.Room]*roomOf

	cursor []byte        // of a position at which everything before was handed to this shard
	ping   *engine.Frame // session:cursor with it, made when the first ping asks

	queued atomic.Int64  // items posted and not run
	bytes  atomic.Int64  // their frames
	space  chan struct{} // signalled when both have gone down
}

func newTable(h *Hub, index int, shard Shard) *table {
	return &table{hub: h, shard: shard, index: index, rooms: make(map[room.Room]*roomOf), space: make(chan struct{}, 1)}
}

// add puts a member into a room; false if it is in it already.
func (t *table) add(m *Member, g Grant) bool {
	if i := m.find(g.Room); i >= 0 {
		if !g.Internal {
			m.rooms[i].rights = rightsOf(g)
		}
		return false
	}
	r := t.rooms[g.Room]
	if r == nil {
		r = &roomOf{name: g.Room}
		t.rooms[g.Room] = r
	}
	m.rooms = append(m.rooms, membership{room: r, at: uint32(len(r.members)), rights: rightsOf(g)})
	r.members = append(r.members, slot{member: m, back: uint32(len(m.rooms) - 1)})
	return true
}

// drop takes a member out of its i-th room.
func (t *table) drop(m *Member, i int) {
	gone := m.rooms[i]
	r := gone.room
	last := len(r.members) - 1
	if int(gone.at) != last {
		moved := r.members[last]
		r.members[gone.at] = moved
		moved.member.rooms[moved.back].at = gone.at
	}
	r.members[last] = slot{}
	r.members = r.members[:last]
	if last == 0 {
		delete(t.rooms, r.name)
	} else if c := cap(r.members); c > 64 && last < c/4 {
		r.members = slices.Clip(slices.Clone(r.members))
	}
	end := len(m.rooms) - 1
	if i != end {
		m.rooms[i] = m.rooms[end]
		m.rooms[i].room.members[m.rooms[i].at].back = uint32(i)
	}
	m.rooms[end] = membership{}
	m.rooms = m.rooms[:end]
}

// item is one thing that the sequencer hands to a shard: a frame for the members of some rooms, or something to run.
type item struct {
	frame         *engine.Frame
	room          string   // the only room, or
	rooms         []string // all of them
	exceptUsers   []string
	exceptSockets []string
	seq           uint64 // numbers deliveries to several rooms
	timeMs        int64
	cursor        []byte // if not nil: of the position after this item
	durable       bool
	run           func(t *table)
}

// batch is what one step of the sequencer hands to one shard.
type batch struct {
	table *table
	items []item
	bytes int64
	fn    func() // b.run, made once
}

func (b *batch) run() {
	t := b.table
	var durable, ephemeral int
	for i := range b.items {
		it := &b.items[i]
		if it.run != nil {
			it.run(t)
		} else if n := t.deliver(it); it.durable {
			durable += n
		} else {
			ephemeral += n
		}
		if it.cursor != nil {
			t.cursor, t.ping = it.cursor, nil
		}
	}
	t.hub.measure(b.items, durable, ephemeral)
	n, bytes := int64(len(b.items)), b.bytes
	clear(b.items)
	b.items, b.bytes = b.items[:0], 0
	t.hub.batches.Put(b)
	t.queued.Add(-n)
	t.bytes.Add(-bytes)
	select {
	case t.space <- struct{}{}:
	default:
	}
}

// deliver gives a frame to the members of its rooms, one copy each, and returns how many it went to.
func (t *table) deliver(it *item) int {
	if it.rooms == nil {
		r := t.rooms[room.Room(it.room)]
		if r == nil {
			return 0
		}
		return r.deliver(it, false)
	}
	n := 0
	for _, name := range it.rooms {
		if r := t.rooms[room.Room(name)]; r != nil {
			n += r.deliver(it, true)
		}
	}
	return n
}

func (r *roomOf) deliver(it *item, several bool) int {
	n := 0
	except := it.exceptUsers != nil || it.exceptSockets != nil
	for i := range r.members {
		m := r.members[i].member
		if several {
			if m.mark == it.seq {
				continue
			}
			m.mark = it.seq
		}
		if except && (contains(it.exceptUsers, m.User) || contains(it.exceptSockets, m.Socket)) {
			continue
		}
		m.deliver(it)
		n++
	}
	return n
}

// each calls f for the members of a room; f may take them out of it.
func (t *table) each(name room.Room, f func(m *Member)) {
	r := t.rooms[name]
	if r == nil {
		return
	}
	for _, s := range slices.Clone(r.members) {
		f(s.member)
	}
}

// Ping returns what goes out with a ping: session:cursor, or nil if an event with a cursor went out since the last one.
// On the member's shard.
func (m *Member) Ping() *engine.Frame {
	t := m.table
	if m.cited || m.hold != nil || t.cursor == nil {
		m.cited = false
		return nil
	}
	if t.ping == nil {
		t.ping = Note("session:cursor", nil, t.hub.options.Now().UnixMilli(), t.cursor)
	}
	return t.ping
}
