package hub

import (
	"errors"
	"slices"
	"time"

	"github.com/edumatrix/interlink/services/gateway/internal/placement"
	"github.com/edumatrix/interlink/services/gateway/internal/recovery"
	"github.com/edumatrix/interlink/services/internal/permission"
	"github.com/edumatrix/interlink/services/internal/room"
)

// Why a join did not take effect.
var (
	ErrUnavailable = errors.New("hub: the routers did not confirm the rooms in time")
	ErrRevoked     = errors.New("hub: the user's token was revoked")
	ErrGone        = errors.New("hub: the socket has gone")
	ErrEpoch       = errors.New("hub: the position is of another topic")
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
	Asked  uint64             // Changes() before the permissions were asked for
	From   []int64            // instead of Asked, if not nil: the position at which the member was in the rooms, but for those of
	Fresh  map[room.Room]bool // which Asked holds
	Epoch  uint64             // of the topic that From and Reach are positions of, 0: not known
	Hold   bool               // keep back what is sent to the rooms until Member.Release
	Reach  []int64            // not nil: wait until the position has come as far
}

// Outcome is what became of a request.
type Outcome struct {
	Err    error
	Denied []room.Room // removed from these since Asked: not joined
	Cursor []byte      // of the position at which it took effect; not to be changed
	At     []int64     // that position, if the request holds or reaches
	Epoch  uint64      // of the topic, and
	Era    uint64      // of the gateway, as cursors carry them
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
	if h.pens.offsets != nil && j.request.Epoch != 0 && j.request.Epoch != h.pens.epoch {
		h.fail(j, ErrEpoch)
		return
	}
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
	return need == nil || recovery.Reached(h.pens.offsets, need)
}

// reach goes on with the requests whose position has been reached, and gives up those that waited too long.
func (h *Hub) reach() {
	waiting := h.reaching
	h.reaching = nil
	for _, j := range waiting {
		if !h.reached(j.request.Reach) && !h.now.Before(j.until) {
			h.fail(j, ErrUnavailable)
			continue
		}
		h.join(j)
	}
}

// start lets a join take effect at the present position.
func (h *Hub) start(j *join) {
	m, out := j.member, Outcome{}
	if j.request.Epoch != 0 && j.request.Epoch != h.pens.epoch {
		out.Err = ErrEpoch
	}
	if before, known := h.revoked[m.User]; known && m.issued.Load() < before {
		out.Err = ErrRevoked
	}
	joined := make([]Grant, 0, len(j.request.Grants))
	for i, g := range j.request.Grants {
		switch {
		case out.Err != nil:
			h.core.Leave(h.now, j.hashes[i])
		case h.evicted.since(g.Room, m.User, &j.request):
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
			out.At, out.Epoch, out.Era = slices.Clone(h.pens.offsets), h.pens.epoch, h.pens.era
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
		m.grow(len(grants))
		for _, g := range grants {
			if !t.add(m, g) {
				spare = append(spare, g)
			}
		}
	}
	t.hub.left(t.index, spare)
	j.done(out)
}

func (h *Hub) fail(j *join, err error) {
	h.hand(j.member.table.index, item{run: func(*table) { j.done(Outcome{Err: err}) }})
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

// At calls f on a shard between two steps of the sequencer: everything before the position was handed to the shard,
// nothing behind it was. Any goroutine. f owns the slice, which is nil if there is no position yet.
func (h *Hub) At(shard int, f func(at []int64)) {
	h.do(func() {
		at := slices.Clone(h.pens.offsets)
		h.hand(shard, item{run: func(*table) { f(at) }})
	})
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
