package hub

import (
	"time"

	"github.com/edumatrix/interlink/services/internal/room"
)

// evictions remembers who was removed from where, for joins whose permission is older than that. It belongs to the
// sequencer, is bounded in time and number, and denies what it no longer knows.
type evictions struct {
	kept  time.Duration
	last  map[evicted]removal
	order []evictedAt
	floor uint64           // changes up to here are forgotten
	below map[uint32]int64 // by partition: removals before this offset are forgotten
}

type evicted struct {
	room room.Room
	user string
}

// removal is where in the log, and the how manieth change here.
type removal struct {
	change    uint64
	partition uint32
	offset    int64
}

type evictedAt struct {
	evicted
	removal
	at time.Time
}

const (
	evictionsSlack = time.Minute // beyond the window: far above the time that asking, joining and moving take
	evictionsMax   = 1 << 17
)

func newEvictions(kept time.Duration) evictions {
	return evictions{kept: kept, last: make(map[evicted]removal), below: make(map[uint32]int64)}
}

func (e *evictions) add(r room.Room, user string, at removal, now time.Time) {
	k := evicted{room: r, user: user}
	e.last[k] = at
	e.order = append(e.order, evictedAt{evicted: k, removal: at, at: now})
}

// since reports whether the user was, or may have been, removed from the room after what the request rests on.
func (e *evictions) since(r room.Room, user string, request *Request) bool {
	last, known := e.last[evicted{room: r, user: user}]
	if request.From == nil || request.Fresh[r] {
		return request.Asked < e.floor || known && last.change > request.Asked
	}
	for p, offset := range e.below {
		if int(p) >= len(request.From) || request.From[p] < offset {
			return true
		}
	}
	return known && (int(last.partition) >= len(request.From) || last.offset >= request.From[last.partition])
}

func (e *evictions) prune(now time.Time) {
	for len(e.order) > 0 && (len(e.order) > evictionsMax || now.Sub(e.order[0].at) > e.kept) {
		old := e.order[0]
		e.order = e.order[1:]
		if e.last[old.evicted] == old.removal {
			delete(e.last, old.evicted)
		}
		e.floor = old.change
		e.below[old.partition] = max(e.below[old.partition], old.offset+1)
	}
}
