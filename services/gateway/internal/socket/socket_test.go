package socket_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/edumatrix/interlink/services/gateway/internal/engine"
	"github.com/edumatrix/interlink/services/gateway/internal/socket"
	"github.com/edumatrix/interlink/services/gateway/internal/socketio"
)

func TestEventsAndAcks(t *testing.T) {
	exchange := map[string]struct{ say, attach, want []string }{
		"an event":                       {[]string{`42["a",1,"2",{"3":[null]}]`}, nil, []string{`42["a",1,"2",{"3":[null]}]`}},
		"an event without arguments":     {[]string{`42["a"]`}, nil, []string{`42["a"]`}},
		"an event with an ack":           {[]string{`427["a",{"ok":true}]`}, nil, []string{`437[{"ok":true}]`}},
		"the largest ack id":             {[]string{`429007199254740991["a",1]`}, nil, []string{`439007199254740991[1]`}},
		"the main namespace by its name": {[]string{`42/,["a"]`}, nil, []string{`42["a"]`}},
		"attachments and an ack, nested": {
			[]string{`452-3["a",{"b":[{"_placeholder":true,"num":1}]},{"_placeholder":true,"num":0}]`}, []string{"one", ""},
			[]string{`462-3[{"b":[{"_placeholder":true,"num":1}]},{"_placeholder":true,"num":0}]`, "bone", "b"},
		},
		"an ack that nobody waits for": {[]string{`4399[1]`, `42["a"]`}, nil, []string{`42["a"]`}},
	}
	overBoth(t, newApplication, engine.Options{}, socket.Options{}, func(t *testing.T, w *world) {
		c := w.connect()
		defer c.Close()
		for name, test := range exchange {
			t.Run(name, func(t *testing.T) {
				c.say(test.say...)
				for _, a := range test.attach {
					c.attach(a)
				}
				c.want(test.want...)
			})
		}
	})
}

func TestBurstsKeepOrder(t *testing.T) {
	overBoth(t, newApplication, engine.Options{}, socket.Options{}, func(t *testing.T, w *world) {
		c := w.connect()
		defer c.Close()
		go func() {
			for i := range 2000 {
				if c.WriteMessage(1, fmt.Appendf(nil, `42["n",%d]`, i)) != nil {
					return
				}
			}
		}()
		for i := range 2000 {
			c.want(fmt.Sprintf(`42["n",%d]`, i))
		}
	})
}

