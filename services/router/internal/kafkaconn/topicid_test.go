package kafkaconn

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"
)

func connect(t *testing.T, opts ...kfake.Opt) (*kfake.Cluster, *Cluster, context.Context) {
	t.Helper()
	broker, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Close)
	c, err := New(Options{Brokers: broker.ListenAddrs()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return broker, c, ctx
}

func TestATopicMadeAnewHasAnotherEpoch(t *testing.T) {
	broker, c, ctx := connect(t, kfake.NumBrokers(3), kfake.SeedTopics(4, "a"))
	before, err := c.Describe(ctx, "a")
	if err != nil || before.Partitions != 4 {
		t.Fatalf("%+v %v", before, err)
	}
	if again, err := c.Describe(ctx, "a"); err != nil || again != before {
		t.Errorf("the same topic: %+v %v, before %+v", again, err, before)
	}
	if err := broker.DeleteTopic("a"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Describe(ctx, "a"); !errors.Is(err, kafka.UnknownTopicOrPartition) {
		t.Errorf("a topic that is gone: %v", err)
	}
	if err := broker.CreateTopic("a", 4, nil); err != nil {
		t.Fatal(err)
	}
	if after, err := c.Describe(ctx, "a"); err != nil || after.Partitions != 4 || after.Epoch == before.Epoch {
		t.Errorf("made anew: %+v %v, before %+v", after, err, before)
	}
}

func TestCutsAreFoundByEveryRouterAndBelongToOneIncarnation(t *testing.T) {
	broker, c, ctx := connect(t, kfake.SeedTopics(4, "a"))
	d, err := c.Describe(ctx, "a")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := c.Cuts(ctx, "g", "a", d); err != nil || len(got) != 0 {
		t.Fatalf("%v %v", got, err)
	}
	at := time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)
	want := map[int]Cut{2: {Times: 3, At: at}}
	if err := c.PutCut(ctx, "g", "a", d, 2, want[2]); err != nil {
		t.Fatal(err)
	}
	other, err := New(Options{Brokers: broker.ListenAddrs()})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if got, err := other.Cuts(ctx, "g", "a", d); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v %v", got, err)
	}
	d.Epoch += "x"
	if got, err := other.Cuts(ctx, "g", "a", d); err != nil || len(got) != 0 {
		t.Errorf("of another incarnation: %v %v", got, err)
	}
}

func TestBrokenMetadataIsAnError(t *testing.T) {
	good := []byte{0, 0x69, 0x6c, 0x6b, 0, 0, 0, 0, 0, 1, 2, 'c', 0, 0, 0, 1, 2, 0, 0, 2, 'a',
		1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 0, 5}
	if m, err := parseMetadata(good); err != nil || m.cluster != "c" || m.partitions != 4 || m.id[15] != 16 {
		t.Fatalf("%+v %v", m, err)
	}
	for n := range good {
		if _, err := parseMetadata(good[:n]); err == nil {
			t.Errorf("%d bytes are enough", n)
		}
	}
}

func FuzzMetadata(f *testing.F) {
	f.Add([]byte{0, 0x69, 0x6c, 0x6b, 0, 0, 0, 0, 0, 1, 2, 'c'})
	f.Fuzz(func(_ *testing.T, b []byte) { _, _ = parseMetadata(b) })
}
