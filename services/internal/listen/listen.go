// Package listen owns the client of the command line: what a user's browser would get, a line of JSON per event. It is apart from the command
// line's other words, since the client library brings a server and goroutines of its own into every program that knows it.
package listen

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/zishang520/socket.io/clients/engine/v3/transports"
	client "github.com/zishang520/socket.io/clients/socket/v3"
	"github.com/zishang520/socket.io/v3/pkg/types"
)

const (
	connectPatience = 3 * time.Second
	reconnectDelay  = 200 * time.Millisecond
	reconnectMost   = 3 * time.Second
)

// Options of Run.
type Options struct {
	URL   string // where Interlink is, such as http://127.0.0.1:3001
	Token string
	Rooms []string // to join
	Count int      // stop after so many events, those of the session itself not counted; 0: never
	Out   io.Writer
	Err   io.Writer // what happens to the connection
}

// Run connects over WebSocket, joins the rooms and prints until ctx ends, Count events have come or the server refuses.
func Run(ctx context.Context, o Options) error { return newListener(o).run(ctx) }

// listener is one connection. The client library calls back from goroutines of its own.
type listener struct {
	Options
	done chan error // the first reason to stop

	mu   sync.Mutex // guards writing and left
	left int
}

func newListener(o Options) *listener {
	return &listener{Options: o, done: make(chan error, 1), left: o.Count}
}

func (l *listener) run(ctx context.Context) error {
	o := client.DefaultOptions()
	o.SetAuth(map[string]any{"token": l.Token})
	o.SetTransports(types.NewSet(transports.WebSocket))
	o.SetForceNew(true)
	o.SetAutoConnect(false)
	// The library now and then misses the server's first packet; then it should notice soon.
	o.SetTimeout(connectPatience)
	o.SetReconnectionDelay(float64(reconnectDelay.Milliseconds()))
	o.SetReconnectionDelayMax(float64(reconnectMost.Milliseconds()))
	s, err := client.Connect(l.URL, o)
	if err != nil {
		return fmt.Errorf("--url: expected an address such as http://127.0.0.1:3001: %w", err)
	}
	s.OnAny(l.event)
	handlers := map[string]func(...any){
		"connect":       func(...any) { l.connected(s) },
		"connect_error": func(args ...any) { l.refused(s, args) },
		"disconnect":    func(args ...any) { l.say("disconnected: %v", args[0]) },
	}
	for name, handle := range handlers {
		if err := s.On(types.EventName(name), handle); err != nil {
			return fmt.Errorf("listen: %w", err)
		}
	}
	s.Connect()
	defer s.Disconnect()
	select {
	case <-ctx.Done():
		return nil
	case err := <-l.done:
		return err
	}
}

func (l *listener) connected(s *client.Socket) {
	l.say("connected to %s as socket %s", l.URL, s.Id())
	for _, r := range l.Rooms {
		err := s.Emit("room:join", r, func(args []any, err error) {
			answer, _ := json.Marshal(args) // came from JSON
			switch {
			case err != nil:
				l.say("join %s: no answer: %v", r, err)
			case joined(args):
				l.say("joined %s", r)
			default:
				l.stop(fmt.Errorf("join %s: refused: %s", r, answer))
			}
		})
		if err != nil {
			l.stop(fmt.Errorf("join %s: %w", r, err))
		}
	}
}

func joined(args []any) bool {
	if len(args) == 0 {
		return false
	}
	answer, _ := args[0].(map[string]any)
	ok, _ := answer["ok"].(bool)
	return ok
}

// refused tells apart a refusal, after which the client does not try again, and a server that is away.
func (l *listener) refused(s *client.Socket, args []any) {
	reason := fmt.Sprint(args...)
	if len(args) > 0 {
		if err, ok := args[0].(error); ok {
			reason = err.Error()
		}
	}
	if !s.Active() {
		l.stop(errors.New("the server refuses: " + reason))
		return
	}
	l.say("cannot connect to %s, trying again: %s", l.URL, reason)
}

// event prints one line: {"event":…,"data":…,"meta":…,"cursor":…}.
func (l *listener) event(args ...any) {
	if len(args) == 0 {
		return
	}
	name, _ := args[0].(string)
	line := struct {
		Event  string `json:"event"`
		Data   any    `json:"data"`
		Meta   any    `json:"meta,omitempty"`
		Cursor string `json:"cursor,omitempty"`
	}{Event: name}
	if len(args) > 1 {
		line.Data = args[1]
	}
	if len(args) > 2 {
		line.Meta = args[2]
	}
	if len(args) > 3 {
		line.Cursor, _ = args[3].(string)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	enc := json.NewEncoder(l.Out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(line); err != nil {
		l.stop(fmt.Errorf("print the event: %w", err))
	}
	if name == "session:ready" || name == "session:cursor" || l.Count == 0 {
		return
	}
	if l.left--; l.left == 0 {
		l.stop(nil)
	}
}

func (l *listener) say(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, _ = fmt.Fprintf(l.Err, format+"\n", args...)
}

func (l *listener) stop(err error) {
	select {
	case l.done <- err:
	default: // it stops already
	}
}
