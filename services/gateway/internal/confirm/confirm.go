// Package confirm tells others what browsers have proven to have (DESIGN, "Delivery", 8 and 9): the inbox, which forgets
// the event; the sender's sockets, by message:delivered; and the application, by a record on the receipts topic.
//
// Nothing waits for it. What cannot be told is tried again for a while, within bounds, and then given up: an event that
// is not taken out of an inbox is given once more, with the same id; a receipt that is given up is missing.
package confirm

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	deliveryv1 "github.com/edumatrix/interlink/proto/delivery/v1"
	emitv1 "github.com/edumatrix/interlink/proto/emit/v1"
	presencev1 "github.com/edumatrix/interlink/proto/presence/v1"
	"github.com/edumatrix/interlink/services/gateway/internal/receipts"
	"github.com/edumatrix/interlink/services/internal/room"
)

const (
	topic      = "receipts"
	batchMost  = 512
	queueMost  = 20_000 // of each kind, in receipts
	usersMost  = 16     // calls to presence at once
	callWithin = 3 * time.Second
	remembered = 1 << 16 // pairs of event and user
)

// Options of New.
type Options struct {
	Presence presencev1.PresenceClient
	Emit     emitv1.EmitClient
	Log      func() string // names the topic that positions are of
	GaveUp   func(n int)   // receipts that were not told, nil: not counted
	Now      func() time.Time
	Logger   *slog.Logger
}

// Confirmer is safe for use by many goroutines; its methods do not block. Nothing is told before Run.
type Confirmer struct {
	options Options
	inboxes *lane[taken]
	senders *lane[receipt]
	records *lane[receipt]

	mu   sync.Mutex // guards once
	once *receipts.Once
}

// taken is one event that a user has: its place, or its id if that is not known.
type taken struct {
	log, user string
	partition uint32
	offset    int64
	id        string
}

// receipt is the arrival of one event at one user.
type receipt struct {
	id, from, user string
	by             receipts.By
	at             time.Time
}

// New returns a confirmer.
func New(o Options) *Confirmer {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.GaveUp == nil {
		o.GaveUp = func(int) {}
	}
	c := &Confirmer{options: o, once: receipts.NewOnce(remembered)}
	c.inboxes = newLane("inbox", c.receive, o)
	c.senders = newLane("sender", c.push, o)
	c.records = newLane("record", c.publish, o)
	return c
}

// Arrived tells that a user's browser has an event.
func (c *Confirmer) Arrived(user string, e *receipts.Event, by receipts.By) {
	concern := e.Of(user)
	if concern.Inbox {
		c.inboxes.put(taken{log: c.options.Log(), user: user, partition: e.Partition, offset: e.Offset})
	}
	if !concern.Sender || !c.first(e.ID, user) {
		return
	}
	r := receipt{id: e.ID, from: e.From, user: user, by: by, at: c.options.Now()}
	if e.From != "" {
		c.senders.put(r)
	}
	c.records.put(r)
}

// Said tells that a user's browser says to have events of which nothing more than their ids is known here.
func (c *Confirmer) Said(user string, ids []string) {
	for _, id := range ids {
		c.inboxes.put(taken{log: c.options.Log(), user: user, id: id})
	}
}

func (c *Confirmer) first(event, user string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.once.First(event, user)
}

// Run tells until ctx ends, and then what waits, once, within a second.
func (c *Confirmer) Run(ctx context.Context) error {
	var running sync.WaitGroup
	running.Go(func() { c.inboxes.run(ctx) })
	running.Go(func() { c.senders.run(ctx) })
	running.Go(func() { c.records.run(ctx) })
	running.Wait()
	return nil
}

// receive takes events out of inboxes, one call for each user.
func (c *Confirmer) receive(ctx context.Context, batch []taken) (left []taken, err error) {
	type key struct{ log, user string }
	byUser := make(map[key][]taken)
	for _, t := range batch {
		k := key{t.log, t.user}
		byUser[k] = append(byUser[k], t)
	}
	var mu sync.Mutex // guards left and err
	group := errgroup.Group{}
	group.SetLimit(usersMost)
	for k, list := range byUser {
		group.Go(func() error {
			request := &presencev1.ReceiveRequest{Log: k.log, User: k.user}
			for _, t := range list {
				if t.id != "" {
					request.Ids = append(request.Ids, t.id)
				} else {
					request.Spans = append(request.Spans, &presencev1.Span{Partition: t.partition, From: t.offset, To: t.offset + 1})
				}
			}
			_, failed := c.options.Presence.Receive(ctx, request)
			if status.Code(failed) == codes.InvalidArgument { // it will never be taken
				c.options.GaveUp(len(list))
				return nil
			}
			if failed != nil {
				mu.Lock()
				defer mu.Unlock()
				left, err = append(left, list...), failed
			}
			return nil
		})
	}
	return left, errors.Join(group.Wait(), err)
}

// push tells senders.
func (c *Confirmer) push(ctx context.Context, batch []receipt) ([]receipt, error) {
	request := &emitv1.PushRequest{}
	for _, r := range batch {
		data, err := json.Marshal(struct {
			ID   string `json:"id"`
			User string `json:"user"`
			Time int64  `json:"time"`
		}{r.id, r.user, r.at.UnixMilli()})
		if err != nil {
			return nil, err
		}
		record, err := proto.Marshal(&deliveryv1.Record{
			Id: r.id + ":" + r.user, Event: "message:delivered", Rooms: []string{string(room.OfUser(r.from))}, Data: data, TimeMs: r.at.UnixMilli(),
		})
		if err != nil {
			return nil, err
		}
		request.Records = append(request.Records, record)
	}
	if _, err := c.options.Emit.Push(ctx, request); err != nil {
		return batch, err
	}
	return nil, nil
}

// publish writes records for the application.
func (c *Confirmer) publish(ctx context.Context, batch []receipt) (left []receipt, err error) {
	request := &emitv1.PublishRequest{}
	for _, r := range batch {
		value, err := json.Marshal(struct {
			ID   string      `json:"id"`
			User string      `json:"user"`
			By   receipts.By `json:"by"`
			Time time.Time   `json:"time"`
		}{r.id, r.user, r.by, r.at.UTC()})
		if err != nil {
			return nil, err
		}
		key := r.from
		if key == "" { // nobody is named: the event's receipts stay together
			key = r.id
		}
		request.Entries = append(request.Entries, &emitv1.Entry{Topic: topic, Key: []byte(key), Value: value})
	}
	answer, err := c.options.Emit.Publish(ctx, request)
	if err != nil {
		return batch, err
	}
	for i, r := range batch {
		if i >= len(answer.Results) {
			left, err = append(left, r), errors.New("the router answered too little")
		} else if failed := answer.Results[i].Error; failed != "" {
			left, err = append(left, r), errors.New(failed)
		}
	}
	return left, err
}
