package gateway

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/edumatrix/interlink/services/gateway/internal/cursor"
	"github.com/edumatrix/interlink/services/gateway/internal/resume"
)

func TestASessionIsResumedOnAnyGateway(t *testing.T) {
	p := newPair(t, 2, nil)
	c := p.client("u")
	c.connect(p.one)
	c.want("new")
	c.join("r:1")
	sid, pid := c.sid, c.pid
	a := p.publish(0, "r:1")
	c.drain(a)
	c.cut()
	b := p.publish(1, "r:1")
	p.publish(0, "r:2")
	d := p.publish(0, "r:1")
	c.connect(p.two)
	c.want("resumed")
	c.wantIDs(a, b, d)
	if c.sid != sid || c.pid != pid || c.ready.SessionID != pid || len(c.ready.Rooms) != 2 {
		t.Errorf("ids %s %s, want %s %s; %+v", c.sid, c.pid, sid, pid, c.ready)
	}
	e := p.publish(0, "r:1")
	c.drain(e)
	c.cut()
	f := p.publish(1, "r:1")
	c.connect(p.one)
	c.want("resumed")
	c.wantIDs(a, b, d, e, f)
}

func TestAClientThatHandledNothingIsResumed(t *testing.T) {
	p := newPair(t, 1, nil)
	c := p.client("u")
	c.dial(p.one)
	c.accept() // and cut before session:ready
	c.cut()
	a := p.publish(0, "user:u")
	c.connect(p.two)
	c.want("resumed")
	c.wantIDs(a)
	c.cut()
	c.offset = "" // a handler threw at everything
	c.connect(p.one)
	c.want("resumed")
	c.wantIDs(a, a)
}

func TestAClientThatGivesAnOlderSessionsCursorStartsAtItsOwn(t *testing.T) {
	p := newPair(t, 1, nil)
	old := p.client("u")
	old.connect(p.one)
	p.publish(0, "user:u")
	old.cut()
	c := p.client("u")
	c.dial(p.two)
	c.accept()
	c.cut()
	c.offset = old.offset
	a := p.publish(0, "user:u")
	c.connect(p.one)
	c.want("resumed")
	c.wantIDs(a)
}

func TestASecondResumeWithNothingBetweenRepeatsNothing(t *testing.T) {
	p := newPair(t, 2, nil)
	c := p.client("u")
	c.connect(p.one)
	a := p.publish(0, "user:u")
	c.drain(a)
	for n := range 12 { // more often than a record remembers lives
		c.cut()
		c.connect([]*host{p.two, p.one}[n%2])
		c.want("resumed")
		c.wantIDs(a)
	}
}

func TestAResumeComesBeforeTheOldSocketsEndIsNoticed(t *testing.T) {
	for name, same := range map[string]bool{"at the same gateway": true, "at another one": false} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, 1, nil)
			h := p.two
			if same {
				h = p.one
			}
			c := p.client("u")
			c.connect(p.one)
			c.join("r:1")
			old := c.client
			a := p.publish(0, "r:1")
			c.connect(h)
			c.want("resumed")
			c.wantIDs(a)
			for {
				text, err := old.read()
				if err != nil {
					break
				}
				if strings.HasPrefix(text, "41") {
					t.Error("the old socket was told to stay away")
				}
			}
			b := p.publish(0, "r:1")
			c.drain(b)
			c.wantIDs(a, b)
			p.wantOnline("u")
		})
	}
}

// wantOnline checks that presence has exactly one socket of the user, and keeps it.
func (p *pair) wantOnline(user string) {
	p.t.Helper()
	online := func() (n int) {
		p.backend.mu.Lock()
		defer p.backend.mu.Unlock()
		for _, other := range p.backend.sockets {
			if other == user {
				n++
			}
		}
		return n
	}
	await(p.t, "one socket online", func() bool { return online() == 1 })
}

