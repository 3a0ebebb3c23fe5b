package engine_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/edumatrix/interlink/services/gateway/internal/engine"
)

func TestMessagesBothWays(t *testing.T) {
	overBoth(t, engine.Options{}, echo, func(t *testing.T, w *world) {
		c, _ := w.openWebSocket()
		defer c.Close()
		long := strings.Repeat("ä€😀", 100_000) // 900,000 bytes: many reads, many writes
		for _, text := range []string{"4", "4hello", "4" + long, "4\x00"} {
			c.say(text)
			c.want(text)
		}
		for _, size := range []int{0, 1, 125, 126, 65_535, 65_536, 1_000_000} {
			data := strings.Repeat("\xfe", size)
			if err := c.WriteMessage(websocket.BinaryMessage, []byte(data)); err != nil {
				t.Fatal(err)
			}
			c.want("b" + data)
		}
		sid := w.openPolling()
		if a := w.push(sid, "4hello\x1ebAQID\x1e4"+long[:599_994]); a.status != 200 || a.body != "ok" {
			t.Fatalf("push: %d %s", a.status, a.body)
		}
		if a := w.poll(sid); a.status != 200 || a.body != "4hello\x1ebAQID\x1e4"+long[:599_994] {
			t.Fatalf("poll: %d, %d bytes", a.status, len(a.body))
		}
	})
}

func TestFragmentsAndControlFrames(t *testing.T) {
	overBoth(t, engine.Options{}, echo, func(t *testing.T, w *world) {
		c, _ := w.openWebSocket()
		defer c.Close()
		pongs := make(chan string, 3)
		c.SetPongHandler(func(data string) error { pongs <- data; return nil })
		writer, err := c.NextWriter(websocket.TextMessage)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if _, err := writer.Write([]byte("4" + strings.Repeat("x", 5000))); err != nil { // over the client's buffer: a fragment
				t.Fatal(err)
			}
			if err := c.WriteControl(websocket.PingMessage, []byte("between"), time.Time{}); err != nil {
				t.Fatal(err)
			}
		}
		if err := writer.Close(); err != nil {
			t.Fatal(err)
		}
		c.want(strings.Repeat("4"+strings.Repeat("x", 5000), 3))
		if got := <-pongs; got != "between" {
			t.Errorf("pong %q", got)
		}
	})
}

func TestClientSaysMoreRightBehindItsUpgradeRequest(t *testing.T) {
	overBoth(t, engine.Options{}, echo, func(t *testing.T, w *world) {
		conn, err := w.dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		// "4hi" masked with zeros, in the same segment as the request.
		request := "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: gateway.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n" + "\x81\x83\x00\x00\x00\x004hi" + "\x81"
		if _, err := conn.Write([]byte(request)); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write([]byte("\x83\x00\x00\x00\x004ho")); err != nil {
			t.Fatal(err)
		}
		var got []byte
		for !strings.HasSuffix(string(got), "\x81\x034hi\x81\x034ho") {
			b := make([]byte, 1000)
			n, err := conn.Read(b)
			if err != nil {
				t.Fatalf("%v after %q", err, got)
			}
			got = append(got, b[:n]...)
		}
		if !strings.HasPrefix(string(got), "HTTP/1.1 101 ") {
			t.Errorf("response %q", got)
		}
	})
}

func TestUpgrade(t *testing.T) {
	t.Run("queued frames follow on the WebSocket", func(t *testing.T) {
		overBoth(t, engine.Options{}, echo, func(t *testing.T, w *world) {
			sid := w.openPolling()
			s := <-w.opened
			c := w.upgradeWith(sid)
			defer c.Close()
			c.say("2probe")
			c.want("3probe")
			on(s, func() { s.Send(frame("while probing")) })
			if a := w.poll(sid); a.status != 200 || a.body != "6" {
				t.Fatalf("poll while probing: %d %q", a.status, a.body)
			}
			c.say("5")
			c.say("4behind")
			c.want("4while probing", "4behind")
		})
	})
	t.Run("a probe that fails leaves the session on polling, with its queue", func(t *testing.T) {
		overBoth(t, engine.Options{}, echo, func(t *testing.T, w *world) {
			sid := w.openPolling()
			s := <-w.opened
			c := w.upgradeWith(sid)
			c.say("2probe")
			c.want("3probe")
			on(s, func() { s.Send(frame("kept")) })
			c.say("4out of place")
			_ = c.wantEnd()
			c.Close()
			for a := w.poll(sid); a.body != "4kept"; a = w.poll(sid) {
				if a.status != 200 || a.body != "6" {
					t.Fatalf("poll: %d %q", a.status, a.body)
				}
			}
			c = w.upgradeWith(sid)
			defer c.Close()
			c.say("2probe")
			c.want("3probe")
			c.say("5")
			c.say("4again")
			c.want("4again")
		})
	})
	t.Run("what cannot upgrade is refused before the upgrade", func(t *testing.T) {
		overBoth(t, engine.Options{}, echo, func(t *testing.T, w *world) {
			_, onWebSocket := w.openWebSocket()
			probing := w.openPolling()
			c := w.upgradeWith(probing)
			defer c.Close()
			c.say("2probe")
			c.want("3probe")
			for name, sid := range map[string]string{"unknown": "nobody", "on a WebSocket": onWebSocket, "being probed": probing} {
				if _, response, err := w.tryDial("EIO=4&transport=websocket&sid=" + sid); err == nil || response.StatusCode != http.StatusBadRequest {
					t.Errorf("%s: %v, %v", name, response, err)
				}
			}
		})
	})
}

