// Package why answers what happened to one event (`GET /v1/events/{id}`, `interlink why`): where it is in the log, which
// gateways had its rooms, and what became of it for each user.
//
// Nothing is recorded for it on the way of an event. It is put together when asked, from what is there anyway: the
// partition logs (so for about as long as the resume window), the gateways' rooms and positions, the inboxes, and a ring
// of the sockets that went lately. One question costs a call to each router and two to each gateway; a gateway walks once
// through the members of the event's rooms, for each event found; presence is asked once, if the event was queued.
// It tells how things are now, not how they were: a user who has left the room since is not a member.
package why

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	deliveryv1 "github.com/edumatrix/interlink/proto/delivery/v1"
	presencev1 "github.com/edumatrix/interlink/proto/presence/v1"
	whyv1 "github.com/edumatrix/interlink/proto/why/v1"
	"github.com/edumatrix/interlink/services/internal/room"
)

// What Explain may return.
var (
	ErrUnknown    = errors.New("no partition log has this id: it was never published, or longer ago than the logs reach back")
	ErrIncomplete = errors.New("the event was not found, but not every partition's router answered")
	ErrAway       = errors.New("kafka has not answered yet")
)

// Answer is what happened to an event.
type Answer struct {
	ID         string   `json:"id"`
	Events     []Event  `json:"events"`               // more than one if the id was published with several keys
	Incomplete []string `json:"incomplete,omitempty"` // who did not answer
}

// Event is one record with the id.
type Event struct {
	Partition int       `json:"partition"`
	Offset    int64     `json:"offset"`
	InMemory  bool      `json:"inMemory"` // false: only its place is known any more
	Time      string    `json:"time,omitempty"`
	Event     string    `json:"event,omitempty"`
	Control   string    `json:"control,omitempty"`
	From      string    `json:"from,omitempty"`
	Rooms     []string  `json:"rooms"`
	Queue     bool      `json:"queue"`
	Receipt   bool      `json:"receipt"`
	Key       string    `json:"key"`
	WrongKey  bool      `json:"wrongKey"` // ordered only within this partition, not with the room's other events
	Gateways  []Gateway `json:"gateways"`
	Users     []User    `json:"users"`
	More      bool      `json:"more"` // there are more users than are listed
}

// Gateway is where a gateway stands with the event.
type Gateway struct {
	Gateway  string `json:"gateway"`
	Members  uint32 `json:"members"`  // sockets in the event's rooms, now
	Position int64  `json:"position"` // next offset of the partition that it expects
	Passed   bool   `json:"passed"`   // it has come past the event
}

// Fleet asks all gateways. silent names those that did not answer.
type Fleet interface {
	Routers(ctx context.Context) (addrs, silent []string)
	Outcomes(ctx context.Context, req *deliveryv1.OutcomeRequest) (answers []*deliveryv1.OutcomeResponse, silent []string)
}

// Inboxes tell where events stand in them.
type Inboxes interface {
	LookInbox(ctx context.Context, in *presencev1.LookInboxRequest, opts ...grpc.CallOption) (*presencev1.LookInboxResponse, error)
}

// Topic is what this router speaks of at present.
type Topic struct {
	Epoch      string
	Partitions int
	Fleet      Fleet
}

// Options of an Investigator.
type Options struct {
	Self   *Finder
	Addr   string                                      // of this router, as gateways know it
	Now    func() (Topic, bool)                        // false: not known yet
	Dial   func(addr string) (*grpc.ClientConn, error) // to another router
	Inbox  Inboxes                                     // nil: without presence
	Logger *slog.Logger
}

const (
	findTimeout = 2 * time.Second
	askTimeout  = 3 * time.Second
	mostUsers   = 100 // listed when nobody is named
	mostEvents  = 4   // explained
	mostSockets = 500 // of each shard of each gateway
)

// Investigator asks everybody. Safe for use by many goroutines.
type Investigator struct{ opts Options }

// New makes an Investigator.
func New(o Options) *Investigator { return &Investigator{opts: o} }

