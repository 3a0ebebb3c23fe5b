package session

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/edumatrix/interlink/services/gateway/internal/engine"
	"github.com/edumatrix/interlink/services/gateway/internal/socket"
)

// Services is what sockets of the application itself are for: it connects with an internal API key and says
// `server:emit {target, event, data}`, and nothing else.
type Services interface {
	// Allowed reports whether a key is good at present.
	Allowed(key string) bool
	// Ready publishes events in order and returns when the brokers have them. It blocks. There is one result each; an error
	// is of them all, and mended by patience.
	Ready(ctx context.Context, events []ReadyEvent) ([]ReadyResult, error)
}

// ReadyEvent is one `server:emit`.
type ReadyEvent struct {
	ID     string
	Target string
	Event  string
	Data   json.RawMessage
}

// ReadyResult says what became of one.
type ReadyResult struct {
	Away    bool   // not now
	Refused string // why it never will be; empty: it is published
}

const (
	servicesAtOnce  = 64               // sockets that publish at once
	serviceEvents   = 10_000           // that wait of one socket
	serviceBytes    = 8 << 20          // and their bytes
	serviceBatch    = 256              // in one call
	servicePatience = 15 * time.Second // with routers that are away
	serviceCall     = 5 * time.Second  // of one call
	serviceAgain    = 250 * time.Millisecond
)

// service is a socket of the application. What it holds is guarded by mu but for key, handler and socket.
type service struct {
	handler *Handler
	socket  *socket.Socket
	key     string

	mu      sync.Mutex
	queue   []emitted
	bytes   int
	sending bool // the queue is being worked off, in the order in which it came
}

// emitted is one event that waits to be published.
type emitted struct {
	event   ReadyEvent
	answer  acker
	arrived time.Time
}

// connectService admits a socket of the application. There is nothing to wait for: what it emits right behind its CONNECT
// counts.
func (h *Handler) connectService(s *socket.Socket, key string) {
	if h.options.Services == nil || !h.options.Services.Allowed(key) {
		const message = "Authentication failed"
		code := "bad_key"
		if h.options.Aliases != nil {
			code = h.options.Aliases.Code(code)
		}
		if code == "bad_key" {
			code = string(unauthenticated)
		}
		h.options.Logger.Info("connect refused", "code", code, "reason", "the internal API key is not one of ours")
		h.options.Metrics.Connected("refused")
		s.Refuse(message, refusalData(code, message, "check_key"))
		return
	}
	s.State = &service{handler: h, socket: s, key: key}
	s.Accept(socket.Accepted{SID: h.options.Random()})
	h.options.Metrics.Connected("ok")
}

// ofService takes an event of a socket that is no user's.
func (h *Handler) ofService(s *socket.Socket, e socket.Event) {
	sv, ok := s.State.(*service)
	if !ok {
		return
	}
	a := acker(e.Ack)
	switch {
	case e.Name != "server:emit":
		a.refuse(fault{Code: forbidden, Message: "The application may server:emit, and nothing else"})
		return
	case !h.options.Services.Allowed(sv.key):
		a.refuse(fault{Code: unauthenticated, Message: "Authentication expired: the key is not good any more"})
		s.CloseTransport(engine.Server)
		return
	}
	var in struct {
		Target string          `json:"target"`
		Event  string          `json:"event"`
		Data   json.RawMessage `json:"data"`
	}
	if len(e.Args) != 1 || json.Unmarshal(e.Args[0], &in) != nil || in.Event == "" || in.Target == "" {
		a.refuse(fault{Code: badRequest, Message: "Say {target, event, data}"})
		return
	}
	if in.Data == nil {
		in.Data = json.RawMessage("null")
	}
	now := h.options.Now()
	sv.put(emitted{answer: a, arrived: now, event: ReadyEvent{
		ID: ulid.MustNew(ulid.Timestamp(now), ulid.DefaultEntropy()).String(), Target: in.Target, Event: in.Event, Data: in.Data,
	}})
}

func (sv *service) put(e emitted) {
	sv.mu.Lock()
	full := len(sv.queue) >= serviceEvents || sv.bytes+len(e.event.Data) > serviceBytes
	begin := !full && !sv.sending
	if !full {
		sv.queue = append(sv.queue, e)
		sv.bytes += len(e.event.Data)
		sv.sending = true
	}
	sv.mu.Unlock()
	switch {
	case full:
		sv.handler.options.Logger.Warn("server:emit refused, too much waits for a router", "event", e.event.Event)
		e.answer.refuse(fault{Code: rateLimited, Message: "Too much waits to be published", RetryAfterMs: 1000})
	case begin:
		sv.handler.services.do(sv.send)
	}
}

// send works off the queue. What was taken from a socket is published also when that has gone.
func (sv *service) send(ctx context.Context) {
	for {
		sv.mu.Lock()
		n := min(len(sv.queue), serviceBatch)
		batch := sv.queue[:n:n]
		if n == 0 {
			sv.queue, sv.sending = nil, false
			sv.mu.Unlock()
			return
		}
		sv.mu.Unlock()
		done := sv.publish(ctx, batch)
		sv.mu.Lock()
		for _, e := range sv.queue[:done] {
			sv.bytes -= len(e.event.Data)
		}
		sv.queue = sv.queue[done:]
		sv.mu.Unlock()
		if done == n {
			continue
		}
		if pause(ctx, serviceAgain) != nil {
			return
		}
	}
}

// publish returns how many of a batch are done with: published, refused, or given up.
func (sv *service) publish(ctx context.Context, batch []emitted) int {
	h := sv.handler
	events := make([]ReadyEvent, len(batch))
	for i, e := range batch {
		events[i] = e.event
	}
	call, cancel := context.WithTimeout(ctx, serviceCall)
	results, err := h.options.Services.Ready(call, events)
	cancel()
	for i, e := range batch {
		switch {
		case err == nil && i < len(results) && !results[i].Away:
			sv.answer(e, results[i])
		case h.options.Now().Sub(e.arrived) < servicePatience:
			return i
		default:
			h.options.Logger.Warn("server:emit given up, no router takes it", "event", e.event.Event, "error", err)
			sv.tell(e, func(a acker) { a.refuse(away) })
		}
	}
	return len(batch)
}

func (sv *service) answer(e emitted, r ReadyResult) {
	if r.Refused != "" {
		sv.handler.options.Logger.Warn("server:emit is no event", "event", e.event.Event, "reason", r.Refused)
		sv.tell(e, func(a acker) { a.refuse(fault{Code: badRequest, Message: r.Refused}) })
		return
	}
	sv.tell(e, func(a acker) {
		a.ok(struct {
			OK      bool   `json:"ok"`
			Success bool   `json:"success"`
			ID      string `json:"id"`
		}{true, true, e.event.ID})
	})
}

// tell answers on the socket's shard.
func (sv *service) tell(e emitted, how func(a acker)) {
	if e.answer != nil {
		sv.socket.Shard().Post(func() { how(e.answer) })
	}
}

// notYours serves server:emit of a user.
func notYours(_ *session, _ string, _ json.RawMessage, a acker) {
	a.refuse(fault{Code: forbidden, Message: "Only the application may server:emit"})
}
