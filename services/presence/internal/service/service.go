package service

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	presencev1 "github.com/edumatrix/interlink/proto/presence/v1"
	"github.com/edumatrix/interlink/services/internal/room"
	"github.com/edumatrix/interlink/services/presence/internal/breaker"
	"github.com/edumatrix/interlink/services/presence/internal/store"
)

// Options of a Service. Zero values get the defaults given.
type Options struct {
	Store   Store
	Tell    Teller
	Publish Publish // for undelivered events; nil: they are not reported
	Metrics *Metrics
	Logger  *slog.Logger

	Lease       time.Duration // of a gateway that does not say: 9 s. Also how long deadlines rest after trouble
	CallTimeout time.Duration // of one call: 950 ms, so that it answers within a second
	FullTimeout time.Duration // of a full Sync: 10 s
	Calls       int           // waiting for the store at a time: 512
	Tick        time.Duration // between two looks at the deadlines: 1 s
	TypingTick  time.Duration // the same for typing: 500 ms
	InboxTick   time.Duration // the same for inboxes: 1 s
	SweepRate   int           // sockets of dead gateways removed per second by this pod: 10,000
}

// Service answers the RPCs. Run drives the deadlines.
type Service struct {
	presencev1.UnimplementedPresenceServer
	o     Options
	guard *guard
}

// The most that one request may carry.
const (
	maxName   = 256 // bytes of any name
	maxStatus = 64
	maxUsers  = 1000
	maxRooms  = 10000
	maxVector = 1 << 20
	maxTTL    = 31 * 24 * time.Hour
)

// New makes a Service over a store.
func New(o Options) *Service {
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	def(&o.Lease, 9*time.Second)
	def(&o.CallTimeout, 950*time.Millisecond)
	def(&o.FullTimeout, 10*time.Second)
	def(&o.Tick, time.Second)
	def(&o.TypingTick, 500*time.Millisecond)
	def(&o.InboxTick, time.Second)
	if o.Calls <= 0 {
		o.Calls = 512
	}
	if o.SweepRate <= 0 {
		o.SweepRate = 10000
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Metrics == nil {
		o.Metrics = NewMetrics()
	}
	g := &guard{breaker: breaker.New(5, 500*time.Millisecond), slots: make(chan struct{}, o.Calls), failed: o.Metrics.storeFailures.Inc}
	return &Service{o: o, guard: g}
}

// StoreAway reports whether the store has failed and not answered since.
func (s *Service) StoreAway() bool { return s.guard.breaker.Open() }

// call runs fn against the store and turns its error into a status.
func (s *Service) call(ctx context.Context, fn func(context.Context) error) error {
	return answer(s.guard.do(ctx, s.o.CallTimeout, fn))
}

func answer(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, store.ErrNotFound):
		return status.Error(codes.NotFound, err.Error())
	case errors.Is(err, context.Canceled):
		return status.FromContextError(err).Err()
	case errors.Is(err, store.ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
		return status.Error(codes.Unavailable, err.Error())
	}
	return status.Error(codes.Internal, err.Error())
}

// named checks names that will become part of keys: not empty, bounded, without control characters.
func named(field, name string) error {
	if !plain(name, maxName) || name == "" {
		return status.Errorf(codes.InvalidArgument, "%s: must be 1 to %d bytes without control characters", field, maxName)
	}
	return nil
}

func plain(s string, most int) bool {
	if len(s) > most {
		return false
	}
	for i := range len(s) {
		if s[i] < 0x20 || s[i] == 0x7f {
			return false
		}
	}
	return true
}

func lifeOf(gateway, incarnation string) (store.Life, error) {
	if err := named("gateway", gateway); err != nil {
		return store.Life{}, err
	}
	if err := named("incarnation", incarnation); err != nil {
		return store.Life{}, err
	}
	return store.Life{Gateway: gateway, Incarnation: incarnation}, nil
}

// ttlOf reads a time to live, at most maxTTL; an absent one becomes def.
func ttlOf(ms int64, def time.Duration) time.Duration {
	if ms <= 0 {
		return def
	}
	return time.Duration(min(ms, maxTTL.Milliseconds())) * time.Millisecond
}

