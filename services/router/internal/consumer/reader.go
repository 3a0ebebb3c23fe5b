package consumer

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/edumatrix/interlink/services/router/internal/kafkaconn"
)

const (
	fetchBytes   = 4 << 20
	shortBackoff = 50 * time.Millisecond
	longBackoff  = time.Second
	// Fetches that bring nothing although there is something, before an offset is stepped over.
	stuckFetches = 3
)

// reader reads one partition until it is cancelled.
type reader struct {
	c         *Consumer
	partition int
	committed int64
	cancel    context.CancelFunc
	done      chan struct{}

	started  bool
	next     int64
	stuck    int
	outSince time.Time // first of the present row of out-of-range answers
	unknown  int       // answers in a row that the topic is not known
	said     rarely
}

func (c *Consumer) startReader(ctx context.Context, partition int, committed int64) *reader {
	ctx, cancel := context.WithCancel(ctx)
	r := &reader{c: c, partition: partition, committed: committed, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(r.done)
		defer cancel()
		r.run(ctx)
	}()
	return r
}

func (r *reader) run(ctx context.Context) {
	backoff := shortBackoff
	for ctx.Err() == nil {
		progressed, err := r.session(ctx)
		if ctx.Err() != nil {
			return
		}
		if progressed {
			backoff = shortBackoff
		}
		wait := r.judge(ctx, err, backoff)
		backoff = min(2*backoff, longBackoff)
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

// judge decides what an error means for the next session and how long to wait for it.
func (r *reader) judge(ctx context.Context, err error, backoff time.Duration) time.Duration {
	log := r.c.opts.Logger.With("partition", r.partition, "offset", r.next)
	if errors.Is(err, kafka.UnknownTopicOrPartition) {
		r.unknown++
	}
	switch {
	case errors.Is(err, kafka.OffsetOutOfRange):
		if r.outSince.IsZero() {
			r.outSince = time.Now()
			log.WarnContext(ctx, "offset out of range, looking again before the log begins anew")
			return r.c.opts.OutOfRangeWait
		}
		log.ErrorContext(ctx, "offset still out of range: the topic was made anew, truncated or has expired; the log begins anew")
		r.restart()
	case errors.Is(err, kafka.UnknownTopicOrPartition) && r.unknown > 1 && r.started:
		log.ErrorContext(ctx, "the topic is gone; when it is back, the log begins anew")
		r.restart()
	case errors.Is(err, kafka.NotLeaderForPartition), errors.Is(err, kafka.LeaderNotAvailable), errors.Is(err, io.EOF):
		return shortBackoff // the leader moved, or its broker went: find the new one fast
	default:
		if r.said.due(time.Now()) {
			log.WarnContext(ctx, "cannot read the partition, trying again", "error", r.c.opts.Cluster.Explain(err))
		}
	}
	return backoff
}

func (r *reader) restart() {
	r.started, r.outSince, r.unknown, r.committed = false, time.Time{}, 0, -1
}

// session reads over one connection to the partition's leader until something fails.
func (r *reader) session(ctx context.Context) (progressed bool, err error) {
	conn, err := r.c.opts.Cluster.Leader(ctx, r.c.opts.Topic, r.partition)
	if err != nil {
		return false, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if !r.started {
		if r.next, err = r.c.opts.Handler.Start(ctx, r.partition, r.committed); err != nil {
			return false, err
		}
		r.started = true
	}
	for ctx.Err() == nil {
		if err := r.fetch(ctx, conn); err != nil {
			return progressed, err
		}
		progressed, r.outSince, r.unknown = true, time.Time{}, 0
	}
	return progressed, nil
}

func (r *reader) fetch(ctx context.Context, conn *kafka.Conn) error {
	f, err := kafkaconn.Fetch(conn, r.next, fetchBytes, r.c.opts.MaxWait)
	if len(f.Records) == 0 && err != nil {
		return err
	}
	if r.stuck++; !f.Stuck(r.next) {
		r.stuck = 0
	}
	if r.stuck >= stuckFetches {
		f.Next, r.stuck = r.next+1, 0
	}
	r.next = f.Next
	r.c.opts.Handler.Batch(ctx, r.partition, f.Records, f.Next, f.HighWater)
	return err
}
