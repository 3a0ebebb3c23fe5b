package socket_test

import (
	"context"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"github.com/edumatrix/interlink/services/gateway/internal/engine"
	"github.com/edumatrix/interlink/services/gateway/internal/socket"
)

// mover moves sockets between two servers as Relay does.
type mover struct {
	t          *testing.T
	from, to   *world
	newSockets chan *socket.Socket
}

func (m *mover) Poll(ctx context.Context, sid string, r engine.StrayRequest) (engine.StrayResponse, error) {
	return m.from.engine.Poll(ctx, sid, r), nil
}

func (m *mover) Upgrade(ctx context.Context, sid string, p *engine.Pending) {
	if p.Probed(ctx) != nil {
		return
	}
	p.Answer()
	if p.Switched(ctx) != nil {
		return
	}
	s, sh, known := m.from.engine.Lookup(sid)
	if !known {
		m.t.Error("the session is unknown to its owner")
		return
	}
	var unsent []*engine.Frame
	var accepted *socket.Accepted
	done := make(chan struct{})
	sh.Post(func() {
		defer close(done)
		if old := m.from.server.Find(s); old != nil {
			accepted = &socket.Accepted{SID: old.ID()}
			var ok bool
			if unsent, ok = old.Freeze(); !ok {
				m.t.Error("the socket cannot be frozen")
			}
			if _, again := old.Freeze(); again || old.Connected() {
				m.t.Error("a frozen socket is still there")
			}
			return
		}
		unsent, _ = s.Freeze()
	})
	<-done
	m.to.server.Adopt(p, unsent, accepted, func(s *socket.Socket) {
		s.State = "moved"
		s.Send(engine.TextFrame(engine.Durable, []byte(`2["after the move"]`)))
		m.newSockets <- s
	})
}

func TestSocketMoves(t *testing.T) {
	for name, connected := range map[string]bool{"with its socket": true, "before its CONNECT": false} {
		t.Run(name, func(t *testing.T) {
			m := &mover{t: t, newSockets: make(chan *socket.Socket, 1)}
			start := func(prefix string) *world {
				listener, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				return serve(t, newApplication(), engine.Options{IDPrefix: prefix, Stray: m}, socket.Options{}, listener,
					func() (net.Conn, error) { return net.Dial("tcp", listener.Addr().String()) })
			}
			m.from, m.to = start("a"), start("b")
			defer m.from.stop()
			defer m.to.stop()
			client := &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return m.from.dial() }}}
			defer client.CloseIdleConnections()
			sid := openPolling(t, client)
			if connected {
				push(t, client, sid, "40")
			}
			d := websocket.Dialer{NetDial: func(string, string) (net.Conn, error) { return m.to.dial() }}
			conn, _, err := d.Dial("ws://gateway.test/socket.io/?EIO=4&transport=websocket&sid="+sid, nil)
			if err != nil {
				t.Fatal(err)
			}
			c := &ws{conn, t}
			defer c.Close()
			c.say("2probe")
			c.want("3probe")
			c.say("5")
			if connected {
				c.want(`40{"sid":"s1"}`, `42["after the move"]`)
				if s := <-m.newSockets; s.ID() != "s1" || s.State != "moved" {
					t.Errorf("moved socket %q, %v", s.ID(), s.State)
				}
			} else {
				c.say("40")
				c.want(`40{"sid":"s1"}`)
			}
			c.say(`42["here"]`)
			c.want(`42["here"]`)
			c.Close()
			m.to.wantClosed(engine.TransportClose)
			if len(m.from.app.ended) != 0 {
				t.Error("the old owner was told of an end")
			}
		})
	}
}

func openPolling(t *testing.T, client *http.Client) string {
	t.Helper()
	response, err := client.Get("http://gateway.test/socket.io/?EIO=4&transport=polling")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	b := make([]byte, 1000)
	n, _ := response.Body.Read(b)
	_, sid, _ := strings.Cut(string(b[:n]), `"sid":"`)
	sid, _, _ = strings.Cut(sid, `"`)
	return sid
}

func push(t *testing.T, client *http.Client, sid, body string) {
	t.Helper()
	response, err := client.Post("http://gateway.test/socket.io/?EIO=4&transport=polling&sid="+sid, "text/plain", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
}
