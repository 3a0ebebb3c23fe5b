package consumer

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/segmentio/kafka-go"

	"github.com/edumatrix/interlink/services/router/internal/envelope"
	"github.com/edumatrix/interlink/services/router/internal/kafkaconn"
)

const (
	fetchBytes   = 4 << 20
	checkBytes   = 64 << 10 // one batch comes whole, however long
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
	last     fingerprint // of the record before next
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
	case err == nil: // it begins anew
		return shortBackoff
	case errors.Is(err, kafka.OffsetOutOfRange):
		if r.outSince.IsZero() {
			r.outSince = time.Now()
			if r.c.opts.Doubt != nil {
				r.c.opts.Doubt(r.partition, r.next)
			}
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
	r.started, r.outSince, r.unknown, r.committed, r.last = false, time.Time{}, 0, -1, fingerprint{}
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
	} else if r.replaced(conn) {
		r.c.opts.Logger.ErrorContext(ctx, "the last record that was read is another one now; the log begins anew", "partition", r.partition, "offset", r.next-1)
		if r.c.opts.Lost != nil {
			r.c.opts.Lost(ctx, r.partition)
		}
		r.restart()
		return false, nil
	}
	for ctx.Err() == nil {
		if err := r.fetch(ctx, conn); err != nil {
			return progressed, err
		}
		progressed, r.outSince, r.unknown = true, time.Time{}, 0
	}
	return progressed, nil
}

// replaced reports whether the record before next is another one than was read: a leader that was elected although it
// lacked the end has taken new records in its place. What can't be seen proves nothing.
func (r *reader) replaced(conn *kafka.Conn) bool {
	if !r.last.known || r.last.offset != r.next-1 {
		return false
	}
	f, _ := kafkaconn.Fetch(conn, r.last.offset, checkBytes, r.c.opts.MaxWait)
	if len(f.Records) == 0 || f.Records[0].Offset != r.last.offset {
		return false
	}
	var now fingerprint
	now.take(f.Records[:1])
	return now != r.last
}

// fingerprint tells one record from another at the same offset.
type fingerprint struct {
	known  bool
	offset int64
	timeMs int64
	sum    uint64 // of key and value
}

// take is that of the last of some records; none changes nothing.
func (p *fingerprint) take(records []envelope.Message) {
	if len(records) == 0 {
		return
	}
	m := records[len(records)-1]
	var h xxhash.Digest
	h.Reset()
	_, _ = h.Write(m.Key) // never fails
	_, _ = h.Write([]byte{0})
	_, _ = h.Write(m.Value)
	*p = fingerprint{known: true, offset: m.Offset, timeMs: m.Time.UnixMilli(), sum: h.Sum64()}
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
	r.last.take(f.Records)
	r.c.opts.Handler.Batch(ctx, r.partition, f.Records, f.Next, f.HighWater)
	return err
}
