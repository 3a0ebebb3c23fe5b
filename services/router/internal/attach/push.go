package attach

import "sync"

// pushBytes bounds the ephemeral records that wait for one gateway.
const pushBytes = 1 << 20

// pushQueue is a bounded queue that drops the oldest.
type pushQueue struct {
	mu    sync.Mutex // guards what follows
	queue []Ephemeral
	bytes int
}

// add queues records and returns how many older ones had to go.
func (q *pushQueue) add(records []Ephemeral) (dropped int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, r := range records {
		q.queue = append(q.queue, r)
		q.bytes += len(r.Record)
	}
	for q.bytes > pushBytes && len(q.queue) > 0 {
		q.bytes -= len(q.queue[0].Record)
		q.queue[0] = Ephemeral{}
		q.queue = q.queue[1:]
		dropped++
	}
	return dropped
}

// take empties the queue.
func (q *pushQueue) take() []Ephemeral {
	q.mu.Lock()
	defer q.mu.Unlock()
	out := q.queue
	q.queue, q.bytes = nil, 0
	return out
}
