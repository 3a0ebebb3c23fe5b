// Package consumer owns the router's membership in its Kafka group and the reading of the partitions it is given.
//
// Which partitions are held follows the group's generations; where reading starts does not: the handler says.
// Readers are kept across generations for partitions that stay. The group's committed offsets are bookkeeping.
package consumer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/edumatrix/interlink/services/router/internal/envelope"
	"github.com/edumatrix/interlink/services/router/internal/kafkaconn"
)

// Handler takes what is read. Calls for one partition come one after the other; partitions run side by side.
type Handler interface {
	// Start says at which offset to read a partition that was just assigned, or whose log has to begin anew.
	// committed is the group's offset, negative if there is none. An error is tried again.
	Start(ctx context.Context, partition int, committed int64) (offset int64, err error)
	// Batch takes the records of [their first, next); highWater is the end of the partition as the broker has it.
	Batch(ctx context.Context, partition int, records []envelope.Message, next, highWater int64)
	// Commit is the offset below which everything has been dealt with.
	Commit(partition int) (offset int64, ok bool)
	// Assigned names all partitions of a new generation, after readers of lost ones have ended.
	Assigned(partitions []int)
}

// Options of a Consumer.
type Options struct {
	Cluster        *kafkaconn.Cluster
	Group          string
	Topic          string
	SessionTimeout time.Duration // default 6 s
	MaxWait        time.Duration // default 250 ms: longest wait of a fetch at the broker
	CommitEvery    time.Duration // default 1 s
	OutOfRangeWait time.Duration // default 5 s: an offset is out of range only if it still is after this
	Handler        Handler
	Logger         *slog.Logger
	// Doubt, if not nil, hears that a partition does not reach as far as it was read; it must not block.
	Doubt func(partition int, offset int64)
	// Lost, if not nil, hears that the last record that was read of a partition is another one now.
	Lost func(ctx context.Context, partition int)
}

const (
	heartbeat        = 500 * time.Millisecond
	joinBackoff      = 200 * time.Millisecond
	rebalanceTimeout = 10 * time.Second
)

// Consumer is a member of the group.
type Consumer struct {
	opts     Options
	balancer *sticky
	readers  map[int]*reader // only Run's goroutine
	said     rarely          // only Run's goroutine
}

// rarely spaces what would be logged again and again while Kafka is away.
type rarely struct{ last time.Time }

const rarelyIs = 10 * time.Second

func (r *rarely) due(now time.Time) bool {
	if now.Sub(r.last) < rarelyIs {
		return false
	}
	r.last = now
	return true
}

// New makes a consumer; Run joins the group.
func New(o Options) *Consumer {
	if o.SessionTimeout <= 0 {
		o.SessionTimeout = 6 * time.Second
	}
	if o.MaxWait <= 0 {
		o.MaxWait = 250 * time.Millisecond
	}
	if o.CommitEvery <= 0 {
		o.CommitEvery = time.Second
	}
	if o.OutOfRangeWait <= 0 {
		o.OutOfRangeWait = 5 * time.Second
	}
	return &Consumer{opts: o, balancer: &sticky{}, readers: map[int]*reader{}}
}

// Run joins the group and reads until ctx ends; then it leaves. It returns an error only for what no patience mends.
func (c *Consumer) Run(ctx context.Context) error {
	group, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{
		ID: c.opts.Group, Brokers: c.opts.Cluster.Brokers(), Dialer: c.opts.Cluster.Dialer(), Topics: []string{c.opts.Topic},
		GroupBalancers:    []kafka.GroupBalancer{c.balancer},
		HeartbeatInterval: heartbeat, SessionTimeout: c.opts.SessionTimeout, RebalanceTimeout: rebalanceTimeout,
		JoinGroupBackoff: joinBackoff, WatchPartitionChanges: true, StartOffset: kafka.FirstOffset,
	})
	if err != nil {
		return fmt.Errorf("kafka group %s: %w", c.opts.Group, err)
	}
	defer c.stopAll()
	defer group.Close()
	for {
		gen, err := group.Next(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			c.adopt(ctx, gen)
		case errors.Is(err, kafka.RebalanceInProgress):
		default:
			err = c.opts.Cluster.Explain(err)
			if kafkaconn.Definite(err) {
				return fmt.Errorf("join kafka group %s: %w", c.opts.Group, err)
			}
			if c.said.due(time.Now()) {
				c.opts.Logger.WarnContext(ctx, "cannot join the kafka group, trying again", "group", c.opts.Group, "error", err)
			}
		}
	}
}

// adopt makes the readers fit the generation.
func (c *Consumer) adopt(ctx context.Context, gen *kafka.Generation) {
	assigned := gen.Assignments[c.opts.Topic]
	held := make(map[int]int64, len(assigned))
	for _, a := range assigned {
		held[a.ID] = a.Offset
	}
	var ending []*reader
	for p, r := range c.readers {
		if _, keep := held[p]; !keep {
			r.cancel()
			ending = append(ending, r)
			delete(c.readers, p)
		}
	}
	for _, r := range ending {
		<-r.done
	}
	for p, committed := range held {
		if _, have := c.readers[p]; !have {
			c.readers[p] = c.startReader(ctx, p, committed)
		}
	}
	all := slices.Sorted(maps.Keys(held))
	c.balancer.hold(gen.ID, all)
	c.opts.Handler.Assigned(all)
	c.opts.Logger.InfoContext(ctx, "partitions assigned", "group", c.opts.Group, "generation", gen.ID, "partitions", all)
	gen.Start(func(ctx context.Context) { c.commitLoop(ctx, gen, held) })
}

func (c *Consumer) stopAll() {
	var wait sync.WaitGroup
	for _, r := range c.readers {
		r.cancel()
		wait.Go(func() { <-r.done })
	}
	wait.Wait()
	c.readers = map[int]*reader{}
	c.opts.Handler.Assigned(nil)
}

// commitLoop commits on a timer and once more when the generation ends, within it: a commit of an older one is refused.
//
// Invariant: committed[p] only grows, and holds only partitions of this generation.
func (c *Consumer) commitLoop(ctx context.Context, gen *kafka.Generation, committed map[int]int64) {
	tick := time.NewTicker(c.opts.CommitEvery)
	defer tick.Stop()
	for {
		over := false
		select {
		case <-ctx.Done():
			over = true
		case <-tick.C:
		}
		if offsets := c.advanced(committed); len(offsets) > 0 {
			if err := gen.CommitOffsets(map[string]map[int]int64{c.opts.Topic: offsets}); err == nil {
				maps.Copy(committed, offsets)
			} else if !over {
				c.opts.Logger.WarnContext(ctx, "cannot commit offsets, trying again", "group", c.opts.Group, "error", err)
			}
		}
		if over {
			return
		}
	}
}

func (c *Consumer) advanced(committed map[int]int64) map[int]int64 {
	out := map[int]int64{}
	for p, before := range committed {
		if o, ok := c.opts.Handler.Commit(p); ok && o > before {
			out[p] = o
		}
	}
	return out
}
