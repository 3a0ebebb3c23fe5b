package incarnation

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edumatrix/interlink/services/router/internal/kafkaconn"
)

// fakeKafka is a topic as brokers tell it.
type fakeKafka struct {
	mu    sync.Mutex // guards what follows
	topic kafkaconn.Described
	err   error
	cuts  map[int]kafkaconn.Cut
	ends  map[int]int64
	puts  int
}

func newKafka() *fakeKafka {
	return &fakeKafka{topic: kafkaconn.Described{Partitions: 4, Epoch: "c/t/4/a"}, cuts: map[int]kafkaconn.Cut{}, ends: map[int]int64{}}
}

func (f *fakeKafka) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func (f *fakeKafka) Describe(context.Context, string) (kafkaconn.Described, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.topic, f.err
}

func (f *fakeKafka) Cuts(context.Context, string, string, kafkaconn.Described) (map[int]kafkaconn.Cut, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.cuts), f.err
}

func (f *fakeKafka) PutCut(_ context.Context, _, _ string, _ kafkaconn.Described, partition int, k kafkaconn.Cut) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.puts++
	f.cuts[partition] = k
	return nil
}

func (f *fakeKafka) Offsets(_ context.Context, _ string, partition int) (int64, int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return 0, f.ends[partition], f.err
}

// watching runs a watcher over a fake clock until the test ends.
func watching(t *testing.T, f *fakeKafka, test func(w *Watcher)) {
	synctest.Test(t, func(t *testing.T) {
		w := New(Options{Kafka: f, Topic: "t", Group: "g", Logger: slog.New(slog.DiscardHandler)})
		if err := w.Begin(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- w.Run(ctx) }()
		synctest.Wait()
		test(w)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// wait lets fake time pass, and what is due be done.
func wait(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func epoch(w *Watcher) string { i, _ := w.Now(); return i.Epoch }

func TestATopicMadeAnewIsTakenWhenItIsSeenTwice(t *testing.T) {
	f := newKafka()
	watching(t, f, func(w *Watcher) {
		_, changed := w.Now()
		f.set(func() { f.topic.Epoch = "c/t/4/b" })
		time.Sleep(5100 * time.Millisecond)
		if epoch(w) != "c/t/4/a" {
			t.Error("taken at first sight")
		}
		time.Sleep(5 * time.Second)
		select {
		case <-changed:
		default:
			t.Error("nobody is told")
		}
		if epoch(w) != "c/t/4/b" {
			t.Errorf("still %s", epoch(w))
		}
	})
}

func TestABrokerThatIsBehindProvesNothing(t *testing.T) {
	f := newKafka()
	watching(t, f, func(w *Watcher) {
		_, changed := w.Now()
		for i := range 20 { // every other answer comes from a broker that is behind
			f.set(func() { f.topic.Epoch = []string{"c/t/4/a", "c/t/4/b"}[i%2] })
			w.Look()
			time.Sleep(time.Second)
		}
		select {
		case <-changed:
			t.Errorf("taken for %s", epoch(w))
		default:
		}
	})
}

func TestATopicThatIsGoneIsWaitedFor(t *testing.T) {
	f := newKafka()
	watching(t, f, func(w *Watcher) {
		f.set(func() { f.err = errors.New("unknown topic") })
		time.Sleep(time.Minute)
		if epoch(w) != "c/t/4/a" {
			t.Errorf("taken for %s", epoch(w))
		}
		f.set(func() { f.err, f.topic = nil, kafkaconn.Described{Partitions: 8, Epoch: "c/t/8/b"} })
		time.Sleep(11 * time.Second)
		if i, _ := w.Now(); i.Partitions != 8 || i.Epoch != "c/t/8/b" {
			t.Errorf("%+v", i)
		}
	})
}

func TestAnEndThatIsTooLowTwiceIsLost(t *testing.T) {
	f := newKafka()
	other := New(Options{Kafka: f, Topic: "t", Group: "g", Logger: slog.New(slog.DiscardHandler)})
	f.ends[2] = 90
	watching(t, f, func(w *Watcher) {
		w.Doubt(2, 100)
		w.Doubt(2, 100) // both streams say so
		wait(20 * time.Second)
		if f.puts != 1 || epoch(w) != "c/t/4/a+1" {
			t.Errorf("%d cuts written, %s", f.puts, epoch(w))
		}
		if err := other.Begin(t.Context()); err != nil || epoch(other) != epoch(w) {
			t.Errorf("a router that starts now: %s, %v", epoch(other), err)
		}
		f.set(func() { f.ends[1] = 5 })
		w.Doubt(1, 6)
		wait(20 * time.Second)
		if epoch(w) != "c/t/4/a+2" {
			t.Errorf("the second: %s", epoch(w))
		}
	})
}

func TestAStaleEndProvesNothing(t *testing.T) {
	f := newKafka()
	f.ends[2] = 90
	watching(t, f, func(w *Watcher) {
		w.Doubt(2, 100)
		time.Sleep(2 * time.Second)
		f.set(func() { f.ends[2] = 100 }) // the replica has caught up
		wait(20 * time.Second)
		if f.puts != 0 || epoch(w) != "c/t/4/a" {
			t.Errorf("%d cuts, %s", f.puts, epoch(w))
		}
	})
}

func TestAnEndThatIsLowInATopicMadeAnewIsNoCut(t *testing.T) {
	f := newKafka()
	watching(t, f, func(w *Watcher) {
		f.set(func() { f.topic.Epoch = "c/t/4/b" })
		w.Doubt(2, 100)
		wait(20 * time.Second)
		if f.puts != 0 || epoch(w) != "c/t/4/b" {
			t.Errorf("%d cuts, %s", f.puts, epoch(w))
		}
	})
}

func TestCutsAreWrittenAgainBeforeKafkaForgetsThem(t *testing.T) {
	f := newKafka()
	watching(t, f, func(w *Watcher) {
		if err := w.Lost(t.Context(), 3); err != nil {
			t.Fatal(err)
		}
		wait(20 * time.Second)
		before := epoch(w)
		w.Renew(t.Context(), []int{0, 1, 2, 3}, time.Now())
		if f.puts != 1 {
			t.Errorf("%d writes of a fresh cut", f.puts)
		}
		wait(25 * time.Hour)
		w.Renew(t.Context(), []int{0, 1, 2, 3}, time.Now())
		wait(20 * time.Second)
		if f.puts != 2 || f.cuts[3].Times != 1 || epoch(w) != before {
			t.Errorf("%d writes, %+v, %s", f.puts, f.cuts[3], epoch(w))
		}
	})
}