// The server sends numbered frames all the time while clients open, poll, upgrade and read.
func TestOrderOverUpgradeUnderLoad(t *testing.T) {
	overBoth(t, engine.Options{QueueEvents: 1 << 20, QueueBytes: 512 << 20}, echo, func(t *testing.T, w *world) {
		const frames = 3000
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() { w.upgradeUnderLoad(t, frames) })
		}
		wg.Wait()
	})
}

func (w *world) upgradeUnderLoad(t *testing.T, frames int) {
	open, err := w.try("GET", polling, "")
	if err != nil {
		t.Error(err)
		return
	}
	sid := sidOf(t, open.body)
	s, _, _ := w.Lookup(sid)
	go func() {
		for i := range frames {
			s.Shard().Post(func() { s.Send(frame(fmt.Sprint(i))) })
		}
	}()
	next := 0
	take := func(packet string) {
		if packet == "6" || packet == "2" {
			return
		}
		if packet != fmt.Sprint("4", next) {
			t.Errorf("got %q, want %d", packet, next)
		}
		next++
	}
	polled := make(chan error)
	upgrade := make(chan struct{})
	go func() {
		for {
			a, err := w.try("GET", polling+"&sid="+sid, "")
			if err != nil || a.status != 200 {
				polled <- fmt.Errorf("poll: %d %q %w", a.status, a.body, err)
				return
			}
			for packet := range strings.SplitSeq(a.body, "\x1e") {
				take(packet)
			}
			select {
			case <-upgrade: // as the stock client: the poll under way is waited for, then the WebSocket takes over
				polled <- nil
				return
			default:
			}
		}
	}()
	c := w.upgradeWith(sid)
	defer c.Close()
	c.say("2probe")
	c.want("3probe")
	close(upgrade)
	if err := <-polled; err != nil {
		t.Error(err)
		return
	}
	c.say("5")
	for next < frames && !t.Failed() {
		take(c.next())
	}
}

func TestManyConnectAtOnce(t *testing.T) {
	overBoth(t, engine.Options{}, echo, func(t *testing.T, w *world) {
		var wg sync.WaitGroup
		for i := range 240 {
			wg.Go(func() {
				if i%3 == 0 {
					a, err := w.try("GET", polling, "")
					if err != nil || a.status != 200 {
						t.Error(a, err)
						return
					}
					sid := sidOf(t, a.body)
					if a, err = w.try("POST", polling+"&sid="+sid, fmt.Sprint("4", i)); err == nil {
						a, err = w.try("GET", polling+"&sid="+sid, "")
					}
					if err != nil || a.body != fmt.Sprint("4", i) {
						t.Error(a, err)
					}
					return
				}
				c, _, err := w.tryDial("EIO=4&transport=websocket")
				if err != nil {
					t.Error(err)
					return
				}
				defer c.Close()
				sidOf(t, c.next())
				c.say(fmt.Sprint("4", i))
				c.want(fmt.Sprint("4", i))
			})
		}
		wg.Wait()
	})
}

// TLS ends in the process: no descriptor, and yet the same shards.
func TestTLS(t *testing.T) {
	e, err := engine.New(engine.Options{Shards: 1, Open: func(s *engine.Session, _ engine.Handshake) engine.Handler {
		s.Trust()
		return echo()
	}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- e.Run(ctx) }()
	server := httptest.NewTLSServer(e)
	defer server.Close()
	d := websocket.Dialer{TLSClientConfig: server.Client().Transport.(*http.Transport).TLSClientConfig}
	conn, _, err := d.Dial("wss"+strings.TrimPrefix(server.URL, "https")+"/?EIO=4&transport=websocket", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c := &ws{conn, t}
	sidOf(t, c.next())
	long := "4" + strings.Repeat("x", 500_000)
	c.say(long)
	c.want(long)
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	_ = c.wantEnd()
}
