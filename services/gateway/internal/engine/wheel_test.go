package engine

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestWheelFiresInTime(t *testing.T) {
	for name, after := range map[string]time.Duration{
		"within a tick":          1,
		"at a tick":              wheelTick,
		"within a turn":          25 * time.Second,
		"after exactly one turn": wheelTick * wheelSlots,
		"after many turns":       time.Hour,
	} {
		t.Run(name, func(t *testing.T) {
			var w wheel
			start := int64(12345 * time.Millisecond)
			w.advance(start)
			fired := int64(-1)
			var now int64
			w.arm(&timer{fire: func() { fired = now }}, start+int64(after))
			steps := 0
			for now = start; fired < 0; steps++ {
				at, ok := w.next()
				if !ok {
					t.Fatal("nothing is armed")
				}
				now = at
				w.advance(now)
			}
			if late := time.Duration(fired - start - int64(after)); late < 0 || late > wheelTick {
				t.Errorf("late by %v", late)
			}
			if turns := int(after/(wheelTick*wheelSlots)) + 1; steps > turns+1 {
				t.Errorf("woke %d times in %d turns", steps, turns)
			}
			if _, ok := w.next(); ok || w.count != 0 {
				t.Error("something is still armed")
			}
		})
	}
}

func TestWheelTimersActOnEachOther(t *testing.T) {
	var w wheel
	var a, b, c timer
	var fired []string
	a.fire = func() { fired = append(fired, "a or b"); w.disarm(&b); w.arm(&c, 0) }
	b.fire = func() { fired = append(fired, "a or b"); w.disarm(&a); w.arm(&c, 0) }
	c.fire = func() { fired = append(fired, "c") }
	w.arm(&a, int64(wheelTick))
	w.arm(&b, int64(wheelTick))
	w.advance(int64(wheelTick)) // both are due: the one that fires first disarms the other
	w.advance(int64(2 * wheelTick))
	if !slices.Equal(fired, []string{"a or b", "c"}) || w.count != 0 {
		t.Errorf("fired %v, %d armed", fired, w.count)
	}
}

// The wheel against a sorted list, over random steps.
func TestWheelModel(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var w wheel
	var now int64
	due := map[int]int64{}
	timers := make([]timer, 200)
	for i := range timers {
		timers[i].fire = func() {
			at, armed := due[i]
			if !armed || at > now {
				t.Fatalf("timer %d fired at %d, due %d (%v)", i, now, at, armed)
			}
			delete(due, i)
		}
	}
	for range 4_000 {
		i := random.IntN(len(timers))
		switch random.IntN(4) {
		case 0, 1:
			at := now + random.Int64N(int64(100*time.Second))
			w.arm(&timers[i], at)
			due[i] = at
		case 2:
			_, armed := due[i]
			if w.disarm(&timers[i]) != armed {
				t.Fatalf("timer %d: armed = %v", i, !armed)
			}
			delete(due, i)
		case 3:
			if next, ok := w.next(); ok != (len(due) > 0) {
				t.Fatalf("next = %v with %d armed", ok, len(due))
			} else if ok {
				for _, at := range due {
					if at < next-int64(wheelTick) && at < now {
						t.Fatalf("next is %d, but a timer is due at %d", next, at)
					}
				}
			}
			now += random.Int64N(int64(3 * time.Second))
			w.advance(now)
			for i, at := range due {
				if at <= now-int64(wheelTick) {
					t.Fatalf("timer %d, due %d, has not fired at %d", i, at, now)
				}
			}
		}
		if w.count != len(due) {
			t.Fatalf("count %d, want %d", w.count, len(due))
		}
	}
}
