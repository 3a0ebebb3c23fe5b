package engine_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/gorilla/websocket"

	"github.com/edumatrix/interlink/services/gateway/internal/engine"
)

// gateways are two engines; the second passes on what belongs to the first.
type gateways struct {
	owner, other *world
	unreachable  bool
}

func (g *gateways) Poll(ctx context.Context, sid string, r engine.StrayRequest) (engine.StrayResponse, error) {
	if g.unreachable {
		return engine.StrayResponse{}, errors.New("the owner is away")
	}
	return g.owner.Poll(ctx, sid, r), nil
}

// Upgrade moves a session as two gateways would over Relay.
func (g *gateways) Upgrade(ctx context.Context, sid string, p *engine.Pending) {
	if p.Probed(ctx) != nil {
		return
	}
	s, _, known := g.owner.Lookup(sid)
	if !known {
		return
	}
	var held bool
	on(s, func() { held = s.HoldPolls() })
	if !held {
		return
	}
	p.Answer()
	if p.Switched(ctx) != nil {
		return
	}
	var moved []*engine.Frame
	on(s, func() {
		unsent, ok := s.Freeze()
		if !ok {
			g.owner.t.Error("the session cannot be frozen")
		}
		for _, f := range unsent {
			f, err := engine.ParseFrame(f.Class(), f.AppendPayload(nil))
			if err != nil {
				g.owner.t.Error(err)
			}
			moved = append(moved, f)
		}
	})
	p.Adopt(moved, func(s *engine.Session) engine.Handler {
		s.Trust()
		s.Send(frame("from the new owner"))
		g.other.opened <- s
		return &handler{
			message: func(s *engine.Session, text string) { s.Send(frame(text)) },
			closed:  func(_ *engine.Session, r engine.Reason) { g.other.closed <- r },
		}
	})
}

func overTwo(t *testing.T, test func(t *testing.T, g *gateways)) {
	for name, portable := range map[string]bool{"poller": false, "portable": true} {
		t.Run(name, func(t *testing.T) {
			g := &gateways{}
			serve := func(prefix string) *world {
				listener, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				var d net.Dialer
				return start(t, engine.Options{Portable: portable, IDPrefix: prefix, Stray: g}, echo(), listener, func(ctx context.Context) (net.Conn, error) {
					return d.DialContext(ctx, "tcp", listener.Addr().String())
				})
			}
			g.owner, g.other = serve("a1"), serve("b2")
			defer g.owner.stop()
			defer g.other.stop()
			test(t, g)
		})
	}
}

func TestStrayPolls(t *testing.T) {
	overTwo(t, func(t *testing.T, g *gateways) {
		sid := g.owner.openPolling()
		if engine.SplitID(sid) != "a1" {
			t.Errorf("sid %q", sid)
		}
		if a := g.other.push(sid, "4hello\x1ebAQID"); a.status != 200 || a.body != "ok" {
			t.Errorf("push: %d %q", a.status, a.body)
		}
		if a := g.other.poll(sid); a.status != 200 || a.body != "4hello\x1ebAQID" {
			t.Errorf("poll: %d %q", a.status, a.body)
		}
		if a := g.other.poll("a1.nobody"); a.status != 400 || a.body != `{"code":1,"message":"Session ID unknown"}` {
			t.Errorf("unknown to its owner: %d %q", a.status, a.body)
		}
		if a := g.other.poll("b2.nobody"); a.status != 400 {
			t.Errorf("unknown here: %d %q", a.status, a.body)
		}
		g.unreachable = true
		if a := g.other.poll(sid); a.status != 503 {
			t.Errorf("owner away: %d %q", a.status, a.body)
		}
		g.unreachable = false
		if a := g.other.push(sid, "1"); a.status != 200 {
			t.Errorf("close: %d", a.status)
		}
		g.owner.wantClosed(engine.TransportClose)
	})
}

// hungryStray never answers.
type hungryStray struct{ asked chan bool }

func (h hungryStray) Poll(ctx context.Context, _ string, _ engine.StrayRequest) (engine.StrayResponse, error) {
	h.asked <- true
	<-ctx.Done()
	return engine.StrayResponse{}, ctx.Err()
}

func (h hungryStray) Upgrade(context.Context, string, *engine.Pending) {}

func TestBodiesForOtherGatewaysAreBounded(t *testing.T) {
	h := hungryStray{asked: make(chan bool)}
	inBubble(t, engine.Options{MaxPayload: 1000, IDPrefix: "b2", Stray: h}, echo(), func(t *testing.T, w *world) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		post := func(ctx context.Context, length int) (int, error) {
			r, err := http.NewRequestWithContext(ctx, "POST", "http://gateway.test/socket.io/?"+polling+"&sid=a1.made-up", strings.NewReader(strings.Repeat("x", length)))
			if err != nil {
				return 0, err
			}
			response, err := w.client.Do(r)
			if err != nil {
				return 0, err
			}
			return response.StatusCode, response.Body.Close()
		}
		var waiting sync.WaitGroup
		for range 64 {
			waiting.Go(func() { _, _ = post(ctx, 1000) })
			<-h.asked
		}
		if status, err := post(t.Context(), 1); status != 503 {
			t.Errorf("one more: %d, %v", status, err)
		}
		cancel()
		waiting.Wait()
		synctest.Wait()
		soon, stop := context.WithTimeout(t.Context(), second)
		defer stop()
		waiting.Go(func() { _, _ = post(soon, 1000) })
		<-h.asked
		waiting.Wait()
	})
}

