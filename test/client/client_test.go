package client

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// fake is one Engine.IO session of a server that admits the token "good", acks `echo`, and emits what it is told.
type fake struct {
	upgrades string // JSON list of the open packet
	out      chan string
	probed   chan struct{} // closed when an upgrade has begun
	once     sync.Once
}

func newFake(t *testing.T) (*fake, string) {
	f := &fake{upgrades: `[]`, out: make(chan string, 100), probed: make(chan struct{})}
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	return f, server.URL
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch q := r.URL.Query(); {
	case q.Get("transport") == "websocket":
		f.socket(w, r, q.Get("sid") != "")
	case q.Get("sid") == "":
		_, _ = io.WriteString(w, f.open())
	case r.Method == http.MethodPost:
		body, _ := io.ReadAll(r.Body)
		for _, p := range strings.Split(string(body), separator) {
			f.receive(p)
		}
		_, _ = io.WriteString(w, "ok")
	default:
		f.poll(w, r)
	}
}

func (f *fake) open() string {
	return `0{"sid":"e","upgrades":` + f.upgrades + `,"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}`
}

func (f *fake) poll(w http.ResponseWriter, r *http.Request) {
	select {
	case p := <-f.out:
		_, _ = io.WriteString(w, p)
	case <-f.probed:
		_, _ = io.WriteString(w, "6")
	case <-r.Context().Done():
	}
}

func (f *fake) receive(p string) {
	switch {
	case strings.HasPrefix(p, `40{"token":"good"`):
		f.out <- `40{"sid":"s","pid":"p"}`
	case strings.HasPrefix(p, "40"):
		f.out <- `44{"message":"Authentication failed","data":{"code":"unauthenticated"}}`
	case strings.HasPrefix(p, `420["echo",`):
		f.out <- "430[" + strings.TrimPrefix(p, `420["echo",`)
	}
}

func (f *fake) socket(w http.ResponseWriter, r *http.Request, upgraded bool) {
	conn, err := (&websocket.Upgrader{}).Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer conn.Close()
	say := func(p string) { _ = conn.WriteMessage(websocket.TextMessage, []byte(p)) }
	next := func() string {
		_, p, err := conn.ReadMessage()
		if err != nil {
			return ""
		}
		return string(p)
	}
	if !upgraded {
		say(f.open())
	} else {
		if next() != "2probe" {
			return
		}
		f.once.Do(func() { close(f.probed) })
		say("3probe")
		if next() != "5" {
			return
		}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for p := next(); p != ""; p = next() {
			f.receive(p)
		}
	}()
	for {
		select {
		case p := <-f.out:
			say(p)
		case <-done:
			return
		}
	}
}

var all = map[string]Transport{"WebSocket": WebSocket, "polling": Polling, "an upgrade": Upgrade}

func dial(t *testing.T, options Options) (*Client, error) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	c, err := Dial(ctx, options)
	if err == nil {
		t.Cleanup(c.Cut)
	}
	return c, err
}

func TestClient(t *testing.T) {
	for name, transport := range all {
		t.Run("over "+name+" it connects, is acked and gets events in order", func(t *testing.T) {
			f, url := newFake(t)
			heard := make(chan string, 10)
			c, err := dial(t, Options{URL: url, Transport: transport, Auth: map[string]any{"token": "good"}, Handle: func(e Event) {
				heard <- e.Name + string(e.Args[0])
			}})
			if err != nil {
				t.Fatal(err)
			}
			if c.SID() != "s" || c.PID() != "p" {
				t.Errorf("ids are %q, %q", c.SID(), c.PID())
			}
			got, err := c.Call(t.Context(), "echo", map[string]int{"n": 1})
			if err != nil || string(got[0]) != `{"n":1}` {
				t.Errorf("ack is %s, %v", got, err)
			}
			f.out <- `42["a",1]`
			f.out <- `42["b",2]`
			for _, want := range []string{"a1", "b2"} {
				if got := <-heard; got != want {
					t.Errorf("heard %s, want %s", got, want)
				}
			}
		})
		t.Run("over "+name+" a refusal has its reason", func(t *testing.T) {
			_, url := newFake(t)
			_, err := dial(t, Options{URL: url, Transport: transport, Auth: map[string]any{"token": "bad"}})
			var refused *Refused
			if !errors.As(err, &refused) || refused.Message != "Authentication failed" {
				t.Errorf("error is %v", err)
			}
		})
	}
	t.Run("what is no protocol ends the connection", func(t *testing.T) {
		f, url := newFake(t)
		c, err := dial(t, Options{URL: url, Auth: map[string]any{"token": "good"}})
		if err != nil {
			t.Fatal(err)
		}
		f.out <- "42{broken"
		<-c.Done()
		if c.Err() == nil {
			t.Error("no error")
		}
	})
	t.Run("attachments come with their event", func(t *testing.T) {
		f, url := newFake(t)
		heard := make(chan Event, 1)
		if _, err := dial(t, Options{URL: url, Transport: Polling, Auth: map[string]any{"token": "good"}, Handle: func(e Event) { heard <- e }}); err != nil {
			t.Fatal(err)
		}
		f.out <- `451-["file",{"_placeholder":true,"num":0}]` + separator + "bAAEC"
		if e := <-heard; e.Name != "file" || len(e.Binary) != 1 || string(e.Binary[0]) != "\x00\x01\x02" {
			t.Errorf("heard %+v", e)
		}
	})
}

func TestReadAnswer(t *testing.T) {
	if _, err := ReadAnswer(nil); err == nil {
		t.Error("an ack without arguments is read")
	}
	a, err := ReadAnswer([]json.RawMessage{json.RawMessage(`{"ok":false,"error":{"code":"forbidden"}}`)})
	if err != nil || a.OK || a.Error.Code != "forbidden" {
		t.Errorf("read %+v, %v", a, err)
	}
}
