// Package memstore keeps presence in the memory of one process: for tests and for a single presence that may forget
// everything when it ends. It passes the same contract suite as redisstore.
package memstore

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/edumatrix/interlink/services/internal/permission"
	"github.com/edumatrix/interlink/services/internal/sessionrecord"
	"github.com/edumatrix/interlink/services/presence/internal/store"
)

// Options of a Store; the zero value works.
type Options struct {
	Settings store.Settings
	Now      func() time.Time // default time.Now
}

// Store keeps presence in maps. All methods may be called from any goroutine and never block for long.
type Store struct {
	settings store.Settings
	now      func() time.Time

	mu          sync.Mutex // guards everything below
	run         string
	failure     error
	leases      map[store.Life]*lease
	users       map[string]*user
	lives       map[store.Life]*life
	due         deadlines // of users: a lost socket's, or that of an entry which will go
	online      int64
	typing      map[place]*typist
	bases       map[string]expiring[[]byte]
	permissions map[permit]expiring[cached]
	removals    map[permit]expiring[time.Time]
	sessions    map[string]expiring[*sessionrecord.Record]
	boxes       map[store.Box]*box
}

type lease struct {
	addr   string
	ends   time.Time
	run    string // of the store, when its sockets were told
	synced bool
}

// life is a gateway's life that has connected sockets here.
type life struct {
	sockets map[owned]bool
	due     time.Time // zero while alive: when its sockets are to be removed
}

// owned is a socket of a user; key is a socket of a life.
type (
	owned struct{ user, socket string }
	key   struct {
		life   store.Life
		socket string
	}
	permit struct{ user, room string }
)

type user struct {
	sockets map[key]time.Time // zero while connected, else the end of the grace
	on      bool
	status  string
	seen    time.Time
	want    string
	wantAt  time.Time
	forget  time.Time // offline only: when the entry goes
}

type expiring[T any] struct {
	value T
	ends  time.Time
}

type cached struct {
	set     permission.Set
	dropped bool
}

// New makes an empty store.
func New(o Options) *Store {
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Store{settings: o.Settings.WithDefaults(), now: o.Now}
	s.Flush()
	s.Restart()
	return s
}

// Flush forgets everything, as FLUSHALL does.
func (s *Store) Flush() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leases = map[store.Life]*lease{}
	s.users = map[string]*user{}
	s.lives = map[store.Life]*life{}
	s.due = nil
	s.online = 0
	s.typing = map[place]*typist{}
	s.bases = map[string]expiring[[]byte]{}
	s.permissions = map[permit]expiring[cached]{}
	s.removals = map[permit]expiring[time.Time]{}
	s.sessions = map[string]expiring[*sessionrecord.Record]{}
	s.boxes = map[store.Box]*box{}
}

// Restart begins another run and keeps what is stored, as a server that persists does.
func (s *Store) Restart() {
	id := make([]byte, 16)
	_, _ = rand.Read(id) // never fails
	s.mu.Lock()
	defer s.mu.Unlock()
	s.run = hex.EncodeToString(id)
}

// Fail makes every operation fail with store.ErrUnavailable; nil ends it.
func (s *Store) Fail(reason error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failure = reason
}

// enter locks the store for one operation and says what time it is.
func (s *Store) enter(ctx context.Context) (now time.Time, leave func(), err error) {
	if err := ctx.Err(); err != nil {
		return time.Time{}, nil, err
	}
	s.mu.Lock()
	if s.failure != nil {
		defer s.mu.Unlock()
		return time.Time{}, nil, fmt.Errorf("memory: %w: %w", store.ErrUnavailable, s.failure)
	}
	return s.now().Truncate(time.Millisecond), s.mu.Unlock, nil
}

// Check reports whether the store works.
func (s *Store) Check(ctx context.Context) error {
	_, leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	leave()
	return nil
}

// EvictionPolicy is empty: memory does not evict.
func (s *Store) EvictionPolicy(context.Context) (string, error) { return "", nil }

// Close does nothing.
func (s *Store) Close() error { return nil }

// Renew claims or renews a lease.
func (s *Store) Renew(ctx context.Context, l store.Lease, ttl time.Duration) (store.Renewal, error) {
	now, leave, err := s.enter(ctx)
	if err != nil {
		return store.Renewal{}, err
	}
	defer leave()
	held := s.leases[l.Life]
	if held == nil || !held.ends.After(now) || held.run != s.run {
		held = &lease{run: s.run}
		s.leases[l.Life] = held
	}
	held.addr, held.ends = l.Addr, now.Add(ttl)
	return store.Renewal{Forgotten: !held.synced, Run: s.run}, nil
}

// Release ends a lease.
func (s *Store) Release(ctx context.Context, l store.Life) error {
	_, leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	delete(s.leases, l)
	return nil
}

// Gateways lists the live leases, ordered by gateway and incarnation.
func (s *Store) Gateways(ctx context.Context) ([]store.Lease, error) {
	now, leave, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	var out []store.Lease
	for l, held := range s.leases {
		if !held.ends.After(now) {
			delete(s.leases, l)
			continue
		}
		out = append(out, store.Lease{Life: l, Addr: held.addr})
	}
	slices.SortFunc(out, func(a, b store.Lease) int {
		return cmp.Or(cmp.Compare(a.Gateway, b.Gateway), cmp.Compare(a.Incarnation, b.Incarnation))
	})
	return out, nil
}
