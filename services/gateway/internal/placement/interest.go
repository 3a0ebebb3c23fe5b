package placement

import (
	"math"
	"time"
)

// Join asks for rooms, by hash, for one socket. A hash counts once for each time that it is named, and must be left
// as often. It reports true if all rooms are active: then the join has taken effect at the present positions and the
// token is forgotten. Else the token comes out of Started or Expired later, unless it is cancelled.
// Tokens are the caller's and never used twice.
func (c *Core) Join(now time.Time, token Token, hashes []uint64) bool {
	w := &waiter{hashes: hashes}
	for _, hash := range hashes {
		e, known := c.rooms[hash]
		if !known {
			c.change(hash)
			e = entry{number: c.number}
			c.pending = append(c.pending, change{hash: hash, number: c.number})
		}
		e.refs++
		e.left = 0
		c.rooms[hash] = e
		if !e.active {
			w.missing++
			c.waiting[hash] = append(c.waiting[hash], token)
		}
	}
	if w.missing == 0 && c.Placed() {
		return true
	}
	if w.missing == 0 {
		c.unplaced = append(c.unplaced, token)
	}
	c.waiters[token] = w
	c.deadline = append(c.deadline, due{token: token, at: now.Add(joinWithin)})
	return false
}

// Cancel gives up a join that has neither started nor expired, and leaves its rooms.
func (c *Core) Cancel(now time.Time, token Token) {
	w := c.waiters[token]
	if w == nil {
		return
	}
	delete(c.waiters, token)
	for _, hash := range w.hashes {
		c.unwait(hash, token)
		c.Leave(now, hash)
	}
}

// unwait takes a token out of a hash's list, so that a room that stays pending for ever holds no memory of who asked.
func (c *Core) unwait(hash uint64, token Token) {
	list := c.waiting[hash]
	kept := list[:0]
	for _, t := range list {
		if t != token {
			kept = append(kept, t)
		}
	}
	if len(kept) == 0 {
		delete(c.waiting, hash)
		return
	}
	c.waiting[hash] = kept
}

// Leave gives back one reference. The room stays announced for a while after the last.
func (c *Core) Leave(now time.Time, hash uint64) {
	e, known := c.rooms[hash]
	if !known || e.refs == 0 {
		return
	}
	e.refs--
	if e.refs == 0 {
		e.left = now.UnixNano()
		c.lingers = append(c.lingers, lingering{hash: hash, left: e.left})
	}
	c.rooms[hash] = e
}

// Rooms returns the number of rooms announced or about to be.
func (c *Core) Rooms() int { return len(c.rooms) }

// Pending returns the number of joins that wait.
func (c *Core) Pending() int { return len(c.waiters) }

// Tick gives up joins that waited too long, forgets rooms that nobody came back to, starts rooms whose last missing
// router has gone silent, and says what has gathered. Call it several times a second, and after a batch of joins or
// ranges.
func (c *Core) Tick(now time.Time) {
	c.advance(now)
	for len(c.deadline) > 0 && !c.deadline[0].at.After(now) {
		token := c.deadline[0].token
		c.deadline = c.deadline[1:]
		if c.waiters[token] != nil {
			c.Cancel(now, token)
			c.expired = append(c.expired, token)
		}
	}
	horizon := now.Add(-linger).UnixNano()
	for len(c.lingers) > 0 && c.lingers[0].left <= horizon {
		l := c.lingers[0]
		c.lingers = c.lingers[1:]
		if e, known := c.rooms[l.hash]; known && e.refs == 0 && e.left == l.left {
			delete(c.rooms, l.hash)
			c.change(l.hash)
		}
	}
	c.compact()
	c.tell(now)
	c.release()
}

// release gives the memory of queues back that a storm of joins has left empty.
func (c *Core) release() {
	if len(c.deadline) == 0 {
		c.deadline = nil
	}
	if len(c.lingers) == 0 {
		c.lingers = nil
	}
	if len(c.pending) == 0 {
		c.pending = nil
	}
	if len(c.changes) == 0 && cap(c.changes) > keep {
		c.changes = nil
	}
}

