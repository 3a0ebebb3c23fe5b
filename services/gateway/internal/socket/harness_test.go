package socket_test

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"github.com/edumatrix/interlink/services/gateway/internal/engine"
	"github.com/edumatrix/interlink/services/gateway/internal/socket"
)

// application is a Handler that accepts at once, unless connect is set, and says what happened.
type application struct {
	connect func(s *socket.Socket, auth string, h socket.Handshake)
	event   func(s *socket.Socket, e socket.Event)
	ping    *engine.Frame

	mu     sync.Mutex // guards closed: tests read it
	closed map[*socket.Socket]int
	ended  chan socket.Reason
	pongs  chan bool
}

func newApplication() *application {
	return &application{closed: make(map[*socket.Socket]int), ended: make(chan socket.Reason, 1000), pongs: make(chan bool, 100)}
}

func (a *application) Connect(s *socket.Socket, auth json.RawMessage, h socket.Handshake) {
	if a.connect != nil {
		a.connect(s, string(auth), h)
		return
	}
	s.Accept(socket.Accepted{SID: "s1"})
}

func (a *application) Event(s *socket.Socket, e socket.Event) {
	if a.event != nil {
		a.event(s, e)
		return
	}
	echo(s, e)
}

// echo acknowledges with the first argument, and sends the event back if no ack was asked for.
func echo(s *socket.Socket, e socket.Event) {
	switch {
	case e.Ack != nil && len(e.Binary) > 0:
		e.Reply(e.Args, e.Binary)
	case e.Ack != nil:
		e.Ack(e.Args[0])
	default:
		args, _ := json.Marshal(append([]any{e.Name}, anys(e.Args)...))
		s.Send(engine.TextFrame(engine.Durable, append([]byte("2"), args...)))
	}
}

func anys(args []json.RawMessage) (all []any) {
	for _, arg := range args {
		all = append(all, arg)
	}
	return all
}

func (a *application) Closed(s *socket.Socket, reason socket.Reason) {
	a.mu.Lock()
	a.closed[s]++
	a.mu.Unlock()
	a.ended <- reason
}

func (a *application) PingFrame(*socket.Socket) *engine.Frame { return a.ping }

func (a *application) Ponged(*socket.Socket) { a.pongs <- true }

// world is a server of sockets.
type world struct {
	t      *testing.T
	app    *application
	engine *engine.Engine
	server *socket.Server
	dial   func() (net.Conn, error)
	stop   func()
}

func serve(t *testing.T, app *application, o engine.Options, so socket.Options, listener net.Listener, dial func() (net.Conn, error)) *world {
	t.Helper()
	w := &world{t: t, app: app, dial: dial}
	so.Handler = app
	var err error
	if w.server, err = socket.New(so); err != nil {
		t.Fatal(err)
	}
	o.Open, o.Shards = w.server.Open, 2
	if w.engine, err = engine.New(o); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	server := &http.Server{Handler: w.engine}
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := w.engine.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	wg.Go(func() { _ = server.Serve(listener) })
	w.stop = sync.OnceFunc(func() {
		cancel()
		_ = server.Close()
		wg.Wait()
		if n := w.engine.Sockets(); n != 0 {
			t.Errorf("%d sessions are left", n)
		}
		for s, n := range app.closed {
			if n != 1 {
				t.Errorf("socket %q was closed %d times", s.ID(), n)
			}
		}
	})
	return w
}

// overBoth runs a test over the poller and over the portable path.
func overBoth(t *testing.T, app func() *application, o engine.Options, so socket.Options, test func(t *testing.T, w *world)) {
	t.Helper()
	for name, portable := range map[string]bool{"poller": false, "portable": true} {
		t.Run(name, func(t *testing.T) {
			o := o
			o.Portable = portable
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			w := serve(t, app(), o, so, listener, func() (net.Conn, error) { return net.Dial("tcp", listener.Addr().String()) })
			defer w.stop()
			test(t, w)
		})
	}
}

// inBubble runs a test with a fake clock, over pipes.
func inBubble(t *testing.T, app *application, o engine.Options, so socket.Options, test func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		app.ended, app.pongs = make(chan socket.Reason, 1000), make(chan bool, 100)
		o.Portable = true
		listener := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
		w := serve(t, app, o, so, listener, listener.dial)
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

func (p *pipes) dial() (net.Conn, error) {
	client, server := net.Pipe()
	p.conns <- server
	return client, nil
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

// ws is a client's WebSocket.
type ws struct {
	*websocket.Conn
	t *testing.T
}

// open begins an engine session and has read its open packet.
func (w *world) open() *ws {
	w.t.Helper()
	d := websocket.Dialer{NetDial: func(_, _ string) (net.Conn, error) { return w.dial() }}
	c, _, err := d.Dial("ws://gateway.test/socket.io/?EIO=4&transport=websocket&key=value", http.Header{"Cookie": {"a=1"}})
	if err != nil {
		w.t.Fatal(err)
	}
	s := &ws{c, w.t}
	if got := s.next(); !strings.HasPrefix(got, "0{") {
		w.t.Fatalf("open packet %q", got)
	}
	return s
}

// connect begins a socket that the application accepts at once.
func (w *world) connect() *ws {
	w.t.Helper()
	c := w.open()
	c.say("40")
	c.want(`40{"sid":"s1"}`)
	return c
}

func (c *ws) say(packets ...string) {
	c.t.Helper()
	for _, p := range packets {
		if err := c.WriteMessage(websocket.TextMessage, []byte(p)); err != nil {
			c.t.Fatal(err)
		}
	}
}

func (c *ws) attach(data string) {
	c.t.Helper()
	if err := c.WriteMessage(websocket.BinaryMessage, []byte(data)); err != nil {
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

func (c *ws) wantEnd() {
	for {
		if _, _, err := c.ReadMessage(); err != nil {
			return
		}
	}
}

func (w *world) wantClosed(want socket.Reason) {
	w.t.Helper()
	if got := <-w.app.ended; got != want {
		w.t.Fatalf("closed as %v, want %v", got, want)
	}
}

// on runs fn on a socket's shard and waits for it.
func on(s *socket.Socket, fn func()) {
	done := make(chan struct{})
	s.Shard().Post(func() { fn(); close(done) })
	<-done
}

func wait(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}
