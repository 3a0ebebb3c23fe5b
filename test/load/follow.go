package load

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/edumatrix/interlink/test/checker"
	"github.com/edumatrix/interlink/test/harness"
)

// Follower is an oracle that follows a topic from its beginning, also while brokers die and come back.
type Follower struct {
	client *kafka.Client
	topic  string

	mu    sync.Mutex // guards what follows
	log   []checker.Record
	next  map[int]int64 // per partition, the offset behind the last record read
	alien int           // records that no publisher of this package wrote
}

// Follow begins to read all partitions. It ends with ctx.
func Follow(ctx context.Context, brokers []string, topic string) (*Follower, error) {
	o := &Follower{client: &kafka.Client{Addr: kafka.TCP(brokers...), Timeout: 5 * time.Second}, topic: topic, next: map[int]int64{}}
	meta, err := o.client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{topic}})
	if err == nil && (len(meta.Topics) != 1 || len(meta.Topics[0].Partitions) == 0) {
		err = errors.New("no such topic")
	}
	if err != nil {
		return nil, fmt.Errorf("follow %s: %w", topic, err)
	}
	for _, p := range meta.Topics[0].Partitions {
		o.next[p.ID] = 0
		go o.follow(ctx, brokers, p.ID)
	}
	return o, nil
}

func (o *Follower) follow(ctx context.Context, brokers []string, partition int) {
	reader := kafka.NewReader(kafka.ReaderConfig{
		Brokers: brokers, Topic: o.topic, Partition: partition, MinBytes: 1, MaxBytes: 10 << 20, MaxWait: 200 * time.Millisecond,
		ReadBackoffMin: 50 * time.Millisecond, ReadBackoffMax: 500 * time.Millisecond, MaxAttempts: 1 << 20,
	})
	defer reader.Close()
	for ctx.Err() == nil {
		m, err := reader.ReadMessage(ctx)
		if err != nil {
			pause(ctx, 100*time.Millisecond)
			continue
		}
		r, err := decode(m)
		o.mu.Lock()
		switch {
		case err != nil:
			o.alien++
		case r.ID != "":
			o.log = append(o.log, r)
		}
		o.next[partition] = m.Offset + 1
		o.mu.Unlock()
	}
}

// Log returns what the topic holds, at least all of what it holds now. It waits while a partition has no leader.
func (o *Follower) Log(ctx context.Context) ([]checker.Record, error) {
	var ends map[int]int64
	if err := harness.Eventually(ctx, func(ctx context.Context) (err error) {
		ends, err = o.ends(ctx)
		return err
	}); err != nil {
		return nil, fmt.Errorf("the end of %s: %w", o.topic, err)
	}
	var log []checker.Record
	err := harness.Eventually(ctx, func(context.Context) error {
		o.mu.Lock()
		defer o.mu.Unlock()
		for p, end := range ends {
			if o.next[p] < end {
				return fmt.Errorf("the oracle has read %d of %d records of partition %d", o.next[p], end, p)
			}
		}
		log = o.log[:len(o.log):len(o.log)]
		return nil
	})
	return log, err
}

func (o *Follower) ends(ctx context.Context) (map[int]int64, error) {
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
