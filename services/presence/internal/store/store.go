// Package store owns the words between presence and the place where it keeps its state: leases, sockets, typing,
// cursor bases and cached permissions. It declares values and errors only; who needs an operation declares the
// interface. There are two implementations, redisstore and memstore, and one contract suite for both, storetest.
//
// Names (users, sockets, gateways, incarnations, rooms, status texts) never contain control characters: the
// implementations use them as separators, the service refuses them.
package store

import (
	"errors"
	"time"

	"github.com/edumatrix/interlink/services/internal/permission"
)

// Errors that callers branch on.
var (
	// ErrUnavailable wraps every failure of the store itself: away, slow, full, refusing. What was asked may or may
	// not have been done.
	ErrUnavailable = errors.New("the store is unavailable")
	// ErrNotFound says that the store answered and has no such thing.
	ErrNotFound = errors.New("not found")
)

// Settings are the times that the state machines work with. They must be the same in every pod.
type Settings struct {
	Grace          time.Duration // between an abrupt loss, or the end of a lease, and the re-check
	SeenTTL        time.Duration // how long the last-seen time of an offline user is kept
	TypingTTL      time.Duration // typing ends by itself after this
	TypingThrottle time.Duration // at most one typing:start per room and user in this time

	InboxEntries     int           // per user; more drop the oldest
	InboxTTL         time.Duration // of an entry of an inbox
	UndeliveredAfter time.Duration // an entry that waits as long is reported
}

// WithDefaults fills what is zero: 15 s, 30 days, 6 s, 2 s; 1,000 entries, 168 h, 60 s.
func (s Settings) WithDefaults() Settings {
	fill := func(d *time.Duration, def time.Duration) {
		if *d <= 0 {
			*d = def
		}
	}
	fill(&s.Grace, 15*time.Second)
	fill(&s.SeenTTL, 30*24*time.Hour)
	fill(&s.TypingTTL, 6*time.Second)
	fill(&s.TypingThrottle, 2*time.Second)
	fill(&s.InboxTTL, 168*time.Hour)
	fill(&s.UndeliveredAfter, time.Minute)
	if s.InboxEntries <= 0 {
		s.InboxEntries = 1000
	}
	return s
}

// Life is one life of a gateway: what a socket belongs to, and what a lease is for.
type Life struct {
	Gateway     string
	Incarnation string
}

// Lease is a live gateway.
type Lease struct {
	Life
	Addr string // host:port of its gRPC services
}

// Renewal answers a renewed lease.
type Renewal struct {
	// Forgotten: the store does not know all sockets of this life, because the lease is new, had expired, was flushed,
	// or was taken in another run of the store. It stays set until a full Sync has been applied.
	Forgotten bool
	Run       string // identity of this run of the store
}

// ChangeKind says what became of a socket.
type ChangeKind uint8

// What became of a socket.
const (
	Online ChangeKind = iota + 1 // it is connected
	Left                         // its user disconnected: at once
	Lost                         // its transport went away: after the grace
)

// Change is one socket's step, told by its gateway.
type Change struct {
	Kind   ChangeKind
	User   string
	Socket string
}

// Transition is a net change of a user, to be told once, by whoever received it.
type Transition struct {
	User    string
	Online  bool
	Sockets int       // connected sockets after the change
	Status  string    // `offline` while offline
	Seen    time.Time // when the user was last seen
	At      time.Time // when the change took place
}

// Typist is someone at a socket typing in a room.
type Typist struct {
	Room   string
	User   string
	Socket string // empty: not bound to one socket
	Name   string // shown to others, may be empty
}

// Told is what a room is to be told about a typist, once, by whoever received it.
type Told struct {
	Room   string
	User   string
	Name   string
	Typing bool
	At     time.Time
}

// Synced answers a Sync.
type Synced struct {
	Forgotten   bool // nothing was applied: the lease is unknown or its sockets were forgotten
	Transitions []Transition
	Typing      []Typist // those whose socket has gone while typing
}

// State is what is known of a user.
type State struct {
	Online  bool
	Status  string    // `offline` while offline
	Seen    time.Time // zero: never seen
	Sockets int
}

// StatusOffline and StatusOnline are the status texts of users who have not set one.
const (
	StatusOffline = "offline"
	StatusOnline  = "online"
)

// Dead is the part of an ended life whose sockets are due to be removed.
type Dead struct {
	Shard int
	Life  Life
}

// Tick answers one look at all deadlines.
type Tick struct {
	Transitions []Transition
	Expired     int    // sockets whose grace was over
	Dead        []Dead // ended lives whose grace is over
	Users       int64  // users online
	More        bool   // more deadlines are over than the limit allowed
}

// Swept answers the removal of some sockets of an ended life.
type Swept struct {
	Transitions []Transition
	Sockets     int // removed now
	Left        int // still to be removed
}

// StatusWait is how long a status that was set before its user's first socket was told is kept for it.
const StatusWait = 10 * time.Second

// PermissionQuiet is how long, after a permission was dropped, an answer for it is not cached: the question may have
// been asked before the change.
const PermissionQuiet = 10 * time.Second

// RemovedTTL is how long it is kept that a user was removed from a room: at least as long as tokens live.
const RemovedTTL = 30 * 24 * time.Hour

// Permissions is what is known of a user in some rooms.
type Permissions struct {
	Sets    map[string]permission.Set // answers; permission.None is a refusal
	Removed map[string]time.Time      // when he was removed, if no answer has admitted him since
}

// Drop names whose permissions in a room are forgotten.
type Drop struct {
	Room    string
	Users   []string
	Removed []string  // forgotten too; they were removed from the room
	At      time.Time // when
}
