// Package httpapi owns the HTTP side of publishing and asking: /v1/* and the platform's own POST /api/emit.
//
// Every request needs an internal key; there is no CORS, browsers have no business here. Errors are
// application/problem+json (RFC 9457), with a code of the same list that acks use.
package httpapi

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	deliveryv1 "github.com/edumatrix/interlink/proto/delivery/v1"
	presencev1 "github.com/edumatrix/interlink/proto/presence/v1"
	"github.com/edumatrix/interlink/services/router/internal/envelope"
	"github.com/edumatrix/interlink/services/router/internal/readymade"
	"github.com/edumatrix/interlink/services/router/internal/why"
)

// What a Publisher's errors wrap, by what the caller can do.
var (
	ErrBusy     = errors.New("too much is being published")
	ErrTooLarge = errors.New("the record is too large")
	ErrAway     = errors.New("kafka can't be reached")
)

// Published is where a record went, or why it did not.
type Published struct {
	ID        string
	Partition int
	Offset    int64
	Err       error
}

// Publisher takes what is emitted.
type Publisher interface {
	// Publish appends to the log and blocks until the brokers have all, or ctx ends. Results are in order.
	Publish(ctx context.Context, all []*envelope.Envelope) []Published
	// Push sends past the log, once, and sets missing ids.
	Push(all []*envelope.Envelope) error
}

// Ready makes envelopes of ready-made events of the platform. Errors are of type *envelope.Error.
type Ready interface {
	Envelopes(ctx context.Context, e readymade.Event) ([]*envelope.Envelope, error)
}

// Sockets asks all gateways for sockets. silent names those that did not answer.
type Sockets interface {
	Sockets(ctx context.Context, req *deliveryv1.SocketsRequest) (sockets []*deliveryv1.Socket, silent []string)
}

// Presence answers who is online.
type Presence interface {
	Query(ctx context.Context, users []string) (map[string]*presencev1.State, error)
}

// Why says what happened to an event. Errors: why.ErrUnknown, why.ErrIncomplete, why.ErrAway.
type Why interface {
	Explain(ctx context.Context, id, user string) (why.Answer, error)
}

// Keys decides whether a request carries a good key, in constant time.
type Keys interface {
	AllowedRequest(r *http.Request) bool
}

// Options of the API.
type Options struct {
	Keys      Keys
	Publisher Publisher
	Ready     Ready // default: every event passes as it is
	Sockets   Sockets
	Presence  Presence // nil: not there
	Why       Why
	Logger    *slog.Logger
	Timeout   time.Duration                           // of one request's work, default 10 s
	Observe   func(result string, took time.Duration) // of each emit: ok or a code
}

// Limits of request bodies.
const (
	maxEmit  = 2 << 20
	maxBatch = 16 << 20
	maxLines = 10_000
	maxAsked = 1000
)

// Route is one operation. Pattern is net/http's.
type Route struct {
	Method  string
	Pattern string
	serve   func(a *api, w http.ResponseWriter, r *http.Request)
}

// Routes lists every operation, as proto/openapi.yaml does.
func Routes() []Route {
	return []Route{
		{http.MethodPost, "/v1/emit", (*api).emit},
		{http.MethodPost, "/v1/emit/batch", (*api).batch},
		{http.MethodGet, "/v1/rooms/{room}", (*api).room},
		{http.MethodPost, "/v1/rooms/{room}/evict", (*api).evict},
		{http.MethodGet, "/v1/presence", (*api).presence},
		{http.MethodGet, "/v1/events/{id}", (*api).why},
		{http.MethodGet, "/v1/users/{id}/sessions", (*api).sessions},
		{http.MethodPost, "/v1/users/{id}/disconnect", (*api).disconnect},
	}
}

// PlatformRoute is the platform's own endpoint, which answers in the platform's own form.
const PlatformRoute = "/api/emit"

type api struct {
	opts Options
	now  func() time.Time
}

// New makes the handler.
func New(o Options) http.Handler {
	if o.Ready == nil {
		o.Ready = readymade.Maker{}
	}
	if o.Timeout <= 0 {
		o.Timeout = 10 * time.Second
	}
	if o.Observe == nil {
		o.Observe = func(string, time.Duration) {}
	}
	a := &api{opts: o, now: time.Now}
	v1 := http.NewServeMux()
	byPattern := map[string][]Route{}
	for _, route := range Routes() {
		byPattern[route.Pattern] = append(byPattern[route.Pattern], route)
	}
	for pattern, routes := range byPattern {
		v1.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { a.dispatch(w, r, routes) })
	}
	v1.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		fail(w, problem{Code: codeNotFound, Detail: "there is nothing at this path"})
	})
	all := http.NewServeMux()
	all.Handle("/v1/", a.authorized(v1, func(w http.ResponseWriter) {
		fail(w, problem{Code: codeUnauthenticated, Detail: "a good key is needed: Authorization: Bearer KEY, or x-api-key: KEY"})
	}))
	all.Handle(PlatformRoute, a.authorized(http.HandlerFunc(a.platformEmit), func(w http.ResponseWriter) {
		write(w, http.StatusUnauthorized, map[string]string{"error": "Unauthorized"})
	}))
	all.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		fail(w, problem{Code: codeNotFound, Detail: "there is nothing at this path"})
	})
	return a.guarded(all)
}

func (a *api) authorized(next http.Handler, refuse func(http.ResponseWriter)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !a.opts.Keys.AllowedRequest(r) {
			w.Header().Set("WWW-Authenticate", `Bearer realm="interlink"`)
			refuse(w)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), a.opts.Timeout)
		defer cancel()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// guarded answers in our form what would otherwise end in net/http's log and a cut connection.
func (a *api) guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if broken := recover(); broken != nil {
				a.opts.Logger.ErrorContext(r.Context(), "an http handler broke", "path", r.Pattern, "panic", broken)
				fail(w, problem{Code: codeInternal, Detail: "this should not have happened"})
			}
		}()
		next.ServeHTTP(w, r)
	})
}

func (a *api) dispatch(w http.ResponseWriter, r *http.Request, routes []Route) {
	allowed := ""
	for _, route := range routes {
		if r.Method == route.Method || (r.Method == http.MethodHead && route.Method == http.MethodGet) {
			route.serve(a, w, r)
			return
		}
		allowed = route.Method
	}
	w.Header().Set("Allow", allowed)
	fail(w, problem{Code: codeBadRequest, Status: http.StatusMethodNotAllowed, Detail: "this path takes " + allowed})
}
