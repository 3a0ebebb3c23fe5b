package kafkaconn

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

// kafka-go speaks Metadata up to version 8. The id that tells one incarnation of a topic from the next, whose name and
// partitions may be the same, comes with version 10 (KIP-516, Kafka 2.8): asked for here, over kafka-go's transport,
// which has connected and signed in. It is never answered from kafka-go's cache.

const (
	metadataVersion = 10
	// metadataBytes bounds an answer about one topic.
	metadataBytes = 16 << 20
)

// identity is what a broker says of a topic.
type identity struct {
	cluster    string
	id         [16]byte
	partitions int
}

// identify asks a broker what a topic is now. An unknown topic is kafka.UnknownTopicOrPartition.
func (c *Cluster) identify(ctx context.Context, topic string) (identity, error) {
	var answer protocol.Message
	err := again(func() (err error) {
		answer, err = c.transport.RoundTrip(ctx, c.client.Addr, &metadataRequest{client: c.clientID, topic: topic})
		return err
	})
	if err != nil {
		return identity{}, c.Explain(err)
	}
	m, ok := answer.(*metadataResponse)
	switch {
	case !ok:
		return identity{}, fmt.Errorf("kafka topic %s: an answer of type %T", topic, answer)
	case m.code != 0:
		return identity{}, kafka.Error(m.code)
	}
	return m.identity, nil
}

// speaksTopicIDs reports whether the brokers know Metadata version 10.
func (c *Cluster) speaksTopicIDs(ctx context.Context) (bool, error) {
	var r *kafka.ApiVersionsResponse
	err := again(func() (err error) {
		r, err = c.client.ApiVersions(ctx, &kafka.ApiVersionsRequest{})
		return err
	})
	if err != nil {
		return false, c.Explain(err)
	}
	for _, k := range r.ApiKeys {
		if k.ApiKey == int(protocol.Metadata) {
			return k.MinVersion <= metadataVersion && k.MaxVersion >= metadataVersion, nil
		}
	}
	return false, nil
}

// metadataRequest is a Metadata request, version 10, about one topic. It writes itself.
type metadataRequest struct{ client, topic string }

type metadataResponse struct {
	identity
	code int16
}

// ApiKey implements protocol.Message.
func (*metadataRequest) ApiKey() protocol.ApiKey { return protocol.Metadata }

// ApiKey implements protocol.Message.
func (*metadataResponse) ApiKey() protocol.ApiKey { return protocol.Metadata }

// Required implements protocol.RawExchanger.
func (*metadataRequest) Required(map[protocol.ApiKey]int16) bool { return true }

// correlation is any number: the connection has one request at a time.
const correlation = 0x696c6b

// RawExchange implements protocol.RawExchanger.
func (m *metadataRequest) RawExchange(rw io.ReadWriter) (protocol.Message, error) {
	b := make([]byte, 4, 64+len(m.client)+len(m.topic))
	b = binary.BigEndian.AppendUint16(b, uint16(protocol.Metadata))
	b = binary.BigEndian.AppendUint16(b, metadataVersion)
	b = binary.BigEndian.AppendUint32(b, correlation)
	b = binary.BigEndian.AppendUint16(b, uint16(len(m.client)))
	b = append(b, m.client...)
	b = append(b, 0)                   // no tagged fields
	b = append(b, 1+1)                 // one topic
	b = append(b, make([]byte, 16)...) // by its name, not by an id
	b = binary.AppendUvarint(b, 1+uint64(len(m.topic)))
	b = append(b, m.topic...)
	b = append(b, 0)       // no tagged fields
	b = append(b, 0, 0, 0) // create nothing, authorized operations of nothing
	b = append(b, 0)       // no tagged fields
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	if _, err := rw.Write(b); err != nil {
		return nil, err
	}
	var size [4]byte
	if _, err := io.ReadFull(rw, size[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(size[:])
	if n > metadataBytes {
		return nil, fmt.Errorf("kafka: a metadata answer of %d bytes", n)
	}
	answer := make([]byte, n)
	if _, err := io.ReadFull(rw, answer); err != nil {
		return nil, err
	}
	return parseMetadata(answer)
}

var errMetadata = errors.New("kafka: a metadata answer that can't be read")

// parseMetadata reads a Metadata response, version 10, about one topic.
func parseMetadata(b []byte) (*metadataResponse, error) {
	r := reader{b: b}
	if r.int32() != correlation {
		return nil, errMetadata
	}
	r.tags()
	r.int32() // throttle time
	for range r.length() {
		r.int32()  // node
		r.string() // host
		r.int32()  // port
		r.string() // rack
		r.tags()
		if r.failed {
			return nil, errMetadata
		}
	}
	out := &metadataResponse{}
	out.cluster = r.string()
	r.int32() // controller
	if r.length() != 1 {
		return nil, errMetadata
	}
	out.code = r.int16()
	r.string() // name
	copy(out.id[:], r.take(len(out.id)))
	r.take(1) // whether it is Kafka's own
	out.partitions = r.length()
	if r.failed {
		return nil, errMetadata
	}
	return out, nil
}

// reader reads the flexible encoding of Kafka's protocol. After the end everything is zero and failed is set.
type reader struct {
	b      []byte
	failed bool
}

func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.failed, r.b = true, nil
		return make([]byte, max(0, min(n, 16)))
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) int16() int16 { return int16(binary.BigEndian.Uint16(r.take(2))) }
func (r *reader) int32() int32 { return int32(binary.BigEndian.Uint32(r.take(4))) }

func (r *reader) uvarint() int {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || v > metadataBytes {
		r.failed, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return int(v)
}

// length is that of a compact array; none counts as empty.
func (r *reader) length() int { return max(r.uvarint()-1, 0) }

func (r *reader) string() string { return string(r.take(r.length())) }

func (r *reader) tags() {
	for range r.uvarint() {
		r.uvarint()
		r.take(r.uvarint())
		if r.failed {
			return
		}
	}
}
