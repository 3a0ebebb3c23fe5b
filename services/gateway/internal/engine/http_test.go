package engine_test

import (
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/edumatrix/interlink/services/gateway/internal/engine"
)

func TestRefusedRequests(t *testing.T) {
	tests := map[string]struct {
		method, query string
		header        []string
		status        int
		body          string
	}{
		"no transport":                  {"GET", "EIO=4", nil, 400, `{"code":0,"message":"Transport unknown"}`},
		"WebTransport":                  {"GET", "EIO=4&transport=webtransport", nil, 400, `{"code":0,"message":"Transport unknown"}`},
		"an unknown sid":                {"GET", polling + "&sid=nobody", nil, 400, `{"code":1,"message":"Session ID unknown"}`},
		"a POST to an unknown sid":      {"POST", polling + "&sid=nobody", nil, 400, `{"code":1,"message":"Session ID unknown"}`},
		"a foreign prefix, no gateways": {"GET", polling + "&sid=other.nobody", nil, 400, `{"code":1,"message":"Session ID unknown"}`},
		"a handshake by POST":           {"POST", polling, nil, 400, `{"code":2,"message":"Bad handshake method"}`},
		"WebSocket without an upgrade":  {"GET", "EIO=4&transport=websocket", nil, 400, `{"code":3,"message":"Bad request"}`},
		"polling with an upgrade":       {"GET", polling, []string{"Connection", "upgrade", "Upgrade", "websocket"}, 400, `{"code":3,"message":"Bad request"}`},
		"JSONP":                         {"GET", polling + "&j=0", nil, 400, `{"code":3,"message":"JSONP polling is not supported"}`},
		"Engine.IO 3":                   {"GET", "EIO=3&transport=polling", nil, 400, `{"code":5,"message":"Unsupported protocol version"}`},
		"a foreign origin":              {"GET", polling, []string{"Origin", "https://evil.example"}, 403, `{"code":4,"message":"Forbidden"}`},
		"a null origin":                 {"GET", polling, []string{"Origin", "null"}, 403, `{"code":4,"message":"Forbidden"}`},
		"a preflight of a foreign page": {"OPTIONS", polling, []string{"Origin", "https://evil.example"}, 403, `{"code":4,"message":"Forbidden"}`},
	}
	var refused []engine.Refusal
	o := engine.Options{Origins: []string{"https://page.example"}, Credentials: true, Hooks: engine.Hooks{Refused: func(r engine.Refusal) { refused = append(refused, r) }}}
	inBubble(t, o, echo(), func(t *testing.T, w *world) {
		for name, test := range tests {
			refused = nil
			a := w.request(test.method, test.query, "", test.header...)
			if a.status != test.status || a.body != test.body || a.header.Get("Content-Type") != "application/json" {
				t.Errorf("%s: %d %s", name, a.status, a.body)
			}
			if len(refused) > 1 || len(refused) == 0 && !strings.Contains(name, "sid") {
				t.Errorf("%s: counted %v", name, refused)
			}
			if a.status == 403 && a.header.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("%s: the page may read the answer", name)
			}
		}
	})
}

func TestOrigins(t *testing.T) {
	o := engine.Options{Origins: []string{"https://page.example"}, Credentials: true}
	inBubble(t, o, echo(), func(t *testing.T, w *world) {
		for origin, ok := range map[string]bool{
			"":                          true,
			"https://page.example":      true,
			"http://gateway.test":       true, // the Host of the request
			"https://gateway.test":      true, // TLS may end before us
			"https://gateway.test:8443": false,
			"https://page.example.org":  false,
			"http://page.example":       false,
			"https://PAGE.example":      false,
			"gateway.test":              false,
		} {
			var header []string
			if origin != "" {
				header = []string{"Origin", origin}
			}
			a := w.request("GET", polling, "", header...)
			if (a.status == 200) != ok {
				t.Errorf("origin %q on polling: %d", origin, a.status)
			}
			if ok && (a.header.Get("Access-Control-Allow-Origin") != origin || (a.header.Get("Access-Control-Allow-Credentials") == "true") != (origin != "")) {
				t.Errorf("origin %q: %v", origin, a.header)
			}
			c, response, err := w.tryDial("EIO=4&transport=websocket", header...)
			if (err == nil) != ok || err != nil && response.StatusCode != http.StatusForbidden {
				t.Errorf("origin %q on WebSocket: %v", origin, err)
			}
			if c != nil {
				c.Close()
			}
		}
	})
}

