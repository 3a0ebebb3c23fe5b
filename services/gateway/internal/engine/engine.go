// Package engine serves Engine.IO sessions over WebSocket and HTTP long-polling, for very many of them.
//
// A request is parsed by net/http. A WebSocket's descriptor is then duplicated out of it and belongs to a Shard: one goroutine with an epoll set
// and a timer wheel, which alone reads, writes and closes it. An idle WebSocket costs no goroutine and no buffer. Where there is no descriptor
// (TLS in the process, other systems, Options.Portable) two goroutines a connection stand in for it. Polling requests stay on the goroutines
// of net/http and meet their session on its shard.
//
// Everything of a session happens on its shard: no locks, one queue bounded in bytes and frames, one write a turn for all that is queued.
// Locks: Shard.mu (posts and the table of sessions), held for memory only; no two are ever held at once.
package engine

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"net/http"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/edumatrix/interlink/services/gateway/internal/engineio"
)

// Options of an Engine. Zero values mean the default in brackets.
type Options struct {
	// Open is called on the session's shard when a session begins, before its first packet; it returns what its messages are for. Required.
	Open func(s *Session, h Handshake) Handler
	// Stray serves requests whose sid was given out by another gateway; nil: they are unknown.
	Stray Stray
	// IDPrefix names this gateway's lease in every sid, of A-Z a-z 0-9 _ and -; empty: none.
	IDPrefix string

	Origins        []string // allowed Origin values, exactly; "*" any, but not together with Credentials
	Credentials    bool     // cookies may come with requests of other origins
	TrustedProxies []netip.Prefix

	PingInterval   time.Duration // [25s]
	PingTimeout    time.Duration // [20s]
	UpgradeTimeout time.Duration // from the WebSocket's arrival to its taking over [10s]
	WriteTimeout   time.Duration // without the kernel taking a byte [20s]
	BodyTimeout    time.Duration // for the body of a POST [30s]

	MaxPayload   int64 // bytes of a message or request body [1,000,000]
	ConnectBytes int64 // bytes that may come before Session.Trust [20 KiB]
	QueueBytes   int64 // of frames that wait behind the one being written [512 KiB]
	QueueEvents  int   // frames that wait [2,500]
	SendBuffer   int   // SO_SNDBUF, bytes [64 KiB]

	MaxSockets   int     // sessions at once; 0 no limit
	ConnectRate  float64 // new sessions a second; 0 no limit
	ConnectBurst int     // [one second's worth, 1 at least]
	// Busy reports whether nothing more is to be admitted, for a reason of the process: its memory, say. Any goroutine; nil: never.
	Busy func() bool

	Shards   int  // [GOMAXPROCS]
	Portable bool // use no poller

	Hooks Hooks
}

// Engine owns all sessions of a process.
type Engine struct {
	options      Options
	hooks        Hooks
	origins      origins
	shards       []*Shard
	limiter      *rate.Limiter
	seed         maphash.Seed // spreads sids over shards
	start        time.Time
	pingInterval int64 // nanoseconds
	pingTimeout  int64
	sockets      atomic.Int64
	strayBytes   atomic.Int64 // of bodies on their way to other gateways
	running      atomic.Bool
	closing      atomic.Bool
	stopped      chan struct{}
	streams      sync.WaitGroup // goroutines of portable connections
	handlers     handlers       // of other gateways' sessions
	dying        chan struct{}  // closed when Run begins to end

	ping, noop, bye, probeAnswer *Frame
}

// ErrClosing is returned while the engine shuts down.
var ErrClosing = errors.New("engine: shutting down")

// New checks the options and prepares the shards; nothing is served before Run.
func New(options Options) (*Engine, error) {
	options = options.withDefaults()
	if err := options.check(); err != nil {
		return nil, err
	}
	e := &Engine{
		options: options, hooks: options.Hooks.withDefaults(), start: time.Now(), seed: maphash.MakeSeed(), stopped: make(chan struct{}), dying: make(chan struct{}),
		pingInterval: int64(options.PingInterval), pingTimeout: int64(options.PingTimeout),
		ping: packetFrame(engineio.Ping, ""), noop: packetFrame(engineio.Noop, ""), bye: packetFrame(engineio.Close, ""),
		probeAnswer: packetFrame(engineio.Pong, engineio.ProbeAnswer[1:]),
		origins:     newOrigins(options.Origins, options.Credentials),
	}
	e.handlers.idle = make(chan struct{})
	if options.ConnectRate > 0 {
		e.limiter = rate.NewLimiter(rate.Limit(options.ConnectRate), options.ConnectBurst)
	}
	for i := range options.Shards {
		sh, err := newShard(e, i)
		if err != nil {
			e.closeShards()
			return nil, fmt.Errorf("engine: shard %d: %w", i, err)
		}
		e.shards = append(e.shards, sh)
	}
	return e, nil
}

