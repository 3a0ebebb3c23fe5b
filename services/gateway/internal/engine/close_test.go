package engine_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/edumatrix/interlink/services/gateway/internal/engine"
)

func TestSlowReaderIsClosed(t *testing.T) {
	t.Run("by a full queue", func(t *testing.T) {
		overBoth(t, engine.Options{QueueBytes: 64 << 10, QueueEvents: 100, SendBuffer: 8 << 10}, echo, func(t *testing.T, w *world) {
			c, _ := w.openWebSocket()
			defer c.Close()
			s := <-w.opened
			other, _ := w.openWebSocket()
			defer other.Close()
			payload := frame(strings.Repeat("x", 1<<10))
			for open := true; open; {
				on(s, func() {
					open = s.Send(payload)
					if bytes, frames := s.Queued(); bytes > 66<<10 || frames > 101 {
						t.Fatalf("%d bytes in %d frames are queued", bytes, frames)
					}
				})
			}
			w.wantClosed(engine.Slow)
			other.say("4not affected")
			other.want("4not affected")
		})
	})
	t.Run("by the write deadline", func(t *testing.T) {
		overBoth(t, engine.Options{WriteTimeout: 20 * time.Millisecond, QueueBytes: 512 << 20, SendBuffer: 8 << 10}, echo, func(t *testing.T, w *world) {
			c, _ := w.openWebSocket()
			defer c.Close()
			s := <-w.opened
			payload := frame(strings.Repeat("x", 1<<20))
			s.Shard().Post(func() {
				for range 50 {
					s.Send(payload)
				}
			})
			w.wantClosed(engine.Slow)
		})
	})
	t.Run("while polling", func(t *testing.T) {
		inBubble(t, engine.Options{QueueEvents: 10}, echo(), func(t *testing.T, w *world) {
			sid := w.openPolling()
			s := <-w.opened
			on(s, func() {
				for range 11 {
					s.Send(frame("x"))
				}
			})
			w.wantClosed(engine.Slow)
			if a := w.poll(sid); a.status != 400 {
				t.Errorf("poll: %d", a.status)
			}
		})
	})
	t.Run("but one that reads in time is not", func(t *testing.T) {
		overBoth(t, engine.Options{WriteTimeout: 5 * second, SendBuffer: 8 << 10}, echo, func(t *testing.T, w *world) {
			c, _ := w.openWebSocket()
			defer c.Close()
			s := <-w.opened
			s.Shard().Post(func() {
				for i := range 2000 {
					s.Send(frame(fmt.Sprint(i, strings.Repeat("x", 200))))
				}
			})
			for i := range 2000 {
				c.want(fmt.Sprint("4", i, strings.Repeat("x", 200)))
			}
		})
	})
}

func TestServerCloses(t *testing.T) {
	overBoth(t, engine.Options{}, echo, func(t *testing.T, w *world) {
		t.Run("a WebSocket, behind what is queued", func(t *testing.T) {
			c, _ := w.openWebSocket()
			defer c.Close()
			s := <-w.opened
			on(s, func() { s.Send(frame("last")); s.Close(engine.Server); s.Close(engine.Slow) })
			c.want("4last")
			var closed *websocket.CloseError
			if err := c.wantEnd(); !errors.As(err, &closed) || closed.Code != websocket.CloseGoingAway {
				t.Errorf("end: %v", err)
			}
			w.wantClosed(engine.Server)
			on(s, func() {
				if s.Send(frame("x")) || s.Ping() || s.Open() {
					t.Error("a closed session takes frames")
				}
			})
		})
		t.Run("a parked poll, with what is queued", func(t *testing.T) {
			sid := w.openPolling()
			s := <-w.opened
			on(s, func() { s.Send(frame("last")) })
			on(s, func() { s.Close(engine.Server) })
			w.wantClosed(engine.Server)
			if a := w.poll(sid); a.status != 400 {
				t.Errorf("poll: %d %q", a.status, a.body)
			}
		})
	})
}

func TestShutdown(t *testing.T) {
	overBoth(t, engine.Options{}, echo, func(t *testing.T, w *world) {
		c, _ := w.openWebSocket()
		defer c.Close()
		sid := w.openPolling()
		probed := w.openPolling()
		probing := w.upgradeWith(probed)
		defer probing.Close()
		parked := make(chan answer, 1)
		go func() {
			a, _ := w.try("GET", polling+"&sid="+sid, "")
			parked <- a
		}()
		w.stop()
		_ = c.wantEnd()
		_ = probing.wantEnd()
		if a := <-parked; a.status == 200 {
			t.Errorf("parked poll: %d %q", a.status, a.body)
		}
		for range 3 {
			w.wantClosed(engine.Server)
		}
	})
}

