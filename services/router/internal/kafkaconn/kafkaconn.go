// Package kafkaconn owns how the router reaches Kafka: addresses, TLS, SASL, where a partition's leader is,
// and whether the topics are there. Reading and writing records belong to others.
package kafkaconn

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"
)

// Options say where Kafka is and how to be let in.
type Options struct {
	Brokers  []string    // host:port
	TLS      *tls.Config // nil: plain TCP
	SASL     string      // "", plain, scram-sha-256 or scram-sha-512
	Username string
	Password string
	ClientID string
}

const (
	dialTimeout = 5 * time.Second
	callTimeout = 5 * time.Second
	// A leader that moved is found again within a second.
	metadataTTL = time.Second
)

// Cluster is one Kafka cluster. Safe for use by many goroutines.
type Cluster struct {
	brokers   []string
	clientID  string
	user      string
	dialer    *kafka.Dialer
	transport *kafka.Transport
	client    *kafka.Client
	cancel    context.CancelFunc
}

// New checks the options; it does not connect.
func New(o Options) (*Cluster, error) {
	if len(o.Brokers) == 0 {
		return nil, errors.New("kafka: no broker address is given (KAFKA_BROKERS)")
	}
	for _, b := range o.Brokers {
		if _, _, err := net.SplitHostPort(b); err != nil {
			return nil, fmt.Errorf("kafka: broker %q is not host:port (KAFKA_BROKERS): %w", b, err)
		}
	}
	mechanism, err := mechanism(o)
	if err != nil {
		return nil, err
	}
	if o.ClientID == "" {
		o.ClientID = "interlink-router"
	}
	ctx, cancel := context.WithCancel(context.Background())
	c := &Cluster{brokers: o.Brokers, clientID: o.ClientID, user: o.Username, cancel: cancel}
	c.dialer = &kafka.Dialer{ClientID: o.ClientID, Timeout: dialTimeout, KeepAlive: 10 * time.Second, TLS: o.TLS, SASLMechanism: mechanism}
	c.transport = &kafka.Transport{
		Dial:        (&net.Dialer{Timeout: dialTimeout, KeepAlive: 10 * time.Second}).DialContext,
		DialTimeout: dialTimeout, IdleTimeout: 5 * time.Minute, MetadataTTL: metadataTTL,
		ClientID: o.ClientID, TLS: o.TLS, SASL: mechanism, Context: ctx,
	}
	c.client = &kafka.Client{Addr: kafka.TCP(o.Brokers...), Timeout: callTimeout, Transport: c.transport}
	return c, nil
}

func mechanism(o Options) (sasl.Mechanism, error) {
	switch strings.ToLower(o.SASL) {
	case "":
		return nil, nil
	case "plain":
		return plain.Mechanism{Username: o.Username, Password: o.Password}, nil
	case "scram-sha-256":
		return scram.Mechanism(scram.SHA256, o.Username, o.Password)
	case "scram-sha-512":
		return scram.Mechanism(scram.SHA512, o.Username, o.Password)
	default:
		return nil, fmt.Errorf("kafka: SASL mechanism %q is not plain, scram-sha-256 or scram-sha-512 (INTERLINK_KAFKA_SASL)", o.SASL)
	}
}

// Close drops idle connections and ends what the transport does in the background.
func (c *Cluster) Close() {
	c.transport.CloseIdleConnections()
	c.cancel()
}

// Brokers are the configured addresses.
func (c *Cluster) Brokers() []string { return c.brokers }

// Dialer opens single connections.
func (c *Cluster) Dialer() *kafka.Dialer { return c.dialer }

// Transport pools connections by broker.
func (c *Cluster) Transport() *kafka.Transport { return c.transport }

// probe opens one connection, signed in. The pooling transport hides why it has none; this says it.
func (c *Cluster) probe(ctx context.Context) error {
	var last error
	for _, b := range c.brokers {
		conn, err := c.dialer.DialContext(ctx, "tcp", b)
		if err == nil {
			return conn.Close()
		}
		last = err
	}
	return c.Explain(last)
}

// Leader connects to the broker that leads a partition now. The connection is the caller's.
func (c *Cluster) Leader(ctx context.Context, topic string, partition int) (*kafka.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var last error
	for _, b := range c.brokers {
		p, err := c.partition(ctx, b, topic, partition)
		if err != nil {
			last = err
			continue
		}
		conn, err := c.dialer.DialPartition(ctx, "tcp", b, p)
		if err == nil {
			return conn, nil
		}
		last = err
	}
	return nil, c.Explain(last)
}

