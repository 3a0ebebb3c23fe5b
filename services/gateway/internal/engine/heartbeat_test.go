package engine_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/edumatrix/interlink/services/gateway/internal/engine"
)

// wait lets the fake clock run.
func wait(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestHeartbeatOverWebSocket(t *testing.T) {
	h := echo()
	pongs := 0
	h.ponged = func() { pongs++ }
	h.pinging = func() *engine.Frame { return frame("cursor") }
	inBubble(t, engine.Options{}, h, func(t *testing.T, w *world) {
		c, _ := w.openWebSocket()
		defer c.Close()
		begun := time.Now()
		for i := range 3 {
			c.want("4cursor", "2")
			if got, want := time.Since(begun), time.Duration(i+1)*25*second; got < want-10*time.Millisecond || got > want+10*time.Millisecond {
				t.Errorf("ping %d after %v", i, got)
			}
			c.say("3")
		}
		c.say("3") // one that answers nothing
		synctest.Wait()
		if pongs != 3 {
			t.Errorf("%d pongs", pongs)
		}
		c.want("4cursor", "2")
		_ = c.wantEnd()
		w.wantClosed(engine.PingTimeout)
		if got, want := time.Since(begun), 120*second; got < want-20*time.Millisecond || got > want+20*time.Millisecond {
			t.Errorf("timed out after %v", got)
		}
	})
}

func TestHeartbeatOverPolling(t *testing.T) {
	inBubble(t, engine.Options{}, echo(), func(t *testing.T, w *world) {
		sid := w.openPolling()
		for range 3 {
			if a := w.poll(sid); a.body != "2" {
				t.Fatalf("poll: %q", a.body)
			}
			w.push(sid, "3")
		}
		wait(46 * second)
		if a := w.poll(sid); a.status != 400 {
			t.Errorf("poll after the timeout: %d", a.status)
		}
		w.wantClosed(engine.PingTimeout)
	})
}

func TestPingOnDemand(t *testing.T) {
	h := echo()
	pongs := 0
	h.ponged = func() { pongs++ }
	inBubble(t, engine.Options{}, h, func(t *testing.T, w *world) {
		c, _ := w.openWebSocket()
		defer c.Close()
		s := <-w.opened
		wait(20 * second)
		on(s, func() { s.Send(frame("event")); s.Ping(); s.Ping() })
		c.want("4event", "2", "2")
		wait(19 * second) // the next regular ping would have been due
		c.say("3")
		wait(19 * second) // the second one is still awaited
		c.say("3")
		synctest.Wait()
		if pongs != 2 {
			t.Errorf("%d pongs", pongs)
		}
		wait(24 * second)
		c.want("2")
		wait(21 * second)
		_ = c.wantEnd()
		w.wantClosed(engine.PingTimeout)
	})
}

func TestUpgradeThatStalls(t *testing.T) {
	inBubble(t, engine.Options{}, echo(), func(t *testing.T, w *world) {
		sid := w.openPolling()
		c := w.upgradeWith(sid)
		defer c.Close()
		c.say("2probe")
		c.want("3probe")
		wait(11 * second)
		_ = c.wantEnd()
		w.push(sid, "4goes on")
		if a := w.poll(sid); a.body != "4goes on" {
			t.Errorf("poll: %q", a.body)
		}
	})
}

func TestAfter(t *testing.T) {
	inBubble(t, engine.Options{}, echo(), func(t *testing.T, w *world) {
		w.openPolling()
		s := <-w.opened
		fired, never := make(chan time.Duration, 1), make(chan bool, 1)
		begun := time.Now()
		var cancel func() bool
		on(s, func() {
			s.Shard().After(3*second, func() { fired <- time.Since(begun) })
			cancel = s.Shard().After(2*second, func() { never <- true })
		})
		on(s, func() {
			if !cancel() || cancel() {
				t.Error("cancel does not tell whether it was in time")
			}
		})
		if late := <-fired - 3*second; late < 0 || late > 10*time.Millisecond {
			t.Errorf("late by %v", late)
		}
		if len(never) != 0 {
			t.Error("a cancelled timer fired")
		}
	})
}
