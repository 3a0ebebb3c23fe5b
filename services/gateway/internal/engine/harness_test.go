package engine_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"github.com/edumatrix/interlink/services/gateway/internal/engine"
)

// handler is a Handler of functions; nil ones do nothing. The zero value echoes nothing.
type handler struct {
	message func(s *engine.Session, text string)
	binary  func(s *engine.Session, data []byte)
	pinging func() *engine.Frame
	ponged  func()
	closed  func(s *engine.Session, reason engine.Reason)
}

func (h *handler) Message(s *engine.Session, text []byte) {
	if h.message != nil {
		h.message(s, string(text))
	}
}

func (h *handler) Binary(s *engine.Session, data []byte) {
	if h.binary != nil {
		h.binary(s, bytes.Clone(data))
	}
}

func (h *handler) Pinging(*engine.Session) *engine.Frame {
	if h.pinging == nil {
		return nil
	}
	return h.pinging()
}

func (h *handler) Ponged(*engine.Session) {
	if h.ponged != nil {
		h.ponged()
	}
}

func (h *handler) Closed(s *engine.Session, reason engine.Reason) {
	if h.closed != nil {
		h.closed(s, reason)
	}
}

// echo trusts its client and sends everything back.
func echo() *handler {
	return &handler{
		message: func(s *engine.Session, text string) { s.Send(frame(text)) },
		binary:  func(s *engine.Session, data []byte) { s.Send(engine.BytesFrame(engine.Durable, data)) },
	}
}

func frame(text string) *engine.Frame { return engine.TextFrame(engine.Durable, []byte(text)) }

// world is an engine that serves.
type world struct {
	*engine.Engine
	t      *testing.T
	dial   func(ctx context.Context) (net.Conn, error)
	client *http.Client
	opened chan *engine.Session
	closed chan engine.Reason
	stop   func()
}

// start serves an engine whose sessions all have h, and stops it at the end of the test, when nothing may be left.
func start(t *testing.T, o engine.Options, h *handler, listener net.Listener, dial func(context.Context) (net.Conn, error)) *world {
	t.Helper()
	w := &world{t: t, dial: dial, opened: make(chan *engine.Session, 1000), closed: make(chan engine.Reason, 1000)}
	told := h.closed
	all := *h
	all.closed = func(s *engine.Session, reason engine.Reason) {
		if told != nil {
			told(s, reason)
		}
		w.closed <- reason
	}
	if o.Open == nil {
		o.Open = func(s *engine.Session, _ engine.Handshake) engine.Handler {
			s.Trust()
			w.opened <- s
			return &all
		}
	}
	if o.Shards == 0 {
		o.Shards = 2
	}
	var err error
	if w.Engine, err = engine.New(o); err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: w.Engine}
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) }, MaxIdleConnsPerHost: 100,
	}
	w.client = &http.Client{Transport: transport}
	ctx, cancel := context.WithCancel(context.Background())
	var running, wg sync.WaitGroup
	running.Go(func() {
		if err := w.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	wg.Go(func() { _ = server.Serve(listener) })
	w.stop = sync.OnceFunc(func() {
		transport.CloseIdleConnections()
		cancel()
		running.Wait() // first: a server that closes takes parked polls away
		_ = server.Close()
		wg.Wait()
		if n := w.Sockets(); n != 0 {
			t.Errorf("%d sessions are left", n)
		}
	})
	return w
}

// overBoth runs a test over the poller and over the portable path.
func overBoth(t *testing.T, o engine.Options, h func() *handler, test func(t *testing.T, w *world)) {
	t.Helper()
	for name, portable := range map[string]bool{"poller": false, "portable": true} {
		t.Run(name, func(t *testing.T) {
			o := o
			o.Portable = portable
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			var d net.Dialer
			w := start(t, o, h(), listener, func(ctx context.Context) (net.Conn, error) {
				return d.DialContext(ctx, "tcp", listener.Addr().String())
			})
			defer w.stop()
			test(t, w)
		})
	}
}

// inBubble runs a test with a fake clock, over pipes.
func inBubble(t *testing.T, o engine.Options, h *handler, test func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		o.Portable = true
		listener := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
		w := start(t, o, h, listener, listener.dial)
		defer w.stop()
		test(t, w)
	})
}

