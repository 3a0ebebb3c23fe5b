package session

import (
	"sync"
	"time"

	"github.com/edumatrix/interlink/services/internal/lru"
)

const (
	recentUsers = 1 << 14
	recentIDs   = 128 // of one user
	recentFor   = 10 * time.Minute
)

// recent remembers the client events that users have published with ids of their own, so that a retry after a lost ack
// is not published again but given the first answer. It is safe for use by many goroutines.
//
// Bounds: the last 128 ids of each of the last 16,384 users, for ten minutes.
type recent struct {
	mu    *sync.Mutex // guards what follows
	users *lru.Map[string, *lru.Map[clientID, *publication]]
}

// clientID is what makes an event the same.
type clientID struct{ event, id string }

// publication is one event on its way or published.
type publication struct {
	done    bool
	waiting []func(error) // asked meanwhile
}

func newRecent() recent {
	return recent{mu: new(sync.Mutex), users: lru.New[string, *lru.Map[clientID, *publication]](recentUsers)}
}

// begin returns what end has to be called with if an event has to be published, or nil; then done is called, at once if
// it was published, else with what becomes of it. An event with that id that could not be published counts as new.
func (r recent) begin(user string, id clientID, now time.Time, done func(error)) *publication {
	r.mu.Lock()
	ids, known := r.users.Get(user, now)
	if !known {
		ids = lru.New[clientID, *publication](recentIDs)
	}
	r.users.Put(user, ids, now.Add(recentFor))
	p, known := ids.Get(id, now)
	if !known {
		p = &publication{}
		ids.Put(id, p, now.Add(recentFor))
		r.mu.Unlock()
		return p
	}
	if !p.done {
		p.waiting = append(p.waiting, done)
		r.mu.Unlock()
		return nil
	}
	r.mu.Unlock()
	done(nil)
	return nil
}

// end tells what became of an event.
func (r recent) end(p *publication, user string, id clientID, now time.Time, err error) {
	r.mu.Lock()
	waiting := p.waiting
	p.waiting, p.done = nil, true
	if ids, known := r.users.Get(user, now); known && err != nil {
		if same, known := ids.Get(id, now); known && same == p {
			ids.Delete(id)
		}
	}
	r.mu.Unlock()
	for _, done := range waiting {
		done(err)
	}
}

// published acks a client event when it is known what became of it. Any goroutine.
func (st *session) published(id string, a acker) func(error) {
	return func(err error) {
		st.post(func() {
			if err != nil {
				st.handler.options.Logger.Debug("client event not published", "error", err)
				a.refuse(away)
				return
			}
			a.ok(struct {
				OK bool   `json:"ok"`
				ID string `json:"id"`
			}{true, id})
		})
	}
}
