// Package broker owns the Kafka broker of the one binary, for development: a single process that speaks Kafka's
// protocol on loopback and keeps its log and the groups' offsets in a directory. It is not made for production.
package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
)

// DefaultPort is Kafka's own.
const DefaultPort = 9092

const (
	// segmentBytes is small, since space is given back a segment at a time.
	segmentBytes = 8 << 20
	// cleanInterval is the time between two looks for what is too old.
	cleanInterval = 10 * time.Second
	// leastSession lets tests have consumers that die quickly; Kafka's own least is 6 s.
	leastSession = time.Second
)

// Options of the broker.
type Options struct {
	Dir       string        // made if it does not exist; one broker at a time
	Port      int           // on 127.0.0.1; 0: Kafka's own if it is free, else any
	Retention time.Duration // how long records are kept, default 24 h
	Logger    *slog.Logger  // default: discards
}

// Broker is a running broker. Make it with New, end it with Run's context or Close.
type Broker struct {
	addr    string
	cluster *kfake.Cluster
	lock    *os.File
}

// New starts the broker on what the directory holds. It blocks while that is read.
func New(o Options) (*Broker, error) {
	if o.Retention <= 0 {
		o.Retention = 24 * time.Hour
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("embedded broker: INTERLINK_DATA_DIR: expected a directory to write to: %w", err)
	}
	lock, err := lockFile(filepath.Join(o.Dir, "lock"))
	if err != nil {
		return nil, fmt.Errorf("embedded broker: INTERLINK_DATA_DIR: %s is in use by another interlink; stop it or name another directory: %w", o.Dir, err)
	}
	cluster, err := start(o)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("embedded broker: %w", err), lock.Close())
	}
	return &Broker{addr: cluster.ListenAddrs()[0], cluster: cluster, lock: lock}, nil
}

func start(o Options) (*kfake.Cluster, error) {
	options := []kfake.Opt{
		kfake.DataDir(filepath.Join(o.Dir, "kafka")),
		kfake.DefaultNumPartitions(3),
		kfake.GroupMinSessionTimeout(leastSession),
		kfake.AllowAutoTopicCreation(),
		kfake.WithLogger(logger{o.Logger}),
		kfake.BrokerConfigs(map[string]string{
			"log.retention.ms":       strconv.FormatInt(o.Retention.Milliseconds(), 10),
			"log.segment.bytes":      strconv.Itoa(segmentBytes),
			"log.cleaner.backoff.ms": strconv.FormatInt(cleanInterval.Milliseconds(), 10),
		}),
	}
	on := func(port int) (*kfake.Cluster, error) {
		return kfake.NewCluster(append(options, kfake.Ports(port))...)
	}
	if o.Port != 0 {
		return on(o.Port)
	}
	if free(DefaultPort) {
		if cluster, err := on(DefaultPort); err == nil {
			return cluster, nil
		}
	}
	return on(0)
}

// free tells before the log is read whether the port can be had.
func free(port int) bool {
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return false
	}
	return l.Close() == nil
}

// Addr is the host:port to give to clients.
func (b *Broker) Addr() string { return b.addr }

// Run drops what is older than the retention until ctx ends, then closes the broker.
func (b *Broker) Run(ctx context.Context) error {
	tick := time.NewTicker(cleanInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return b.Close()
		case <-tick.C:
			// The broker's own ticker looks at topics that set a retention only.
			b.cluster.ApplyRetention()
		}
	}
}

// Close writes everything to the directory and gives it free.
func (b *Broker) Close() error {
	b.cluster.Close()
	return b.lock.Close()
}

// logger passes the broker's complaints on. What it tells about every request is left out.
type logger struct{ to *slog.Logger }

func (l logger) Logf(level kfake.LogLevel, format string, args ...any) {
	if level == kfake.LogLevelError || level == kfake.LogLevelWarn {
		l.to.Debug("the embedded broker says", "text", fmt.Sprintf(format, args...))
	}
}