func TestPreflight(t *testing.T) {
	o := engine.Options{Origins: []string{"https://page.example"}, Credentials: true}
	inBubble(t, o, echo(), func(t *testing.T, w *world) {
		a := w.request("OPTIONS", polling, "", "Origin", "https://page.example", "Access-Control-Request-Method", "POST",
			"Access-Control-Request-Headers", "access-control-allow-credentials,access-control-allow-origin, Content-Type,x-evil")
		for name, want := range map[string]string{
			"Access-Control-Allow-Origin":      "https://page.example",
			"Access-Control-Allow-Credentials": "true",
			"Access-Control-Allow-Methods":     "GET, POST",
			"Access-Control-Allow-Headers":     "content-type, access-control-allow-credentials, access-control-allow-origin",
			"Vary":                             "Origin",
		} {
			if got := a.header.Get(name); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		if a.status != 204 {
			t.Errorf("status %d", a.status)
		}
	})
}

func TestAnyOrigin(t *testing.T) {
	if _, err := engine.New(engine.Options{Open: func(*engine.Session, engine.Handshake) engine.Handler { return nil }, Origins: []string{"*"}, Credentials: true}); err == nil {
		t.Error("any origin was allowed together with credentials")
	}
	inBubble(t, engine.Options{Origins: []string{"*"}}, echo(), func(t *testing.T, w *world) {
		a := w.request("GET", polling, "", "Origin", "https://any.example")
		if a.status != 200 || a.header.Get("Access-Control-Allow-Origin") != "*" || a.header.Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("%d %v", a.status, a.header)
		}
	})
}

func TestCookiesOfOtherOrigins(t *testing.T) {
	for name, tt := range map[string]struct {
		origins     []string
		credentials bool
		origin      string
		want        string
	}{
		"a page of any origin":                {[]string{"*"}, false, "http://elsewhere", ""},
		"a page of a named origin without":    {[]string{"http://page"}, false, "http://page", ""},
		"a page of a named origin":            {[]string{"http://page"}, true, "http://page", "a=1"},
		"a page of the same host":             {[]string{"*"}, false, "http://gateway.test", "a=1"},
		"no page, or one of the same address": {[]string{"*"}, false, "", "a=1"},
	} {
		t.Run(name, func(t *testing.T) {
			cookies := make(chan string, 1)
			open := func(s *engine.Session, h engine.Handshake) engine.Handler {
				cookies <- h.Cookie
				return &handler{}
			}
			inBubble(t, engine.Options{Origins: tt.origins, Credentials: tt.credentials, Open: open}, echo(), func(t *testing.T, w *world) {
				header := []string{"Cookie", "a=1"}
				if tt.origin != "" {
					header = append(header, "Origin", tt.origin)
				}
				c, _, err := w.tryDial("EIO=4&transport=websocket", header...)
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				if got := <-cookies; got != tt.want {
					t.Errorf("cookies %q", got)
				}
			})
		})
	}
}

func TestNewRefusesOptions(t *testing.T) {
	open := func(*engine.Session, engine.Handshake) engine.Handler { return nil }
	for name, o := range map[string]engine.Options{
		"no Open":             {},
		"an id prefix":        {Open: open, IDPrefix: "a.b"},
		"a long id prefix":    {Open: open, IDPrefix: strings.Repeat("a", 65)},
		"a negative duration": {Open: open, PingInterval: -1},
		"a negative limit":    {Open: open, QueueEvents: -1},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := engine.New(o); err == nil {
				t.Error("accepted")
			}
		})
	}
}