func TestPoisonedCursorsAreRefused(t *testing.T) {
	p := newPair(t, 2, nil)
	foreign, err := cursor.NewSigner([][]byte{[]byte("another key")})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().UnixMilli()
	at := []int64{0, 0}
	inline := func(s *cursor.Signer, epoch uint64, at []int64, minted int64) string {
		return fmt.Sprintf("%q", s.Append(nil, &cursor.Base{Epoch: epoch, Life: 1}, 0, at, minted))
	}
	for name, tt := range map[string]struct {
		change func(c *stock)
		want   string
	}{
		"forged": {func(c *stock) {
			b := []byte(c.offset)
			b[len(b)/2] ^= 1
			c.offset = string(b)
		}, "bad_cursor"},
		"signed by a foreign key":         {func(c *stock) { c.offset = inline(foreign, cursor.Epoch("e"), at, now) }, "bad_cursor"},
		"a text of a user's event":        {func(c *stock) { c.offset = `"see you tomorrow"` }, "bad_cursor"},
		"a number":                        {func(c *stock) { c.offset = `17` }, "bad_cursor"},
		"an object":                       {func(c *stock) { c.offset = `{"pid":"x"}` }, "bad_cursor"},
		"of another topic":                {func(c *stock) { c.offset = inline(p.signer, cursor.Epoch("other"), at, now) }, "epoch"},
		"of another number of partitions": {func(c *stock) { c.offset = inline(p.signer, cursor.Epoch("e"), []int64{0}, now) }, "epoch"},
		"of a life that nobody knows":     {func(c *stock) { c.offset = inline(p.signer, cursor.Epoch("e"), at, now+60_000) }, "no_session"},
		"citing a base that is not stored": {func(c *stock) {
			c.offset = fmt.Sprintf("%q", p.signer.Append(nil, &cursor.Base{ID: 99, Epoch: cursor.Epoch("e"), MadeMs: now, Offsets: at, TimesMs: at}, 0, at, now))
		}, "no_base"},
		"of another user":                    {func(c *stock) { c.token = "v" }, "other_user"},
		"with a session that nobody has":     {func(c *stock) { c.pid = "made up" }, "no_session"},
		"with a session that cannot be":      {func(c *stock) { c.pid = strings.Repeat("x", 10_000) }, "no_session"},
		"its own, a page handing it over":    {func(c *stock) {}, "resumed"},
		"none, as if nothing had been there": {func(c *stock) { c.offset = "" }, "resumed"},
	} {
		t.Run(name, func(t *testing.T) {
			c := p.client("u")
			c.t = t
			c.connect(p.one)
			before := c.pid
			c.cut()
			tt.change(c)
			c.connect(p.two)
			c.want(tt.want)
			if (c.pid == before) != (tt.want == "resumed") {
				t.Errorf("session %s, was %s", c.pid, before)
			}
			c.cut()
			c.connect(p.one) // whatever it was, it goes on from here
			c.want("resumed")
		})
	}
	if n := testutil.ToFloat64(p.two.metrics.resumes.WithLabelValues("bad_cursor")); n != 5 {
		t.Errorf("%v refusals counted as bad_cursor, want 5", n)
	}
}

func TestOfTwoResumesAtOnceOneWins(t *testing.T) {
	p := newPair(t, 1, nil)
	for range 10 {
		c := p.client("u")
		c.connect(p.one)
		c.cut()
		a := p.publish(0, "user:u")
		twins := []*stock{p.client("u"), p.client("u")}
		var racing sync.WaitGroup
		for i, twin := range twins {
			twin.pid, twin.offset = c.pid, c.offset
			twin.dial([]*host{p.one, p.two}[i])
			racing.Go(func() {
				answer, err := twin.read()
				for err == nil {
					if strings.HasPrefix(answer, "42[") {
						twin.handled(answer, twin.parse(answer))
					}
					if twin.ready.Reason != "" && (!twin.ready.Recovered || len(twin.got) > 0) {
						break
					}
					answer, err = twin.read()
				}
			})
		}
		racing.Wait()
		resumed := 0
		for _, twin := range twins {
			switch {
			case twin.ready.Recovered && len(twin.got) == 0:
				resumed++ // and cut off at once
			case twin.ready.Recovered:
				resumed++
				twin.wantIDs(a)
			case twin.ready.Reason != "no_session" && twin.ready.Reason != "":
				t.Errorf("the other one was told %q", twin.ready.Reason)
			}
			twin.cut()
		}
		// Both may have been resumed, one after the other: the first was then cut off.
		if resumed == 0 {
			t.Errorf("nobody was resumed: %+v, %+v", twins[0].ready, twins[1].ready)
		}
	}
}