// Explain says what happened to an event, for one user, or for all that it concerns if user is empty. Errors: ErrUnknown,
// ErrIncomplete, ErrAway.
func (i *Investigator) Explain(ctx context.Context, id, user string) (Answer, error) {
	topic, known := i.opts.Now()
	if !known {
		return Answer{}, ErrAway
	}
	found, incomplete := i.find(ctx, topic, id)
	out := Answer{ID: id, Events: []Event{}}
	for _, f := range found[:min(len(found), mostEvents)] {
		event, silent := i.event(ctx, topic, f, user)
		out.Events = append(out.Events, event)
		incomplete = append(incomplete, silent...)
	}
	slices.Sort(incomplete)
	out.Incomplete = slices.Compact(incomplete)
	switch {
	case len(found) > 0:
		return out, nil
	case len(incomplete) > 0:
		return Answer{}, fmt.Errorf("%w: %v", ErrIncomplete, out.Incomplete)
	}
	return Answer{}, ErrUnknown
}

// find asks this router and all others that the gateways know.
func (i *Investigator) find(ctx context.Context, topic Topic, id string) (found []*whyv1.Found, incomplete []string) {
	ctx, cancel := context.WithTimeout(ctx, findTimeout)
	defer cancel()
	req := &whyv1.FindRequest{Id: id}
	self, _ := i.opts.Self.Find(ctx, req) // it asks nobody and never fails
	answers := []*whyv1.FindResponse{self}
	addrs, silent := topic.Fleet.Routers(ctx)
	for _, g := range silent {
		incomplete = append(incomplete, "gateway "+g)
	}
	var mu sync.Mutex // guards answers and incomplete
	var wait sync.WaitGroup
	for _, addr := range addrs {
		if addr == i.opts.Addr {
			continue
		}
		wait.Go(func() {
			answer, err := i.ask(ctx, addr, req)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				i.opts.Logger.DebugContext(ctx, "a router does not say what it has", "router", addr, "error", err)
				incomplete = append(incomplete, "router "+addr)
				return
			}
			answers = append(answers, answer)
		})
	}
	wait.Wait()
	return merge(answers, topic.Partitions, incomplete)
}

func (i *Investigator) ask(ctx context.Context, addr string, req *whyv1.FindRequest) (*whyv1.FindResponse, error) {
	conn, err := i.opts.Dial(addr)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return whyv1.NewWhyClient(conn).Find(ctx, req)
}

// merge puts the routers' answers together: of two that hold one partition, the one that still has the record counts.
func merge(answers []*whyv1.FindResponse, partitions int, incomplete []string) ([]*whyv1.Found, []string) {
	found, held := map[uint32]*whyv1.Found{}, map[uint32]bool{}
	for _, a := range answers {
		for _, h := range a.GetHeld() {
			held[h.GetPartition()] = true
		}
		for _, f := range a.GetFound() {
			if old := found[f.GetPartition()]; old == nil || len(old.GetRecord()) == 0 {
				found[f.GetPartition()] = f
			}
		}
	}
	for p := range partitions {
		if !held[uint32(p)] {
			incomplete = append(incomplete, fmt.Sprintf("partition %d", p))
		}
	}
	return slices.SortedFunc(maps.Values(found), func(a, b *whyv1.Found) int { return cmp.Compare(a.GetPartition(), b.GetPartition()) }), incomplete
}

