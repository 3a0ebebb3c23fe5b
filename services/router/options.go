package router

import (
	"crypto/tls"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"github.com/edumatrix/interlink/services/router/internal/kafkaconn"
)

// Kafka says where the log is and how to be let in.
type Kafka struct {
	Brokers  []string    // host:port
	TLS      *tls.Config // nil: plain TCP
	SASL     string      // "", plain, scram-sha-256 or scram-sha-512
	Username string
	Password string
}

// Options of a Router. Zero values of what has a default get it in New.
type Options struct {
	ID          string // one life of the router; default: random
	Kafka       Kafka
	TopicPrefix string // default interlink

	CreateTopics bool
	Partitions   int           // of the events topic when it is created, default 12
	Retention    time.Duration // of the events topic when it is created, default 24 h

	Gateways     []string // host:port, or dns:///name:port
	DialOptions  []grpc.DialOption
	GRPCListener net.Listener        // Emit and Replay; nil: not served
	GRPCOptions  []grpc.ServerOption // credentials
	ReplayAddr   string              // host:port where gateways reach GRPCListener; default its address
	HTTPListener net.Listener        // nil: only Handler
	Presence     grpc.ClientConnInterface
	APIKeys      func() [][]byte  // good at present; none refuses everybody
	APIKeyUsed   func(key []byte) // told of each key that a request was let in by [nobody]
	Mapping      string           // file that maps a platform's topics and ready-made events; empty: none

	Window         time.Duration // default 2 min
	LogBytes       int64         // per partition, default 64 MiB
	SessionTimeout time.Duration // of the Kafka group, default 6 s
	InboxTTL       time.Duration // of an entry of an inbox, default 168 h: no older event is brought to one
	TopicCheck     time.Duration // between two looks at what the topic is, default 5 s
	TopicConfirm   time.Duration // a discontinuity is one if it is still there after this, default 5 s
	EmitTimeout    time.Duration // how long an emit may wait for Kafka, default 10 s
	MaxInFlight    int64         // bytes being written to Kafka, default 32 MiB

	Logger   *slog.Logger
	Registry prometheus.Registerer
}

func (o *Options) defaults() {
	set(&o.ID, strings.ToLower(ulid.Make().String()))
	set(&o.TopicPrefix, "interlink")
	set(&o.Partitions, 12)
	set(&o.Retention, 24*time.Hour)
	set(&o.Window, 2*time.Minute)
	set(&o.LogBytes, 64<<20)
	set(&o.SessionTimeout, 6*time.Second)
	set(&o.InboxTTL, 168*time.Hour)
	set(&o.TopicCheck, 5*time.Second)
	set(&o.TopicConfirm, 5*time.Second)
	set(&o.EmitTimeout, 10*time.Second)
	set(&o.MaxInFlight, 32<<20)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Registry == nil {
		o.Registry = prometheus.NewRegistry()
	}
	if o.ReplayAddr == "" && o.GRPCListener != nil {
		o.ReplayAddr = o.GRPCListener.Addr().String()
	}
}

func set[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Names of the topics, without prefix.
const (
	topicEvents      = "events"
	topicDeadLetter  = "dead-letter"
	topicRevocations = "revocations"
)

// Names of consumer groups, without prefix.
const (
	groupRouter = "-router" // delivers
	groupInbox  = "-inbox"  // brings queued events to inboxes
	groupMapper = "-mapper" // followed by a dot and the topic: maps a platform's records
	groupEpoch  = "-epoch"  // consumes nothing: its offsets say which partitions have lost their end
)

func (o *Options) topic(name string) string { return o.TopicPrefix + "." + name }

// topics are all that the services need.
func (o *Options) topics() []kafkaconn.Topic {
	t := func(name string) kafkaconn.Topic {
		return kafkaconn.Topic{Name: o.topic(name), Partitions: o.Partitions, Retention: o.Retention}
	}
	revocations := kafkaconn.Topic{Name: o.topic(topicRevocations), Partitions: 1, Compacted: true}
	deadLetter := t(topicDeadLetter)
	deadLetter.Partitions, deadLetter.Retention = 1, 7*24*time.Hour
	return []kafkaconn.Topic{t(topicEvents), deadLetter, t("client-events"), t("receipts"), t("undelivered"), t("lifecycle"), revocations}
}

// publishable are the topics that the other services may write by Emit.Publish.
func publishable(name string) bool {
	switch name {
	case topicEvents, topicDeadLetter, topicRevocations, "client-events", "receipts", "undelivered", "lifecycle":
		return true
	}
	return false
}