func TestAnExplicitGoodbyeEndsTheSession(t *testing.T) {
	p := newPair(t, 1, nil)
	c := p.client("u")
	c.connect(p.one)
	c.send("41")
	await(t, "the record removed", func() bool { return p.backend.record(c.pid) == nil })
	c.connect(p.one)
	c.want("no_session")
}

func TestALostSessionsRecordIsKeptForTheWindow(t *testing.T) {
	p := newPair(t, 1, nil)
	c := p.client("u")
	c.connect(p.one)
	ttl := func() time.Duration {
		p.backend.mu.Lock()
		defer p.backend.mu.Unlock()
		return p.backend.records.ttls[c.pid]
	}
	if got := ttl(); got < 30*time.Minute {
		t.Errorf("a live session's record is kept for %v", got)
	}
	c.cut()
	await(t, "the record kept for a window", func() bool { return ttl() == 2*time.Minute })
	c.connect(p.one)
	c.want("resumed")
	if got := ttl(); got < 30*time.Minute {
		t.Errorf("after the resume it is kept for %v", got)
	}
}

func TestAPollingClientIsResumedAndUpgrades(t *testing.T) {
	p := newPair(t, 2, nil)
	c := p.client("u")
	c.connect(p.one)
	c.join("r:1")
	c.cut()
	a, b := p.publish(0, "r:1"), p.publish(1, "r:1")
	poll := &poller{t: t, hosts: []*host{p.one, p.two}}
	poll.open()
	poll.request(http.MethodPost, fmt.Sprintf(`40{"token":"u","pid":%q,"offset":%s}`, c.pid, c.offset))
	take := func(texts []string) {
		for _, text := range texts {
			if strings.HasPrefix(text, "42[") {
				c.handled(text, c.parse(text))
			}
		}
	}
	for c.ready = (ready{}); c.ready.Reason == "" && !t.Failed(); {
		take(poll.get())
	}
	c.want("resumed")
	ws, last := poll.upgrade(p.two)
	if ws == nil {
		return
	}
	take(last)
	c.client = ws
	d := p.publish(0, "r:1")
	c.wantIDs(a, b, d)
	await(t, "the record of the move", func() bool {
		r := p.backend.record(c.pid)
		return r != nil && string(r.Extra) == p.two.options.ID
	})
	_ = ws.ws.Close()
	e := p.publish(1, "r:1")
	c.connect(p.one)
	c.want("resumed")
	c.wantIDs(a, b, d, e)
}

func TestASessionIsResumedAfterALongSilence(t *testing.T) {
	p := newPair(t, 1, func(o *Options) {
		o.PingInterval, o.PingTimeout, o.ResumeWindow = 200*time.Millisecond, 500*time.Millisecond, 6*time.Second
	})
	c := p.client("u")
	c.connect(p.one)
	for begun := time.Now(); time.Since(begun) < 7*time.Second; { // longer than the window
		if e := c.handle(); e.name != "session:cursor" {
			t.Fatalf("got %s", e.name)
		}
	}
	c.cut()
	a := p.publish(0, "user:u")
	c.connect(p.two)
	c.want("resumed")
	c.wantIDs(a)
}

func TestAClientThatWasAwayForLongerThanTheWindowStartsFresh(t *testing.T) {
	p := newPair(t, 1, nil)
	c := p.client("u")
	c.connect(p.one)
	c.cut()
	c.offset = fmt.Sprintf("%q", p.signer.Append(nil, &cursor.Base{Epoch: cursor.Epoch("e"), Life: 1}, 0, []int64{0}, time.Now().Add(-2*time.Minute).UnixMilli()))
	b := p.backend
	b.mu.Lock() // and its session is as old
	start, err := resume.ParseStart(b.records.records[c.pid].Start)
	if err != nil {
		t.Error(err)
	}
	start.MadeMs -= (3 * time.Minute).Milliseconds()
	b.records.records[c.pid].Start = start.Append(nil)
	b.mu.Unlock()
	c.connect(p.two)
	c.want("window")
}