func TestDrain(t *testing.T) {
	inBubble(t, engine.Options{}, echo(), func(t *testing.T, w *world) {
		const n = 20
		var conns []*ws
		for range n {
			c, _ := w.openWebSocket()
			defer c.Close()
			conns = append(conns, c)
		}
		begun := time.Now()
		done := make(chan error)
		go func() { done <- w.Drain(context.Background(), 10*second) }()
		wait(5 * second)
		if left := w.Sockets(); left < 7 || left > 12 {
			t.Errorf("%d of %d are left at half time", left, n)
		}
		if err := <-done; err != nil || time.Since(begun) > 11*second {
			t.Errorf("drain: %v after %v", err, time.Since(begun))
		}
		for range n {
			w.wantClosed(engine.Server)
		}
		for _, c := range conns {
			_ = c.wantEnd()
		}
		w.openPolling() // still admitted
		if err := w.Drain(context.Background(), 0); err != nil {
			t.Error(err)
		}
		w.wantClosed(engine.Server)
	})
}

// Clients come and go in every way. Each session ends exactly once, none is left, and nobody reads what was for another.
func TestChurn(t *testing.T) {
	var ended sync.Map
	var count atomic.Int64
	h := echo()
	h.closed = func(s *engine.Session, _ engine.Reason) {
		if _, twice := ended.LoadOrStore(s, true); twice {
			t.Errorf("session %s ended twice", s.ID())
		}
		count.Add(1)
	}
	const clients, rounds = 40, 8
	var opened atomic.Int64
	o := engine.Options{Hooks: engine.Hooks{Opened: func(engine.Transport) { opened.Add(1) }}}
	overBoth(t, o, func() *handler { return h }, func(t *testing.T, w *world) {
		opened.Store(0)
		count.Store(0)
		var wg sync.WaitGroup
		for client := range clients {
			wg.Go(func() {
				random := rand.New(rand.NewPCG(5, uint64(client)))
				for round := range rounds {
					w.comeAndGo(t, random, fmt.Sprintf("4client %d round %d", client, round))
				}
			})
		}
		wg.Wait()
		w.stop()
		if opened.Load() != clients*rounds || count.Load() != opened.Load() {
			t.Errorf("%d opened, %d ended; want %d", opened.Load(), count.Load(), clients*rounds)
		}
	})
}

