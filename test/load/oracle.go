package load

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/edumatrix/interlink/test/checker"
	"github.com/edumatrix/interlink/test/harness"
)

// Oracle is a consumer of its own that reads a topic from its beginning while the run goes on. What the brokers hold is
// what clients must have handled, and when the oracle saw it is when it was there to be delivered.
type Oracle struct {
	broker, topic string
	cancel        context.CancelFunc
	wg            sync.WaitGroup

	mu   sync.Mutex // guards what follows
	log  []checker.Record
	seen map[string]int64 // epoch milliseconds by id, of the first record with it
	next map[int]int64    // the offset to be read next, by partition
	err  error
}

// WatchLog begins to read. The caller closes it.
func WatchLog(ctx context.Context, broker, topic string) (*Oracle, error) {
	partitions, err := partitionsOf(ctx, broker, topic)
	if err != nil {
		return nil, fmt.Errorf("watch the log: %w", err)
	}
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	o := &Oracle{broker: broker, topic: topic, cancel: cancel, seen: map[string]int64{}, next: map[int]int64{}}
	for _, p := range partitions {
		o.wg.Go(func() {
			if err := o.follow(life, p.ID); err != nil && life.Err() == nil {
				o.mu.Lock()
				o.err = fmt.Errorf("read partition %d: %w", p.ID, err)
				o.mu.Unlock()
			}
		})
	}
	return o, nil
}

func partitionsOf(ctx context.Context, broker, topic string) ([]kafka.Partition, error) {
	conn, err := kafka.DialContext(ctx, "tcp", broker)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return conn.ReadPartitions(topic)
}

func (o *Oracle) follow(ctx context.Context, partition int) error {
	reader := kafka.NewReader(kafka.ReaderConfig{
		Brokers: []string{o.broker}, Topic: o.topic, Partition: partition, MinBytes: 1, MaxBytes: 10 << 20,
		MaxWait: 250 * time.Millisecond, ReadBackoffMin: 5 * time.Millisecond, ReadBackoffMax: 100 * time.Millisecond,
	})
	defer reader.Close()
	if err := reader.SetOffset(kafka.FirstOffset); err != nil {
		return err
	}
	for {
		m, err := reader.ReadMessage(ctx)
		if err != nil {
			return err
		}
		r, err := decode(m)
		if err != nil {
			return err
		}
		o.mu.Lock()
		o.next[partition] = m.Offset + 1
		if r.ID != "" {
			o.log = append(o.log, r)
			if _, again := o.seen[r.ID]; !again {
				o.seen[r.ID] = now()
			}
		}
		o.mu.Unlock()
	}
}

// Log returns all that the topic holds now.
func (o *Oracle) Log(ctx context.Context) ([]checker.Record, error) {
	partitions, err := partitionsOf(ctx, o.broker, o.topic)
	if err != nil {
		return nil, fmt.Errorf("read the log: %w", err)
	}
	for _, p := range partitions {
		conn, err := kafka.DialLeader(ctx, "tcp", fmt.Sprintf("%s:%d", p.Leader.Host, p.Leader.Port), o.topic, p.ID)
		if err != nil {
			return nil, fmt.Errorf("read the log: %w", err)
		}
		first, end, err := conn.ReadOffsets()
		conn.Close()
		if err != nil {
			return nil, fmt.Errorf("read the log: %w", err)
		}
		if first == end {
			continue
		}
		if err := harness.Eventually(ctx, func(context.Context) error { return o.reached(p.ID, end) }); err != nil {
			return nil, err
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.log), o.err
}

func (o *Oracle) reached(partition int, end int64) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.next[partition] < end {
		return fmt.Errorf("the oracle is at %d of %d in partition %d: %w", o.next[partition], end, partition, o.err)
	}
	return nil
}

// Seen returns when each id was first there, in epoch milliseconds.
func (o *Oracle) Seen() map[string]int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return maps.Clone(o.seen)
}

// Close ends the reading.
func (o *Oracle) Close() {
	o.cancel()
	o.wg.Wait()
}

// decode reads what the publishers of this package write. Control records come back without an id.
func decode(m kafka.Message) (checker.Record, error) {
	var envelope struct {
		ID      string
		Control string
		To      struct{ Rooms, Users []string }
		Data    struct{ T int64 }
	}
	if err := json.Unmarshal(m.Value, &envelope); err != nil {
		return checker.Record{}, fmt.Errorf("offset %d: %w", m.Offset, err)
	}
	if envelope.Control != "" {
		return checker.Record{}, nil
	}
	if envelope.ID == "" || envelope.Data.T == 0 {
		return checker.Record{}, errors.New("a record without id or stamp: " + string(m.Value))
	}
	rooms := envelope.To.Rooms
	for _, user := range envelope.To.Users {
		rooms = append(rooms, "user:"+user)
	}
	return checker.Record{Partition: m.Partition, Offset: m.Offset, Key: string(m.Key), ID: envelope.ID, Rooms: rooms, Stamp: envelope.Data.T}, nil
}
