package engine_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/edumatrix/interlink/services/gateway/internal/engine"
)

// tagged is a handler that keeps tags until their pong.
type tagged struct {
	*handler
	s      *engine.Session
	pings  map[string]uint32
	proven []string
}

func (h *tagged) Queued(s *engine.Session, tag any, ping uint32) bool {
	h.s = s
	if name := tag.(string); name != "nobody asks" {
		h.pings[name] = ping
		return true
	}
	return false
}

func (h *tagged) pong() {
	for name, ping := range h.pings {
		if int32(ping-h.s.Answered()) <= 0 {
			delete(h.pings, name)
			h.proven = append(h.proven, name)
		}
	}
	slices.Sort(h.proven)
}

func newTagged(o *engine.Options) *tagged {
	h := &tagged{handler: echo(), pings: map[string]uint32{}}
	h.ponged = h.pong
	o.Open = func(s *engine.Session, _ engine.Handshake) engine.Handler {
		s.Trust()
		h.s = s
		return h
	}
	return h
}

func tag(text string) *engine.Frame { return frame(text).WithTag(text) }

func TestAPingFollowsWhatIsTaggedInTheSameWrite(t *testing.T) {
	var o engine.Options
	h := newTagged(&o)
	inBubble(t, o, h.handler, func(t *testing.T, w *world) {
		c, _ := w.openWebSocket()
		defer c.Close()
		synctest.Wait()
		on(h.s, func() {
			h.s.Send(tag("a"))
			h.s.Send(frame("plain"))
			h.s.Send(tag("b"))
		})
		c.want("4a", "4plain", "4b", "2") // one ping, behind all
		on(h.s, func() { h.s.Send(tag("nobody asks")); h.s.Send(frame("plain")) })
		c.want("4nobody asks", "4plain")
		on(h.s, func() { h.s.Send(tag("c")) })
		c.want("4c", "2")
		c.say("3")
		synctest.Wait()
		if !slices.Equal(h.proven, []string{"a", "b"}) {
			t.Errorf("the first pong proves %v", h.proven)
		}
		c.say("3")
		synctest.Wait()
		if !slices.Equal(h.proven, []string{"a", "b", "c"}) {
			t.Errorf("both prove %v", h.proven)
		}
		wait(24 * second)
		on(h.s, func() { h.s.PingBehind() }) // with nothing to be written
		c.want("2")
	})
}

func TestAPingFollowsWhatIsTaggedInTheSamePoll(t *testing.T) {
	var o engine.Options
	h := newTagged(&o)
	inBubble(t, o, h.handler, func(t *testing.T, w *world) {
		sid := w.openPolling()
		synctest.Wait()
		on(h.s, func() { h.s.Send(tag("a")) })
		on(h.s, func() { h.s.Send(tag("b")) }) // no poll in between: one ping
		if got, want := w.poll(sid).body, strings.Join([]string{"4a", "4b", "2"}, "\x1e"); got != want {
			t.Errorf("polled %q, want %q", got, want)
		}
		w.push(sid, "3")
		synctest.Wait()
		if !slices.Equal(h.proven, []string{"a", "b"}) {
			t.Errorf("proven %v", h.proven)
		}
	})
}

func TestAFrozenSessionKnowsWhichPongsAreStillToCome(t *testing.T) {
	var o engine.Options
	h := newTagged(&o)
	inBubble(t, o, h.handler, func(t *testing.T, w *world) {
		sid := w.openPolling()
		synctest.Wait()
		on(h.s, func() { h.s.Send(tag("a")) })
		w.poll(sid) // its pong is to come
		on(h.s, func() { h.s.Send(tag("b")); h.s.Ping() })
		var unsent []*engine.Frame
		var unanswered uint32
		on(h.s, func() { unsent, _ = h.s.Freeze(); unanswered = h.s.Unanswered() })
		if len(unsent) != 1 || string(unsent[0].Text()) != "b" || unanswered != 1 {
			t.Errorf("%d frames unsent, %d pongs to come", len(unsent), unanswered)
		}
	})
}
