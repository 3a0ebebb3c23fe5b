package hub

import (
	"errors"
	"slices"
	"time"

	"github.com/edumatrix/interlink/services/gateway/internal/placement"
	"github.com/edumatrix/interlink/services/internal/permission"
	"github.com/edumatrix/interlink/services/internal/room"
)

// Why a join did not take effect.
var (
	ErrUnavailable = errors.New("hub: the routers did not confirm the rooms in time")
	ErrRevoked     = errors.New("hub: the user's token was revoked")
	ErrGone        = errors.New("hub: the socket has gone")
)

// Grant is a room and what a member may do there.
type Grant struct {
	Room        room.Room
	Permissions permission.Set
	Internal    bool // of the gateway's own: not shown to the client, not counted
}

// Request is a join of several rooms, which takes effect at one position.
type Request struct {
	Grants []Grant
	Asked  uint64  // Changes() before the permissions were asked for
	Hold   bool    // keep back what is sent to the rooms until Member.Release
	Reach  []int64 // not nil: wait until the position has come as far
}

// Outcome is what became of a request.
type Outcome struct {
	Err    error
	Denied []room.Room // removed from these since Asked: not joined
	Cursor []byte      // of the position at which it took effect; not to be changed
	At     []int64     // that position, if the request holds or reaches
}

type join struct {
	member  *Member
	request Request
	hashes  []uint64
	done    func(Outcome)
	until   time.Time
}

// Changes counts the membership changes seen so far. Any goroutine. A permission that was asked for after this call
// knows of them all.
func (h *Hub) Changes() uint64 { return h.change.Load() }

// Join asks for rooms. Any goroutine. done is called once, on the member's shard, at the moment at which the join takes
// effect: what was published before lies before Outcome.Cursor, and nothing after it has been handed to the socket yet.
func (h *Hub) Join(m *Member, r Request, done func(Outcome)) {
	j := &join{member: m, request: r, hashes: make([]uint64, len(r.Grants)), done: done}
	for i, g := range r.Grants {
		j.hashes[i] = g.Room.Hash()
	}
	h.do(func() {
		j.until = h.now.Add(reachWithin)
		h.join(j)
	})
}

// reachWithin is how long a request may wait for the position that it needs.
const reachWithin = 5 * time.Second

func (h *Hub) join(j *join) {
	if !h.reached(j.request.Reach) {
		h.reaching = append(h.reaching, j)
		return
	}
	h.lastID++
	token := placement.Token(h.lastID)
	if h.core.Join(h.now, token, j.hashes) {
		h.start(j)
		return
	}
	h.joins[token] = j
}

func (h *Hub) reached(need []int64) bool {
	if need == nil {
		return true
	}
	if len(need) > len(h.pens.offsets) {
		return false
	}
	for p, offset := range need {
		if h.pens.offsets[p] < offset {
			return false
		}
	}
	return true
}

// reach goes on with the requests whose position has been reached, and gives up those that waited too long.
func (h *Hub) reach() {
	waiting := h.reaching
	h.reaching = nil
	for _, j := range waiting {
		if !h.reached(j.request.Reach) && !h.now.Before(j.until) {
			h.fail(j)
			continue
		}
		h.join(j)
	}
}

// start lets a join take effect at the present position.
func (h *Hub) start(j *join) {
	m, out := j.member, Outcome{}
	if before, known := h.revoked[m.User]; known && m.issued.Load() < before {
		out.Err = ErrRevoked
	}
	joined := make([]Grant, 0, len(j.request.Grants))
	for i, g := range j.request.Grants {
		switch {
		case out.Err != nil:
			h.core.Leave(h.now, j.hashes[i])
		case h.evicted.since(g.Room, m.User, j.request.Asked):
			out.Denied = append(out.Denied, g.Room)
			h.core.Leave(h.now, j.hashes[i])
		default:
			joined = append(joined, g)
			h.count(j.hashes[i], m.table.index, 1)
		}
	}
	if out.Err == nil {
		out.Cursor = h.pens.append(nil, h.now)
		if j.request.Hold || j.request.Reach != nil {
			out.At = slices.Clone(h.pens.offsets)
		}
	}
	h.hand(m.table.index, item{cursor: out.Cursor, run: func(t *table) { t.joined(j, joined, out) }})
}

// joined is the end of a join on the member's shard.
func (t *table) joined(j *join, grants []Grant, out Outcome) {
	m := j.member
	var spare []Grant
	if m.gone {
		spare, out = grants, Outcome{Err: ErrGone}
	} else {
		if j.request.Hold && out.Err == nil {
			m.hold = &Hold{limit: t.hub.options.HoldBytes}
		}
		for _, g := range grants {
			if !t.add(m, g) {
				spare = append(spare, g)
			}
		}
	}
	t.hub.left(t.index, spare)
	j.done(out)
}

func (h *Hub) fail(j *join) {
	h.hand(j.member.table.index, item{run: func(*table) { j.done(Outcome{Err: ErrUnavailable}) }})
}

// left gives back rooms that sockets of a shard have left. Any goroutine.
func (h *Hub) left(shard int, grants []Grant) {
	if len(grants) == 0 {
		return
	}
	h.do(func() {
		for _, g := range grants {
			hash := g.Room.Hash()
			h.count(hash, shard, -1)
			h.core.Leave(h.now, hash)
		}
	})
}

// Leave takes a member out of a room at once; false if it was not in it. On the member's shard.
func (h *Hub) Leave(m *Member, r room.Room) bool {
	i := m.find(r)
	if i < 0 {
		return false
	}
	m.table.drop(m, i)
	h.left(m.table.index, []Grant{{Room: r}})
	return true
}

// Remove takes a member out of all rooms, for good. On the member's shard. Joins that are under way end in ErrGone.
func (h *Hub) Remove(m *Member) {
	grants := m.Grants()
	m.gone, m.hold = true, nil
	for len(m.rooms) > 0 {
		m.table.drop(m, len(m.rooms)-1)
	}
	h.left(m.table.index, grants)
}

// evictions remembers who was removed from where, for joins whose permission was asked for before. It belongs to the
// sequencer, is bounded in time and number, and denies what it no longer knows.
type evictions struct {
	last  map[eviction]uint64 // number of the change
	order []evictedAt
	floor uint64 // changes up to here are forgotten
}

type eviction struct {
	room room.Room
	user string
}

type evictedAt struct {
	eviction
	change uint64
	at     time.Time
}

const (
	evictionsKept = 2 * time.Minute // far above the time that asking and joining take
	evictionsMax  = 1 << 17
)

func newEvictions() evictions { return evictions{last: make(map[eviction]uint64)} }

func (e *evictions) add(r room.Room, user string, change uint64, now time.Time) {
	k := eviction{room: r, user: user}
	e.last[k] = change
	e.order = append(e.order, evictedAt{eviction: k, change: change, at: now})
}

// since reports whether the user was, or may have been, removed from the room after a number of changes.
func (e *evictions) since(r room.Room, user string, asked uint64) bool {
	if asked < e.floor {
		return true
	}
	return e.last[eviction{room: r, user: user}] > asked
}

func (e *evictions) prune(now time.Time) {
	for len(e.order) > 0 && (len(e.order) > evictionsMax || now.Sub(e.order[0].at) > evictionsKept) {
		old := e.order[0]
		e.order = e.order[1:]
		if e.last[old.eviction] == old.change {
			delete(e.last, old.eviction)
		}
		e.floor = old.change
	}
}
