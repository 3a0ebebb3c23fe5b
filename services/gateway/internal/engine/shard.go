package engine

import (
	"errors"
	"sync"
	"time"

	"github.com/edumatrix/interlink/services/gateway/internal/poller"
	"github.com/edumatrix/interlink/services/gateway/internal/wsframe"
)

// waiter is how a shard waits: a poller.Poller or a poller.Gate.
type waiter interface {
	Wait(events []poller.Event, deadline time.Time) (int, error)
	Wake() error
	Close() error
}

const (
	readRoom  = 64 << 10 // bytes that one read takes at most
	restRoom  = 256      // kept before them for what was left of the last read, see wsframe.MaxRest
	writeRoom = 64 << 10 // bytes that one write takes at most when frames are joined
)

// Shard is one goroutine and the sessions that it owns. Whatever belongs to a session happens on it.
type Shard struct {
	engine *Engine
	index  int
	wait   waiter
	epoll  *poller.Poller // nil on the portable path

	mu       sync.Mutex // guards what follows, up to the blank line
	posts    []func()
	sleeping bool
	stopped  bool
	sessions map[string]*Session

	// Of the shard's goroutine alone.
	running  []func() // the batch of posts that is being run; swapped with posts
	deferred []func() // to be run as soon as the present step is over
	dirty    []*Session
	wheel    wheel
	now      int64 // nanoseconds since the engine was made, read once per turn
	slots    []slot
	free     []uint32
	spares   spares
	in       []byte
	out      []byte
	behind   int // turns in a row that may have left ready descriptors
	quit     bool
}

// slot names a descriptor in poller tokens. The generation tells an event of a closed descriptor from one of its successor.
type slot struct {
	conn       *conn
	generation uint32
}

func newShard(e *Engine, index int) (*Shard, error) {
	sh := &Shard{engine: e, index: index, sessions: make(map[string]*Session), in: make([]byte, restRoom+readRoom), out: make([]byte, 0, writeRoom)}
	if e.options.Portable {
		sh.wait = poller.NewGate()
		return sh, nil
	}
	p, err := poller.New()
	switch {
	case errors.Is(err, poller.ErrUnsupported):
		sh.wait = poller.NewGate()
	case err != nil:
		return nil, err
	default:
		sh.wait, sh.epoll = p, p
	}
	return sh, nil
}

// Index is the shard's number, from 0.
func (sh *Shard) Index() int { return sh.index }

// Post runs fn on the shard's goroutine, in the order of the calls. Any goroutine; never blocks. What the batch of posts queues to sessions is
// written when the batch is over, one write a session. After Run has returned fn is dropped. Posts are not bounded here: who posts bounds its rate.
func (sh *Shard) Post(fn func()) { sh.post(fn) }

// post reports whether fn will be run.
func (sh *Shard) post(fn func()) bool {
	sh.mu.Lock()
	if sh.stopped {
		sh.mu.Unlock()
		return false
	}
	sh.posts = append(sh.posts, fn)
	wake := sh.sleeping
	sh.sleeping = false
	sh.mu.Unlock()
	if wake {
		_ = sh.wait.Wake() // an eventfd takes any number of wake-ups
	}
	return true
}

// After runs fn on the shard's goroutine after d, unless it is cancelled; cancel reports whether it was in time. Both on the shard's goroutine only.
func (sh *Shard) After(d time.Duration, fn func()) (cancel func() bool) {
	t := &timer{fire: fn}
	sh.wheel.arm(t, sh.now+int64(d))
	return func() bool { return sh.wheel.disarm(t) }
}

// Later runs fn when the present step is over; on the shard's goroutine only: callbacks that may take sessions apart never run inside a caller's loop over them.
func (sh *Shard) Later(fn func()) { sh.deferred = append(sh.deferred, fn) }

// run is the shard's loop. It returns when quit was set on its goroutine, or with the error of its poller.
func (sh *Shard) run() error {
	events := make([]poller.Event, poller.Batch)
	for !sh.quit {
		n, err := sh.wait.Wait(events, sh.deadline())
		if err != nil {
			return err
		}
		sh.now = sh.engine.clock()
		sh.runPosts()
		for _, event := range events[:n] {
			sh.serve(event)
			sh.settle()
		}
		if sh.caughtUp(n) {
			sh.wheel.advance(sh.now)
			sh.settle()
		}
		sh.flush()
	}
	return nil
}

