// Package history reads a partition again from Kafka, for what the partition log no longer holds.
// It decodes and drops repeated ids as the log does, so that the same offsets give the same records.
package history

import (
	"context"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/edumatrix/interlink/services/router/internal/envelope"
	"github.com/edumatrix/interlink/services/router/internal/kafkaconn"
	"github.com/edumatrix/interlink/services/router/internal/partitionlog"
)

// Expired is returned when Kafka no longer has an offset.
type Expired struct{ Earliest int64 }

func (e *Expired) Error() string {
	return fmt.Sprintf("kafka keeps records from offset %d on", e.Earliest)
}

// Options of a Reader.
type Options struct {
	Cluster *kafkaconn.Cluster
	Topic   string
	Window  time.Duration // ids are known again from two of them before where reading starts
	MaxIDs  int
	MaxWait time.Duration // longest wait of a fetch at the broker, default 250 ms
}

// Reader opens cursors.
type Reader struct{ opts Options }

// New makes a Reader.
func New(o Options) *Reader {
	if o.MaxWait <= 0 {
		o.MaxWait = 250 * time.Millisecond
	}
	return &Reader{opts: o}
}

const fetchBytes = 1 << 20

// Cursor reads on from an offset. Not safe for use by several goroutines.
type Cursor struct {
	r    *Reader
	conn *kafka.Conn
	ids  *partitionlog.IDs
	from int64
	next int64
	stop func() bool
}

// Chunk holds the entries of [From, To).
type Chunk struct {
	From, To int64
	Entries  []partitionlog.Entry
}

// Open begins at an offset. It reads the ids of the two windows before, so it may take a while. The cursor ends with ctx or Close.
func (r *Reader) Open(ctx context.Context, partition int, from int64) (*Cursor, error) {
	first, next, err := r.opts.Cluster.Offsets(ctx, r.opts.Topic, partition)
	if err != nil {
		return nil, err
	}
	if from < first {
		return nil, &Expired{Earliest: first}
	}
	conn, err := r.opts.Cluster.Leader(ctx, r.opts.Topic, partition)
	if err != nil {
		return nil, err
	}
	c := &Cursor{r: r, conn: conn, ids: partitionlog.NewIDs(r.opts.MaxIDs), from: from, next: from}
	c.stop = context.AfterFunc(ctx, func() { conn.Close() })
	if from >= next {
		return c, nil
	}
	if err := c.learn(ctx, partition, first); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// learn reads the ids from two windows before the first record on.
func (c *Cursor) learn(ctx context.Context, partition int, first int64) error {
	batch, _, err := c.fetch()
	if err != nil || len(batch) == 0 {
		return err
	}
	start, err := c.r.opts.Cluster.OffsetAt(ctx, c.r.opts.Topic, partition, batch[0].Time.Add(-2*c.r.opts.Window))
	if err != nil {
		return err
	}
	c.next = min(max(start, first), c.from)
	for c.next < c.from {
		batch, next, err := c.fetch()
		if err != nil {
			return err
		}
		for _, m := range batch {
			if m.Offset >= c.from {
				break
			}
			if d, err := envelope.Decode(m); err == nil && d.Named {
				c.ids.Add(d.Record.Id, m.Offset)
			}
		}
		c.next = min(next, c.from)
	}
	return nil
}

// Next reads what follows. At the end of the partition it waits for up to MaxWait and may come back empty.
func (c *Cursor) Next() (Chunk, error) {
	batch, next, err := c.fetch()
	if err != nil {
		return Chunk{}, err
	}
	chunk := Chunk{From: c.next, To: next}
	for _, m := range batch {
		d, err := envelope.Decode(m)
		if err != nil {
			continue // counted and buried where it was read first
		}
		e, err := partitionlog.Of(d, m.Time)
		if err == nil && c.ids.Add(e.ID, e.Offset) {
			chunk.Entries = append(chunk.Entries, e)
		}
	}
	c.next = next
	return chunk, nil
}

// fetch reads one batch at next, without moving it.
func (c *Cursor) fetch() ([]envelope.Message, int64, error) {
	f, err := kafkaconn.Fetch(c.conn, c.next, fetchBytes, c.r.opts.MaxWait)
	switch {
	case len(f.Records) > 0:
		err = nil // what was read counts; the rest is asked for again
	case err == nil && f.Stuck(c.next):
		f.Next++ // nothing readable here although there is something: step over it
	}
	return f.Records, f.Next, err
}

// Close ends the cursor's connection.
func (c *Cursor) Close() {
	c.stop()
	c.conn.Close()
}
