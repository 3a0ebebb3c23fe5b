package authorize

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/edumatrix/interlink/services/internal/auth"
	"github.com/edumatrix/interlink/services/internal/lru"
	"github.com/edumatrix/interlink/services/internal/permission"
	"github.com/edumatrix/interlink/services/internal/room"
)

// Cache is the cache that all gateways share. A failing cache is as good as an empty one. Safe for use by many
// goroutines; each call is given CacheTimeout.
type Cache interface {
	// Get returns what is known of a user; rooms of which nothing is known are absent.
	Get(ctx context.Context, user string, rooms []room.Room) (Cached, error)
	Put(ctx context.Context, user string, r room.Room, set permission.Set, ttl time.Duration) error
	Drop(ctx context.Context, r room.Room, users []string) error
}

// Cached is what the shared cache knows of a user.
type Cached struct {
	Sets    map[room.Room]permission.Set // answers; a refusal is permission.None
	Removed map[room.Room]time.Time      // when he was removed, if no answer has admitted him since
}

// Options of New. The zero value refuses every room but the user's own.
type Options struct {
	URL       string              // the authorizer, asked for rooms whose type has no template; empty: nobody is asked
	Keys      func() [][]byte     // internal API keys; the first is sent to URL as a bearer token
	Templates map[string]Template // by room type
	Open      []string            // room types that everybody who is signed in may enter, unless there is a URL to ask
	Lists     []List              // that name the rooms to join at connect; they are asked instead of URL

	HTTPClient *http.Client  // redirects are never followed
	Timeout    time.Duration // of one question, default 3 s

	Cache        Cache         // may be nil
	CacheTimeout time.Duration // default 250 ms

	PositiveTTL  time.Duration // of an answer that admits, unless it brings its own; default 60 s
	NegativeTTL  time.Duration // of one that does not, default 10 s
	CacheEntries int           // answers remembered here, default 100,000
	MaxAsks      int           // questions at a time, default 64
	MaxAsksUser  int           // of one user, default 8

	AllowAll bool // development: every room but the reserved ones

	Logger *slog.Logger // default: discards
}

const (
	sharedTTL    = 5 * time.Second // of an answer of the shared cache, which does not say how old it is
	longestTTL   = time.Hour       // of an answer that brings its own
	removedTTL   = 30 * 24 * time.Hour
	maxRemoved   = 50_000
	maxQuestions = 20_000 // under way or waiting; above, the answer is doubt
	maxRounds    = 4      // how often one call starts again because of membership changes
)

