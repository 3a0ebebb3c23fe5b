// Package service answers interlink.presence.v1.Presence and does what presence does by itself: deadlines, the sweep
// of dead gateways, the end of typing. It decides nothing about users, that is the store's; it guards the store, so
// that a slow or absent one answers Unavailable within a second, and turns what changed into events and records.
//
// A change belongs to the pod whose call to the store returned it, and only that pod tells it: several pods share all
// work without talking to each other. A change whose answer is lost with the connection to the store is not told
// again; what is asked (Query) is right all the same.
package service

import (
	"context"
	"time"

	"google.golang.org/grpc"

	deliveryv1 "github.com/edumatrix/interlink/proto/delivery/v1"
	emitv1 "github.com/edumatrix/interlink/proto/emit/v1"
	"github.com/edumatrix/interlink/services/internal/permission"
	"github.com/edumatrix/interlink/services/internal/sessionrecord"
	"github.com/edumatrix/interlink/services/presence/internal/inbox"
	"github.com/edumatrix/interlink/services/presence/internal/store"
)

// Leases keeps gateways' leases.
type Leases interface {
	Renew(ctx context.Context, lease store.Lease, ttl time.Duration) (store.Renewal, error)
	Release(ctx context.Context, life store.Life) error
	Gateways(ctx context.Context) ([]store.Lease, error)
}

// Users keeps who is online.
type Users interface {
	Sync(ctx context.Context, life store.Life, full bool, changes []store.Change) (store.Synced, error)
	SetStatus(ctx context.Context, user, status string) ([]store.Transition, error)
	Query(ctx context.Context, users []string) (map[string]store.State, error)
}

// Deadlines keeps what ends by itself.
type Deadlines interface {
	Tick(ctx context.Context, alive []store.Life, limit int) (store.Tick, error)
	Sweep(ctx context.Context, dead store.Dead, limit int) (store.Swept, error)
	TypingTick(ctx context.Context, limit int) (steps []store.Told, more bool, err error)
}

// Typists keeps who types where.
type Typists interface {
	Type(ctx context.Context, t store.Typist, typing bool) ([]store.Told, error)
}

// Bases keeps cursor bases.
type Bases interface {
	PutBase(ctx context.Context, base string, vector []byte, ttl time.Duration) error
	GetBase(ctx context.Context, base string) ([]byte, error)
}

// Permissions keeps the authorizer's answers.
type Permissions interface {
	GetPermissions(ctx context.Context, user string, rooms []string) (store.Permissions, error)
	PutPermission(ctx context.Context, user, room string, set permission.Set, ttl time.Duration) error
	DropPermissions(ctx context.Context, d store.Drop) error
}

// Sessions keeps session records.
type Sessions interface {
	WriteSession(ctx context.Context, w sessionrecord.Write, ttl time.Duration) (store.SessionWritten, error)
	ReadSession(ctx context.Context, session string) (store.SessionRead, error)
	EndSession(ctx context.Context, session string, life sessionrecord.Life, version uint64, ttl time.Duration) (bool, error)
}

// Inboxes keeps users' inboxes.
type Inboxes interface {
	AppendInbox(ctx context.Context, items []store.InboxItem) ([]inbox.Appended, error)
	ConnectInbox(ctx context.Context, b store.Box, session string, start map[uint32]int64) error
	DisconnectInbox(ctx context.Context, b store.Box, session string) error
	ReadInbox(ctx context.Context, b store.Box, session string, after uint64, limit, bytes int) ([]inbox.Entry, bool, error)
	ReceiveInbox(ctx context.Context, b store.Box, spans []inbox.Span, ids []string) (int, error)
	LookInbox(ctx context.Context, boxes []store.Box, at inbox.Place) ([]inbox.Standing, error)
}

// Undelivered finds entries of inboxes that wait too long.
type Undelivered interface {
	OverdueInbox(ctx context.Context, limit int) (overdue []store.InboxItem, entries int64, more bool, err error)
	ToldInbox(ctx context.Context, items []store.InboxItem) error
}

// Store is a place that keeps everything; each part of the service uses one of its faces.
type Store interface {
	Leases
	Users
	Deadlines
	Typists
	Bases
	Permissions
	Sessions
	Inboxes
	Undelivered
}

// Teller takes what is to be told; it does not block.
type Teller interface {
	Event(r *deliveryv1.Record)
	Record(e *emitv1.Entry)
}

// Publish appends records to Kafka and answers when the brokers have them.
type Publish func(ctx context.Context, in *emitv1.PublishRequest, opts ...grpc.CallOption) (*emitv1.PublishResponse, error)