func (w *world) comeAndGo(t *testing.T, random *rand.Rand, mine string) {
	way := random.IntN(7)
	if way < 2 {
		a, err := w.try("GET", polling, "")
		if err != nil || a.status != 200 {
			t.Error(a, err)
			return
		}
		sid := sidOf(t, a.body)
		_, _ = w.try("POST", polling+"&sid="+sid, mine)
		if a, err = w.try("GET", polling+"&sid="+sid, ""); err != nil || a.body != mine {
			t.Errorf("polled %q, want %q (%v)", a.body, mine, err)
		}
		if way == 0 {
			_, _ = w.try("POST", polling+"&sid="+sid, "1")
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
	for range random.IntN(4) {
		c.say(mine)
		c.want(mine)
	}
	switch way {
	case 2:
		c.say("1")
		_ = c.wantEnd()
	case 3:
		_ = c.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(1000, "bye"))
		_ = c.wantEnd()
	case 4:
		c.say(mine) // and does not read it
	case 5:
		if tcp, ok := c.NetConn().(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // a reset
		}
	case 6:
		_, _ = c.NetConn().Write([]byte("\x81\xff")) // half a header
	}
}

// What is no packet ends the session that sent it, with the reason given, and no other.
func TestMalformedInput(t *testing.T) {
	masked := func(first byte, payload string) string {
		head := []byte{first, 0x80 | byte(len(payload))}
		return string(head) + "\x00\x00\x00\x00" + payload
	}
	long := func(first byte, n uint64) string {
		return string(binary.BigEndian.AppendUint64([]byte{first, 0xff}, n)) + "\x00\x00\x00\x00"
	}
	frames := map[string]struct {
		bytes string
		want  engine.Reason
	}{
		"a frame without a mask":              {"\x81\x02hi", engine.Malformed},
		"a reserved bit":                      {masked(0xc1, "4"), engine.Malformed},
		"a reserved opcode":                   {masked(0x83, "4"), engine.Malformed},
		"a continuation of nothing":           {masked(0x80, "4"), engine.Malformed},
		"a message inside a message":          {masked(0x01, "4") + masked(0x81, "4"), engine.Malformed},
		"a fragmented ping":                   {masked(0x09, ""), engine.Malformed},
		"a long ping":                         {"\x89\xfe\x00\x7e\x00\x00\x00\x00", engine.Malformed},
		"a length with its top bit set":       {long(0x81, 1<<63), engine.Malformed},
		"a length not in its shortest form":   {long(0x81, 10), engine.Malformed},
		"a message over the limit":            {long(0x82, 1_000_001), engine.TooLarge},
		"fragments over the limit":            {long(0x02, 1_000_000) + strings.Repeat("x", 1_000_000) + masked(0x80, "x"), engine.TooLarge},
		"text that is not UTF-8":              {masked(0x81, "4\xff"), engine.Malformed},
		"a close frame of one byte":           {masked(0x88, "x"), engine.Malformed},
		"a close code that is none":           {masked(0x88, "\x03\xed"), engine.Malformed},
		"a close reason that is not UTF-8":    {masked(0x88, "\x03\xe8\xff"), engine.Malformed},
		"an empty text message":               {masked(0x81, ""), engine.Malformed},
		"an unknown packet type":              {masked(0x81, "7"), engine.Malformed},
		"a letter":                            {masked(0x81, "abc"), engine.Malformed},
		"an open packet":                      {masked(0x81, "0{}"), engine.Malformed},
		"a ping":                              {masked(0x81, "2"), engine.Malformed},
		"a probe":                             {masked(0x81, "2probe"), engine.Malformed},
		"an upgrade":                          {masked(0x81, "5"), engine.Malformed},
		"a close packet with data":            {masked(0x81, "1x"), engine.Malformed},
		"HTTP":                                {"GET / HTTP/1.1\r\n\r\n", engine.Malformed},
		"zeros":                               {strings.Repeat("\x00", 1000), engine.Malformed},
		"a valid message, then rubbish":       {masked(0x81, "4ok") + "\xff\xff", engine.Malformed},
		"a base64 message in a text message":  {masked(0x81, "bAQID"), engine.Malformed},
		"a close frame, then anything (fine)": {masked(0x88, "") + "\xff\xff", engine.TransportClose},
	}
	bodies := map[string]string{
		"an empty body": "", "a letter": "abc", "an unknown type": "7", "a separator alone": "\x1e", "a separator first": "\x1e4a",
		"a separator last": "4a\x1e", "two separators": "4a\x1e\x1e4b", "an open packet": "0{}", "a ping": "2", "an upgrade": "5",
		"bad base64": "b!", "base64 with a line break": "bAQ\nID", "base64 without padding": "bAQ", "a byte that is no UTF-8": "4\xff",
		"valid packets, then a bad one": "4a\x1e4b\x1ex", "a close packet with data": "1x",
	}
	overBoth(t, engine.Options{}, echo, func(t *testing.T, w *world) {
		bystander, _ := w.openWebSocket()
		defer bystander.Close()
		polled := w.openPolling()
		unaffected := func() {
			t.Helper()
			bystander.say("4still here")
			bystander.want("4still here")
			w.push(polled, "4still here")
			if a := w.poll(polled); a.body != "4still here" {
				t.Errorf("another session polls %d %q", a.status, a.body)
			}
		}
		for name, test := range frames {
			t.Run(name+" on a WebSocket", func(t *testing.T) {
				c, _ := w.openWebSocket()
				defer c.Close()
				if _, err := c.NetConn().Write([]byte(test.bytes)); err != nil {
					t.Fatal(err)
				}
				w.wantClosed(test.want)
				_ = c.wantEnd()
				unaffected()
			})
		}
		for name, body := range bodies {
			t.Run(name+" in a POST", func(t *testing.T) {
				sid := w.openPolling()
				if a := w.push(sid, body); a.status != 400 {
					t.Errorf("status %d", a.status)
				}
				w.wantClosed(engine.Malformed)
				if a := w.poll(sid); a.status != 400 {
					t.Errorf("poll afterwards: %d", a.status)
				}
				unaffected()
			})
		}
	})
}

func TestLimitBeforeTrust(t *testing.T) {
	stranger := func(reasons chan engine.Reason) engine.Options {
		h := &handler{closed: func(_ *engine.Session, r engine.Reason) { reasons <- r }}
		return engine.Options{ConnectBytes: 1000, Open: func(*engine.Session, engine.Handshake) engine.Handler { return h }}
	}
	for name, act := range map[string]func(w *world){
		"one message":   func(w *world) { w.stranger("4" + strings.Repeat("x", 1000)) },
		"many messages": func(w *world) { w.stranger(strings.Split(strings.Repeat("4xxxxxxxxx,", 100), ",")[:100]...) },
		"one body":      func(w *world) { w.push(w.openPolling(), "4"+strings.Repeat("x", 1000)) },
		"one message before an upgrade": func(w *world) {
			sid := w.openPolling()
			c := w.upgradeWith(sid)
			defer c.Close()
			c.say("4" + strings.Repeat("x", 1000))
			if err := c.wantEnd(); !websocket.IsCloseError(err, websocket.CloseMessageTooBig) {
				w.t.Errorf("ended by %v", err)
			}
			w.push(sid, "4"+strings.Repeat("x", 1000))
		},
		"many bodies, together": func(w *world) {
			sid := w.openPolling()
			w.push(sid, "4"+strings.Repeat("x", 600))
			w.push(sid, "4"+strings.Repeat("x", 600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			reasons := make(chan engine.Reason, 10)
			overBoth(t, stranger(reasons), echo, func(t *testing.T, w *world) {
				act(w)
				if got := <-reasons; got != engine.Unauthorized {
					t.Errorf("closed as %v", got)
				}
			})
		})
	}
}

// stranger sends messages until it is thrown out.
func (w *world) stranger(messages ...string) {
	c, _ := w.openWebSocket()
	defer c.Close()
	for _, m := range messages {
		if c.WriteMessage(websocket.TextMessage, []byte(m)) != nil {
			return
		}
	}
	_ = c.wantEnd()
}