func (o Options) withDefaults() Options {
	set := func(d *time.Duration, value time.Duration) {
		if *d <= 0 {
			*d = value
		}
	}
	set(&o.Timeout, 3*time.Second)
	set(&o.CacheTimeout, 250*time.Millisecond)
	set(&o.PositiveTTL, time.Minute)
	set(&o.NegativeTTL, 10*time.Second)
	if o.CacheEntries <= 0 {
		o.CacheEntries = 100_000
	}
	if o.MaxAsks <= 0 {
		o.MaxAsks = 64
	}
	if o.MaxAsksUser <= 0 {
		o.MaxAsksUser = 8
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// Authorizer decides. Safe for use by many goroutines.
type Authorizer struct {
	opts   Options
	url    *urlAsker          // nil without a URL
	byType map[string]asker   // templates
	lists  []lister           // by the application's routes
	shared *breaker           // of the shared cache
	slots  chan struct{}      // one per question under way
	asks   singleflight.Group // for lists

	mu        sync.Mutex // guards what follows
	known     *lru.Map[key, permission.Set]
	removed   *lru.Map[key, time.Time]  // when the user was removed from the room
	flights   map[key][]*flight         // under way, or being written to the shared cache; the newest last
	underway  int                       // flights
	listing   map[string]map[*list]bool // lists under way, by user
	users     map[string]*userSlots     // of users with questions
	noListTil time.Time                 // the authorizer gives no lists; ask again then
}

// key is what a permission is of.
type key struct {
	user string
	room room.Room
}

// New checks the options.
func New(o Options) (*Authorizer, error) {
	o = o.withDefaults()
	a := &Authorizer{
		opts: o, byType: map[string]asker{}, shared: newBreaker(),
		slots:   make(chan struct{}, o.MaxAsks),
		known:   lru.New[key, permission.Set](o.CacheEntries),
		removed: lru.New[key, time.Time](maxRemoved),
		flights: map[key][]*flight{},
		listing: map[string]map[*list]bool{},
		users:   map[string]*userSlots{},
	}
	client := newClient(o)
	var errs []error
	if o.URL != "" {
		u, err := newURLAsker(o, client)
		a.url = u
		errs = append(errs, err)
	}
	breakers := map[string]*breaker{}
	for kind, t := range o.Templates {
		asker, err := newTemplateAsker(t, client, o, breakers)
		if err != nil {
			errs = append(errs, fmt.Errorf("template for rooms %q: %w", kind, err))
		}
		a.byType[kind] = asker
	}
	for _, l := range o.Lists {
		lister, err := newLister(l, client, o, breakers)
		if err != nil {
			errs = append(errs, fmt.Errorf("list of rooms: %w", err))
		}
		a.lists = append(a.lists, lister)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return a, nil
}

// newClient makes the one HTTP client of all askers: no redirects, no cookies kept.
func newClient(o Options) *http.Client {
	client := http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: o.MaxAsks, IdleConnTimeout: time.Minute, ForceAttemptHTTP2: true}}
	if o.HTTPClient != nil {
		client = *o.HTTPClient
	}
	client.Jar = nil
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &client
}

// DoubtError names the rooms for which nobody could be asked. Permissions of the other rooms are good.
type DoubtError struct {
	Rooms []room.Room
	Err   error // one of the failures
}

func (e *DoubtError) Error() string {
	return fmt.Sprintf("permissions of %d rooms are undecided: %v", len(e.Rooms), e.Err)
}

func (e *DoubtError) Unwrap() error { return e.Err }

// Permissions decides for each room; each that is decided is in the answer, a refusal as permission.None. For the
// others the error is a *DoubtError. It blocks while Next.js is asked: not for a shard's goroutine. rooms must have
// passed room.Parse.
func (a *Authorizer) Permissions(ctx context.Context, p auth.Principal, rooms []room.Room) (map[room.Room]permission.Set, error) {
	out := make(map[room.Room]permission.Set, len(rooms))
	open := a.decideAll(ctx, p, rooms, out)
	doubt := DoubtError{Err: errForgotten}
	for range maxRounds {
		if len(open) == 0 {
			break
		}
		open = a.round(ctx, p, open, out, &doubt)
	}
	if doubt.Rooms = append(doubt.Rooms, open...); len(doubt.Rooms) > 0 {
		return out, &doubt
	}
	return out, nil
}

// errForgotten is what remains if the memberships of a room change faster than they can be asked for.
var errForgotten = errors.New("the room's members changed again and again")

// decideAll takes the steps that need no question for all rooms, and returns those that remain. It blocks for at most
// CacheTimeout, and only if there are rooms that a grant would open.
func (a *Authorizer) decideAll(ctx context.Context, p auth.Principal, rooms []room.Room, out map[room.Room]permission.Set) (open []room.Room) {
	var granted []room.Room
	for _, r := range rooms {
		set, by := a.decide(p, r)
		switch by {
		case byRule:
			out[r] = set
		case byGrant:
			granted = append(granted, r)
		case byNobody:
			open = append(open, r)
		}
	}
	a.learnRemovals(ctx, p, granted)
	for _, r := range granted {
		switch {
		case !a.wasRemoved(p, r):
			out[r] = p.Grants[r]
		case a.askerOf(r) == nil:
			out[r] = permission.None
		default:
			open = append(open, r)
		}
	}
	return open
}

// decider is who decides about a room without a question.
type decider uint8

const (
	byNobody decider = iota
	byRule
	byGrant // of the token, unless the user was removed after it was issued
)

// decide takes the steps that need no question.
func (a *Authorizer) decide(p auth.Principal, r room.Room) (permission.Set, decider) {
	if owner, ok := r.User(); ok {
		if owner == p.User && p.User != "" {
			return permission.All, byRule
		}
		return permission.None, byRule
	}
	if reserved(r) || p.User == "" {
		return permission.None, byRule
	}
	if a.opts.AllowAll {
		return permission.All, byRule
	}
	if set, ok := p.Grants[r]; ok {
		return set, byGrant
	}
	if a.url == nil && slices.Contains(a.opts.Open, r.Type()) {
		return permission.All, byRule
	}
	if a.askerOf(r) == nil {
		return permission.None, byRule
	}
	return permission.None, byNobody
}

// reserved reports whether clients can't be in a room of this type by asking for it.
func reserved(r room.Room) bool { return r.Type() == "presence" }

// learnRemovals asks the shared cache for removals of which this gateway was not told, and remembers them. Those that it
// knows need no asking; with the cache away there are none.
func (a *Authorizer) learnRemovals(ctx context.Context, p auth.Principal, granted []room.Room) {
	var ask []room.Room
	for _, r := range granted {
		if !a.wasRemoved(p, r) {
			ask = append(ask, r)
		}
	}
	for r, at := range a.askShared(ctx, p.User, ask).Removed {
		a.noteRemoved(r, p.User, at)
	}
}

// noteRemoved remembers a removal; the latest counts.
func (a *Authorizer) noteRemoved(r room.Room, user string, at time.Time) {
	now, k := time.Now(), key{user, r}
	a.mu.Lock()
	defer a.mu.Unlock()
	if before, ok := a.removed.Get(k, now); ok && !at.After(before) {
		return
	}
	a.removed.Put(k, at, now.Add(removedTTL))
}

func (a *Authorizer) wasRemoved(p auth.Principal, r room.Room) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	at, ok := a.removed.Get(key{p.User, r}, time.Now())
	return ok && !p.IssuedAt.After(at)
}

