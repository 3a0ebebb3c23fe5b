package confirm

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	firstRetry = 200 * time.Millisecond
	lastRetry  = 5 * time.Second
)

// lane tells things of one kind in the order in which they came, a batch at a time: what comes during a call goes with
// the next. It is bounded in number: the oldest are given up.
type lane[T any] struct {
	name   string
	send   func(ctx context.Context, batch []T) (left []T, err error)
	gaveUp func(n int)
	logger *slog.Logger

	mu    sync.Mutex // guards queue
	queue []T
	wake  chan struct{}
}

// newLane makes a lane; send returns what has to be sent again.
func newLane[T any](name string, send func(context.Context, []T) ([]T, error), o Options) *lane[T] {
	return &lane[T]{name: name, send: send, gaveUp: o.GaveUp, logger: o.Logger, wake: make(chan struct{}, 1)}
}

func (l *lane[T]) put(item T) {
	l.mu.Lock()
	l.queue = append(l.queue, item)
	l.bound()
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// bound gives the oldest up. The lock is held.
func (l *lane[T]) bound() {
	if over := len(l.queue) - queueMost; over > 0 {
		l.queue = l.queue[over:]
		l.gaveUp(over)
	}
}

func (l *lane[T]) take() []T {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := min(len(l.queue), batchMost)
	batch := l.queue[:n:n]
	if l.queue = l.queue[n:]; len(l.queue) == 0 {
		l.queue = nil
	}
	return batch
}

// back puts what could not be told before what came since.
func (l *lane[T]) back(left []T) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queue = append(left[:len(left):len(left)], l.queue...)
	l.bound()
}

func (l *lane[T]) run(ctx context.Context) {
	retry := firstRetry
	for {
		select {
		case <-l.wake:
		case <-ctx.Done():
			l.finish(ctx)
			return
		}
		for batch := l.take(); len(batch) > 0; batch = l.take() {
			left, err := l.call(ctx, batch, callWithin)
			if err == nil {
				retry = firstRetry
				continue
			}
			l.logger.Debug("receipts not told", "kind", l.name, "receipts", len(left), "error", err)
			l.back(left)
			if !pause(ctx, retry) {
				break
			}
			retry = min(2*retry, lastRetry)
		}
	}
}

func (l *lane[T]) call(ctx context.Context, batch []T, within time.Duration) ([]T, error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	return l.send(ctx, batch)
}

// finish tells what waits, once.
func (l *lane[T]) finish(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	for batch := l.take(); len(batch) > 0; batch = l.take() {
		if left, err := l.call(ctx, batch, time.Second); err != nil {
			l.gaveUp(len(left))
		}
	}
}

func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