// pipes is a listener of in-memory connections.
type pipes struct {
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func (p *pipes) dial(ctx context.Context) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case p.conns <- server:
		return client, nil
	case <-p.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

type answer struct {
	status int
	body   string
	header http.Header
}

// request sends one HTTP request; query follows the path.
func (w *world) request(method, query, body string, header ...string) answer {
	w.t.Helper()
	a, err := w.try(method, query, body, header...)
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

func (w *world) try(method, query, body string, header ...string) (answer, error) {
	r, err := http.NewRequest(method, "http://gateway.test/socket.io/?"+query, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	response, err := w.client.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	read, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, string(read), response.Header}, err
}

const polling = "EIO=4&transport=polling"

// openPolling begins a session and returns its sid.
func (w *world) openPolling() string {
	w.t.Helper()
	a := w.request("GET", polling, "")
	if a.status != 200 {
		w.t.Fatalf("handshake: %d %s", a.status, a.body)
	}
	return sidOf(w.t, a.body)
}

func sidOf(t *testing.T, open string) string {
	t.Helper()
	var value struct{ SID string }
	if !strings.HasPrefix(open, "0") || json.Unmarshal([]byte(open[1:]), &value) != nil || value.SID == "" {
		t.Fatalf("open packet %q", open)
	}
	return value.SID
}

func (w *world) poll(sid string) answer { return w.request("GET", polling+"&sid="+sid, "") }

func (w *world) push(sid, body string) answer { return w.request("POST", polling+"&sid="+sid, body) }

// ws is a client's WebSocket.
type ws struct {
	*websocket.Conn
	t *testing.T
}

func (w *world) tryDial(query string, header ...string) (*ws, *http.Response, error) {
	d := websocket.Dialer{NetDialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return w.dial(ctx) }}
	h := http.Header{}
	for i := 0; i < len(header); i += 2 {
		h.Add(header[i], header[i+1])
	}
	c, response, err := d.Dial("ws://gateway.test/socket.io/?"+query, h)
	if err != nil {
		return nil, response, err
	}
	return &ws{c, w.t}, response, nil
}

// upgradeWith dials a WebSocket for a session.
func (w *world) upgradeWith(sid string) *ws {
	w.t.Helper()
	c, _, err := w.tryDial("EIO=4&transport=websocket&sid=" + sid)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// openWebSocket begins a session on a WebSocket and has read its open packet.
func (w *world) openWebSocket() (c *ws, sid string) {
	w.t.Helper()
	c, _, err := w.tryDial("EIO=4&transport=websocket")
	if err != nil {
		w.t.Fatal(err)
	}
	return c, sidOf(w.t, c.next())
}

func (c *ws) say(text string) {
	c.t.Helper()
	if err := c.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
		c.t.Fatal(err)
	}
}

// next is the next message; of bytes with a leading b.
func (c *ws) next() string {
	c.t.Helper()
	kind, data, err := c.ReadMessage()
	if err != nil {
		c.t.Fatal(err)
	}
	if kind == websocket.BinaryMessage {
		return "b" + string(data)
	}
	return string(data)
}

func (c *ws) want(messages ...string) {
	c.t.Helper()
	for _, want := range messages {
		if got := c.next(); got != want {
			c.t.Fatalf("message %q, want %q", got, want)
		}
	}
}

// wantEnd reads until the connection has ended.
func (c *ws) wantEnd() error {
	for {
		if _, _, err := c.ReadMessage(); err != nil {
			return err
		}
	}
}

func (w *world) wantClosed(want engine.Reason) {
	w.t.Helper()
	if got := <-w.closed; got != want {
		w.t.Fatalf("closed as %v, want %v", got, want)
	}
}

// on runs fn on a session's shard and waits for it.
func on(s *engine.Session, fn func()) {
	done := make(chan struct{})
	s.Shard().Post(func() { fn(); close(done) })
	<-done
}

const second = time.Second