// askerOf returns who is asked about a room, nil if nobody is.
func (a *Authorizer) askerOf(r room.Room) asker {
	if t, ok := a.byType[r.Type()]; ok {
		return t
	}
	if a.url != nil {
		return a.url
	}
	return nil
}

// Forget forgets what is remembered here of these users in the room, all users if there are none, and lets no answer
// that is under way count. It does no I/O; the shared cache is dropped by Drop.
func (a *Authorizer) Forget(r room.Room, users []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(users) == 0 {
		a.known.DeleteFunc(func(k key) bool { return k.room == r })
		for k, list := range a.flights {
			if k.room == r {
				forget(list)
			}
		}
		for _, lists := range a.listing {
			for l := range lists {
				l.forgotten[r] = true
			}
		}
	}
	for _, user := range users {
		k := key{user, r}
		a.known.Delete(k)
		forget(a.flights[k])
		for l := range a.listing[user] {
			l.forgotten[r] = true
		}
	}
}

// Remove is Forget for users who were removed from the room: grants in tokens issued until now admit them no longer.
// This gateway remembers it for 30 days and 50,000 removals. It is told of those in rooms that it has; the shared cache
// knows all of them, from the router.
func (a *Authorizer) Remove(r room.Room, users []string) {
	a.Forget(r, users)
	now := time.Now()
	for _, user := range users {
		a.noteRemoved(r, user, now)
	}
}

// Drop forgets here and in the shared cache. It blocks for at most CacheTimeout.
func (a *Authorizer) Drop(ctx context.Context, r room.Room, users []string) error {
	a.Forget(r, users)
	if a.opts.Cache == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, a.opts.CacheTimeout)
	defer cancel()
	if err := a.opts.Cache.Drop(ctx, r, users); err != nil {
		return fmt.Errorf("drop cached permissions: %w", err)
	}
	return nil
}
