package authorize

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edumatrix/interlink/services/internal/auth"
	"github.com/edumatrix/interlink/services/internal/permission"
	"github.com/edumatrix/interlink/services/internal/room"
)

// server is Next.js without a network, so that a test's clock may stand still while it is asked.
type server struct {
	mu     sync.Mutex // guards all
	asked  int
	bodies []question
	last   *http.Request
	answer func(ctx context.Context, q question) (status int, body string, err error)
}

func (s *server) RoundTrip(r *http.Request) (*http.Response, error) {
	var q question
	if r.Body != nil {
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	s.asked++
	s.bodies = append(s.bodies, q)
	s.last = r
	answer := s.answer
	s.mu.Unlock()
	status, body, err := answer(r.Context(), q)
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader(body)), Header: http.Header{}, Request: r}, nil
}

func (s *server) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

func (s *server) will(answer func(ctx context.Context, q question) (int, string, error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

// always answers everything the same way.
func always(status int, body string) func(context.Context, question) (int, string, error) {
	return func(context.Context, question) (int, string, error) { return status, body, nil }
}

// away is a host that cannot be reached.
func away(context.Context, question) (int, string, error) {
	return 0, "", errors.New("connection refused")
}

const joinAndType = `{"join":true,"type":true}`

func newServer(answer func(context.Context, question) (int, string, error)) *server {
	return &server{answer: answer}
}

// with makes an authorizer that asks s.
func (s *server) with(t *testing.T, o Options) *Authorizer {
	t.Helper()
	o.HTTPClient = &http.Client{Transport: s}
	if o.URL == "" && o.Templates == nil {
		o.URL = "http://next.test/api/rooms"
	}
	o.Keys = func() [][]byte { return [][]byte{[]byte("internal-key"), []byte("older-key")} }
	a, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

var ana = auth.Principal{User: "ana", Cookie: "session=ana", IssuedAt: time.Unix(1000, 0)}

// permissionOf decides for one room; doubt is an error.
func permissionOf(t *testing.T, a *Authorizer, p auth.Principal, r room.Room) (permission.Set, error) {
	t.Helper()
	sets, err := a.Permissions(t.Context(), p, []room.Room{r})
	set, decided := sets[r]
	if decided == (err != nil) {
		t.Fatalf("%s: decided %v and error %v", r, decided, err)
	}
	return set, err
}

func wantPermission(t *testing.T, a *Authorizer, p auth.Principal, r room.Room, want permission.Set) {
	t.Helper()
	if got, err := permissionOf(t, a, p, r); err != nil || got != want {
		t.Fatalf("%s for %s: %v, %v; want %v", r, p.User, got.Names(), err, want.Names())
	}
}

func wantDoubt(t *testing.T, a *Authorizer, p auth.Principal, r room.Room) {
	t.Helper()
	_, err := permissionOf(t, a, p, r)
	var doubt *DoubtError
	if !errors.As(err, &doubt) || len(doubt.Rooms) != 1 || doubt.Rooms[0] != r {
		t.Fatalf("%s for %s: error %v, want doubt about it", r, p.User, err)
	}
}

// cache is a shared cache in memory that may fail.
type cache struct {
	mu      sync.Mutex // guards all
	sets    map[key]permission.Set
	removed map[key]time.Time
	ttls    map[key]time.Duration
	gets    int
	drops   int
	err     error
	onWrite func()
}

func newCache() *cache {
	return &cache{sets: map[key]permission.Set{}, removed: map[key]time.Time{}, ttls: map[key]time.Duration{}}
}

func (c *cache) Get(_ context.Context, user string, rooms []room.Room) (Cached, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gets++
	out := Cached{Sets: map[room.Room]permission.Set{}, Removed: map[room.Room]time.Time{}}
	for _, r := range rooms {
		if set, ok := c.sets[key{user, r}]; ok {
			out.Sets[r] = set
		}
		if at, ok := c.removed[key{user, r}]; ok {
			out.Removed[r] = at
		}
	}
	return out, c.err
}

func (c *cache) Put(_ context.Context, user string, r room.Room, set permission.Set, ttl time.Duration) error {
	if c.onWrite != nil {
		c.onWrite()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sets[key{user, r}], c.ttls[key{user, r}] = set, ttl
	return c.err
}

func (c *cache) Drop(_ context.Context, r room.Room, users []string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drops++
	for _, user := range users {
		delete(c.sets, key{user, r})
	}
	return c.err
}

func (c *cache) get(user string, r room.Room) (permission.Set, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	set, ok := c.sets[key{user, r}]
	return set, ok
}