// Renew claims or renews a gateway's lease.
func (s *Service) Renew(ctx context.Context, in *presencev1.RenewRequest) (*presencev1.RenewResponse, error) {
	life, err := lifeOf(in.GetGateway(), in.GetIncarnation())
	if err != nil {
		return nil, err
	}
	if !plain(in.GetAddr(), maxName) {
		return nil, status.Error(codes.InvalidArgument, "addr: not an address")
	}
	var r store.Renewal
	err = s.call(ctx, func(ctx context.Context) (err error) {
		r, err = s.o.Store.Renew(ctx, store.Lease{Life: life, Addr: in.GetAddr()}, ttlOf(in.GetTtlMs(), s.o.Lease))
		return err
	})
	return &presencev1.RenewResponse{Forgotten: r.Forgotten, Run: r.Run}, err
}

// Release ends a lease.
func (s *Service) Release(ctx context.Context, in *presencev1.ReleaseRequest) (*presencev1.ReleaseResponse, error) {
	life, err := lifeOf(in.GetGateway(), in.GetIncarnation())
	if err != nil {
		return nil, err
	}
	return &presencev1.ReleaseResponse{}, s.call(ctx, func(ctx context.Context) error { return s.o.Store.Release(ctx, life) })
}

// Gateways lists the live leases.
func (s *Service) Gateways(ctx context.Context, _ *presencev1.GatewaysRequest) (*presencev1.GatewaysResponse, error) {
	var list []store.Lease
	err := s.call(ctx, func(ctx context.Context) (err error) {
		list, err = s.o.Store.Gateways(ctx)
		return err
	})
	out := &presencev1.GatewaysResponse{}
	for _, l := range list {
		out.Gateways = append(out.Gateways, &presencev1.Gateway{Gateway: l.Gateway, Incarnation: l.Incarnation, Addr: l.Addr})
	}
	return out, err
}

// SetStatus sets a user's own status text.
func (s *Service) SetStatus(ctx context.Context, in *presencev1.SetStatusRequest) (*presencev1.SetStatusResponse, error) {
	if err := named("user", in.GetUser()); err != nil {
		return nil, err
	}
	text := in.GetStatus()
	if text == "" {
		text = store.StatusOnline
	}
	if !plain(text, maxStatus) || text == store.StatusOffline {
		return nil, status.Errorf(codes.InvalidArgument, "status: at most %d bytes without control characters, and not offline", maxStatus)
	}
	err := s.call(ctx, func(ctx context.Context) error {
		changed, err := s.o.Store.SetStatus(ctx, in.GetUser(), text)
		for _, t := range changed {
			s.o.Tell.Event(presenceEvent(t))
		}
		return err
	})
	return &presencev1.SetStatusResponse{}, err
}

// Query returns the state of users, every one asked for.
func (s *Service) Query(ctx context.Context, in *presencev1.QueryRequest) (*presencev1.QueryResponse, error) {
	if len(in.GetUsers()) > maxUsers {
		return nil, status.Errorf(codes.InvalidArgument, "users: at most %d at a time", maxUsers)
	}
	known := make([]string, 0, len(in.GetUsers()))
	out := &presencev1.QueryResponse{Users: make(map[string]*presencev1.State, len(in.GetUsers()))}
	for _, user := range in.GetUsers() {
		if out.Users[user] == nil && named("users", user) == nil {
			known = append(known, user)
		}
		out.Users[user] = &presencev1.State{Status: store.StatusOffline}
	}
	var states map[string]store.State
	err := s.call(ctx, func(ctx context.Context) (err error) {
		states, err = s.o.Store.Query(ctx, known)
		return err
	})
	if err != nil {
		return nil, err
	}
	for user, st := range states {
		state := &presencev1.State{Online: st.Online, Status: st.Status, Sockets: uint32(st.Sockets)}
		if !st.Seen.IsZero() {
			state.LastSeenMs = st.Seen.UnixMilli()
		}
		out.Users[user] = state
	}
	return out, nil
}

// Typing starts or stops typing.
func (s *Service) Typing(ctx context.Context, in *presencev1.TypingRequest) (*presencev1.TypingResponse, error) {
	if _, err := room.Parse(in.GetRoom()); err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "room: %v", err)
	}
	if err := named("user", in.GetUser()); err != nil {
		return nil, err
	}
	if !plain(in.GetSocket(), maxName) || !plain(in.GetName(), maxName) {
		return nil, status.Errorf(codes.InvalidArgument, "socket, name: at most %d bytes without control characters", maxName)
	}
	typist := store.Typist{Room: in.GetRoom(), User: in.GetUser(), Socket: in.GetSocket(), Name: in.GetName()}
	var told []store.Told
	err := s.call(ctx, func(ctx context.Context) (err error) {
		told, err = s.o.Store.Type(ctx, typist, in.GetTyping())
		return err
	})
	s.tellTyping(told)
	return &presencev1.TypingResponse{Told: len(told) > 0}, err
}