func TestConnectIsDecidedLater(t *testing.T) {
	asked := make(chan *socket.Socket, 1)
	app := func() *application {
		a := newApplication()
		a.connect = func(s *socket.Socket, auth string, h socket.Handshake) {
			if auth != `{"token":"t"}` || h.Cookie != "a=1" || h.Query.Get("key") != "value" {
				t.Errorf("auth %s, handshake %+v", auth, h)
			}
			s.State = "state"
			asked <- s
		}
		return a
	}
	overBoth(t, app, engine.Options{}, socket.Options{}, func(t *testing.T, w *world) {
		t.Run("what comes meanwhile waits, and follows what is sent with the answer", func(t *testing.T) {
			c := w.open()
			defer c.Close()
			c.say(`40{"token":"t"}`, `42["early",1]`, `451-["binary",{"_placeholder":true,"num":0}]`)
			c.attach("x")
			c.say(`42["early",2]`)
			s := <-asked
			c.say(`42["early",3]`)
			on(s, func() {
				if s.Connected() || !s.Pending() || s.Send(engine.TextFrame(engine.Durable, []byte(`2["too soon"]`))) {
					t.Error("a pending socket takes frames")
				}
			})
			on(s, func() {
				if !s.Accept(socket.Accepted{SID: "id", PID: "private"}) || s.Accept(socket.Accepted{SID: "again"}) || s.ID() != "id" {
					t.Error("Accept does not tell whether it counted")
				}
				s.Send(engine.TextFrame(engine.Durable, []byte(`2["ready"]`)))
			})
			c.want(`40{"sid":"id","pid":"private"}`, `42["ready"]`, `42["early",1]`, `42["binary",{"_placeholder":true,"num":0}]`, `42["early",2]`, `42["early",3]`)
			c.Close()
			w.wantClosed(engine.TransportClose)
		})
		t.Run("the client goes before the decision", func(t *testing.T) {
			c := w.open()
			c.say(`40{"token":"t"}`)
			s := <-asked
			c.Close()
			w.wantClosed(engine.TransportClose)
			on(s, func() {
				if s.Accept(socket.Accepted{SID: "id"}) {
					t.Error("accepted")
				}
				s.Refuse("too late", nil)
			})
		})
		t.Run("the client disconnects before the decision", func(t *testing.T) {
			c := w.open()
			defer c.Close()
			c.say(`40{"token":"t"}`, "41")
			s := <-asked
			w.wantClosed(engine.Left)
			on(s, func() {
				if s.Accept(socket.Accepted{SID: "id"}) {
					t.Error("accepted")
				}
			})
		})
		t.Run("refused", func(t *testing.T) {
			c := w.open()
			defer c.Close()
			c.say(`40{"token":"t"}`)
			s := <-asked
			on(s, func() { s.Refuse("Authentication failed", json.RawMessage(`{"code":"unauthenticated"}`)) })
			c.want(`44{"message":"Authentication failed","data":{"code":"unauthenticated"}}`)
			c.say(`40{"token":"t"}`) // another try on the same connection
			s = <-asked
			on(s, func() { s.Accept(socket.Accepted{SID: "id"}) })
			c.want(`40{"sid":"id"}`)
			c.Close()
			w.wantClosed(engine.TransportClose)
		})
		t.Run("more than a stranger may send", func(t *testing.T) {
			c := w.open()
			defer c.Close()
			c.say(`40{"token":"t"}`)
			<-asked
			for range 30 {
				_ = c.WriteMessage(1, []byte(`42["x","`+strings.Repeat("x", 1000)+`"]`))
			}
			w.wantClosed(engine.Unauthorized)
		})
	})
}

func TestOutOfPlace(t *testing.T) {
	for name, packets := range map[string][]string{
		"an event before CONNECT":                 {`42["a"]`},
		"an ack before CONNECT":                   {`431[]`},
		"DISCONNECT before CONNECT":               {"41"},
		"a CONNECT_ERROR":                         {"40", `44{"message":"x"}`},
		"a second CONNECT":                        {"40", "40"},
		"an event after DISCONNECT":               {"40", "41", `42["a"]`},
		"an event in a namespace not joined":      {"40", `42/admin,["a"]`},
		"no packet":                               {"4"},
		"an unknown type":                         {"40", "47"},
		"letters":                                 {"40", "4abc"},
		"a payload of the wrong kind":             {"40", "42{}"},
		"an event without a name":                 {"40", "42[]"},
		"a number for a name":                     {"40", "42[1]"},
		"a reserved name":                         {"40", `42["disconnect"]`},
		"broken JSON":                             {"40", `42["a",{]`},
		"JSON and more":                           {"40", `42["a"]]`},
		"an ack id that is none":                  {"40", `421x["a"]`},
		"an ack without an id":                    {"40", "43[]"},
		"an ack of an object":                     {"40", "431{}"},
		"a CONNECT payload that is no object":     {"40[]"},
		"a CONNECT payload that is broken":        {`40{"a"`},
		"DISCONNECT with a payload":               {"40", "41{}"},
		"a text inside attachments":               {"40", `451-["a",{"_placeholder":true,"num":0}]`, `42["a"]`},
		"too many attachments":                    {"40", `4511-["a"]`},
		"no attachments":                          {"40", `450-["a"]`},
		"a binary event without their number":     {"40", `45["a"]`},
		"a placeholder that points nowhere":       {"40", `451-["a",{"_placeholder":true,"num":1}]`, "attachment"},
		"a namespace without an end":              {"40", `42/x["a"]`},
		"an attachment that nothing waits for":    {"40", "attachment"},
		"an attachment before CONNECT":            {"attachment"},
		"JSON nested too deep":                    {"40", `42["a",` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + "]"},
		"an event with attachments, none CONNECT": {`451-["a",{"_placeholder":true,"num":0}]`, "attachment"},
	} {
		t.Run(name, func(t *testing.T) {
			overBoth(t, newApplication, engine.Options{}, socket.Options{}, func(t *testing.T, w *world) {
				bystander := w.connect()
				defer bystander.Close()
				c := w.open()
				defer c.Close()
				for _, p := range packets {
					if p == "attachment" {
						c.attach(p)
						continue
					}
					c.say(p)
				}
				c.wantEnd()
				bystander.say(`42["still here"]`)
				bystander.want(`42["still here"]`)
				if packets[0] == "40" {
					if got := <-w.app.ended; got != engine.Malformed && got != engine.Left {
						t.Errorf("closed as %v", got)
					}
				}
			})
		})
	}
}

