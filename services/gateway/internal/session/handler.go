package session

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edumatrix/interlink/services/gateway/internal/engine"
	"github.com/edumatrix/interlink/services/gateway/internal/hub"
	"github.com/edumatrix/interlink/services/gateway/internal/socket"
	"github.com/edumatrix/interlink/services/internal/auth"
	"github.com/edumatrix/interlink/services/internal/permission"
	"github.com/edumatrix/interlink/services/internal/room"
	"github.com/edumatrix/interlink/services/internal/sessionrecord"
)

// Authorizer decides about rooms. But for Remove, all block. An error is doubt about all rooms that are not in the answer.
type Authorizer interface {
	// Known says what can be said without asking anybody; rooms of which nothing is known are absent.
	Known(ctx context.Context, p auth.Principal, rooms []room.Room) map[room.Room]permission.Set
	// Remove forgets what was said about users of a room before they were removed from it. It does not block.
	Remove(r room.Room, users []string)
	Permissions(ctx context.Context, p auth.Principal, rooms []room.Room) (map[room.Room]permission.Set, error)
	Rooms(ctx context.Context, p auth.Principal) ([]room.Room, error)
}

// Roster is told which sockets there are. It never blocks.
type Roster interface {
	Online(user, socket string)
	Offline(user, socket string, left bool)
}

// State is what is known of a user's presence.
type State struct {
	Online   bool   `json:"online"`
	Status   string `json:"status"`
	LastSeen int64  `json:"lastSeen"` // epoch milliseconds, 0: never
	Sockets  uint32 `json:"sockets"`
}

// Presence is what is asked of the presence service. All block.
type Presence interface {
	Query(ctx context.Context, users []string) (map[string]State, error)
	SetStatus(ctx context.Context, user, status string) error
	Typing(ctx context.Context, r room.Room, user, socket, name string, typing bool) error
}

// Publisher appends events of clients to Kafka. done is called from any goroutine, once, with nil when the brokers have
// it; Publish itself does not block.
type Publisher interface {
	Publish(key string, value []byte, done func(error))
}

// Options of New. Zero numbers mean the defaults in brackets.
type Options struct {
	Hub        *hub.Hub
	Auth       auth.Authenticator
	Authorizer Authorizer
	Roster     Roster
	Presence   Presence
	Publisher  Publisher
	Replays    Replays
	Store      Store    // nil: no session is resumed
	Peers      Peers    // nil: none
	Receipts   Receipts // nil: nobody is told what arrives
	Inbox      Inbox    // nil: nobody has one

	Services  Services  // nil: the application does not come as a socket
	Aliases   Aliases   // nil: pages speak our names
	Questions Questions // nil: the application is asked nothing for its pages

	Gateway   string                         // names this gateway
	Life      uint64                         // of this gateway, as its cursors say
	Forgotten func(ctx context.Context) bool // whether the store has lately lost what it knew; it blocks. nil: never

	ClientEvents    []string      // names that clients may publish
	RoomsPerSocket  int           // [200]
	EventsPerSecond float64       // [50]
	EventsBurst     float64       // [100]
	PingInterval    time.Duration // [25s]
	ResumeWindow    time.Duration // how far back room:join may ask [2m]
	QueueBytes      int64         // that may wait for one socket [512 KiB]
	QueueEvents     int           // and events [2,500]
	ConnectTimeout  time.Duration // how long doubt may last before the transport is closed [20s]
	Workers         int           // that may block at once [256]
	KeepClaims      bool          // an authorizer is asked with the user's claims
	KeepCookie      bool          // and with his cookie

	Now     func() time.Time
	Random  func() string // ids of sockets and sessions, unguessable
	Metrics Metrics
	Logger  *slog.Logger
}

// Metrics are called as things happen, on any goroutine. Nil functions are skipped.
type Metrics struct {
	Connected func(result string) // ok | refused | doubt | gone
	Resumed   func(result string) // one of resume.Reasons
	Closed    func(user, socket string, reason engine.Reason)
}

