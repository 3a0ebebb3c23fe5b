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

// Oracle is a consumer of its own that reads a topic from its beginning while the run goes on, also while brokers die and
// come back. What the brokers hold is what clients must have handled, and when the oracle saw it is when it was there to
// be delivered.
type Oracle struct {
	client    *kafka.Client
	transport *kafka.Transport
	brokers   []string
	topic     string
	cancel    context.CancelFunc
	wg        sync.WaitGroup

	mu    sync.Mutex // guards what follows
	log   []checker.Record
	seen  map[string]int64 // epoch milliseconds by id, of the first record with it
	next  map[int]int64    // the offset to be read next, by partition
	alien int              // records that no publisher of this package wrote
}

// WatchLog begins to read. The caller closes it.
func WatchLog(ctx context.Context, brokers []string, topic string) (*Oracle, error) {
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	o := &Oracle{
		// A transport of its own: the shared one answers from what it learned before the topic was made.
		transport: &kafka.Transport{MetadataTTL: time.Second},
		brokers:   brokers, topic: topic, cancel: cancel, seen: map[string]int64{}, next: map[int]int64{},
	}
	o.client = &kafka.Client{Addr: kafka.TCP(brokers...), Timeout: 5 * time.Second, Transport: o.transport}
	within, done := context.WithTimeout(ctx, 15*time.Second)
	defer done()
	if err := harness.Eventually(within, o.partitions); err != nil {
		o.Close()
		return nil, fmt.Errorf("watch the log of %s: %w", topic, err)
	}
	for p := range o.next {
		o.wg.Go(func() { o.follow(life, p) })
	}
	return o, nil
}

// partitions finds the partitions of the topic; a broker may hear of a new one a moment later than another.
func (o *Oracle) partitions(ctx context.Context) error {
	meta, err := o.client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{o.topic}})
	if err != nil {
		return err
	}
	if len(meta.Topics) != 1 || len(meta.Topics[0].Partitions) == 0 {
		return errors.New("there is no such topic")
	}
	for _, p := range meta.Topics[0].Partitions {
		o.next[p.ID] = 0
	}
	return nil
}

func (o *Oracle) follow(ctx context.Context, partition int) {
	reader := kafka.NewReader(kafka.ReaderConfig{
		Brokers: o.brokers, Topic: o.topic, Partition: partition, MinBytes: 1, MaxBytes: 10 << 20,
		MaxWait: 250 * time.Millisecond, ReadBackoffMin: 5 * time.Millisecond, ReadBackoffMax: 100 * time.Millisecond,
	})
	defer reader.Close()
	for ctx.Err() == nil {
		m, err := reader.ReadMessage(ctx)
		if err != nil {
			pause(ctx, 100*time.Millisecond) // no leader: the reader asks again for it
			continue
		}
		o.take(m)
	}
}

func (o *Oracle) take(m kafka.Message) {
	r, err := decode(m)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.next[m.Partition] = m.Offset + 1
	if err != nil {
		o.alien++
		return
	}
	if r.ID == "" {
		return
	}
	o.log = append(o.log, r)
	if _, again := o.seen[r.ID]; !again {
		o.seen[r.ID] = now()
	}
}

// Log returns all that the topic holds now. It waits while a partition has no leader, until ctx ends.
func (o *Oracle) Log(ctx context.Context) ([]checker.Record, error) {
	var ends map[int]int64
	if err := harness.Eventually(ctx, func(ctx context.Context) (err error) {
		ends, err = o.ends(ctx)
		return err
	}); err != nil {
		return nil, fmt.Errorf("the end of %s: %w", o.topic, err)
	}
	for p, end := range ends {
		if err := harness.Eventually(ctx, func(context.Context) error { return o.reached(p, end) }); err != nil {
			return nil, err
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.log), nil
}

func (o *Oracle) ends(ctx context.Context) (map[int]int64, error) {
	var ask []kafka.OffsetRequest
	o.mu.Lock()
	for p := range o.next {
		ask = append(ask, kafka.LastOffsetOf(p))
	}
	o.mu.Unlock()
	answer, err := o.client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{o.topic: ask}})
	if err != nil {
		return nil, err
	}
	ends := map[int]int64{}
	for _, p := range answer.Topics[o.topic] {
		if p.Error != nil {
			return nil, p.Error
		}
		ends[p.Partition] = p.LastOffset
	}
	return ends, nil
}

func (o *Oracle) reached(partition int, end int64) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.next[partition] < end {
		return fmt.Errorf("the oracle is at %d of %d in partition %d", o.next[partition], end, partition)
	}
	return nil
}

// Alien returns how many records the topic holds that no publisher of this package wrote.
func (o *Oracle) Alien() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.alien
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
	o.transport.CloseIdleConnections()
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