func (o Options) withDefaults() Options {
	set(&o.PingInterval, 25*time.Second)
	set(&o.PingTimeout, 20*time.Second)
	set(&o.UpgradeTimeout, 10*time.Second)
	set(&o.WriteTimeout, 20*time.Second)
	set(&o.BodyTimeout, 30*time.Second)
	set(&o.MaxPayload, 1_000_000)
	set(&o.ConnectBytes, 20<<10)
	set(&o.QueueBytes, 512<<10)
	set(&o.QueueEvents, 2500)
	set(&o.SendBuffer, 64<<10)
	set(&o.Shards, runtime.GOMAXPROCS(0))
	set(&o.ConnectBurst, max(1, int(o.ConnectRate)))
	return o
}

func set[T ~int | ~int64](value *T, otherwise T) {
	if *value == 0 {
		*value = otherwise
	}
}

// maxSize bounds a payload, and a queue.
const maxSize = 512 << 20

func (o Options) check() error {
	var errs []error
	if o.Open == nil {
		errs = append(errs, errors.New("engine: Open is missing"))
	}
	if o.Credentials {
		for _, origin := range o.Origins {
			if origin == "*" {
				errs = append(errs, errors.New(`engine: origin "*" cannot be allowed together with credentials: name the origins`))
			}
		}
	}
	for _, c := range o.IDPrefix {
		if !prefixChar(c) {
			errs = append(errs, fmt.Errorf("engine: id prefix %q may hold A-Z a-z 0-9 _ and - only", o.IDPrefix))
			break
		}
	}
	if len(o.IDPrefix) > maxPrefix {
		errs = append(errs, fmt.Errorf("engine: id prefix of more than %d bytes", maxPrefix))
	}
	if min(o.PingInterval, o.PingTimeout, o.UpgradeTimeout, o.WriteTimeout, o.BodyTimeout) < 0 ||
		min(o.MaxPayload, o.ConnectBytes, o.QueueBytes) < 0 || min(o.QueueEvents, o.SendBuffer, o.MaxSockets, o.Shards) < 0 || o.ConnectRate < 0 {
		errs = append(errs, errors.New("engine: a duration, size or limit is negative"))
	}
	if max(o.MaxPayload, o.QueueBytes) > maxSize {
		errs = append(errs, fmt.Errorf("engine: payloads and queues are of %d bytes at most", maxSize))
	}
	return errors.Join(errs...)
}

// clock is nanoseconds since the engine was made.
func (e *Engine) clock() int64 { return int64(time.Since(e.start)) }

// Shards are all shards, by index. The slice must not be changed.
func (e *Engine) Shards() []*Shard { return e.shards }

// Sockets is the number of sessions, those included that are just being admitted.
func (e *Engine) Sockets() int { return int(e.sockets.Load()) }

// Lookup finds a session by its sid. Any goroutine.
func (e *Engine) Lookup(sid string) (*Session, *Shard, bool) {
	sh := e.shardOf(sid)
	s := sh.lookup(sid)
	return s, sh, s != nil
}

// Run serves until ctx is done; then all transports are closed, without a word of the protocol, so that clients come back by themselves. It
// returns when every goroutine of the engine has ended: nil, or why a shard could not go on. It can be called once.
func (e *Engine) Run(ctx context.Context) error {
	if !e.running.CompareAndSwap(false, true) {
		return errors.New("engine: Run was called before")
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var loops sync.WaitGroup
	var failed atomic.Pointer[error]
	for _, sh := range e.shards {
		loops.Go(func() {
			if err := sh.run(); err != nil {
				err = fmt.Errorf("engine: shard %d: %w", sh.index, err)
				failed.CompareAndSwap(nil, &err)
				cancel(err)
			}
		})
	}
	<-ctx.Done()
	e.closing.Store(true)
	close(e.dying)
	for _, sh := range e.shards {
		sh.stop()
	}
	loops.Wait()
	for _, sh := range e.shards {
		sh.shut()
	}
	close(e.stopped)
	e.streams.Wait()
	e.handlers.wait()
	e.closeShards()
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
}

func (e *Engine) closeShards() {
	for _, sh := range e.shards {
		_ = sh.wait.Close() // nothing is watched any more
	}
}

// ServeHTTP serves one request of the protocol, under whatever path it is mounted; `/socket.io` and `/socket.io/` are the same to clients.
func (e *Engine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !e.cross(w, r) {
		return
	}
	if e.closing.Load() {
		e.turnAway(w, RefusedClosing)
		return
	}
	if r.URL.Query().Has("j") {
		e.refuse(w, engineio.BadRequest, "JSONP polling is not supported")
		return
	}
	request, err := parseRequest(r)
	if err != nil {
		var refusal engineio.Refusal
		errors.As(err, &refusal)
		e.refuse(w, refusal, refusal.Error())
		return
	}
	switch {
	case request.Transport == WebSocket:
		e.serveWebSocket(w, r, request.SID)
	case request.SID == "":
		e.openPolling(w, r)
	default:
		e.servePoll(w, r, request)
	}
}
