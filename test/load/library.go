package load

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zishang520/socket.io/clients/engine/v3/transports"
	library "github.com/zishang520/socket.io/clients/socket/v3"
	"github.com/zishang520/socket.io/v3/pkg/types"

	"github.com/edumatrix/interlink/test/checker"
	"github.com/edumatrix/interlink/test/client"
)

// libraryClient is one client of zishang520/socket.io, a port of the official client to Go. It reconnects and resumes by
// itself; like a page, it joins its rooms when it had to begin anew.
type libraryClient struct {
	r       *recorder
	plan    Plan
	token   string
	socket  *library.Socket
	joining sync.WaitGroup
	open    atomic.Bool // between its events connect and disconnect
}

// bufferedByLibrary is among the failures of a run.
const bufferedByLibrary = "library: handled an event of the connection before"

// openTimeout is the library's patience with a server that says nothing: it now and then misses the first packet itself.
const openTimeout = 3 * time.Second

// run keeps the client connected until ctx ends.
func (l *libraryClient) run(ctx context.Context) {
	o := library.DefaultOptions()
	o.SetAuth(map[string]any{"token": l.token})
	o.SetForceNew(true)
	o.SetAutoConnect(false)
	o.SetTimeout(openTimeout)
	// As the official client always does: without it nobody can tell a poll that the HTTP client below repeats by itself,
	// when a connection has gone with its answer, from the next poll.
	o.SetTimestampRequests(true)
	o.SetTimestampParam("t")
	if l.r.m.transport == client.Polling {
		o.SetTransports(types.NewSet(transports.Polling))
	} else {
		o.SetTransports(types.NewSet(transports.WebSocket))
	}
	if l.plan.Backoff > 0 {
		o.SetReconnectionDelay(float64(l.plan.Backoff.Milliseconds()))
		o.SetReconnectionDelayMax(float64(5 * l.plan.Backoff.Milliseconds()))
	}
	s, err := library.Connect(l.r.m.url, o)
	if err != nil {
		l.r.fail("library: " + err.Error())
		return
	}
	l.socket = s
	for name, handle := range map[types.EventName]func(...any){
		"connect": func(...any) { l.connected(ctx) }, "disconnect": l.disconnected, "connect_error": l.refused,
		"session:ready": l.ready, "message:new": l.event, "room:evicted": l.evicted,
	} {
		if err := s.On(name, handle); err != nil {
			l.r.fail("library: " + err.Error())
			return
		}
	}
	s.Connect()
	<-ctx.Done()
	s.Disconnect()
	l.joining.Wait()
}

func (l *libraryClient) connected(ctx context.Context) {
	l.open.Store(true)
	l.r.add(checker.Observation{Kind: checker.Connected, Time: now(), Recovered: l.socket.Recovered()})
	id := l.socket.Id()
	for _, room := range l.r.missing() {
		l.join(ctx, id, room)
	}
}

// join asks until it is admitted or the connection it was asked on is over.
func (l *libraryClient) join(ctx context.Context, id, room string) {
	if ctx.Err() != nil || !l.socket.Connected() || l.socket.Id() != id {
		return
	}
	l.r.add(checker.Observation{Kind: checker.Asked, Time: now(), Room: room})
	err := l.socket.Emit("room:join", room, func(args []any, err error) {
		switch ok, code := answered(args); {
		case err != nil: // the connection is over
		case ok:
			l.r.add(checker.Observation{Kind: checker.Joined, Time: now(), Room: room})
		default:
			l.r.fail("join refused: " + code)
			l.joining.Go(func() {
				pause(ctx, time.Second)
				l.join(ctx, id, room)
			})
		}
	})
	if err != nil {
		l.r.fail("library: " + err.Error())
	}
}

func answered(args []any) (ok bool, code string) {
	if len(args) == 0 {
		return false, "no answer"
	}
	answer, _ := args[0].(map[string]any)
	ok, _ = answer["ok"].(bool)
	failed, _ := answer["error"].(map[string]any)
	code, _ = failed["code"].(string)
	return ok, code
}

func (l *libraryClient) disconnected(args ...any) {
	l.open.Store(false)
	l.r.add(checker.Observation{Kind: checker.Disconnected, Time: now()})
	l.r.fail("disconnected: " + strings.ReplaceAll(fmt.Sprint(args[:min(len(args), 1)]...), " ", "-"))
}

func (l *libraryClient) refused(args ...any) { l.r.fail("connect: " + fmt.Sprint(args...)) }

func (l *libraryClient) ready(args ...any) {
	if data := object(args, 0); data != nil {
		recovered, _ := data["recovered"].(bool)
		reason, _ := data["reason"].(string)
		l.r.add(checker.Observation{Kind: checker.Told, Time: now(), Recovered: recovered, Reason: reason})
		l.r.add(checker.Observation{Kind: checker.Joined, Time: now(), Room: "user:" + l.r.m.user})
	}
}

// event writes down what a page would see, but for one defect of the library: its goroutine that reads may hand on an event
// after the one that noticed the end of the connection. The event is buffered then and handled when the next connection
// is there, just before its connect, though the cursor that was given back is from before it: it comes again in the
// replay. The official client, with one thread, cannot do that. Such an event must come again; it is counted apart.
func (l *libraryClient) event(args ...any) {
	id, _ := object(args, 1)["id"].(string)
	if !l.open.Load() && l.socket.Connected() {
		l.r.fail(bufferedByLibrary)
		return
	}
	l.r.add(checker.Observation{Kind: checker.Handled, Time: now(), ID: id})
}

func (l *libraryClient) evicted(args ...any) {
	room, _ := object(args, 0)["room"].(string)
	l.r.add(checker.Observation{Kind: checker.Left, Time: now(), Room: room})
}

func object(args []any, i int) map[string]any {
	if i >= len(args) {
		return nil
	}
	o, _ := args[i].(map[string]any)
	return o
}