func TestNamespaces(t *testing.T) {
	overBoth(t, newApplication, engine.Options{}, socket.Options{Namespaces: []string{"/", "/other"}}, func(t *testing.T, w *world) {
		c := w.open()
		defer c.Close()
		c.say("40/admin,", "40/other,{}")
		c.want(`44/admin,{"message":"Invalid namespace"}`, `40/other,{"sid":"s1"}`)
		c.say("40", `42/other,1["a",2]`)
		c.want(`40{"sid":"s1"}`, `43/other,1[2]`)
		c.say("41/other,", `421["a",3]`)
		c.want(`431[3]`)
		w.wantClosed(engine.Left)
		c.Close()
		w.wantClosed(engine.TransportClose)
	})
	for _, bad := range []socket.Options{{}, {Handler: newApplication(), Namespaces: []string{"x"}}, {Handler: newApplication(), MaxAcks: -1}} {
		if _, err := socket.New(bad); err == nil {
			t.Errorf("accepted %+v", bad)
		}
	}
}

func TestConnectTimeout(t *testing.T) {
	refuse := newApplication()
	refuse.connect = func(s *socket.Socket, _ string, _ socket.Handshake) { s.Refuse("no", nil) }
	never := newApplication()
	never.connect = func(*socket.Socket, string, socket.Handshake) {}
	for name, test := range map[string]struct {
		app     *application
		packets []string
		want    time.Duration // 0: stays open
	}{
		"no CONNECT":                 {newApplication(), nil, 10 * time.Second},
		"an unknown namespace":       {newApplication(), []string{"40/admin,"}, 10 * time.Second},
		"refused":                    {refuse, []string{"40"}, 10 * time.Second},
		"left":                       {newApplication(), []string{"40", "41"}, 10 * time.Second},
		"connected":                  {newApplication(), []string{"40"}, 0},
		"an answer that is in doubt": {never, []string{"40"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, test.app, engine.Options{}, socket.Options{}, func(t *testing.T, w *world) {
				c := w.open()
				defer c.Close()
				begun := time.Now()
				c.say(test.packets...)
				if test.want == 0 {
					wait(20 * time.Second)
					if w.engine.Sockets() != 1 {
						t.Error("closed")
					}
					return
				}
				c.wantEnd()
				if got := time.Since(begun); got < test.want || got > test.want+20*time.Millisecond {
					t.Errorf("closed after %v", got)
				}
			})
		})
	}
}

func TestARefusedClientDoesNotStayByAskingAgain(t *testing.T) {
	refuse := newApplication()
	refuse.connect = func(s *socket.Socket, _ string, _ socket.Handshake) { s.Refuse("no", nil) }
	inBubble(t, refuse, engine.Options{PingInterval: time.Hour}, socket.Options{}, func(t *testing.T, w *world) {
		c := w.open()
		defer c.Close()
		for range 10 {
			wait(9 * time.Second)
			c.say("40")
			c.want(`44{"message":"no"}`)
		}
		wait(time.Second)
		if w.engine.Sockets() != 0 {
			t.Error("still here")
		}
	})
}

