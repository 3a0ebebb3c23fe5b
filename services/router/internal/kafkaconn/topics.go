package kafkaconn

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"
)

// Topic is a topic that has to be there.
type Topic struct {
	Name       string
	Partitions int // used when it is created
	Compacted  bool
	Retention  time.Duration
}

// MissingTopics is returned by Prepare when topics are absent and must not be created.
type MissingTopics struct{ Names []string }

func (e *MissingTopics) Error() string {
	return fmt.Sprintf("kafka lacks %s: %s. Create what is missing, or start with INTERLINK_CREATE_TOPICS=true",
		plural(len(e.Names), "a topic", "topics"), strings.Join(e.Names, ", "))
}

// Prepare makes sure that the topics exist, creating them if allowed, and waits until each partition has a leader.
func (c *Cluster) Prepare(ctx context.Context, topics []Topic, create bool) error {
	if err := c.probe(ctx); err != nil {
		return err
	}
	missing, err := c.missing(ctx, topics)
	if err != nil {
		return err
	}
	if len(missing) == 0 {
		return nil
	}
	if !create {
		names := make([]string, len(missing))
		for i, t := range missing {
			names[i] = t.Name
		}
		slices.Sort(names)
		return &MissingTopics{Names: names}
	}
	if err := c.create(ctx, missing); err != nil {
		return err
	}
	return c.await(ctx, topics)
}

const lookForTopic = time.Second

// Appear returns when a topic is there, which may be never: ctx's error. What keeps it from being asked about is not
// waited for: who reads it will say so.
func (c *Cluster) Appear(ctx context.Context, topic string) error {
	tick := time.NewTicker(lookForTopic)
	defer tick.Stop()
	for {
		if missing, err := c.missing(ctx, []Topic{{Name: topic}}); ctx.Err() == nil && (err != nil || len(missing) == 0) {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// missing lists the topics without a leader for each partition.
func (c *Cluster) missing(ctx context.Context, topics []Topic) ([]Topic, error) {
	names := make([]string, len(topics))
	for i, t := range topics {
		names[i] = t.Name
	}
	meta, err := c.metadata(ctx, names)
	if err != nil {
		return nil, err
	}
	led := make(map[string]bool, len(topics))
	for _, t := range meta.Topics {
		switch {
		case t.Error == nil:
			led[t.Name] = len(t.Partitions) > 0
		case !errors.Is(t.Error, kafka.UnknownTopicOrPartition) && !errors.Is(t.Error, kafka.LeaderNotAvailable):
			return nil, fmt.Errorf("kafka topic %s: %w", t.Name, t.Error)
		}
	}
	var out []Topic
	for _, t := range topics {
		if !led[t.Name] {
			out = append(out, t)
		}
	}
	return out, nil
}

func (c *Cluster) metadata(ctx context.Context, names []string) (meta *kafka.MetadataResponse, err error) {
	err = again(func() (err error) {
		meta, err = c.client.Metadata(ctx, &kafka.MetadataRequest{Topics: names})
		return err
	})
	return meta, c.Explain(err)
}

func (c *Cluster) create(ctx context.Context, topics []Topic) error {
	configs := make([]kafka.TopicConfig, len(topics))
	for i, t := range topics {
		configs[i] = kafka.TopicConfig{Topic: t.Name, NumPartitions: max(t.Partitions, 1), ReplicationFactor: -1, ConfigEntries: entries(t)}
	}
	var r *kafka.CreateTopicsResponse
	err := again(func() (err error) {
		r, err = c.client.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: configs})
		return err
	})
	if err != nil {
		return c.Explain(err)
	}
	for name, err := range r.Errors {
		if err != nil && !errors.Is(err, kafka.TopicAlreadyExists) {
			return fmt.Errorf("create kafka topic %s: %w", name, err)
		}
	}
	return nil
}

// entries are the settings of a new topic. Append time makes the broker's time index a clock that no publisher can bend.
func entries(t Topic) []kafka.ConfigEntry {
	if t.Compacted {
		return []kafka.ConfigEntry{{ConfigName: "cleanup.policy", ConfigValue: "compact"}}
	}
	return []kafka.ConfigEntry{
		{ConfigName: "cleanup.policy", ConfigValue: "delete"},
		{ConfigName: "retention.ms", ConfigValue: fmt.Sprint(t.Retention.Milliseconds())},
		{ConfigName: "message.timestamp.type", ConfigValue: "LogAppendTime"},
	}
}

// await polls until new topics can be used: for a moment after their creation they are unknown.
func (c *Cluster) await(ctx context.Context, topics []Topic) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		left, err := c.missing(ctx, topics)
		if err == nil && len(left) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("kafka topic %s was created but has no leader yet: %w", topics[0].Name, ctx.Err())
		case <-tick.C:
		}
	}
}

// Described is what a topic is now.
type Described struct {
	Partitions int
	Epoch      string // names this incarnation: cluster id, topic, partition count and, from Kafka 2.8 on, the topic's id
}

// Describe looks a topic up. It asks a broker: nothing that is said here comes from a cache.
func (c *Cluster) Describe(ctx context.Context, topic string) (Described, error) {
	i, err := c.lookUp(ctx, topic)
	if err != nil {
		return Described{}, fmt.Errorf("kafka topic %s: %w", topic, err)
	}
	return Described{Partitions: i.partitions, Epoch: i.epoch(topic)}, nil
}

func (i identity) epoch(topic string) string {
	out := fmt.Sprintf("%s/%s/%d", i.cluster, topic, i.partitions)
	if i.id != [16]byte{} {
		out += "/" + hex.EncodeToString(i.id[:])
	}
	return out
}

// lookUp is identify, or what brokers older than topic ids say.
func (c *Cluster) lookUp(ctx context.Context, topic string) (identity, error) {
	ok, err := c.speaksTopicIDs(ctx)
	if err != nil {
		return identity{}, err
	}
	if ok {
		return c.identify(ctx, topic)
	}
	meta, err := c.metadata(ctx, []string{topic})
	if err != nil {
		return identity{}, err
	}
	for _, t := range meta.Topics {
		if t.Name == topic {
			return identity{cluster: meta.ClusterID, partitions: len(t.Partitions)}, t.Error
		}
	}
	return identity{}, kafka.UnknownTopicOrPartition
}