func TestMoveOfAStrangerSaysLittle(t *testing.T) {
	overTwo(t, func(t *testing.T, g *gateways) {
		c := g.other.upgradeWith(g.owner.openPolling())
		defer c.Close()
		c.say("4" + strings.Repeat("x", 20<<10))
		if err := c.wantEnd(); !websocket.IsCloseError(err, websocket.CloseMessageTooBig) {
			t.Errorf("ended by %v", err)
		}
	})
}

func TestUpgradeMovesSession(t *testing.T) {
	overTwo(t, func(t *testing.T, g *gateways) {
		sid := g.owner.openPolling()
		s := <-g.owner.opened
		c := g.other.upgradeWith(sid)
		defer c.Close()
		c.say("2probe")
		c.want("3probe")
		on(s, func() {
			s.Send(frame("queued"))
			s.Ping()
			s.Send(engine.BinaryFrame(engine.Durable, []byte("51-"), [][]byte{{1, 2}}))
		})
		if a := g.owner.poll(sid); a.body != "6" {
			t.Errorf("poll while moving: %d %q", a.status, a.body)
		}
		c.say("5")
		c.say("4right behind")
		c.want("4queued", "451-", "b\x01\x02", "4from the new owner", "4right behind")
		if moved := <-g.other.opened; moved.ID() != sid || moved.Transport() != engine.WebSocket {
			t.Errorf("moved as %q on %v", moved.ID(), moved.Transport())
		}
		if _, _, known := g.owner.Lookup(sid); known || len(g.owner.closed) > 0 || g.owner.Sockets() != 0 {
			t.Error("the old owner still has it, or has closed it")
		}
		c.Close()
		g.other.wantClosed(engine.TransportClose)
	})
}

func TestMoveThatFails(t *testing.T) {
	overTwo(t, func(t *testing.T, g *gateways) {
		unknown := g.other.upgradeWith("a1.nobody")
		defer unknown.Close()
		unknown.say("2probe")
		_ = unknown.wantEnd()

		malformed := g.other.upgradeWith(g.owner.openPolling())
		defer malformed.Close()
		malformed.say("4no probe")
		_ = malformed.wantEnd()

		gone := g.other.upgradeWith(g.owner.openPolling())
		gone.say("2probe")
		gone.want("3probe")
		gone.Close()

		again := g.other.upgradeWith(g.owner.openPolling())
		defer again.Close()
		again.say("2probe")
		again.want("3probe")
		g.other.stop()
		_ = again.wantEnd()
	})
}

// A client that vanishes between its switch and the adoption is told to the new owner as a Closed.
func TestAdoptedTooLate(t *testing.T) {
	for name, portable := range map[string]bool{"poller": false, "portable": true} {
		t.Run(name, func(t *testing.T) {
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			closed := make(chan engine.Reason, 1)
			late := lateStray{switched: make(chan bool), closed: closed}
			var d net.Dialer
			w := start(t, engine.Options{Portable: portable, IDPrefix: "b2", Stray: &late}, echo(), listener, func(ctx context.Context) (net.Conn, error) {
				return d.DialContext(ctx, "tcp", listener.Addr().String())
			})
			defer w.stop()
			c := w.upgradeWith("a1.somebody")
			c.say("2probe")
			c.want("3probe")
			c.say("5")
			<-late.switched
			c.Close()
			if got := <-closed; got != engine.TransportClose {
				t.Errorf("closed as %v", got)
			}
		})
	}
}

type lateStray struct {
	switched chan bool
	closed   chan engine.Reason
}

func (l *lateStray) Poll(context.Context, string, engine.StrayRequest) (engine.StrayResponse, error) {
	return engine.UnknownSession(), nil
}

func (l *lateStray) Upgrade(ctx context.Context, _ string, p *engine.Pending) {
	_ = p.Probed(ctx)
	p.Answer()
	_ = p.Switched(ctx)
	l.switched <- true
	<-p.Gone()
	p.Adopt(nil, func(*engine.Session) engine.Handler {
		return &handler{closed: func(_ *engine.Session, r engine.Reason) { l.closed <- r }}
	})
}

func TestIDsAreDistinctAndClean(t *testing.T) {
	inBubble(t, engine.Options{IDPrefix: "gw-1_A"}, echo(), func(t *testing.T, w *world) {
		var ids []string
		for range 50 {
			id := w.openPolling()
			if slices.Contains(ids, id) || len(id) != len("gw-1_A.")+20 {
				t.Fatal(fmt.Sprint("id ", id))
			}
			ids = append(ids, id)
		}
	})
}
