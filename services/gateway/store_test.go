package gateway

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// rooms reports whether the record of a client's session has a room.
func (p *pair) recorded(c *stock, room string) bool {
	r := p.backend.record(c.pid)
	return r != nil && slices.ContainsFunc(r.Rooms, func(entry string) bool { return strings.HasSuffix(entry, " "+room) })
}

func TestAResumeWaitsForAStoreThatIsAway(t *testing.T) {
	p := newPair(t, 1, nil)
	c := p.client("u")
	c.connect(p.one)
	c.join("r:1")
	c.cut()
	a := p.publish(0, "r:1")
	p.backend.setAway(true)
	c.dial(p.two)
	back := time.AfterFunc(700*time.Millisecond, func() { p.backend.setAway(false) })
	defer back.Stop()
	c.accept()
	c.await("session:ready")
	c.want("resumed")
	c.wantIDs(a)
}

func TestAResumeStartsFreshWhenTheStoreStaysAway(t *testing.T) {
	p := newPair(t, 1, nil)
	c := p.client("u")
	c.connect(p.one)
	c.cut()
	p.backend.setAway(true)
	begun := time.Now()
	c.connect(p.two)
	c.want("store_unavailable")
	if waited := time.Since(begun); waited < 5*time.Second {
		t.Errorf("waited only %v", waited)
	}
	a := p.publish(0, "user:u")
	c.drain(a)
	p.backend.setAway(false) // its record is written now
	await(t, "the record written", func() bool { return p.backend.record(c.pid) != nil })
	c.cut()
	c.connect(p.one)
	c.want("resumed")
}

func TestAJoinWithoutTheStoreIsNeverForgotten(t *testing.T) {
	for name, tt := range map[string]struct {
		dies bool // the gateway, before it could write what it had acknowledged
		want string
	}{
		"when its gateway writes it later": {false, "resumed"},
		"when its gateway dies":            {true, "no_session"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, 1, nil)
			c := p.client("u")
			c.connect(p.one)
			p.backend.setReadOnly(true)
			c.join("r:1")
			a := p.publish(0, "r:1")
			c.drain(a)
			if tt.dies {
				p.one.stop()
			}
			p.backend.setReadOnly(false)
			if !tt.dies {
				await(t, "the join written", func() bool { return p.recorded(c, "r:1") })
			}
			c.cut()
			b := p.publish(0, "r:1")
			c.connect(p.two)
			c.want(tt.want)
			if tt.want == "resumed" {
				c.wantIDs(a, b)
			}
		})
	}
}

func TestARecordThatCouldNotBeWrittenIsWrittenAfterItsSocket(t *testing.T) {
	p := newPair(t, 1, nil)
	c := p.client("u")
	c.connect(p.one)
	p.backend.setReadOnly(true)
	c.join("r:1")
	c.cut()
	await(t, "the socket's end noticed", func() bool { return p.one.engine.Sockets() == 0 })
	p.backend.setReadOnly(false)
	await(t, "the join written", func() bool { return p.recorded(c, "r:1") })
	a := p.publish(0, "r:1")
	c.connect(p.two)
	c.want("resumed")
	c.wantIDs(a)
}

func TestWhatTheStoreForgotIsWrittenAgain(t *testing.T) {
	for name, forget := range map[string]func(*backend){"emptied": (*backend).flush, "failed over": (*backend).failOver} {
		t.Run(name+", noticed", func(t *testing.T) {
			p := newPair(t, 1, nil)
			c := p.client("u")
			c.connect(p.one)
			c.join("r:1")
			forget(p.backend)
			await(t, "the record written again", func() bool {
				r := p.backend.record(c.pid)
				p.backend.mu.Lock()
				defer p.backend.mu.Unlock()
				return r != nil && r.Run == p.backend.records.name() && len(p.backend.bases) > 0 && p.backend.records.known[p.one.options.ID]
			})
			c.cut()
			a := p.publish(0, "r:1")
			c.connect(p.two)
			c.want("resumed")
			c.wantIDs(a)
		})
		t.Run(name+", a resume before it is noticed", func(t *testing.T) {
			p := newPair(t, 1, nil)
			c := p.client("u")
			c.connect(p.one)
			c.join("r:1")
			a := p.publish(0, "r:1")
			forget(p.backend)
			c.connect(p.two) // the old socket hangs
			c.want("resumed")
			c.wantIDs(a)
		})
	}
	t.Run("and nobody is left to write it", func(t *testing.T) {
		p := newPair(t, 1, nil)
		c := p.client("u")
		c.connect(p.one)
		p.one.stop()
		p.backend.flush()
		c.connect(p.two)
		if c.ready.Recovered || c.ready.Reason != "no_session" && c.ready.Reason != "no_base" {
			t.Errorf("got %+v", c.ready)
		}
	})
}

func TestJoinsShareWritesAndAreAcknowledgedWhenTheStoreHasThem(t *testing.T) {
	p := newPair(t, 1, nil)
	c := p.client("u")
	c.connect(p.one)
	c.ask("room:join", `["r:1","r:2","r:3"]`)
	for _, name := range []string{"r:1", "r:2", "r:3", "user:u"} {
		if !p.recorded(c, name) {
			t.Errorf("%s was acknowledged and is not in the record", name)
		}
	}
	c.ask("room:leave", `"r:2"`)
	await(t, "the leave written", func() bool { return !p.recorded(c, "r:2") })
	c.ask("presence:subscribe", `{"users":["v"]}`)
	await(t, "the subscription written", func() bool { return p.recorded(c, "presence:v") })
	c.cut()
	c.connect(p.two)
	c.want("resumed")
	await(t, "r:1 joined", func() bool { return p.two.hub.Status().Rooms >= 4 })
	if !slices.Equal(slices.Sorted(slices.Values(c.ready.Rooms)), []string{"r:1", "r:3", "user:u"}) {
		t.Errorf("rooms %v", c.ready.Rooms)
	}
}
