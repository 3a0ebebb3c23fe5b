package placement

import (
	"errors"
	"time"
)

// Stream identifies one life of the connection to one router.
type Stream uint64

// Token identifies one request to join rooms.
type Token uint64

// Unknown is the position of a partition of which no router has spoken yet.
const Unknown int64 = -1

const (
	// spokeWithin is how recently a router must have spoken for a join to wait for it.
	spokeWithin = time.Second
	// joinWithin is how long a join may wait.
	joinWithin = 5 * time.Second
	// linger is how long a room stays announced after its last leave.
	linger = 30 * time.Second
	// seekAgain is when a seek that was not honoured is repeated.
	seekAgain = 5 * time.Second
	// backlog is the number of gathered changes above which a stream gets a delta although its last one is unconfirmed.
	backlog = 1 << 16
	// idleDelta spaces the deltas of a stream that owns nothing and so confirms nothing.
	idleDelta = time.Second
)

// ErrEpoch means that a router speaks of another incarnation of the topic than the attached ones.
var ErrEpoch = errors.New("placement: the router speaks of another topic epoch")

// ErrPartitions means that a router names a partition that the topic does not have, or none at all.
var ErrPartitions = errors.New("placement: partition out of range")

// Owned is a partition that a router serves, with the next offset to be appended as far as it knows.
type Owned struct {
	Partition uint32
	Head      int64
}

// Hello is what a router says first.
type Hello struct {
	Epoch      string // incarnation of the topic
	Partitions uint32
	Owned      []Owned
}

// Range says that a router has sent all records of this gateway's rooms in [From, To).
type Range struct {
	Partition uint32
	From, To  int64
	Seek      uint64 // the last seek of this partition that the router had applied on this stream
}

// Core is the state of one gateway. Its zero value is not usable: call New.
type Core struct {
	epoch     string
	positions []int64  // next offset expected per partition, or Unknown
	covered   []uint64 // highest number of a range taken, per partition
	unknown   int      // partitions whose position is Unknown

	rooms map[uint64]entry // by hash
	// number is that of the last change; changes[i] is the hash changed by number first+i.
	number  uint64
	first   uint64
	changes []uint64
	need    uint64
	pending []change // rooms asked for and not active, by rising number
	lingers []lingering

	waiters  map[Token]*waiter
	waiting  map[uint64][]Token // tokens by pending hash
	deadline []due              // by rising time
	unplaced []Token            // nothing missing but a position

	streams map[Stream]*stream

	messages []Envelope
	started  []Token
	expired  []Token

	mutant mutant // tests only
}

// mutant is a set of rules switched off, to prove that the tests would notice.
type mutant uint8

const (
	noNumber mutant = 1 << iota
	noGapCheck
	noDuplicateCheck
	earlyAck // what happens to a join whose other routers are silent: safe, and must pass
)

type entry struct {
	number uint64
	left   int64 // when the last reference went, in Unix nanoseconds; 0 while there is one
	refs   int32
	active bool
}

type change struct {
	hash, number uint64
}

type lingering struct {
	hash uint64
	left int64
}

type due struct {
	token Token
	at    time.Time
}

type waiter struct {
	hashes  []uint64
	missing int
}

type stream struct {
	owned       map[uint32]bool
	heads       map[uint32]int64
	seeks       map[uint32]*seek
	sent        uint64 // number of the last snapshot or delta
	unconfirmed bool
	spoke       time.Time
	told        time.Time // when the last snapshot or delta was written
}

type seek struct {
	number uint64
	at     time.Time
	open   bool // no range has cited it yet
}

// New returns a core that knows no topic, no router and no room.
func New() *Core {
	return &Core{
		first:   1,
		rooms:   make(map[uint64]entry),
		waiters: make(map[Token]*waiter),
		waiting: make(map[uint64][]Token),
		streams: make(map[Stream]*stream),
	}
}

// Attach registers a router and says the snapshot to it. The first router fixes the topic's epoch and the number of
// partitions; while any router of that epoch is attached, one of another gets ErrEpoch. With none left, Attach forgets
// all positions and reports restarted: sessions must end before anything else is taken.
func (c *Core) Attach(now time.Time, id Stream, h Hello) (restarted bool, err error) {
	if h.Partitions == 0 || !within(h.Owned, h.Partitions) {
		return false, ErrPartitions
	}
	if c.positions != nil && (h.Epoch != c.epoch || int(h.Partitions) != len(c.positions)) {
		if len(c.streams) > 0 {
			return false, ErrEpoch
		}
		restarted = true
	}
	if c.positions == nil || restarted {
		c.epoch = h.Epoch
		c.positions = make([]int64, h.Partitions)
		c.covered = make([]uint64, h.Partitions)
		for p := range c.positions {
			c.positions[p] = Unknown
		}
		c.unknown = len(c.positions)
	}
	s := &stream{owned: map[uint32]bool{}, heads: map[uint32]int64{}, seeks: map[uint32]*seek{}, spoke: now, told: now}
	c.streams[id] = s
	c.own(s, h.Owned)
	s.sent, s.unconfirmed = c.number, true
	snapshot := Snapshot{Number: c.number, Rooms: make([]uint64, 0, len(c.rooms))}
	for hash := range c.rooms {
		snapshot.Rooms = append(snapshot.Rooms, hash)
	}
	for p, offset := range c.positions {
		if offset != Unknown {
			snapshot.Positions = append(snapshot.Positions, Position{Partition: uint32(p), Offset: offset})
		}
	}
	c.say(id, snapshot)
	c.advance(now)
	return restarted, nil
}