func TestAcksFromTheClient(t *testing.T) {
	type result struct {
		args string
		err  error
	}
	results := make(chan result, 10)
	emit := func(s *socket.Socket, timeout time.Duration) {
		s.EmitAck("question", []json.RawMessage{json.RawMessage("1")}, timeout, func(a socket.Answer, err error) {
			text, _ := json.Marshal(a.Args)
			results <- result{string(text), err}
		})
	}
	var s *socket.Socket // written before its answer is read
	app := newApplication()
	app.connect = func(c *socket.Socket, _ string, _ socket.Handshake) {
		s = c
		c.Accept(socket.Accepted{SID: "s1"})
	}
	inBubble(t, app, engine.Options{}, socket.Options{MaxAcks: 2}, func(t *testing.T, w *world) {
		results = make(chan result, 10)
		want := func(args string, err error) {
			t.Helper()
			if got := <-results; got.args != args || !errors.Is(got.err, err) {
				t.Errorf("answered %v, want %s, %v", got, args, err)
			}
		}
		c := w.connect()
		defer c.Close()
		on(s, func() { emit(s, time.Second); emit(s, 2*time.Second); emit(s, time.Second) })
		want("null", socket.ErrBusy)
		c.want(`420["question",1]`, `421["question",1]`)
		c.say(`431["yes",{"a":1}]`, `431["twice"]`)
		want(`["yes",{"a":1}]`, nil)
		want("null", socket.ErrTimeout)
		c.say(`430["too late"]`)
		on(s, func() { emit(s, time.Hour) })
		c.want(`422["question",1]`)
		c.say("41")
		want("null", socket.ErrEnded)
		w.wantClosed(engine.Left)
		on(s, func() { emit(s, time.Second) })
		want("null", socket.ErrEnded)
	})
}

func TestAckCountsOnce(t *testing.T) {
	app := func() *application {
		a := newApplication()
		a.event = func(s *socket.Socket, e socket.Event) {
			later := e
			s.Shard().Post(func() {
				later.Ack([]byte("1"))
				later.Ack([]byte("2"))
				later.Reply(nil, nil)
				s.Send(engine.TextFrame(engine.Durable, []byte(`2["end"]`)))
			})
		}
		return a
	}
	overBoth(t, app, engine.Options{}, socket.Options{}, func(t *testing.T, w *world) {
		c := w.connect()
		defer c.Close()
		c.say(`425["a"]`)
		c.want(`435[1]`, `42["end"]`)
	})
}

func TestServerEndsSocket(t *testing.T) {
	sockets := make(chan *socket.Socket, 1)
	app := func() *application {
		a := newApplication()
		a.connect = func(s *socket.Socket, _ string, _ socket.Handshake) {
			s.Accept(socket.Accepted{SID: "s1"})
			sockets <- s
		}
		return a
	}
	overBoth(t, app, engine.Options{}, socket.Options{ConnectTimeout: 20 * time.Millisecond}, func(t *testing.T, w *world) {
		t.Run("with a DISCONNECT packet; the connection follows", func(t *testing.T) {
			c := w.connect()
			defer c.Close()
			s := <-sockets
			on(s, func() { s.Disconnect(); s.Disconnect(); s.CloseTransport(engine.Slow) })
			c.want("41")
			w.wantClosed(engine.Server)
			c.wantEnd()
		})
		t.Run("by closing the transport", func(t *testing.T) {
			c := w.connect()
			defer c.Close()
			s := <-sockets
			on(s, func() { s.CloseTransport(engine.PingTimeout) })
			c.wantEnd()
			w.wantClosed(engine.PingTimeout)
		})
		t.Run("by shutting down", func(t *testing.T) {
			c := w.connect()
			defer c.Close()
			<-sockets
			w.stop()
			c.wantEnd()
			w.wantClosed(engine.Server)
		})
	})
}

func TestPingCarriesAFrame(t *testing.T) {
	app := newApplication()
	app.ping = engine.TextFrame(engine.Durable, []byte(`2["session:cursor",null,{},"c"]`))
	inBubble(t, app, engine.Options{}, socket.Options{}, func(t *testing.T, w *world) {
		c := w.connect()
		defer c.Close()
		for range 3 {
			c.want(`42["session:cursor",null,{},"c"]`, "2")
			c.say("3")
			<-app.pongs
		}
	})
}

func TestLimitsOfAttachments(t *testing.T) {
	overBoth(t, newApplication, engine.Options{}, socket.Options{Limits: socketio.Limits{AttachmentBytes: 10}}, func(t *testing.T, w *world) {
		c := w.connect()
		defer c.Close()
		c.say(`452-["a",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]`)
		c.attach("123456")
		c.attach("78901")
		c.wantEnd()
		w.wantClosed(engine.Malformed)
	})
}
