// Package trail remembers the sockets that went within the last minutes, and why: for the question why somebody did not
// get an event. It is bounded, costs nothing while a socket lives, and decides nothing.
package trail

import (
	"sync"
	"time"
)

// Closed is a socket that went.
type Closed struct {
	User, Socket string
	Reason       string // why, as the metrics have it
	At           time.Time
}

// Size is how many are remembered: about half a megabyte.
const Size = 4096

// Trail is a ring. The zero value is empty. Safe for use by many goroutines.
type Trail struct {
	mu   sync.Mutex // guards what follows
	ring []Closed
	next int // the oldest, once the ring is full
}

// Add remembers a socket in the place of the oldest.
func (t *Trail) Add(c Closed) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.ring) < Size {
		t.ring = append(t.ring, c)
		return
	}
	t.ring[t.next] = c
	t.next = (t.next + 1) % Size
}

// Of lists the sockets of some users that went since a time, the latest first, at most limit.
func (t *Trail) Of(users map[string]bool, since time.Time, limit int) []Closed {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []Closed
	for i := range t.ring {
		c := t.ring[(t.next+len(t.ring)-1-i)%len(t.ring)]
		if len(out) == limit || c.At.Before(since) {
			break
		}
		if users[c.User] {
			out = append(out, c)
		}
	}
	return out
}