// caughtUp reports whether timers may fire: not while more descriptors may be ready than one turn has served. After a process was stopped
// for a while the pongs that wait in its descriptors are read before their sessions time out. It holds timers up for one round of all descriptors.
func (sh *Shard) caughtUp(served int) bool {
	if served == poller.Batch && sh.behind <= len(sh.slots)/poller.Batch {
		sh.behind++
		return false
	}
	sh.behind = 0
	return true
}

// deadline is until when to wait: not at all if there are posts.
func (sh *Shard) deadline() time.Time {
	sh.mu.Lock()
	sh.sleeping = len(sh.posts) == 0
	sleeping := sh.sleeping
	sh.mu.Unlock()
	if !sleeping {
		return sh.engine.start
	}
	at, ok := sh.wheel.next()
	if !ok {
		return time.Time{}
	}
	return sh.engine.start.Add(time.Duration(at))
}

func (sh *Shard) runPosts() {
	sh.mu.Lock()
	sh.sleeping = false
	sh.posts, sh.running = sh.running[:0], sh.posts
	sh.mu.Unlock()
	for i, fn := range sh.running {
		fn()
		sh.running[i] = nil
		sh.settle()
	}
}

// settle runs what was deferred, in order, and what that defers.
func (sh *Shard) settle() {
	for i := 0; i < len(sh.deferred); i++ {
		fn := sh.deferred[i]
		sh.deferred[i] = nil
		fn()
	}
	sh.deferred = sh.deferred[:0]
}

// flush writes every dirty session once.
func (sh *Shard) flush() {
	for len(sh.dirty) > 0 {
		batch := sh.dirty
		sh.dirty = nil
		for i, s := range batch {
			batch[i] = nil
			s.dirty = false
			s.flush()
		}
		sh.settle()
		if sh.dirty == nil {
			sh.dirty = batch[:0]
			return
		}
	}
}

// serve handles one ready descriptor.
func (sh *Shard) serve(event poller.Event) {
	index, generation := uint32(event.Token), uint32(event.Token>>32)
	if int(index) >= len(sh.slots) || sh.slots[index].generation != generation || sh.slots[index].conn == nil {
		return // closed since the event was fetched
	}
	c := sh.slots[index].conn
	if event.Write {
		c.writable()
	}
	if event.Read && !c.closed {
		c.readable()
	}
}

// enter gives a connection a slot; its token is part of it from now on.
func (sh *Shard) enter(c *conn) {
	var index uint32
	if n := len(sh.free); n > 0 {
		index = sh.free[n-1]
		sh.free = sh.free[:n-1]
	} else {
		index = uint32(len(sh.slots))
		sh.slots = append(sh.slots, slot{})
	}
	sh.slots[index].conn = c
	c.token = uint64(index) | uint64(sh.slots[index].generation)<<32
}

// leave frees a connection's slot for another generation.
func (sh *Shard) leave(c *conn) {
	index := uint32(c.token)
	sh.slots[index] = slot{generation: sh.slots[index].generation + 1}
	sh.free = append(sh.free, index)
}

// add makes a session known by its id; false if there is one of that id already.
func (sh *Shard) add(s *Session) bool {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if _, taken := sh.sessions[s.id]; taken {
		return false
	}
	sh.sessions[s.id] = s
	return true
}

func (sh *Shard) remove(s *Session) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.sessions[s.id] == s {
		delete(sh.sessions, s.id)
	}
}

func (sh *Shard) lookup(id string) *Session {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.sessions[id]
}

// snapshot returns the sessions of the moment. Any goroutine.
func (sh *Shard) snapshot() []*Session {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	all := make([]*Session, 0, len(sh.sessions))
	for _, s := range sh.sessions {
		all = append(all, s)
	}
	return all
}

// stop ends the loop after all transports have been closed; posts made later are refused.
func (sh *Shard) stop() {
	sh.post(func() {
		for _, s := range sh.snapshot() {
			s.Close(Server)
		}
		for i := range sh.slots {
			if c := sh.slots[i].conn; c != nil {
				c.fail(wsframe.CloseGoingAway, Server)
			}
		}
		sh.Later(func() { sh.quit = true })
	})
}

// shut refuses posts from now on and runs those that were taken.
func (sh *Shard) shut() {
	sh.mu.Lock()
	sh.stopped = true
	sh.mu.Unlock()
	sh.runPosts()
}