func TestHandshakeBehindProxies(t *testing.T) {
	tests := map[string]struct {
		trusted []netip.Prefix
		header  []string
		want    string
		secure  bool
	}{
		"without trusted proxies the peer counts": {nil, []string{"X-Forwarded-For", "9.9.9.9", "X-Forwarded-Proto", "https"}, "127.0.0.1", false},
		"the last hop that no proxy is":           {loopback(), []string{"X-Forwarded-For", "1.1.1.1, 9.9.9.9, 127.0.0.2", "X-Forwarded-Proto", "https"}, "9.9.9.9", true},
		"two headers are one list":                {loopback(), []string{"X-Forwarded-For", "1.1.1.1", "X-Forwarded-For", "2001:db8::1"}, "2001:db8::1", false},
		"what cannot be read ends the list":       {loopback(), []string{"X-Forwarded-For", "9.9.9.9, unknown, 127.0.0.3"}, "127.0.0.3", false},
		"no header":                               {loopback(), nil, "127.0.0.1", false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := make(chan engine.Handshake, 2)
			o := engine.Options{TrustedProxies: test.trusted, Open: func(s *engine.Session, h engine.Handshake) engine.Handler {
				got <- h
				return echo()
			}}
			overBoth(t, o, echo, func(t *testing.T, w *world) {
				header := append([]string{"Cookie", "a=1", "Cookie", "b=2", "User-Agent", "test", "Origin", "http://gateway.test"}, test.header...)
				w.request("GET", polling+"&userId=u1", "", header...)
				c, _, err := w.tryDial("EIO=4&transport=websocket&userId=u1", header...)
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				for range 2 {
					h := <-got
					if h.RemoteAddr.String() != test.want || h.Secure != test.secure {
						t.Errorf("from %v, secure %v", h.RemoteAddr, h.Secure)
					}
					if h.Cookie != "a=1; b=2" || h.UserAgent != "test" || h.Origin != "http://gateway.test" || h.Host != "gateway.test" || h.Query.Get("userId") != "u1" {
						t.Errorf("handshake %+v", h)
					}
				}
			})
		})
	}
}

func loopback() []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} }

func TestAdmission(t *testing.T) {
	t.Run("over the number of sockets both transports are told to come later", func(t *testing.T) {
		refused := make(chan engine.Refusal, 10)
		o := engine.Options{MaxSockets: 2, Hooks: engine.Hooks{Refused: func(r engine.Refusal) { refused <- r }}}
		inBubble(t, o, echo(), func(t *testing.T, w *world) {
			sid := w.openPolling()
			c, _ := w.openWebSocket()
			if a := w.request("GET", polling, ""); a.status != 503 {
				t.Errorf("polling: %d", a.status)
			}
			if _, response, err := w.tryDial("EIO=4&transport=websocket"); err == nil || response.StatusCode != 503 {
				t.Errorf("WebSocket: %v", err)
			}
			if a, b := <-refused, <-refused; a != engine.RefusedSockets || b != engine.RefusedSockets {
				t.Errorf("counted %v, %v", a, b)
			}
			c.Close()
			w.wantClosed(engine.TransportClose)
			w.push(sid, "1")
			w.wantClosed(engine.TransportClose)
			w.openPolling()
			c, _ = w.openWebSocket()
			c.Close()
		})
	})
	t.Run("while the process is busy", func(t *testing.T) {
		var busy atomic.Bool
		busy.Store(true)
		inBubble(t, engine.Options{Busy: busy.Load}, echo(), func(t *testing.T, w *world) {
			if a := w.request("GET", polling, ""); a.status != 503 {
				t.Errorf("polling: %d", a.status)
			}
			busy.Store(false)
			w.openPolling()
		})
	})
	t.Run("over the rate", func(t *testing.T) {
		inBubble(t, engine.Options{ConnectRate: 10, ConnectBurst: 2}, echo(), func(t *testing.T, w *world) {
			for i, want := range []int{200, 200, 503} {
				if a := w.request("GET", polling, ""); a.status != want {
					t.Errorf("connect %d: %d", i, a.status)
				}
			}
			wait(second / 10)
			w.openPolling()
		})
	})
}

func TestPollingLimits(t *testing.T) {
	overBoth(t, engine.Options{MaxPayload: 1000}, echo, func(t *testing.T, w *world) {
		sid := w.openPolling()
		if a := w.push(sid, "4"+strings.Repeat("x", 999)); a.status != 200 {
			t.Errorf("at the limit: %d", a.status)
		}
		if a := w.push(sid, "4"+strings.Repeat("x", 1000)); a.status != 413 {
			t.Errorf("over the limit: %d", a.status)
		}
		w.wantClosed(engine.TooLarge)
		sid = w.openPolling()
		if a := w.request("POST", polling+"&sid="+sid, "4", "Content-Type", "application/octet-stream"); a.status != 400 {
			t.Errorf("octet-stream: %d", a.status)
		}
		if a := w.push(sid, strings.Repeat("4\x1e", 499)+"4"); a.status != 200 {
			t.Errorf("500 packets: %d", a.status)
		}
	})
}

