package kafkaconn

import (
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"
)

func TestIdleFetchesAreSilentAndKeepTheirConnection(t *testing.T) {
	broker, c, ctx := connect(t, kfake.SeedTopics(1, "a"))
	conn, err := c.Leader(ctx, "a", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	idle := func(at int64) {
		t.Helper()
		for range 5 {
			f, err := Fetch(conn, at, 1<<20, 10*time.Millisecond)
			if err != nil || len(f.Records) != 0 || f.Next != at || f.HighWater != at {
				t.Fatalf("%+v %v", f, err)
			}
		}
	}
	idle(0) // nothing was ever there
	w := &kafka.Writer{Addr: kafka.TCP(broker.ListenAddrs()...), Topic: "a", RequiredAcks: kafka.RequireAll, BatchTimeout: time.Millisecond}
	defer w.Close()
	if err := w.WriteMessages(ctx, kafka.Message{Value: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	// The same connection brings the record, and is idle again behind it.
	if f, err := Fetch(conn, 0, 1<<20, time.Second); err != nil || len(f.Records) != 1 || f.Next != 1 {
		t.Fatalf("%+v %v", f, err)
	}
	idle(1)
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := conn.ReadOffsets(); err != nil { // it still speaks
		t.Error(err)
	}
}
