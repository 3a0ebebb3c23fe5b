package router

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	deliveryv1 "github.com/edumatrix/interlink/proto/delivery/v1"
	presencev1 "github.com/edumatrix/interlink/proto/presence/v1"
	"github.com/edumatrix/interlink/services/router/internal/attach"
	"github.com/edumatrix/interlink/services/router/internal/consumer"
	"github.com/edumatrix/interlink/services/router/internal/inbox"
	"github.com/edumatrix/interlink/services/router/internal/incarnation"
	"github.com/edumatrix/interlink/services/router/internal/kafkaconn"
	"github.com/edumatrix/interlink/services/router/internal/revocations"
)

// deliver waits for Kafka and then runs everything that reads or writes it.
func (r *Router) deliver(ctx context.Context) error {
	revocationPartitions, err := r.prepare(ctx)
	if err != nil || ctx.Err() != nil {
		return err
	}
	revoked := revocations.New(revocations.Options{Cluster: r.cluster, Topic: r.opts.topic(topicRevocations),
		Partitions: revocationPartitions, Appender: burier{r}, Logger: r.opts.Logger})
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return r.held.Run(ctx) })
	g.Go(func() error { return r.letters.Run(ctx) })
	g.Go(func() error { return r.publish.run(ctx) })
	g.Go(func() error { return r.forget.run(ctx) })
	g.Go(func() error { return revoked.Run(ctx) })
	g.Go(func() error { return r.topic.Run(ctx) })
	g.Go(func() error { return r.mapTopics(ctx) })
	g.Go(func() error {
		for ctx.Err() == nil {
			topic, changed := r.topic.Now()
			if err := r.follow(ctx, topic, changed, revoked); err != nil {
				return err
			}
			r.publish.forget()
		}
		return nil
	})
	return g.Wait()
}

// follow delivers one incarnation of the topic, until it is another one or ctx ends. Offsets of one mean nothing in the
// next, so everything that knows any begins anew: logs, streams, inboxes.
func (r *Router) follow(ctx context.Context, topic incarnation.Incarnation, changed <-chan struct{}, revoked *revocations.Register) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	fleet := attach.New(attach.Options{
		Identity: attach.Identity{Router: r.opts.ID, ReplayAddr: r.opts.ReplayAddr, Topic: r.opts.topic(topicEvents),
			Epoch: topic.Epoch, Partitions: topic.Partitions},
		Targets: r.opts.Gateways, Source: r.held, History: pastForFleet{r.history}, Revocations: revoked,
		Observer: observer{r}, Logger: r.opts.Logger, DialOptions: r.opts.DialOptions, Beyond: r.topic.Doubt,
	})
	now := &running{partitions: topic.Partitions, epoch: topic.Epoch, fleet: fleet, revoked: revoked}
	g, ctx := errgroup.WithContext(ctx)
	if r.opts.Presence != nil {
		now.feeder = r.newFeeder(topic, fleet)
		g.Go(func() error { return r.consume(ctx, groupInbox, now.feeder, nil) })
	}
	r.running.Store(now)
	g.Go(func() error {
		awaitRevocations(ctx, revoked)
		return fleet.Run(ctx)
	})
	g.Go(func() error { return r.consume(ctx, groupRouter, r.held, r.topic) })
	g.Go(func() error {
		tick := time.NewTicker(renewCuts)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-changed:
				cancel()
			case at := <-tick.C:
				r.renewCuts(ctx, at)
			}
		}
	})
	return g.Wait()
}

const renewCuts = 10 * time.Minute

func (r *Router) renewCuts(ctx context.Context, now time.Time) {
	owned, _ := r.held.Owned()
	partitions := make([]int, len(owned))
	for i, o := range owned {
		partitions[i] = o.Partition
	}
	r.topic.Renew(ctx, partitions, now)
}

const (
	revocationsEvery  = 50 * time.Millisecond
	revocationsWithin = 10 * time.Second
)

// awaitRevocations lets no gateway be told less than all revocations, unless they can't be had: then they follow.
func awaitRevocations(ctx context.Context, revoked *revocations.Register) {
	ctx, cancel := context.WithTimeout(ctx, revocationsWithin)
	defer cancel()
	tick := time.NewTicker(revocationsEvery)
	defer tick.Stop()
	for !revoked.Complete() {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// consume reads the events topic by a group. Doubts of a reader go to the watcher, if there is one.
func (r *Router) consume(ctx context.Context, group string, h consumer.Handler, topic *incarnation.Watcher) error {
	o := consumer.Options{Cluster: r.cluster, Group: r.opts.TopicPrefix + group, Topic: r.opts.topic(topicEvents),
		SessionTimeout: r.opts.SessionTimeout, OutOfRangeWait: r.opts.TopicConfirm, Handler: h, Logger: r.opts.Logger}
	if topic != nil {
		o.Doubt = func(partition int, offset int64) {
			topic.Look() // the topic may be another one
			topic.Doubt(partition, offset)
		}
		o.Lost = func(ctx context.Context, partition int) {
			if err := topic.Lost(ctx, partition); err != nil {
				r.opts.Logger.WarnContext(ctx, "cannot note that a partition has lost its end", "partition", partition, "error", err)
			}
		}
	}
	return consumer.New(o).Run(ctx)
}

func (r *Router) newFeeder(topic incarnation.Incarnation, fleet *attach.Fleet) *inbox.Feeder {
	return inbox.New(inbox.Options{Topic: r.opts.topic(topicEvents), Log: topic.Epoch, TTL: r.opts.InboxTTL, Window: r.opts.Window,
		MaxIDs: r.opts.maxIDs(), Presence: presencev1.NewPresenceClient(r.opts.Presence), Offsets: r.cluster,
		Wake: func(records []*deliveryv1.Record) { wake(fleet, records) }, Observe: r.metrics.observeInbox, Logger: r.opts.Logger})
}

func wake(fleet *attach.Fleet, records []*deliveryv1.Record) {
	out := make([]attach.Ephemeral, 0, len(records))
	for _, rec := range records {
		if b, err := proto.Marshal(rec); err == nil {
			out = append(out, attach.EphemeralOf(b, rec.GetRooms()))
		}
	}
	fleet.Push(out)
}

const prepareAgain = 2 * time.Second

// prepare makes sure of the topics, however long Kafka takes to answer.
func (r *Router) prepare(ctx context.Context) (revocationPartitions int, err error) {
	for {
		revocationPartitions, err = r.prepareOnce(ctx)
		if err == nil || ctx.Err() != nil || kafkaconn.Definite(err) {
			return revocationPartitions, err
		}
		sentence := err.Error()
		r.trouble.Store(&sentence)
		r.opts.Logger.WarnContext(ctx, "kafka can't be used yet, trying again", "error", err)
		select {
		case <-ctx.Done():
			return 0, nil
		case <-time.After(prepareAgain):
		}
	}
}

func (r *Router) prepareOnce(ctx context.Context) (revocationPartitions int, err error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := r.cluster.Prepare(ctx, r.opts.topics(), r.opts.CreateTopics); err != nil {
		return 0, err
	}
	revoked, err := r.cluster.Describe(ctx, r.opts.topic(topicRevocations))
	if err != nil {
		return 0, err
	}
	return revoked.Partitions, r.topic.Begin(ctx)
}