// keep is the capacity below which memory is not worth giving back, in changes.
const keep = 1024

// compact drops rooms that are gone from the list of pending ones, which only a router's word shortens otherwise.
func (c *Core) compact() {
	if len(c.pending) < 2*len(c.rooms)+1024 {
		return
	}
	kept := make([]change, 0, len(c.rooms))
	for _, p := range c.pending {
		if e, known := c.rooms[p.hash]; known && !e.active && e.number == p.number {
			kept = append(kept, p)
		}
	}
	c.pending = kept
}

func (c *Core) change(hash uint64) {
	c.number++
	c.changes = append(c.changes, hash)
}

// tell writes one delta to each stream that has confirmed its last one.
func (c *Core) tell(now time.Time) {
	for id, s := range c.streams {
		gathered := c.number - s.sent
		if gathered == 0 {
			continue
		}
		idle := len(s.owned) == 0 && now.Sub(s.told) >= idleDelta
		if s.unconfirmed && !idle && gathered < backlog {
			continue
		}
		c.say(id, c.since(s.sent))
		s.sent, s.unconfirmed, s.told = c.number, true, now
	}
	c.trim()
}

// since sums up the changes after a number: rooms that are there now, and rooms that are not.
func (c *Core) since(number uint64) Delta {
	d := Delta{Number: c.number}
	changes := c.changes[number+1-c.first:]
	seen := make(map[uint64]struct{}, len(changes))
	for _, hash := range changes {
		if _, twice := seen[hash]; twice {
			continue
		}
		seen[hash] = struct{}{}
		if _, there := c.rooms[hash]; there {
			d.Add = append(d.Add, hash)
		} else {
			d.Remove = append(d.Remove, hash)
		}
	}
	return d
}

// trim drops the changes that every stream knows.
func (c *Core) trim() {
	known := c.number
	for _, s := range c.streams {
		known = min(known, s.sent)
	}
	if drop := known + 1 - c.first; drop > 0 {
		c.changes = append(c.changes[:0], c.changes[drop:]...)
		c.first = known + 1
	}
}

// advance starts every pending room that all living routers have confirmed, and the joins that waited for it.
func (c *Core) advance(now time.Time) {
	if !c.Placed() {
		return
	}
	for _, token := range c.unplaced {
		if c.waiters[token] != nil {
			delete(c.waiters, token)
			c.started = append(c.started, token)
		}
	}
	c.unplaced = nil
	if len(c.pending) == 0 {
		return
	}
	level := c.level(now)
	for len(c.pending) > 0 && c.pending[0].number <= level {
		next := c.pending[0]
		c.pending = c.pending[1:]
		e, known := c.rooms[next.hash]
		if !known || e.active || e.number != next.number {
			continue
		}
		e.active = true
		c.rooms[next.hash] = e
		c.need = max(c.need, e.number)
		for _, token := range c.waiting[next.hash] {
			w := c.waiters[token]
			if w == nil {
				continue
			}
			w.missing--
			if w.missing == 0 {
				delete(c.waiters, token)
				c.started = append(c.started, token)
			}
		}
		delete(c.waiting, next.hash)
	}
}

// level is the number that every partition has confirmed whose router spoke lately; without limit if none did.
func (c *Core) level(now time.Time) uint64 {
	level := uint64(math.MaxUint64)
	if c.mutant&earlyAck != 0 {
		level = 0
	}
	for p, covered := range c.covered {
		if !c.isServed(now, uint32(p)) {
			continue
		}
		if c.mutant&earlyAck != 0 {
			level = max(level, covered)
		} else {
			level = min(level, covered)
		}
	}
	return level
}

func (c *Core) isServed(now time.Time, p uint32) bool {
	for _, s := range c.streams {
		if s.owned[p] && now.Sub(s.spoke) <= spokeWithin {
			return true
		}
	}
	return false
}
