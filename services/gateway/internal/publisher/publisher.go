// Package publisher appends events of clients to Kafka through a router, in the order in which they came, batched: one
// call is under way at a time, and what comes meanwhile goes with the next.
package publisher

import (
	"context"
	"errors"
	"sync"
	"time"

	emitv1 "github.com/edumatrix/interlink/proto/emit/v1"
)

const (
	topic      = "client-events"
	batchMost  = 256
	callWithin = 5 * time.Second
	queueBytes = 8 << 20
)

// Errors that done is called with, beside gRPC's.
var (
	ErrFull    = errors.New("publisher: too much waits for a router")
	ErrStopped = errors.New("publisher: stopped")
)

// Publisher is safe for use by many goroutines.
type Publisher struct {
	client emitv1.EmitClient

	mu      sync.Mutex // guards what follows
	queue   []entry
	bytes   int
	stopped bool
	wake    chan struct{}
}

type entry struct {
	key   string
	value []byte
	done  func(error)
}

// New returns a publisher that sends nothing before Run.
func New(client emitv1.EmitClient) *Publisher {
	return &Publisher{client: client, wake: make(chan struct{}, 1)}
}

// Publish queues an event. done is called once, from any goroutine, with nil when the brokers have it. Over 8 MiB that
// wait it is ErrFull, at once.
func (p *Publisher) Publish(key string, value []byte, done func(error)) {
	if err := p.put(entry{key: key, value: value, done: done}); err != nil {
		done(err)
		return
	}
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

func (p *Publisher) put(e entry) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.stopped:
		return ErrStopped
	case p.bytes+len(e.value) > queueBytes:
		return ErrFull
	}
	p.queue = append(p.queue, e)
	p.bytes += len(e.value)
	return nil
}

func (p *Publisher) take() []entry {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := min(len(p.queue), batchMost)
	batch := p.queue[:n:n]
	if p.queue = p.queue[n:]; len(p.queue) == 0 {
		p.queue = nil
	}
	for _, e := range batch {
		p.bytes -= len(e.value)
	}
	return batch
}

// Run publishes until ctx ends; what waits then is given ErrStopped.
func (p *Publisher) Run(ctx context.Context) error {
	for {
		select {
		case <-p.wake:
		case <-ctx.Done():
			p.stop()
			return nil
		}
		for batch := p.take(); len(batch) > 0; batch = p.take() {
			p.send(ctx, batch)
		}
	}
}

func (p *Publisher) stop() {
	p.mu.Lock()
	queue := p.queue
	p.queue, p.bytes, p.stopped = nil, 0, true
	p.mu.Unlock()
	for _, e := range queue {
		e.done(ErrStopped)
	}
}

func (p *Publisher) send(ctx context.Context, batch []entry) {
	ctx, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	request := &emitv1.PublishRequest{Entries: make([]*emitv1.Entry, len(batch))}
	for i, e := range batch {
		request.Entries[i] = &emitv1.Entry{Topic: topic, Key: []byte(e.key), Value: e.value}
	}
	answer, err := p.client.Publish(ctx, request)
	for i, e := range batch {
		switch {
		case err != nil:
			e.done(err)
		case i >= len(answer.Results):
			e.done(errors.New("publisher: the router answered too little"))
		case answer.Results[i].Error != "":
			e.done(errors.New("publisher: " + answer.Results[i].Error))
		default:
			e.done(nil)
		}
	}
}
