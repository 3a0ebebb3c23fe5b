package producer

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// queued waits until a lane has n records behind the write that is under way.
func queued(t *testing.T, p *Producer, n int) {
	t.Helper()
	for {
		total := 0
		p.mu.Lock()
		for _, l := range p.lanes {
			l.mu.Lock()
			total += len(l.queue)
			l.mu.Unlock()
		}
		p.mu.Unlock()
		if total == n && p.inFlight.Load() > 0 {
			return
		}
		select {
		case <-time.After(time.Millisecond):
		case <-t.Context().Done():
			t.Fatalf("%d records wait, want %d", total, n)
		}
	}
}

func TestWhatGathersBehindASlowWriteIsOneBatch(t *testing.T) {
	p, c := newProducer(t, Options{})
	var requests atomic.Int32
	release := make(chan struct{})
	c.ControlKey(0, func(r kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		if requests.Add(1) == 1 {
			c.SleepControl(func() { <-release })
		}
		return nil, nil, false
	})
	results := make(chan Result, 101)
	write := func(i int) {
		go func() {
			results <- p.Write(t.Context(), []Record{{Topic: "t", Key: []byte("k"), Value: fmt.Append(nil, i)}})[0]
		}()
	}
	write(0)
	queued(t, p, 0)
	for i := range 100 {
		write(i + 1)
	}
	queued(t, p, 100)
	close(release)
	for range 101 {
		if r := <-results; r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	if n := requests.Load(); n != 2 {
		t.Errorf("101 records took %d requests, want 2", n)
	}
}

func TestWhoGivesUpBeforeTheWriteIsNotWritten(t *testing.T) {
	p, c := newProducer(t, Options{})
	release := make(chan struct{})
	c.ControlKey(0, hold(c, release))
	record := []Record{{Topic: "t", Key: []byte("k"), Value: []byte("v")}}
	first, second := make(chan Result, 1), make(chan Result, 1)
	go func() { first <- p.Write(t.Context(), record)[0] }()
	queued(t, p, 0)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { second <- p.Write(ctx, record)[0] }()
	queued(t, p, 1)
	cancel()
	if r := <-second; !errors.Is(r.Err, context.Canceled) {
		t.Fatalf("%+v", r)
	}
	close(release)
	if r := <-first; r.Err != nil {
		t.Fatal(r.Err)
	}
	if r := p.Write(t.Context(), record)[0]; r.Err != nil || r.Offset != 1 {
		t.Errorf("%+v, want the second record of the partition", r)
	}
}
