package poller_test

import (
	"errors"
	"testing"
	"time"

	"github.com/edumatrix/interlink/services/gateway/internal/poller"
)

type waiter interface {
	Wait(events []poller.Event, deadline time.Time) (int, error)
	Wake() error
	Close() error
}

func waiters(t *testing.T) map[string]waiter {
	t.Helper()
	all := map[string]waiter{"gate": poller.NewGate()}
	p, err := poller.New()
	if err == nil {
		all["epoll"] = p
	} else if !errors.Is(err, poller.ErrUnsupported) {
		t.Fatal(err)
	}
	for _, w := range all {
		t.Cleanup(func() {
			if err := w.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	return all
}

func TestWait(t *testing.T) {
	for name, w := range waiters(t) {
		events := make([]poller.Event, poller.Batch)
		wait := func(deadline time.Time) {
			t.Helper()
			if n, err := w.Wait(events, deadline); n != 0 || err != nil {
				t.Fatalf("Wait = %d, %v", n, err)
			}
		}
		t.Run(name+" ends by a wake-up that came before", func(t *testing.T) {
			if err := w.Wake(); err != nil {
				t.Fatal(err)
			}
			wait(time.Time{})
		})
		t.Run(name+" ends by a wake-up that comes meanwhile", func(t *testing.T) {
			woken := make(chan error)
			go func() { woken <- w.Wake() }()
			wait(time.Time{})
			if err := <-woken; err != nil {
				t.Fatal(err)
			}
		})
		t.Run(name+" ends at its deadline, and waits again after it", func(t *testing.T) {
			deadline := time.Now().Add(5 * time.Millisecond)
			for time.Now().Before(deadline) {
				wait(deadline)
			}
			wait(deadline)
			if err := w.Wake(); err != nil {
				t.Fatal(err)
			}
			wait(time.Now().Add(time.Hour))
		})
	}
}
