package consumer

import (
	"context"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/edumatrix/interlink/services/router/internal/kafkaconn"
)

func TestARecordThatWasReplacedIsKnownByItsFingerprint(t *testing.T) {
	broker, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "a", "b"))
	if err != nil {
		t.Fatal(err)
	}
	defer broker.Close()
	cluster, err := kafkaconn.New(kafkaconn.Options{Brokers: broker.ListenAddrs()})
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	write := func(topic string, values ...string) {
		w := &kafka.Writer{Addr: kafka.TCP(broker.ListenAddrs()...), Topic: topic, RequiredAcks: kafka.RequireAll, BatchTimeout: time.Millisecond}
		defer w.Close()
		for _, v := range values {
			if err := w.WriteMessages(ctx, kafka.Message{Value: []byte(v), Time: time.UnixMilli(1_700_000_000_000)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	write("a", "one", "two", "three")
	write("b", "one", "else", "three")
	dial := func(topic string) *kafka.Conn {
		conn, err := cluster.Leader(ctx, topic, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	a, b := dial("a"), dial("b")
	after := func(n int) *reader { // has read the first n records of a
		f, err := kafkaconn.Fetch(a, 0, fetchBytes, time.Second)
		if err != nil || len(f.Records) != 3 {
			t.Fatalf("%d records, %v", len(f.Records), err)
		}
		r := &reader{c: &Consumer{opts: Options{MaxWait: 10 * time.Millisecond}}, next: int64(n)}
		r.last.take(f.Records[:n])
		return r
	}
	for n, replaced := range map[int]bool{0: false, 1: false, 2: true, 3: false} {
		if got := after(n).replaced(b); got != replaced {
			t.Errorf("after %d records: replaced %v", n, got)
		}
		if after(n).replaced(a) {
			t.Errorf("after %d records, the same ones count as replaced", n)
		}
	}
	if err := broker.DeleteRecords("b", 0, 3); err != nil {
		t.Fatal(err)
	}
	if after(2).replaced(dial("b")) {
		t.Error("what has expired counts as replaced")
	}
}
