package broker_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/edumatrix/interlink/services/internal/embedded/broker"
)

const topic = "interlink.events"

func begin(t *testing.T, dir string) *broker.Broker {
	t.Helper()
	b, err := broker.New(broker.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func publish(t *testing.T, addr, value string) {
	t.Helper()
	w := kafka.Writer{Addr: kafka.TCP(addr), Topic: topic, BatchSize: 1, Balancer: kafka.Murmur2Balancer{}, AllowAutoTopicCreation: true, RequiredAcks: kafka.RequireAll}
	defer func() { _ = w.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := w.WriteMessages(ctx, kafka.Message{Key: []byte("conversation:1"), Value: []byte(value)}); err != nil {
		t.Fatal(err)
	}
}

func readAll(t *testing.T, addr string, n int) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	partitions, err := kafka.DefaultDialer.LookupPartitions(ctx, "tcp", addr, topic)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, p := range partitions {
		conn, err := kafka.DialLeader(ctx, "tcp", addr, topic, p.ID)
		if err != nil {
			t.Fatal(err)
		}
		first, last, err := conn.ReadOffsets()
		if err != nil {
			t.Fatal(err)
		}
		for ; first < last; first++ {
			m, err := conn.ReadMessage(1 << 16)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, string(m.Value))
		}
		_ = conn.Close()
	}
	if len(out) != n {
		t.Fatalf("records %q, want %d", out, n)
	}
	return out
}

func TestRecordsSurviveARestart(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	b := begin(t, dir)
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	publish(t, b.Addr(), "one")
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}

	again := begin(t, dir)
	defer func() { _ = again.Close() }()
	publish(t, again.Addr(), "two")
	if got := strings.Join(readAll(t, again.Addr(), 2), " "); got != "one two" {
		t.Errorf("records %q", got)
	}
}

func TestOneDirectoryIsOneBrokers(t *testing.T) {
	dir := t.TempDir()
	b := begin(t, dir)
	defer func() { _ = b.Close() }()
	if _, err := broker.New(broker.Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), "INTERLINK_DATA_DIR") {
		t.Errorf("a second broker: %v", err)
	}
	other := begin(t, t.TempDir())
	defer func() { _ = other.Close() }()
	if other.Addr() == b.Addr() {
		t.Errorf("both listen on %s", b.Addr())
	}
}
