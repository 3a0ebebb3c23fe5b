package router

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// within bounds every wait of these tests: far above what is needed, so that only what never happens fails.
const within = 30 * time.Second

func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*within)
	t.Cleanup(cancel)
	return ctx
}

// eventually polls a condition that other goroutines bring about.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline.C:
			t.Fatalf("never: %s", what)
		case <-tick.C:
		}
	}
}

// broker is an in-process Kafka on real sockets.
func broker(t *testing.T, opts ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1), kfake.GroupMinSessionTimeout(time.Second)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func testLogger(t *testing.T) *slog.Logger {
	t.Helper()
	if os.Getenv("ROUTER_TEST_LOG") == "" {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// listen is a listener on a free port.
func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

var goodKey = []byte("k-8f14e45f")

// start runs a router until the test ends or stop is called.
func start(t *testing.T, c *kfake.Cluster, change func(*Options)) (r *Router, stop func()) {
	t.Helper()
	o := Options{Kafka: Kafka{Brokers: c.ListenAddrs()}, CreateTopics: true, Partitions: 4, GRPCListener: listen(t),
		APIKeys: func() [][]byte { return [][]byte{goodKey} }, SessionTimeout: 2 * time.Second, Logger: testLogger(t)}
	if change != nil {
		change(&o)
	}
	r, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("run: %v", err)
			}
		case <-time.After(within):
			t.Error("the router does not stop")
		}
	}
	t.Cleanup(stop)
	return r, stop
}

func ready(t *testing.T, routers ...*Router) {
	t.Helper()
	for _, r := range routers {
		eventually(t, "router is ready", func() bool { return r.Ready() == nil })
	}
}

// produce writes to the events topic as a publisher would.
func produce(t *testing.T, c *kfake.Cluster, messages ...kafka.Message) {
	t.Helper()
	produceTo(t, c, "interlink.events", messages...)
}

func produceTo(t *testing.T, c *kfake.Cluster, topic string, messages ...kafka.Message) {
	t.Helper()
	w := &kafka.Writer{Addr: kafka.TCP(c.ListenAddrs()...), Topic: topic, Balancer: kafka.Murmur2Balancer{}, RequiredAcks: kafka.RequireAll, BatchTimeout: time.Millisecond}
	defer w.Close()
	if err := w.WriteMessages(testContext(t), messages...); err != nil {
		t.Fatal(err)
	}
}

func event(room, id string, n int) kafka.Message {
	idField := ""
	if id != "" {
		idField = fmt.Sprintf(`"id":%q,`, id)
	}
	return kafka.Message{Key: []byte(room), Value: fmt.Appendf(nil, `{%s"event":"n","to":{"rooms":[%q]},"data":%d}`, idField, room, n)}
}

// stalled makes a broker answer no request of a kind until the channel is closed.
func stalled(c *kfake.Cluster, until <-chan struct{}) func(kmsg.Request) (kmsg.Response, error, bool) {
	return func(kmsg.Request) (kmsg.Response, error, bool) {
		c.SleepControl(func() { <-until })
		return nil, nil, false
	}
}
