// Package poller tells which descriptors are ready, to one goroutine that owns them.
//
// On Linux it is a level-triggered epoll set nested in the Go runtime's own poller: waiting parks a goroutine, it holds neither a thread nor a P.
// Elsewhere New returns ErrUnsupported and connections are served by goroutines; a Gate then gives their owner the same way of waiting.
// What a token means, and that it carries a generation so that an event of a closed descriptor is known as such, is its owner's business.
package poller

import (
	"errors"
	"sync"
	"time"
)

// ErrUnsupported is returned where descriptors cannot be polled.
var ErrUnsupported = errors.New("poller: descriptors cannot be polled on this system")

// Batch is how many events a Wait fills at most; the slice that it is given must hold as many.
const Batch = 256

// Event is one ready descriptor. A hang-up or an error shows as both Read and Write: the next system call tells which.
type Event struct {
	Token       uint64
	Read, Write bool
}

// Gate is a wait without descriptors: it ends by Wake or at its deadline. The zero value is not ready, see NewGate.
type Gate struct {
	woken  chan struct{}
	closed sync.Once
}

// NewGate returns a Gate.
func NewGate() *Gate { return &Gate{woken: make(chan struct{}, 1)} }

// Wait blocks until Wake was called since the last Wait returned, or until the deadline; the zero time is none. It fills no events.
func (g *Gate) Wait(_ []Event, deadline time.Time) (int, error) {
	if deadline.IsZero() {
		<-g.woken
		return 0, nil
	}
	left := time.Until(deadline)
	if left <= 0 {
		return 0, nil
	}
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-g.woken:
	case <-timer.C:
	}
	return 0, nil
}

// Wake ends the present or the next Wait. Any goroutine; does not block.
func (g *Gate) Wake() error {
	select {
	case g.woken <- struct{}{}:
	default:
	}
	return nil
}

// Close wakes the waiting goroutine.
func (g *Gate) Close() error {
	g.closed.Do(func() { _ = g.Wake() })
	return nil
}
