package producer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/edumatrix/interlink/services/router/internal/kafkaconn"
)

func newProducer(t *testing.T, o Options) (*Producer, *kfake.Cluster) {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(12, "t"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	cluster, err := kafkaconn.New(kafkaconn.Options{Brokers: c.ListenAddrs()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	o.Cluster = cluster
	p := New(o)
	t.Cleanup(func() { p.Close() })
	return p, c
}

func TestKeysGoWhereJavaPutsThem(t *testing.T) {
	p, _ := newProducer(t, Options{})
	// Vectors of Java's own partitioner over 12 partitions.
	want := map[string]int{"room-1": 3, "room-2": 0, "room:42": 6, "r:general": 3, "tenant-7/room-123": 6, "abcd": 8,
		"550e8400-e29b-41d4-a716-446655440000": 11, "комната": 0, "部屋-1": 4, "lobby": 6}
	for key, partition := range want {
		if got := Partition([]byte(key), 12); got != partition {
			t.Errorf("%s: %d, want %d", key, got, partition)
		}
		if got := p.Write(t.Context(), []Record{{Topic: "t", Key: []byte(key), Value: []byte("v")}})[0]; got.Err != nil || got.Partition != partition {
			t.Errorf("%s was written to %d, %v", key, got.Partition, got.Err)
		}
	}
}

func TestEachRecordIsToldItsOwnPlace(t *testing.T) {
	p, c := newProducer(t, Options{})
	var mu sync.Mutex // guards seen
	seen := map[Place]bool{}
	var wait sync.WaitGroup
	for w := range 8 {
		wait.Go(func() {
			for i := range 20 {
				var all []Record
				for k := range 5 {
					all = append(all, Record{Topic: "t", Key: fmt.Append(nil, "key", k), Value: fmt.Append(nil, w, i, k)})
				}
				for _, r := range p.Write(t.Context(), all) {
					mu.Lock()
					if r.Err != nil || seen[r.Place] {
						t.Errorf("%+v, told before: %v", r, seen[r.Place])
					}
					seen[r.Place] = true
					mu.Unlock()
				}
			}
		})
	}
	wait.Wait()
	written := int64(0)
	for q := range int32(12) {
		written += c.PartitionInfo("t", q).HighWatermark
	}
	if written != 800 || len(seen) != 800 {
		t.Errorf("%d written, %d places", written, len(seen))
	}
}

func TestWhatIsInFlightIsBounded(t *testing.T) {
	p, c := newProducer(t, Options{MaxInFlight: 1000})
	release := make(chan struct{})
	c.ControlKey(0, hold(c, release))
	started := make(chan Result, 1)
	go func() {
		started <- p.Write(t.Context(), []Record{{Topic: "t", Key: []byte("k"), Value: make([]byte, 600)}})[0]
	}()
	for p.inFlight.Load() == 0 {
		select {
		case <-time.After(time.Millisecond):
		case <-t.Context().Done():
			return
		}
	}
	got := p.Write(t.Context(), []Record{{Topic: "t", Key: []byte("k"), Value: make([]byte, 600)}})[0]
	if !errors.Is(got.Err, ErrBusy) {
		t.Errorf("%+v", got)
	}
	close(release)
	if got := <-started; got.Err != nil {
		t.Errorf("%+v", got)
	}
	if n := p.inFlight.Load(); n != 0 {
		t.Errorf("%d bytes are still counted", n)
	}
}

func TestWhoGivesUpMakesNoRoomForMore(t *testing.T) {
	p, c := newProducer(t, Options{MaxInFlight: 1000})
	release := make(chan struct{})
	c.ControlKey(0, hold(c, release))
	record := []Record{{Topic: "t", Key: []byte("k"), Value: make([]byte, 600)}}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	first := make(chan Result, 1)
	go func() { first <- p.Write(ctx, record)[0] }()
	for p.inFlight.Load() == 0 {
		select {
		case <-time.After(time.Millisecond):
		case <-t.Context().Done():
			return
		}
	}
	cancel()
	if got := <-first; !errors.Is(got.Err, context.Canceled) {
		t.Errorf("%+v", got)
	}
	if got := p.Write(t.Context(), record)[0]; !errors.Is(got.Err, ErrBusy) {
		t.Errorf("the writer still has the first: %+v", got)
	}
	close(release)
	for p.inFlight.Load() != 0 {
		select {
		case <-time.After(time.Millisecond):
		case <-t.Context().Done():
			t.Fatal("what was given up is counted for ever")
		}
	}
	if got := p.Write(t.Context(), record)[0]; got.Err != nil {
		t.Errorf("%+v", got)
	}
}

func TestALargeRecordIsRefusedAndSpoilsNoOther(t *testing.T) {
	p, _ := newProducer(t, Options{})
	got := p.Write(t.Context(), []Record{{Topic: "t", Key: []byte("k"), Value: make([]byte, 2<<20)}, {Topic: "t", Key: []byte("k"), Value: []byte("v")}})
	if !errors.Is(got[0].Err, ErrTooLarge) || got[1].Err != nil {
		t.Errorf("%+v", got)
	}
}
