package kafkaconn

import (
	"context"
	"errors"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/edumatrix/interlink/services/router/internal/envelope"
)

// fetchGrace is how long a broker may take beyond the wait it was asked for, before it is given up.
const fetchGrace = 10 * time.Second

// Fetched is one batch of a partition: the records of [at, Next), and the partition's end as the broker has it.
type Fetched struct {
	Records   []envelope.Message
	Next      int64
	HighWater int64
}

// Fetch reads what follows an offset over a connection to the partition's leader. At the end of the partition it waits
// for up to maxWait and comes back empty. An error comes with what was read before it.
func Fetch(conn *kafka.Conn, at int64, maxBytes int, maxWait time.Duration) (Fetched, error) {
	f := Fetched{Next: at}
	if _, err := conn.Seek(at, kafka.SeekAbsolute|kafka.SeekDontCheck); err != nil {
		return f, err
	}
	if err := conn.SetReadDeadline(time.Now().Add(maxWait + fetchGrace)); err != nil {
		return f, err
	}
	batch := conn.ReadBatchWith(kafka.ReadBatchConfig{MinBytes: 1, MaxBytes: maxBytes, MaxWait: maxWait})
	for {
		m, err := batch.ReadMessage()
		if err != nil {
			break
		}
		f.Records = append(f.Records, message(m))
	}
	f.Next, f.HighWater = max(batch.Offset(), at), batch.HighWaterMark()
	err := batch.Close()
	// kafka-go says that the request timed out when there was nothing new.
	if errors.Is(err, kafka.RequestTimedOut) && f.Next >= f.HighWater {
		err = nil
	}
	return f, err
}

// TimeAt is the time of the first record at or behind an offset; false if there is none.
func (c *Cluster) TimeAt(ctx context.Context, topic string, partition int, offset int64) (time.Time, bool, error) {
	conn, err := c.Leader(ctx, topic, partition)
	if err != nil {
		return time.Time{}, false, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	f, err := Fetch(conn, offset, timeBytes, timeWait)
	if len(f.Records) > 0 {
		return f.Records[0].Time, true, nil
	}
	return time.Time{}, false, c.Explain(err)
}

const (
	timeBytes = 64 << 10
	timeWait  = 50 * time.Millisecond
)

// Stuck reports whether a batch brought nothing although there is something: compaction may leave offsets that no fetch brings.
func (f Fetched) Stuck(at int64) bool { return len(f.Records) == 0 && f.Next <= at && f.HighWater > at }

func message(m kafka.Message) envelope.Message {
	out := envelope.Message{Topic: m.Topic, Partition: m.Partition, Offset: m.Offset, Key: m.Key, Value: m.Value, Time: m.Time}
	for _, h := range m.Headers {
		out.Headers = append(out.Headers, envelope.Header{Key: h.Key, Value: h.Value})
	}
	return out
}