// event explains one record.
func (i *Investigator) event(ctx context.Context, topic Topic, found *whyv1.Found, user string) (Event, []string) {
	out := Event{Partition: int(found.GetPartition()), Offset: found.GetOffset(), Rooms: []string{}, Gateways: []Gateway{}, Users: []User{}}
	rec := &deliveryv1.Record{}
	if len(found.GetRecord()) == 0 || proto.Unmarshal(found.GetRecord(), rec) != nil {
		return out, nil
	}
	describe(&out, rec, found)
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	req := &deliveryv1.OutcomeRequest{Partition: found.GetPartition(), Offset: found.GetOffset(), Rooms: rec.GetRooms(), Limit: mostSockets}
	users := []string{user}
	if user == "" {
		answers, _ := topic.Fleet.Outcomes(ctx, req) // who is silent is so the second time too
		users, out.More = concerned(rec, answers)
	}
	req.Users = users
	f := facts{record: rec, epoch: topic.Epoch, offset: found.GetOffset(), timeMs: found.GetTimeMs()}
	var incomplete, silent []string
	f.gateways, silent = topic.Fleet.Outcomes(ctx, req)
	f.silent = len(silent) > 0
	for _, g := range silent {
		incomplete = append(incomplete, "gateway "+g)
	}
	for _, g := range f.gateways {
		passed := g.GetTopicEpoch() == topic.Epoch && g.GetPosition() > found.GetOffset()
		out.Gateways = append(out.Gateways, Gateway{Gateway: g.GetGateway(), Members: g.GetMembers(), Position: g.GetPosition(), Passed: passed})
	}
	slices.SortFunc(out.Gateways, func(a, b Gateway) int { return cmp.Compare(a.Gateway, b.Gateway) })
	looks, ok := i.looks(ctx, topic.Epoch, rec, found, users)
	if !ok {
		incomplete = append(incomplete, "presence")
	}
	for _, u := range users {
		out.Users = append(out.Users, judge(f, u, looks[u]))
	}
	return out, incomplete
}

func describe(out *Event, rec *deliveryv1.Record, found *whyv1.Found) {
	out.InMemory, out.Time, out.Event, out.From = true, stamp(rec.GetTimeMs()), rec.GetEvent(), rec.GetFrom()
	out.Rooms, out.Queue, out.Receipt = rec.GetRooms(), rec.GetQueue(), rec.GetReceipt()
	out.Key, out.WrongKey = found.GetKey(), found.GetWrongKey()
	switch rec.GetControl().GetKind() {
	case deliveryv1.Control_MEMBERSHIP_CHANGED:
		out.Control = "membership.changed"
	case deliveryv1.Control_SESSION_REVOKED:
		out.Control = "session.revoked"
	case deliveryv1.Control_USER_DISCONNECT:
		out.Control = "user.disconnect"
	}
}

// concerned are the users that an event is addressed to, and those who have a socket in its rooms now.
func concerned(rec *deliveryv1.Record, answers []*deliveryv1.OutcomeResponse) (users []string, more bool) {
	all := map[string]bool{}
	for _, r := range rec.GetRooms() {
		if u, ok := room.Room(r).User(); ok {
			all[u] = true
		}
	}
	for _, a := range answers {
		more = more || a.GetMore()
		for _, s := range a.GetSockets() {
			all[s.GetUser()] = true
		}
	}
	users = slices.Sorted(maps.Keys(all))
	if len(users) > mostUsers {
		return users[:mostUsers], true
	}
	return users, more
}

// looks asks presence about those of the users whom the event was queued for; false if it does not answer.
func (i *Investigator) looks(ctx context.Context, epoch string, rec *deliveryv1.Record, found *whyv1.Found, users []string) (map[string]presencev1.Look_State, bool) {
	if !rec.GetQueue() {
		return nil, true
	}
	queued := slices.DeleteFunc(slices.Clone(users), func(u string) bool {
		return !slices.Contains(rec.GetRooms(), string(room.OfUser(u))) || slices.Contains(rec.GetExceptUsers(), u)
	})
	if len(queued) == 0 {
		return nil, true
	}
	if i.opts.Inbox == nil {
		return nil, false
	}
	answer, err := i.opts.Inbox.LookInbox(ctx, &presencev1.LookInboxRequest{Log: epoch, Users: queued, Partition: found.GetPartition(), Offset: found.GetOffset()})
	if err != nil {
		i.opts.Logger.DebugContext(ctx, "presence does not say what waits", "error", err)
		return nil, false
	}
	out := make(map[string]presencev1.Look_State, len(queued))
	for n, l := range answer.GetLooks() {
		if n < len(queued) {
			out[queued[n]] = l.GetState()
		}
	}
	return out, true
}
