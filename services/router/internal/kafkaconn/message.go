package kafkaconn

import (
	"github.com/segmentio/kafka-go"

	"github.com/edumatrix/interlink/services/router/internal/envelope"
)

// Message takes a Kafka record out of the driver's form.
func Message(m kafka.Message) envelope.Message {
	out := envelope.Message{Topic: m.Topic, Partition: m.Partition, Offset: m.Offset, Key: m.Key, Value: m.Value, Time: m.Time}
	for _, h := range m.Headers {
		out.Headers = append(out.Headers, envelope.Header{Key: h.Key, Value: h.Value})
	}
	return out
}
