package engine

import (
	"math/bits"
	"time"
)

// One wheel per shard serves ping, ping timeout, write deadline and whatever the socket layer asks After for.
const (
	wheelTick  = 4 * time.Millisecond
	wheelSlots = 8192 // one turn is 32.8 s: a ping interval fits, so that most timers are looked at once
)

// timer is one entry of a wheel. The zero value with fire set is ready. It belongs to the goroutine of its wheel.
type timer struct {
	next, prev *timer
	tick       int64 // when it is due
	slot       int32 // where it is linked, valid while armed
	armed      bool
	fire       func()
}

// wheel is a hashed timing wheel. Times are nanoseconds of a monotonic clock that its owner reads.
// Invariant: an armed timer with tick T is in slot T mod wheelSlots, or in due.
type wheel struct {
	slots [wheelSlots]*timer
	used  [wheelSlots / 64]uint64 // a bit for each slot that is not empty
	now   int64                   // the last tick that was served
	due   *timer
	count int
}

const dueSlot = -1

// arm sets t to fire at or after the time at, again if it was armed before.
func (w *wheel) arm(t *timer, at int64) {
	w.disarm(t)
	t.tick = (at + int64(wheelTick) - 1) / int64(wheelTick)
	if t.tick <= w.now {
		t.tick = w.now + 1
	}
	w.link(t, int32(t.tick%wheelSlots))
	w.count++
}

// disarm reports whether t was armed.
func (w *wheel) disarm(t *timer) bool {
	if !t.armed {
		return false
	}
	w.unlink(t)
	w.count--
	return true
}

func (w *wheel) head(slot int32) **timer {
	if slot == dueSlot {
		return &w.due
	}
	return &w.slots[slot]
}

func (w *wheel) link(t *timer, slot int32) {
	head := w.head(slot)
	t.slot, t.armed, t.prev, t.next = slot, true, nil, *head
	if t.next != nil {
		t.next.prev = t
	}
	*head = t
	if slot != dueSlot {
		w.used[slot/64] |= 1 << (slot % 64)
	}
}

func (w *wheel) unlink(t *timer) {
	head := w.head(t.slot)
	if t.prev == nil {
		*head = t.next
	} else {
		t.prev.next = t.next
	}
	if t.next != nil {
		t.next.prev = t.prev
	}
	if *head == nil && t.slot != dueSlot {
		w.used[t.slot/64] &^= 1 << (t.slot % 64)
	}
	t.next, t.prev, t.armed = nil, nil, false
}

// advance fires what is due at the time now. A timer may arm and disarm others, itself included.
func (w *wheel) advance(now int64) {
	to := now / int64(wheelTick)
	from := max(w.now, to-wheelSlots)
	for tick := from + 1; tick <= to; tick++ {
		w.collect(int32(tick%wheelSlots), to)
	}
	w.now = max(w.now, to)
	for w.due != nil {
		t := w.due
		w.disarm(t)
		t.fire()
	}
}

// collect moves the due timers of a slot to the due list.
func (w *wheel) collect(slot int32, to int64) {
	for t := w.slots[slot]; t != nil; {
		next := t.next
		if t.tick <= to {
			w.unlink(t)
			w.link(t, dueSlot)
		}
		t = next
	}
}

// next is the earliest time at which advance may have something to do; ok is false when nothing is armed.
func (w *wheel) next() (at int64, ok bool) {
	if w.count == 0 {
		return 0, false
	}
	start := (w.now + 1) % wheelSlots
	for i := int64(0); i <= wheelSlots/64; i++ {
		word := (start/64 + i) % (wheelSlots / 64)
		set := w.used[word]
		if i == 0 {
			set &= ^uint64(0) << (start % 64)
		}
		if set == 0 {
			continue
		}
		slot := word*64 + int64(bits.TrailingZeros64(set))
		ahead := (slot - start + wheelSlots) % wheelSlots
		return (w.now + 1 + ahead) * int64(wheelTick), true
	}
	return w.now * int64(wheelTick), true // only the due list: advance is running
}
