package footprint

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// heap is one that gives back all but gaps.
type heap struct {
	mu    sync.Mutex // guards what follows
	usage Usage
	gaps  uint64
	trims int
}

func (h *heap) read() Usage {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.usage
}

func (h *heap) trim() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.trims++
	h.usage.Mapped = h.usage.Live + h.gaps
}

// after returns how often was trimmed after so many looks, each behind a change.
func (h *heap) after(looks int, change func(*Usage)) int {
	for range looks {
		h.mu.Lock()
		change(&h.usage)
		h.mu.Unlock()
		time.Sleep(lookEvery)
	}
	synctest.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.trims
}

func with(t *testing.T, u Usage, gaps uint64, test func(*heap)) {
	synctest.Test(t, func(t *testing.T) {
		h := &heap{usage: u, gaps: gaps}
		ctx, cancel := context.WithCancel(t.Context())
		var run sync.WaitGroup
		run.Go(func() {
			if err := (&Keeper{Read: h.read, Trim: h.trim}).Run(ctx); err != nil {
				t.Error(err)
			}
		})
		time.Sleep(time.Second)
		test(h)
		cancel()
		run.Wait()
	})
}

const mb = 1 << 20

func TestWhatAStormLeftIsGivenBackOnceItIsOver(t *testing.T) {
	with(t, Usage{Live: 100 * mb, Mapped: 200 * mb}, 10*mb, func(h *heap) {
		if n := h.after(5, func(u *Usage) { u.Allocated += 500 * mb }); n != 0 {
			t.Errorf("trimmed %d times in the storm", n)
		}
		if n := h.after(1, func(*Usage) {}); n != 1 {
			t.Errorf("trimmed %d times behind it, want once", n)
		}
		if got := h.read().Mapped; got != 110*mb {
			t.Errorf("%d bytes are mapped", got)
		}
	})
}

func TestGapsAreNotCollectedAgainAndAgain(t *testing.T) {
	with(t, Usage{Live: 100 * mb, Mapped: 200 * mb}, 60*mb, func(h *heap) {
		if n := h.after(20, func(*Usage) {}); n != 1 {
			t.Errorf("trimmed %d times", n)
		}
		if n := h.after(12, func(u *Usage) { u.Mapped += mb }); n != 1 {
			t.Errorf("trimmed %d times, and less than an eighth has gathered", n)
		}
		if n := h.after(1, func(u *Usage) { u.Mapped += mb }); n != 2 {
			t.Errorf("trimmed %d times, want twice", n)
		}
	})
}

func TestALittleIsNotWorthACollection(t *testing.T) {
	with(t, Usage{Live: 4 * mb, Mapped: 5 * mb}, 0, func(h *heap) {
		if n := h.after(20, func(*Usage) {}); n != 0 {
			t.Errorf("trimmed %d times", n)
		}
	})
}

func TestTheRuntimeIsRead(t *testing.T) {
	u := reader()()
	if u.Allocated == 0 || u.Mapped == 0 {
		t.Errorf("the runtime says %+v", u)
	}
}