// Handler implements socket.Handler.
type Handler struct {
	options  Options
	pool     *pool
	resumes  *pool
	rechecks *pool
	records  *records // nil: none are kept
	bases    *bases
	inboxes  *pool
	sinces   *pool
	services *pool
	asks     *pool
	lanes    *lanes
	clients  map[string]bool
	recent   recent
	feeding  atomic.Int64 // bytes of replays that are read and not given yet
	// inboxAway is until when inboxes are left alone.
	inboxAway until
}

var (
	_ socket.Handler = (*Handler)(nil)
	_ socket.Tagged  = (*Handler)(nil)
)

// New returns a handler; Run lets its workers work.
func New(o Options) *Handler {
	set(&o.RoomsPerSocket, 200)
	set(&o.EventsPerSecond, 50)
	set(&o.EventsBurst, 2*o.EventsPerSecond)
	set(&o.PingInterval, 25*time.Second)
	set(&o.ConnectTimeout, 20*time.Second)
	set(&o.Workers, 256)
	set(&o.QueueBytes, 512<<10)
	set(&o.QueueEvents, 2500)
	set(&o.ResumeWindow, 2*time.Minute)
	if o.Receipts == nil {
		o.Receipts = nobody{}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Metrics.Connected == nil {
		o.Metrics.Connected = func(string) {}
	}
	if o.Metrics.Resumed == nil {
		o.Metrics.Resumed = func(string) {}
	}
	if o.Metrics.Closed == nil {
		o.Metrics.Closed = func(string, string, engine.Reason) {}
	}
	h := &Handler{options: o, pool: newPool(o.Workers), clients: make(map[string]bool, len(o.ClientEvents))}
	h.resumes, h.rechecks = newPool(resumesAtOnce), newPool(rechecksAtOnce)
	if o.Store != nil {
		h.records, h.bases = newRecords(h), newBases(o.Store)
	}
	h.inboxes, h.sinces, h.recent = newPool(inboxWorkers), newPool(sincesAtOnce), newRecent()
	h.services, h.asks = newPool(servicesAtOnce), newPool(asksAtOnce)
	h.lanes = newLanes(h.tellTyping)
	for _, name := range o.ClientEvents {
		h.clients[name] = true
	}
	return h
}

func set[T ~int | ~int64 | ~float64](value *T, otherwise T) {
	if *value == 0 {
		*value = otherwise
	}
}

// Run lets work be done until ctx ends, and waits for what is under way.
func (h *Handler) Run(ctx context.Context) error {
	h.lanes.start(ctx)
	h.pool.start(ctx)
	h.resumes.start(ctx)
	h.rechecks.start(ctx)
	var recording sync.WaitGroup
	if h.records != nil {
		recording.Go(func() { h.records.run(ctx) })
	}
	h.inboxes.start(ctx)
	h.sinces.start(ctx)
	h.services.start(ctx)
	h.asks.start(ctx)
	<-ctx.Done()
	h.pool.wait()
	h.resumes.wait()
	h.rechecks.wait()
	recording.Wait()
	h.inboxes.wait()
	h.sinces.wait()
	h.services.wait()
	h.asks.wait()
	h.lanes.wait()
	return nil
}

// Event implements socket.Handler: one event of the client, acked once.
func (h *Handler) Event(s *socket.Socket, e socket.Event) {
	st := of(s)
	if st == nil || st.state != connected {
		h.ofService(s, e)
		return
	}
	a := st.acker(e.Ack)
	if wait := st.bucket.take(h.options.Now(), h.options.EventsPerSecond, h.options.EventsBurst); wait > 0 {
		a.refuse(fault{Code: rateLimited, Message: "Too many events", RetryAfterMs: wait.Milliseconds() + 1})
		return
	}
	if h.aliased(st, e, a) {
		return
	}
	serve, known := events[e.Name]
	if !known && h.clients[e.Name] {
		serve, known = publish, true
	}
	switch {
	case !known:
		a.refuse(fault{Code: unknownEvent, Message: "No such event"})
	case len(e.Args) > 1 || len(e.Binary) > 0:
		a.refuse(fault{Code: badRequest, Message: "An event takes at most one argument, and no binary"})
	default:
		var arg json.RawMessage
		if len(e.Args) == 1 {
			arg = e.Args[0]
		}
		if st.member.Held() {
			st.postpone(serve, e.Name, arg, a)
			return
		}
		serve(st, e.Name, arg, a)
	}
}

// events are those that the gateway answers itself.
var events = map[string]func(st *session, name string, arg json.RawMessage, a acker){
	"room:join":            join,
	"room:leave":           leave,
	"typing:start":         typing,
	"typing:stop":          typing,
	"presence:subscribe":   subscribe,
	"presence:unsubscribe": unsubscribe,
	"presence:set":         setStatus,
	"session:refresh":      refresh,
	"message:received":     received,
	"server:emit":          notYours,
}

// Closed implements socket.Handler.
func (h *Handler) Closed(s *socket.Socket, reason engine.Reason) {
	st := of(s)
	if st == nil || st.state == closed {
		return
	}
	was := st.state
	if was == connecting && st.rare != nil && st.rare.attempt != nil {
		st.rare.attempt.leave()
	}
	st.over = st.over || reason == engine.Left || was == connecting
	st.finish()
	if was == connecting {
		h.options.Metrics.Connected("gone")
		return
	}
	if !st.displaced {
		h.options.Roster.Offline(st.member.User, st.member.Socket, reason == engine.Left)
	}
	h.options.Metrics.Closed(st.member.User, st.member.Socket, reason)
	if st.over {
		st.closeInbox()
	}
}

// finish ends the session; its record is kept as long as its client may come back.
func (st *session) finish() {
	if st.state == connected {
		st.compare()
	}
	var w *sessionrecord.Writer
	if st.rare != nil {
		w = st.rare.writer
	}
	st.state = closed
	st.endNow(w)
}

// endNow ends the session, whose record is being written, perhaps.
func (st *session) endNow(w *sessionrecord.Writer) {
	if st.kept != nil { // it is let go of before its rooms are
		st.endRecord()
	}
	st.end()
	if w != nil {
		st.some().writer = w
		st.endRecord()
	}
}

// connect makes the session one that is connected.
func (st *session) connect() {
	st.state = connected
	if st.rare != nil {
		st.rare.attempt = nil
		st.tidy()
	}
}

// acker counts the answer as outstanding until it is given.
func (st *session) acker(ack func([]byte)) acker {
	if ack == nil {
		return nil
	}
	st.busy++
	return func(json []byte) {
		ack(json)
		st.busy--
		st.answered()
	}
}

// end takes the session out of everything here.
func (st *session) end() {
	if st.expiry != nil {
		st.expiry()
		st.expiry = nil
	}
	for _, r := range st.typing() {
		st.tell(r, false)
	}
	if st.rare != nil {
		for _, s := range st.rare.sinces {
			st.handler.feeding.Add(-s.bytes)
		}
		st.rare.halt()
	}
	st.busy = 0
	st.answered()
	if st.member.User != "" {
		st.handler.options.Hub.Remove(&st.member)
	}
}

// PingFrame implements socket.Handler.
func (h *Handler) PingFrame(s *socket.Socket) *engine.Frame {
	st := of(s)
	if st == nil || st.state != connected {
		return nil
	}
	st.watchExpiry()
	st.touch()
	return st.member.Ping()
}

// post runs fn on the session's shard unless the socket has gone by then.
func (st *session) post(fn func()) {
	st.handler.options.Hub.Do(int(st.shard), func() {
		if st.state != closed {
			fn()
		}
	})
}
