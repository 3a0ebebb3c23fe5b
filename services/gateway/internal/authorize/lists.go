package authorize

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/edumatrix/interlink/services/internal/auth"
	"github.com/edumatrix/interlink/services/internal/permission"
	"github.com/edumatrix/interlink/services/internal/room"
)

// List is a route of the application that lists a user's own rooms, asked with his cookie, page after page.
type List struct {
	URL string // with {page} in its query, from 1 on
	// Read reads one page; a room that is listed admits to everything. An error is doubt.
	Read func(ctx context.Context, body []byte) (rooms []string, more bool, err error)
}

const (
	maxPages = 20
	// staleList is how long the application may go on listing a room that the user was removed from: its own caches.
	staleList = 10 * time.Minute
)

// lister asks a List.
type lister struct {
	peer
	url  string
	read func(ctx context.Context, body []byte) ([]string, bool, error)
}

func newLister(l List, client *http.Client, o Options, breakers map[string]*breaker) (lister, error) {
	first := strings.ReplaceAll(l.URL, "{page}", "1")
	u, err := url.Parse(first)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" || u.Scheme != "http" && u.Scheme != "https" || strings.ContainsAny(first, "{}") {
		return lister{}, errors.New("want http(s)://host/path?page={page}")
	}
	if l.Read == nil {
		return lister{}, errors.New("its answers can't be read")
	}
	b := breakers[u.Host]
	if b == nil {
		b = newBreaker()
		breakers[u.Host] = b
	}
	return lister{peer: peer{client: client, breaker: b, logger: o.Logger}, url: l.URL, read: l.Read}, nil
}

// pages asks for all pages. Nobody is listed who has no cookie, or one that the application does not take.
func (l lister) pages(ctx context.Context, p auth.Principal) (names []string, err error) {
	if p.Cookie == "" {
		return nil, nil
	}
	for page := 1; page <= maxPages; page++ {
		target := strings.ReplaceAll(l.url, "{page}", strconv.Itoa(page))
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
		if err != nil {
			return nil, errors.New("ask for a list: the address cannot be made")
		}
		req.Header.Set("Cookie", p.Cookie)
		req.Header.Set("Accept", "application/json")
		status, body, err := l.do(req)
		switch {
		case err != nil:
			return nil, fmt.Errorf("ask for a list: %w", err)
		case status == http.StatusUnauthorized, status == http.StatusForbidden, status == http.StatusNotFound:
			return nil, nil
		case status != http.StatusOK:
			return nil, fmt.Errorf("ask for a list: status %d", status)
		}
		rooms, more, err := l.read(ctx, body)
		if err != nil {
			return nil, fmt.Errorf("ask for a list: read the answer: %w", err)
		}
		if names = append(names, rooms...); !more || len(names) >= maxListed {
			break
		}
	}
	return names, nil
}

// listByRoutes is Rooms by the application's own routes, in their order.
func (a *Authorizer) listByRoutes(ctx context.Context, p auth.Principal) ([]room.Room, error) {
	if p.User == "" {
		return nil, nil
	}
	done := a.asks.DoChan(p.User, func() (any, error) { return a.askRoutes(context.WithoutCancel(ctx), p) })
	select {
	case r := <-done:
		rooms, _ := r.Val.([]room.Room)
		return slices.Clone(rooms), r.Err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (a *Authorizer) askRoutes(ctx context.Context, p auth.Principal) ([]room.Room, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*a.opts.Timeout) // of several pages
	defer cancel()
	select {
	case a.slots <- struct{}{}:
		defer func() { <-a.slots }()
	case <-ctx.Done():
		return nil, errTooMany
	}
	l, done := a.beginList(p.User)
	defer done()
	var rooms []room.Room
	for _, lister := range a.lists {
		names, err := lister.pages(ctx, p)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			r, err := room.Parse(name)
			if err == nil && r.Type() != "user" && !reserved(r) && !slices.Contains(rooms, r) {
				rooms = append(rooms, r)
			}
		}
	}
	rooms = rooms[:min(len(rooms), maxListed)]
	a.learnRemovals(ctx, p, rooms)
	a.keepRoutes(p, rooms, l)
	return rooms, nil
}

// keepRoutes remembers what the lists say, but of rooms that changed under way or that the user was removed from lately:
// Permissions asks about those.
func (a *Authorizer) keepRoutes(p auth.Principal, rooms []room.Room, l *list) {
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, r := range rooms {
		at, removed := a.removed.Get(key{p.User, r}, now)
		if !l.forgotten[r] && !(removed && now.Sub(at) < staleList) {
			a.known.Put(key{p.User, r}, permission.All, now.Add(a.opts.PositiveTTL))
		}
	}
}
