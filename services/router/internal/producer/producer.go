// Package producer owns writing to Kafka: acknowledged by all replicas, partitioned as Java does (murmur2),
// with the place of each record as the answer, and bounded in what may be in flight.
package producer

import (
	"context"
	"errors"
	"fmt"
	"sync"
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
	Lanes       int           // a topic's: best its partitions, default 12
}

const (
	recordOverhead = 128
	batchBytes     = 1 << 20
	batchRecords   = 500
	// Attempts within one Write: with these pauses about ten seconds, which outlasts the election of a leader.
	attempts    = 12
	firstPause  = 50 * time.Millisecond
	longPause   = time.Second
	callTimeout = 5 * time.Second
	// writeTimeout is how long the writer may be at it, whoever still waits: every attempt of a batch.
	writeTimeout = 2 * time.Minute
	closeTimeout = 10 * time.Second // of Close: a broker that is away must not hold up the end of the process
)

// Producer writes. Safe for use by many goroutines.
type Producer struct {
	writer   *kafka.Writer
	cluster  *kafkaconn.Cluster
	maximum  int64
	count    int
	inFlight atomic.Int64

	mu    sync.Mutex // guards lanes
	lanes map[laneKey]*lane
}

// New makes a Producer; Close it.
func New(o Options) *Producer {
	if o.MaxInFlight <= 0 {
		o.MaxInFlight = 32 << 20
	}
	if o.Linger <= 0 {
		o.Linger = time.Millisecond
	}
	if o.Lanes <= 0 {
		o.Lanes = 12
	}
	return &Producer{cluster: o.Cluster, maximum: o.MaxInFlight, count: o.Lanes, lanes: map[laneKey]*lane{}, writer: &kafka.Writer{
		Addr: kafka.TCP(o.Cluster.Brokers()...), Balancer: kafka.Murmur2Balancer{}, Transport: o.Cluster.Transport(),
		BatchTimeout: o.Linger, BatchSize: batchRecords, BatchBytes: batchBytes, RequiredAcks: kafka.RequireAll,
		MaxAttempts: attempts, WriteBackoffMin: firstPause, WriteBackoffMax: longPause,
		ReadTimeout: callTimeout, WriteTimeout: callTimeout, Completion: complete,
	}}
}

// complete is told by the writer, before WriteMessages returns.
func complete(messages []kafka.Message, err error) {
	for i := range messages {
		if e, ok := messages[i].WriterData.(*entry); ok {
			e.answer(Result{Place: Place{Partition: messages[i].Partition, Offset: messages[i].Offset}, Err: err})
		}
	}
}

// Write appends the records and answers for each, in order. It blocks until all are acknowledged or ctx ends.
// Records of one key are appended in the order given. A repeated attempt inside may write one twice: readers drop repeated ids.
//
// The writer goes on with what it has taken when ctx has ended, so that counts as in flight until the writer is done:
// callers who give up and come again find ErrBusy, and do not fill the memory. What it has not taken by then is not
// written.
func (p *Producer) Write(ctx context.Context, records []Record) []Result {
	out := make([]Result, len(records))
	waits := make([]*entry, len(records))
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
		e := &entry{producer: p, ctx: ctx, size: n, done: make(chan Result, 1)}
		e.message = kafka.Message{Topic: r.Topic, Key: r.Key, Value: r.Value, Headers: headers(r.Headers), WriterData: e}
		waits[i] = e
		p.put(e)
	}
	for i, e := range waits {
		if e == nil {
			continue
		}
		select {
		case out[i] = <-e.done:
		case <-ctx.Done():
			select {
			case out[i] = <-e.done:
			default:
				out[i].Err = ctx.Err()
			}
		}
		out[i].Err = p.explain(out[i].Err)
	}
	return out
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

// Close waits for what is in flight, closeTimeout at most: what the writer still has then ends with the process.
func (p *Producer) Close() error {
	closed := make(chan error, 1)
	go func() { closed <- p.writer.Close() }()
	timer := time.NewTimer(closeTimeout)
	defer timer.Stop()
	select {
	case err := <-closed:
		return err
	case <-timer.C:
		return errors.New("kafka does not take what is in flight")
	}
}
