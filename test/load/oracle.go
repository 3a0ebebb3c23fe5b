package load

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/edumatrix/interlink/test/checker"
)

// ReadLog reads a topic from its beginning to what is its end now, as a consumer of its own. It is the oracle: what the
// brokers hold is what clients must have handled.
func ReadLog(ctx context.Context, broker, topic string) ([]checker.Record, error) {
	conn, err := kafka.DialContext(ctx, "tcp", broker)
	if err != nil {
		return nil, fmt.Errorf("read the log: %w", err)
	}
	defer conn.Close()
	partitions, err := conn.ReadPartitions(topic)
	if err != nil {
		return nil, fmt.Errorf("read the log: %w", err)
	}
	var log []checker.Record
	for _, p := range partitions {
		part, err := readPartition(ctx, fmt.Sprintf("%s:%d", p.Leader.Host, p.Leader.Port), topic, p.ID)
		if err != nil {
			return nil, fmt.Errorf("read partition %d: %w", p.ID, err)
		}
		log = append(log, part...)
	}
	return log, nil
}

func readPartition(ctx context.Context, leader, topic string, partition int) ([]checker.Record, error) {
	conn, err := kafka.DialLeader(ctx, "tcp", leader, topic, partition)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	first, end, err := conn.ReadOffsets()
	if err != nil || first == end {
		return nil, err
	}
	reader := kafka.NewReader(kafka.ReaderConfig{
		Brokers: []string{leader}, Topic: topic, Partition: partition, MinBytes: 1, MaxBytes: 10 << 20, MaxWait: 100 * time.Millisecond,
	})
	defer reader.Close()
	if err := reader.SetOffset(first); err != nil {
		return nil, err
	}
	var log []checker.Record
	for {
		m, err := reader.ReadMessage(ctx)
		if err != nil {
			return nil, err
		}
		r, err := decode(m)
		if err != nil {
			return nil, err
		}
		if r.ID != "" {
			log = append(log, r)
		}
		if m.Offset >= end-1 {
			return log, nil
		}
	}
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
