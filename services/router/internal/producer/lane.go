package producer

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/segmentio/kafka-go"
)

// lane is a part of a topic's keys, best one partition. One write of it is under way at a time, and the next takes all
// that has gathered meanwhile: the slower the brokers, the larger the batches. (The writer alone closes a batch after
// Linger, whatever waits before it: with an answer in 200 ms it would write five batches a second and partition, of a
// record or two each.)
type lane struct {
	mu    sync.Mutex // guards what follows
	queue []*entry   // bounded by Options.MaxInFlight, over all lanes
	busy  bool       // a goroutine writes
}

type laneKey struct {
	topic string
	index int
}

// entry is one record that waits to be written.
type entry struct {
	producer *Producer
	ctx      context.Context // of who waits
	message  kafka.Message
	size     int64
	answered atomic.Bool
	done     chan Result
}

// answer says once what became of the record, which is in flight no more.
func (e *entry) answer(r Result) {
	if e.answered.CompareAndSwap(false, true) {
		e.producer.inFlight.Add(-e.size)
		e.done <- r
	}
}

var errUnsaid = errors.New("the writer did not say where the record went")

func (p *Producer) put(e *entry) {
	key := laneKey{topic: e.message.Topic, index: Partition(e.message.Key, p.count)}
	p.mu.Lock()
	l := p.lanes[key]
	if l == nil {
		l = &lane{}
		p.lanes[key] = l
	}
	p.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queue = append(l.queue, e)
	if !l.busy {
		l.busy = true
		go p.drain(l) // ends when nothing is left; every write of it ends within writeTimeout
	}
}

// drain writes what is queued, a batch at a time.
func (p *Producer) drain(l *lane) {
	for {
		batch := l.take()
		if batch == nil {
			return
		}
		p.write(batch)
	}
}

// take returns the next batch, nil if there is none: then the lane is not busy any more.
func (l *lane) take() []*entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, bytes := 0, int64(0)
	for n < len(l.queue) && n < batchRecords && bytes+l.queue[n].size <= batchBytes {
		bytes += l.queue[n].size
		n++
	}
	if n == 0 {
		l.queue, l.busy = nil, false
		return nil
	}
	batch := l.queue[:n:n]
	l.queue = l.queue[n:]
	return batch
}

// write writes a batch and answers each of its entries. Who has given up before is answered without a write.
func (p *Producer) write(batch []*entry) {
	messages := make([]kafka.Message, 0, len(batch))
	for _, e := range batch {
		if gone := e.ctx.Err(); gone != nil {
			e.answer(Result{Err: gone})
		} else {
			messages = append(messages, e.message)
		}
	}
	if len(messages) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
	defer cancel()
	err := p.writer.WriteMessages(ctx, messages...)
	if err == nil {
		err = errUnsaid
	}
	for _, e := range batch { // those of which the writer has said nothing
		e.answer(Result{Err: err})
	}
}
