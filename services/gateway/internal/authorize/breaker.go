package authorize

import (
	"sync"
	"time"
)

const (
	failuresToOpen = 5
	firstPause     = 500 * time.Millisecond
	longestPause   = 5 * time.Second
)

// breaker keeps questions from a peer that cannot be reached: after some failures in a row nobody asks for a while, then
// one does, for all. It has no clock.
//
// Invariant: probing implies failures >= failuresToOpen.
type breaker struct {
	mu       sync.Mutex // guards all
	failures int        // in a row
	pause    time.Duration
	until    time.Time // nobody asks before
	probing  bool      // one is asking
}

// change is what a report did.
type change uint8

const (
	unchanged change = iota
	opened
	closed
)

func newBreaker() *breaker { return &breaker{pause: firstPause} }

// allow reports whether to ask. Who is allowed must report.
func (b *breaker) allow(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failures < failuresToOpen {
		return true
	}
	if b.probing || now.Before(b.until) {
		return false
	}
	b.probing = true
	return true
}

// report tells how a question went.
func (b *breaker) report(now time.Time, ok bool) change {
	b.mu.Lock()
	defer b.mu.Unlock()
	wasOpen := b.failures >= failuresToOpen
	if ok {
		b.failures, b.pause, b.probing = 0, firstPause, false
		if wasOpen {
			return closed
		}
		return unchanged
	}
	b.failures++
	if b.failures < failuresToOpen {
		return unchanged
	}
	if !wasOpen {
		b.until = now.Add(b.pause)
		return opened
	}
	if b.probing {
		b.probing = false
		b.pause = min(2*b.pause, longestPause)
		b.until = now.Add(b.pause)
	}
	return unchanged
}
