package session

import (
	"context"
	"hash/maphash"
	"sync"
)

// pool runs work that may block, a bounded number at once, in the order in which it came. What waits is bounded by what
// sockets may have under way: one connect each, and events within their rate.
type pool struct {
	limit int

	mu      sync.Mutex // guards what follows
	ctx     context.Context
	queue   []func(context.Context)
	running int
	stopped bool
	workers sync.WaitGroup
}

func newPool(limit int) *pool { return &pool{limit: limit} }

// start lets work begin; it ends with ctx.
func (p *pool) start(ctx context.Context) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ctx = ctx
	for range min(p.limit, len(p.queue)) {
		p.spawn()
	}
}

// do hands in work; it is dropped once the pool's context has ended. Never blocks.
func (p *pool) do(work func(context.Context)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped || p.ctx != nil && p.ctx.Err() != nil {
		return
	}
	p.queue = append(p.queue, work)
	if p.ctx != nil && p.running < p.limit {
		p.spawn()
	}
}

func (p *pool) spawn() {
	p.running++
	p.workers.Add(1)
	go p.work()
}

func (p *pool) work() {
	defer p.workers.Done()
	for {
		p.mu.Lock()
		if len(p.queue) == 0 || p.ctx.Err() != nil {
			p.running--
			p.mu.Unlock()
			return
		}
		work := p.queue[0]
		p.queue[0] = nil
		if p.queue = p.queue[1:]; len(p.queue) == 0 {
			p.queue = nil
		}
		p.mu.Unlock()
		work(p.ctx)
	}
}

// wait returns when nothing is under way; nothing begins any more.
func (p *pool) wait() {
	p.mu.Lock()
	p.stopped = true
	p.mu.Unlock()
	p.workers.Wait()
}

const (
	laneCount = 4
	laneDepth = 1024
)

// lanes run small, unimportant work in order per key, and drop what comes while a lane is full: what is dropped is told
// again or runs out by itself.
type lanes struct {
	seed    maphash.Seed
	queues  [laneCount]chan typed
	run     func(ctx context.Context, t typed)
	running sync.WaitGroup
}

func newLanes(run func(ctx context.Context, t typed)) *lanes {
	l := &lanes{seed: maphash.MakeSeed(), run: run}
	for i := range l.queues {
		l.queues[i] = make(chan typed, laneDepth)
	}
	return l
}

func (l *lanes) start(ctx context.Context) {
	for _, queue := range l.queues {
		l.running.Go(func() {
			for {
				select {
				case t := <-queue:
					l.run(ctx, t)
				case <-ctx.Done():
					return
				}
			}
		})
	}
}

func (l *lanes) put(key string, t typed) {
	select {
	case l.queues[maphash.String(l.seed, key)%laneCount] <- t:
	default:
	}
}

func (l *lanes) wait() { l.running.Wait() }
