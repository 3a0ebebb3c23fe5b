package kafkaconn

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"
)

// Cuts counts how often partitions of a topic were found to have lost their end: offsets that were served once stand
// for other records since. Kafka itself has no number for it that could be asked for, so it is kept where every router
// finds it, in the metadata of a consumer group's offsets, which no consumer of that group ever commits.

const cutTimeFormat = time.RFC3339

// cut is the metadata of one partition's offset in the group.
type cut struct {
	epoch string // of the topic
	times int
	at    time.Time // of the writing: what is not written again for long, Kafka forgets
}

func (c cut) String() string {
	return fmt.Sprintf("%s %d %s", c.epoch, c.times, c.at.UTC().Format(cutTimeFormat))
}

func parseCut(s string) (c cut, ok bool) {
	f := strings.Fields(s)
	if len(f) != 3 {
		return cut{}, false
	}
	times, err := strconv.Atoi(f[1])
	if err != nil || times < 1 {
		return cut{}, false
	}
	at, err := time.Parse(cutTimeFormat, f[2])
	return cut{epoch: f[0], times: times, at: at}, err == nil
}

// Cuts lists the partitions of this incarnation of a topic that were cut, how often, and when that was written.
func (c *Cluster) Cuts(ctx context.Context, group, topic string, d Described) (map[int]Cut, error) {
	all := make([]int, d.Partitions)
	for i := range all {
		all[i] = i
	}
	r, err := c.fetchOffsets(ctx, group, map[string][]int{topic: all})
	if errors.Is(err, kafka.GroupIdNotFound) || errors.Is(err, kafka.GroupAuthorizationFailed) {
		return nil, nil // never written; or never to be written, which is said when it should be
	}
	if err != nil {
		return nil, fmt.Errorf("read the offsets of kafka group %s: %w", group, c.Explain(err))
	}
	out := map[int]Cut{}
	for _, p := range r.Topics[topic] {
		if found, ok := parseCut(p.Metadata); ok && found.epoch == d.Epoch {
			out[p.Partition] = Cut{Times: found.times, At: found.at}
		}
	}
	return out, nil
}

const (
	coordinatorTries = 10
	coordinatorPause = 200 * time.Millisecond
)

// fetchOffsets asks again while the group's coordinator is being found: the first question about any group has the
// brokers make the topic of their offsets.
func (c *Cluster) fetchOffsets(ctx context.Context, group string, of map[string][]int) (r *kafka.OffsetFetchResponse, err error) {
	for range coordinatorTries {
		err = again(func() (err error) {
			r, err = c.client.OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: group, Topics: of})
			return err
		})
		if err == nil {
			err = failureOf(r)
		}
		if !errors.Is(err, kafka.NotCoordinatorForGroup) && !errors.Is(err, kafka.GroupCoordinatorNotAvailable) && !errors.Is(err, kafka.GroupLoadInProgress) {
			return r, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(coordinatorPause):
		}
	}
	return nil, err
}

// failureOf is what a group's coordinator refuses, for the whole request or, as older brokers say it, for a partition.
func failureOf(r *kafka.OffsetFetchResponse) error {
	if r.Error != nil {
		return r.Error
	}
	for _, partitions := range r.Topics {
		for _, p := range partitions {
			if p.Error != nil {
				return p.Error
			}
		}
	}
	return nil
}

// Cut is how often a partition was cut, and when that was written.
type Cut struct {
	Times int
	At    time.Time
}

// PutCut writes it.
func (c *Cluster) PutCut(ctx context.Context, group, topic string, d Described, partition int, k Cut) error {
	text := cut{epoch: d.Epoch, times: k.Times, at: k.At}.String()
	var r *kafka.OffsetCommitResponse
	err := again(func() (err error) {
		r, err = c.client.OffsetCommit(ctx, &kafka.OffsetCommitRequest{GroupID: group, GenerationID: -1, Topics: map[string][]kafka.OffsetCommit{
			topic: {{Partition: partition, Offset: int64(k.Times), Metadata: text}}}})
		return err
	})
	if err != nil {
		return fmt.Errorf("write an offset of kafka group %s: %w", group, c.Explain(err))
	}
	for _, p := range r.Topics[topic] {
		if p.Error != nil {
			return fmt.Errorf("write an offset of kafka group %s: %w", group, p.Error)
		}
	}
	return nil
}