func (c *Cluster) partition(ctx context.Context, broker, topic string, partition int) (kafka.Partition, error) {
	conn, err := c.dialer.DialContext(ctx, "tcp", broker)
	if err != nil {
		return kafka.Partition{}, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })() // a caller who no longer wants it waits for no frozen broker
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return kafka.Partition{}, err
		}
	}
	all, err := conn.ReadPartitions(topic)
	if err != nil {
		return kafka.Partition{}, err
	}
	for _, p := range all {
		if p.ID != partition {
			continue
		}
		if p.Leader.Host == "" {
			return kafka.Partition{}, kafka.LeaderNotAvailable
		}
		return p, nil
	}
	return kafka.Partition{}, kafka.UnknownTopicOrPartition
}

// Offsets are the bounds of a partition: the first offset still there, and the next one to be written.
func (c *Cluster) Offsets(ctx context.Context, topic string, partition int) (first, next int64, err error) {
	r, err := c.listOffsets(ctx, topic, kafka.FirstOffsetOf(partition), kafka.LastOffsetOf(partition))
	if err != nil {
		return 0, 0, err
	}
	return r.FirstOffset, r.LastOffset, nil
}

// OffsetAt is the offset of the first record not older than t by the broker's index, or next if there is none.
func (c *Cluster) OffsetAt(ctx context.Context, topic string, partition int, t time.Time) (int64, error) {
	r, err := c.listOffsets(ctx, topic, kafka.TimeOffsetOf(partition, t))
	if err != nil {
		return 0, err
	}
	for offset := range r.Offsets {
		if offset >= 0 {
			return offset, nil
		}
	}
	_, next, err := c.Offsets(ctx, topic, partition)
	return next, err
}

func (c *Cluster) listOffsets(ctx context.Context, topic string, of ...kafka.OffsetRequest) (kafka.PartitionOffsets, error) {
	var r *kafka.ListOffsetsResponse
	err := again(func() (err error) {
		r, err = c.client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{topic: of}})
		return err
	})
	if err != nil {
		return kafka.PartitionOffsets{}, c.Explain(err)
	}
	for _, p := range r.Topics[topic] {
		return p, p.Error
	}
	return kafka.PartitionOffsets{}, kafka.UnknownTopicOrPartition
}

// again tries a second time what the first call after a broker's restart gets: the end of a pooled connection.
func again(f func() error) error {
	err := f()
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		err = f()
	}
	return err
}

// Definite reports whether an error stays however often it is tried: wrong credentials, no permission.
func Definite(err error) bool {
	var missing *MissingTopics
	return errors.As(err, &missing) || errors.Is(err, kafka.SASLAuthenticationFailed) || errors.Is(err, kafka.UnsupportedSASLMechanism) ||
		errors.Is(err, kafka.TopicAuthorizationFailed) || errors.Is(err, kafka.GroupAuthorizationFailed) || errors.Is(err, kafka.ClusterAuthorizationFailed)
}

// explained is a sentence about an error that Explain knew.
type explained struct {
	sentence string
	err      error
}

func (e *explained) Error() string { return e.sentence + ": " + e.err.Error() }
func (e *explained) Unwrap() error { return e.err }

// Explain turns the usual ways of not reaching Kafka into a sentence that says what to look at. Others pass unchanged,
// as does what was explained already.
func (c *Cluster) Explain(err error) error {
	var before *explained
	if err == nil || errors.As(err, &before) {
		return err
	}
	if s := c.sentence(err); s != "" {
		return &explained{sentence: s, err: err}
	}
	return err
}

func (c *Cluster) sentence(err error) string {
	where := strings.Join(c.brokers, ", ")
	var refused *net.OpError
	var name *net.DNSError
	var cert *tls.CertificateVerificationError
	switch {
	case errors.Is(err, kafka.SASLAuthenticationFailed):
		return fmt.Sprintf("kafka at %s refuses user %q: wrong name, password or mechanism (INTERLINK_KAFKA_USERNAME, _PASSWORD, _SASL)", where, c.user)
	case errors.Is(err, kafka.UnsupportedSASLMechanism):
		return fmt.Sprintf("kafka at %s does not offer this SASL mechanism (INTERLINK_KAFKA_SASL)", where)
	case errors.As(err, &cert):
		return fmt.Sprintf("the certificate of kafka at %s is not trusted (INTERLINK_KAFKA_CA)", where)
	case errors.As(err, &name):
		return fmt.Sprintf("no address is known for kafka at %s (KAFKA_BROKERS)", where)
	case errors.As(err, &refused):
		return fmt.Sprintf("no kafka broker answers at %s (KAFKA_BROKERS)", where)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Sprintf("kafka at %s closes the connection; does it speak TLS or SASL here (INTERLINK_KAFKA_TLS, _SASL)?", where)
	}
	return ""
}

func plural(n int, one, more string) string {
	if n == 1 {
		return one
	}
	return strconv.Itoa(n) + " " + more
}
