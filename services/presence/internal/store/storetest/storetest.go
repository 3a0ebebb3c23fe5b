// Package storetest is the contract that every store of presence passes: one suite, run against memory, against an
// embedded server and against real ones.
package storetest

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/edumatrix/interlink/services/internal/permission"
	"github.com/edumatrix/interlink/services/internal/sessionrecord"
	"github.com/edumatrix/interlink/services/presence/internal/inbox"
	"github.com/edumatrix/interlink/services/presence/internal/store"
)

// Store is everything that a store can do.
type Store interface {
	Renew(ctx context.Context, lease store.Lease, ttl time.Duration) (store.Renewal, error)
	Release(ctx context.Context, life store.Life) error
	Gateways(ctx context.Context) ([]store.Lease, error)
	Sync(ctx context.Context, life store.Life, full bool, changes []store.Change) (store.Synced, error)
	Query(ctx context.Context, users []string) (map[string]store.State, error)
	SetStatus(ctx context.Context, user, status string) ([]store.Transition, error)
	Tick(ctx context.Context, alive []store.Life, limit int) (store.Tick, error)
	Sweep(ctx context.Context, dead store.Dead, limit int) (store.Swept, error)
	Type(ctx context.Context, t store.Typist, typing bool) ([]store.Told, error)
	TypingTick(ctx context.Context, limit int) ([]store.Told, bool, error)
	PutBase(ctx context.Context, base string, vector []byte, ttl time.Duration) error
	GetBase(ctx context.Context, base string) ([]byte, error)
	GetPermissions(ctx context.Context, user string, rooms []string) (store.Permissions, error)
	PutPermission(ctx context.Context, user, room string, set permission.Set, ttl time.Duration) error
	DropPermissions(ctx context.Context, d store.Drop) error
	WriteSession(ctx context.Context, w sessionrecord.Write, ttl time.Duration) (store.SessionWritten, error)
	ReadSession(ctx context.Context, session string) (store.SessionRead, error)
	EndSession(ctx context.Context, session string, life sessionrecord.Life, version uint64, ttl time.Duration) (bool, error)
	AppendInbox(ctx context.Context, items []store.InboxItem) ([]inbox.Appended, error)
	ConnectInbox(ctx context.Context, b store.Box, session string, start map[uint32]int64) error
	DisconnectInbox(ctx context.Context, b store.Box, session string) error
	ReadInbox(ctx context.Context, b store.Box, session string, after uint64, limit, bytes int) ([]inbox.Entry, bool, error)
	ReceiveInbox(ctx context.Context, b store.Box, spans []inbox.Span, ids []string) (int, error)
	LookInbox(ctx context.Context, boxes []store.Box, at inbox.Place) ([]inbox.Standing, error)
	OverdueInbox(ctx context.Context, limit int) (overdue []store.InboxItem, entries int64, more bool, err error)
	ToldInbox(ctx context.Context, items []store.InboxItem) error
}

// Subject is a store under test, empty, with a hand on its clock.
type Subject struct {
	Store   Store
	Another func() Store          // another pod's view of the same state
	Advance func(d time.Duration) // lets time pass, for deadlines and for TTLs
	Flush   func()                // forgets everything, as FLUSHALL does
}

// Settings that subjects are to be made with.
func Settings() store.Settings {
	return store.Settings{Grace: 15 * time.Second, SeenTTL: 24 * time.Hour, TypingTTL: 6 * time.Second, TypingThrottle: 2 * time.Second,
		InboxEntries: 5, InboxTTL: time.Hour, UndeliveredAfter: time.Minute}
}

// Clock is a clock that only moves by hand.
type Clock struct {
	mu  sync.Mutex // guards now
	now time.Time
}

// NewClock starts at a fixed time.
func NewClock() *Clock { return &Clock{now: time.Date(2026, 1, 5, 10, 0, 0, 0, time.UTC)} }

// Now is the clock's time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves the clock.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// Run runs the contract. open makes an empty store for one test.
func Run(t *testing.T, open func(t *testing.T) Subject) {
	t.Helper()
	groups := []map[string]func(*testing.T, *bench){leases, sockets, gateways, typing, caches, sessions, inboxes}
	for _, group := range groups {
		for name, test := range group {
			t.Run(name, func(t *testing.T) { test(t, &bench{T: t, Subject: open(t)}) })
		}
	}
}

const leaseTTL = 9 * time.Second

var (
	gw1 = store.Life{Gateway: "gw-1", Incarnation: "A"}
	gw2 = store.Life{Gateway: "gw-2", Incarnation: "B"}
)

// bench is one test's hands: each method fails the test if the store does not do it.
type bench struct {
	*testing.T
	Subject
}

func (b *bench) ctx() context.Context { return b.T.Context() }

func (b *bench) renew(l store.Life) store.Renewal {
	b.Helper()
	r, err := b.Store.Renew(b.ctx(), store.Lease{Life: l, Addr: l.Gateway + ":9101"}, leaseTTL)
	b.ok(err)
	return r
}

// live makes a gateway with a lease and no sockets.
func (b *bench) live(lives ...store.Life) {
	b.Helper()
	for _, l := range lives {
		b.renew(l)
		b.sync(l, true)
	}
}

func (b *bench) sync(l store.Life, full bool, changes ...store.Change) store.Synced {
	b.Helper()
	s, err := b.Store.Sync(b.ctx(), l, full, changes)
	b.ok(err)
	return s
}

// change applies a delta and returns the transitions in words.
func (b *bench) change(l store.Life, changes ...store.Change) string {
	b.Helper()
	s := b.sync(l, false, changes...)
	if s.Forgotten {
		b.Fatalf("the store has forgotten %v", l)
	}
	return words(s.Transitions)
}

// tick looks at all deadlines, with the leases as they are, and returns the transitions in words.
func (b *bench) tick() string {
	b.Helper()
	return words(b.tickAll(1000).Transitions)
}

func (b *bench) tickAll(limit int) store.Tick {
	b.Helper()
	leases, err := b.Store.Gateways(b.ctx())
	b.ok(err)
	alive := make([]store.Life, 0, len(leases))
	for _, l := range leases {
		alive = append(alive, l.Life)
	}
	t, err := b.Store.Tick(b.ctx(), alive, limit)
	b.ok(err)
	return t
}

func (b *bench) state(user string) store.State {
	b.Helper()
	all, err := b.Store.Query(b.ctx(), []string{user})
	b.ok(err)
	st, ok := all[user]
	if !ok {
		b.Fatalf("Query left out %q", user)
	}
	return st
}

func (b *bench) ok(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func (b *bench) want(what, got, want string) {
	b.Helper()
	if got != want {
		b.Errorf("%s: got %q, want %q", what, got, want)
	}
}

func on(user, socket string) store.Change {
	return store.Change{Kind: store.Online, User: user, Socket: socket}
}
func left(user, socket string) store.Change {
	return store.Change{Kind: store.Left, User: user, Socket: socket}
}
func lost(user, socket string) store.Change {
	return store.Change{Kind: store.Lost, User: user, Socket: socket}
}
