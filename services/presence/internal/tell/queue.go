package tell

import (
	"container/list"
	"sync"
	"time"
)

// item is something to tell. Of two items with one key only the newer one counts.
type item[T any] struct {
	key   string
	value T
	size  int64
	at    time.Time // when it was put, for its age
}

// queue holds what is to be told, bounded in bytes: over the bound the oldest goes. An item that replaces one of its
// key takes the place of the replaced. It may be used from any goroutine.
type queue[T any] struct {
	limit int64 // bytes

	mu    sync.Mutex // guards everything below
	order list.List  // of *item[T], oldest place first
	byKey map[string]*list.Element
	bytes int64
	wake  chan struct{} // holds one token while there may be something to take
}

// overhead is what an item costs beside its payload, in bytes: list, map entry, key header.
const overhead = 200

func newQueue[T any](limit int64) *queue[T] {
	return &queue[T]{limit: limit, byKey: map[string]*list.Element{}, wake: make(chan struct{}, 1)}
}

// put adds an item and returns how many others had to go for it.
func (q *queue[T]) put(it item[T]) (dropped int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	it.size += int64(len(it.key)) + overhead
	if e := q.byKey[it.key]; e != nil {
		q.bytes += it.size - e.Value.(*item[T]).size
		e.Value = &it
	} else {
		q.byKey[it.key] = q.order.PushBack(&it)
		q.bytes += it.size
	}
	for q.bytes > q.limit && q.order.Len() > 1 {
		q.remove(q.order.Front())
		dropped++
	}
	q.signal()
	return dropped
}

func (q *queue[T]) remove(e *list.Element) *item[T] {
	it := q.order.Remove(e).(*item[T])
	delete(q.byKey, it.key)
	q.bytes -= it.size
	return it
}

func (q *queue[T]) signal() {
	if q.order.Len() > 0 {
		select {
		case q.wake <- struct{}{}:
		default:
		}
	}
}

// take removes up to n items in order, and all before them that were put before oldest, which it counts.
func (q *queue[T]) take(n int, oldest time.Time) (items []*item[T], expired int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(items) < n && q.order.Len() > 0 {
		it := q.remove(q.order.Front())
		if it.at.Before(oldest) {
			expired++
			continue
		}
		items = append(items, it)
	}
	q.signal()
	return items, expired
}

// giveBack puts items that could not be told back to the front, but those of which a newer one has come, and returns how
// many found no room.
func (q *queue[T]) giveBack(items []*item[T]) (dropped int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := len(items) - 1; i >= 0; i-- {
		it := items[i]
		if q.byKey[it.key] != nil {
			continue
		}
		if q.bytes+it.size > q.limit {
			dropped++
			continue
		}
		q.byKey[it.key] = q.order.PushFront(it)
		q.bytes += it.size
	}
	q.signal()
	return dropped
}

func (q *queue[T]) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.order.Len()
}