func within(owned []Owned, partitions uint32) bool {
	for _, o := range owned {
		if o.Partition >= partitions || o.Head < 0 {
			return false
		}
	}
	return true
}

// own replaces what the stream owns, places partitions that had no position yet at the head, and returns what is new.
func (c *Core) own(s *stream, owned []Owned) (fresh []uint32) {
	before := s.owned
	s.owned, s.heads = make(map[uint32]bool, len(owned)), make(map[uint32]int64, len(owned))
	for _, o := range owned {
		if !before[o.Partition] && !s.owned[o.Partition] {
			fresh = append(fresh, o.Partition)
			if k := s.seeks[o.Partition]; k != nil {
				k.open = false // it may have come when the router did not own the partition: a range that does not cite it shows that
			}
		}
		s.owned[o.Partition] = true
		s.heads[o.Partition] = o.Head
		if c.positions[o.Partition] == Unknown {
			c.positions[o.Partition] = o.Head
			c.unknown--
		}
	}
	return fresh
}

// Owned replaces the set of partitions that a router serves. Each new one is answered with the position to serve from.
func (c *Core) Owned(now time.Time, id Stream, owned []Owned) error {
	s := c.streams[id]
	if s == nil {
		return nil
	}
	if !within(owned, uint32(len(c.positions))) {
		return ErrPartitions
	}
	s.spoke = now
	for _, p := range c.own(s, owned) {
		c.say(id, Position{Partition: p, Offset: c.positions[p]})
	}
	c.advance(now)
	return nil
}

// Detach forgets a stream.
func (c *Core) Detach(now time.Time, id Stream) {
	delete(c.streams, id)
	c.trim()
	c.advance(now)
}

// Spoke notes that a router is alive, and that it has applied the interest number.
func (c *Core) Spoke(now time.Time, id Stream, number uint64) {
	s := c.streams[id]
	if s == nil {
		return
	}
	s.spoke = now
	if number >= s.sent {
		s.unconfirmed = false
	}
}

// Range decides about one range that was filtered with the interest number. If ok, the position is now r.To, and
// the caller hands out the range's records with an offset of at least from, in order, before it calls anything else.
// If not ok, the range must be thrown away; a seek may have been said.
func (c *Core) Range(now time.Time, id Stream, number uint64, r Range) (from int64, ok bool) {
	s := c.streams[id]
	if s == nil || int(r.Partition) >= len(c.positions) || r.From > r.To || r.From < 0 {
		return 0, false
	}
	position := c.positions[r.Partition]
	if position == Unknown {
		return 0, false
	}
	if k := s.seeks[r.Partition]; k != nil {
		if r.Seek < k.number {
			// An older number after the seek was cited: the router began anew. Never cited for long: it was lost.
			if !k.open || now.Sub(k.at) >= seekAgain {
				k.at, k.open = now, true
				c.say(id, Seek{Partition: r.Partition, Offset: position, Number: k.number})
			}
			return 0, false
		}
		k.open = false
	}
	short := number < c.need && c.mutant&noNumber == 0
	gap := r.From > position && c.mutant&noGapCheck == 0
	if short || gap {
		c.seek(now, id, s, r.Partition)
		return 0, false
	}
	from = max(r.From, position)
	if c.mutant&noDuplicateCheck != 0 {
		from = r.From
	}
	c.positions[r.Partition] = max(position, r.To)
	c.covered[r.Partition] = max(c.covered[r.Partition], number)
	return from, true
}

// seek asks a router to serve a partition again from the position, unless it does not own it.
func (c *Core) seek(now time.Time, id Stream, s *stream, p uint32) {
	if !s.owned[p] {
		return
	}
	k := s.seeks[p]
	if k == nil {
		k = &seek{}
		s.seeks[p] = k
	}
	k.number++
	k.at, k.open = now, true
	c.say(id, Seek{Partition: p, Offset: c.positions[p], Number: k.number})
}

// Position returns the next offset expected of a partition, or Unknown.
func (c *Core) Position(p uint32) int64 {
	if int(p) >= len(c.positions) {
		return Unknown
	}
	return c.positions[p]
}

// Partitions returns the number of partitions, 0 before the first router came.
func (c *Core) Partitions() int { return len(c.positions) }

// Epoch returns the incarnation of the topic, empty before the first router came.
func (c *Core) Epoch() string { return c.epoch }

// Placed reports whether every partition has a position.
func (c *Core) Placed() bool { return c.positions != nil && c.unknown == 0 }

// Unowned returns how many partitions have no attached owner; all of them, at least 1, before the first router came.
func (c *Core) Unowned() int {
	if c.positions == nil {
		return 1
	}
	n := 0
	for p := range c.positions {
		if !c.isOwned(uint32(p)) {
			n++
		}
	}
	return n
}

func (c *Core) isOwned(p uint32) bool {
	for _, s := range c.streams {
		if s.owned[p] {
			return true
		}
	}
	return false
}

// Lag returns how many offsets the positions are behind the heads that routers named last.
func (c *Core) Lag() int64 {
	var lag int64
	for p, position := range c.positions {
		head := position
		for _, s := range c.streams {
			head = max(head, s.heads[uint32(p)])
		}
		if position != Unknown {
			lag += head - position
		}
	}
	return lag
}