func TestPollingResponses(t *testing.T) {
	inBubble(t, engine.Options{MaxPayload: 100, Origins: []string{"http://page"}}, echo(), func(t *testing.T, w *world) {
		a := w.request("GET", polling, "", "Origin", "http://page")
		for name, want := range map[string]string{"Content-Type": "text/plain; charset=UTF-8", "Cache-Control": "no-store", "Access-Control-Allow-Origin": "http://page"} {
			if got := a.header.Get(name); got != want {
				t.Errorf("%s: %q", name, got)
			}
		}
		sid := sidOf(t, a.body)
		s := <-w.opened
		one, two := strings.Repeat("1", 60), strings.Repeat("2", 60)
		on(s, func() { s.Send(frame(one)); s.Send(frame(two)) })
		if a := w.poll(sid); a.body != "4"+one {
			t.Errorf("first response %q: more than the payload limit", a.body)
		}
		if a := w.poll(sid); a.body != "4"+two {
			t.Errorf("second response %q", a.body)
		}
	})
}

func TestRequestsThatTheBrowserSendsAgainByItself(t *testing.T) {
	get := func(w *world, sid, stamp string) answer { return w.request("GET", polling+"&t="+stamp+"&sid="+sid, "") }
	inBubble(t, engine.Options{}, echo(), func(t *testing.T, w *world) {
		sid := w.openPolling()
		s := <-w.opened
		on(s, func() { s.Send(frame("one")) })
		if a := get(w, sid, "a"); a.body != "4one" {
			t.Fatalf("poll: %d %q", a.status, a.body)
		}
		on(s, func() { s.Send(frame("two")) })
		if a := get(w, sid, "b"); a.body != "4two" {
			t.Errorf("a poll with another stamp: %d %q", a.status, a.body)
		}
		on(s, func() { s.Send(frame("three")) })
		if a := get(w, sid, "b"); a.status != 400 {
			t.Errorf("a poll that was answered is asked again: %d %q; what it was answered has not arrived", a.status, a.body)
		}
		if reason := <-w.closed; reason != engine.TransportError {
			t.Errorf("closed: %v", reason)
		}
	})
	inBubble(t, engine.Options{}, echo(), func(t *testing.T, w *world) {
		sid := w.openPolling()
		<-w.opened
		for _, again := range []struct{ stamp, body string }{{"a", "4one"}, {"a", "4one"}, {"a", "4two"}, {"b", "4two"}, {"", "4end"}, {"", "4end"}} {
			query := polling + "&sid=" + sid
			if again.stamp != "" {
				query += "&t=" + again.stamp
			}
			if a := w.request("POST", query, again.body); a.status != 200 || a.body != "ok" {
				t.Errorf("push: %d %q", a.status, a.body)
			}
		}
		if a := w.poll(sid); a.body != "4one\x1e4two\x1e4two\x1e4end\x1e4end" {
			t.Errorf("the second of two equal requests was taken, or another one was not: %q", a.body)
		}
	})
}

func TestAResponseThatNobodyReadsIsGivenUp(t *testing.T) {
	inBubble(t, engine.Options{WriteTimeout: 20 * second, PingInterval: 500 * second}, echo(), func(t *testing.T, w *world) {
		sid := w.openPolling()
		s := <-w.opened
		on(s, func() { s.Send(frame(strings.Repeat("x", 500_000))) })
		c, err := w.dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := fmt.Fprintf(c, "GET /socket.io/?%s&sid=%s HTTP/1.1\r\nHost: h\r\n\r\n", polling, sid); err != nil {
			t.Fatal(err)
		}
		wait(30 * second)
		if read, _ := io.ReadAll(c); len(read) > 100_000 {
			t.Errorf("%d bytes were still waiting", len(read))
		}
		slow, err := w.dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer slow.Close()
		on(s, func() { s.Send(frame(strings.Repeat("x", 500_000))) })
		if _, err := fmt.Fprintf(slow, "GET /socket.io/?%s&sid=%s HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", polling, sid); err != nil {
			t.Fatal(err)
		}
		read, buf := 0, make([]byte, 50_000)
		for err == nil {
			wait(second)
			var n int
			n, err = slow.Read(buf)
			read += n
		}
		if read < 500_000 {
			t.Errorf("who reads slowly got %d bytes", read)
		}
	})
}
