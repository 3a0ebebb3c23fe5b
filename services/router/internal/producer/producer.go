// Package producer owns writing to Kafka: acknowledged by all replicas, partitioned as Java does (murmur2),
// with the place of each record as the answer, and bounded in what may be in flight.
package producer

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/edumatrix/interlink/services/router/internal/envelope"
	"github.com/edumatrix/interlink/services/router/internal/kafkaconn"
)

// Record is what to write. Topic is the whole name.
type Record struct {
	Topic   string
	Key     []byte
	Value   []byte
	Headers []envelope.Header
}

// Place is where a record went.
type Place struct {
	Partition int
	Offset    int64
}

// Result of one record: a place, or why it is not known to be written. It may have been written all the same.
type Result struct {
	Place
	Err error
}

// What Write may answer beside what Kafka says.
var (
	ErrBusy     = errors.New("too much is being written already")
	ErrTooLarge = errors.New("the record is larger than kafka takes")
)

// Options of a Producer.
type Options struct {
	Cluster     *kafkaconn.Cluster
	MaxInFlight int64         // bytes written and not yet acknowledged, default 32 MiB; beyond it Write answers ErrBusy
	Linger      time.Duration // how long a batch waits for company, default 1 ms
}

const (
	recordOverhead = 128
	batchBytes     = 1 << 20
	// Attempts within one Write: with these pauses about ten seconds, which outlasts the election of a leader.
	attempts    = 12
	firstPause  = 50 * time.Millisecond
	longPause   = time.Second
	callTimeout = 5 * time.Second
	// writeTimeout is how long the writer may be at it, whoever still waits: every attempt of a few batches in a row.
	writeTimeout = 5 * time.Minute
)

// Producer writes. Safe for use by many goroutines.
type Producer struct {
	writer   *kafka.Writer
	cluster  *kafkaconn.Cluster
	maximum  int64
	inFlight atomic.Int64
}

// New makes a Producer; Close it.
func New(o Options) *Producer {
	if o.MaxInFlight <= 0 {
		o.MaxInFlight = 32 << 20
	}
	if o.Linger <= 0 {
		o.Linger = time.Millisecond
	}
	return &Producer{cluster: o.Cluster, maximum: o.MaxInFlight, writer: &kafka.Writer{
		Addr: kafka.TCP(o.Cluster.Brokers()...), Balancer: kafka.Murmur2Balancer{}, Transport: o.Cluster.Transport(),
		BatchTimeout: o.Linger, BatchSize: 500, BatchBytes: batchBytes, RequiredAcks: kafka.RequireAll,
		MaxAttempts: attempts, WriteBackoffMin: firstPause, WriteBackoffMax: longPause,
		ReadTimeout: callTimeout, WriteTimeout: callTimeout, Completion: complete,
	}}
}

// pending waits for one record's completion; the writer's goroutine sends exactly once.
type pending chan Result

func complete(messages []kafka.Message, err error) {
	for i := range messages {
		if p, ok := messages[i].WriterData.(pending); ok {
			p <- Result{Place: Place{Partition: messages[i].Partition, Offset: messages[i].Offset}, Err: err}
		}
	}
}

// Write appends the records and answers for each, in order. It blocks until all are acknowledged or ctx ends.
// Records of one key are appended in the order given. A repeated attempt inside may write one twice: readers drop repeated ids.
//
// The writer goes on with what it has taken when ctx has ended, so that counts as in flight until the writer is done:
// callers who give up and come again find ErrBusy, and do not fill the memory.
func (p *Producer) Write(ctx context.Context, records []Record) []Result {
	out := make([]Result, len(records))
	messages := make([]kafka.Message, 0, len(records))
	index := make([]int, 0, len(records))
	waits := make([]pending, 0, len(records))
	taken := int64(0)
	for i, r := range records {
		n := size(r)
		switch {
		case n > batchBytes:
			out[i].Err = ErrTooLarge
			continue
		case p.inFlight.Add(n) > p.maximum:
			p.inFlight.Add(-n)
			out[i].Err = ErrBusy
			continue
		}
		taken += n
		done := make(pending, 1)
		messages = append(messages, kafka.Message{Topic: r.Topic, Key: r.Key, Value: r.Value, Headers: headers(r.Headers), WriterData: done})
		index, waits = append(index, i), append(waits, done)
	}
	if len(messages) == 0 {
		return out
	}
	err := p.write(ctx, messages, taken)
	for n, i := range index {
		out[i] = p.result(waits[n], err)
	}
	return out
}

// write waits for the writer, or for the end of ctx. size is given back when the writer is done.
func (p *Producer) write(ctx context.Context, messages []kafka.Message, size int64) error {
	done := make(chan error, 1)
	go func() { // ends within writeTimeout, and before Close does unless that comes first
		own, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
		defer cancel()
		err := p.writer.WriteMessages(own, messages...)
		p.inFlight.Add(-size)
		done <- err
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// result reads what the writer said of a record; if it has said nothing, err of the whole call is why.
func (p *Producer) result(done pending, err error) Result {
	select {
	case r := <-done:
		r.Err = p.explain(r.Err)
		return r
	default:
	}
	if err == nil {
		err = errors.New("the writer did not say where the record went")
	}
	return Result{Err: p.explain(err)}
}

func (p *Producer) explain(err error) error {
	var large kafka.MessageTooLargeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &large), errors.Is(err, kafka.MessageSizeTooLarge):
		return fmt.Errorf("%w: %w", ErrTooLarge, err)
	}
	return p.cluster.Explain(err)
}

func size(r Record) int64 {
	n := int64(len(r.Key) + len(r.Value) + recordOverhead)
	for _, h := range r.Headers {
		n += int64(len(h.Key) + len(h.Value) + 8)
	}
	return n
}

func headers(in []envelope.Header) []kafka.Header {
	out := make([]kafka.Header, len(in))
	for i, h := range in {
		out[i] = kafka.Header{Key: h.Key, Value: h.Value}
	}
	return out
}

// Partition is where the records of a key go.
func Partition(key []byte, partitions int) int {
	all := make([]int, partitions)
	for i := range all {
		all[i] = i
	}
	return kafka.Murmur2Balancer{}.Balance(kafka.Message{Key: key}, all...)
}

// Close waits for what is in flight.
func (p *Producer) Close() error { return p.writer.Close() }
