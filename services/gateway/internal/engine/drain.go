package engine

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// Drain closes the transports of the sessions that are open now, in random order, spread evenly, so that clients come back elsewhere. It blocks
// until that is done or ctx is. New sessions are still admitted: whoever must not send clients here any more says so elsewhere.
func (e *Engine) Drain(ctx context.Context, spread time.Duration) error {
	var all []*Session
	for _, sh := range e.shards {
		all = append(all, sh.snapshot()...)
	}
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	begun := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for done := 0; done < len(all); {
		due := len(all)
		if spread > 0 {
			due = min(due, 1+int(float64(len(all))*float64(time.Since(begun))/float64(spread)))
		}
		for ; done < due; done++ {
			s := all[done]
			s.shard.Post(func() { s.Close(Server) })
		}
		timer.Reset(max(spread/time.Duration(len(all)), time.Millisecond))
		select {
		case <-timer.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// handlers counts the HTTP handlers that Run waits for.
type handlers struct {
	mu     sync.Mutex // guards what follows
	count  int
	closed bool
	idle   chan struct{} // closed when closed is set and count is 0
}

// enter reports whether another handler may begin.
func (h *handlers) enter() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return false
	}
	h.count++
	return true
}

func (h *handlers) leave() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.count--; h.count == 0 && h.closed {
		close(h.idle)
	}
}

// wait admits no more handlers and blocks until the last one has left.
func (h *handlers) wait() {
	h.mu.Lock()
	h.closed = true
	if h.count == 0 {
		close(h.idle)
	}
	h.mu.Unlock()
	<-h.idle
}
