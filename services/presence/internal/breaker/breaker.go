// Package breaker decides whether something that fails is worth asking at all. It is pure: time is an argument.
package breaker

import (
	"sync"
	"time"
)

// Outcome of one attempt.
type Outcome uint8

// Outcomes of an attempt.
const (
	Unknown Outcome = iota // the caller gave up: says nothing
	Good
	Bad
)

// Breaker opens after a number of failures in a row. While it is open nothing is admitted, but one attempt each pause;
// the first that succeeds closes it. It may be used from any goroutine.
type Breaker struct {
	threshold int
	pause     time.Duration

	mu       sync.Mutex // guards everything below
	failures int
	open     bool
	retry    time.Time // open only: when the next attempt is admitted
	closed   time.Time // when it last closed after having been open
}

// New makes a closed breaker that opens after threshold failures in a row and then admits one attempt each pause.
func New(threshold int, pause time.Duration) *Breaker {
	return &Breaker{threshold: threshold, pause: pause}
}

// Allow reports whether to try now. Whoever was allowed calls Done once.
func (b *Breaker) Allow(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.open {
		return true
	}
	if now.Before(b.retry) {
		return false
	}
	b.retry = now.Add(b.pause)
	return true
}

// Done reports how an attempt went.
func (b *Breaker) Done(now time.Time, outcome Outcome) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch outcome {
	case Good:
		b.failures = 0
		if b.open {
			b.open, b.closed = false, now
		}
	case Bad:
		b.failures++
		if !b.open && b.failures >= b.threshold {
			b.open, b.retry = true, now.Add(b.pause)
		}
	}
}

// Open reports whether the last word was failure.
func (b *Breaker) Open() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.open
}

// Closed says when it last closed after having been open, zero if it never was open.
func (b *Breaker) Closed() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.closed
}
