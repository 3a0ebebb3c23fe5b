// Package question asks the application's own routes on behalf of its pages, with the user's cookie: what a page used to
// ask of its socket server and only the application knows. Answers are shared for a moment, so that a page that asks again
// and again asks the application once.
package question

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/singleflight"

	"github.com/edumatrix/interlink/services/internal/auth"
	"github.com/edumatrix/interlink/services/internal/lru"
	"github.com/edumatrix/interlink/services/internal/mapping"
)

const (
	patience  = 3 * time.Second // with one answer of the application
	maxBody   = 1 << 20         // bytes
	remember  = 2 * time.Second
	mostKnown = 10_000
)

// Mapping names the questions.
type Mapping interface {
	Question(name string) (mapping.Question, bool)
}

// Asker asks. Safe for use by many goroutines.
type Asker struct {
	mapping Mapping
	client  *http.Client
	now     func() time.Time
	flights singleflight.Group

	mu    sync.Mutex // guards known
	known *lru.Map[string, answer]
}

// answer is what goes to the asking socket.
type answer struct {
	event string
	data  json.RawMessage
}

// New returns an asker. client may be nil; redirects are not followed.
func New(m Mapping, client *http.Client, now func() time.Time) *Asker {
	if client == nil {
		client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64, IdleConnTimeout: time.Minute, ForceAttemptHTTP2: true}}
	}
	own := *client
	own.Jar, own.CheckRedirect = nil, func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Asker{mapping: m, client: &own, now: now, known: lru.New[string, answer](mostKnown)}
}

// ErrUnknown means that the mapping has no such question.
var ErrUnknown = errors.New("question: the mapping has none of this name")

// Answer asks in a user's name, whatever the page claims. On an error the event says so, with {error, timestamp}; it is
// never an answer that looks like one. It blocks.
func (a *Asker) Answer(ctx context.Context, p auth.Principal, name string, arg json.RawMessage) (event string, data json.RawMessage, err error) {
	q, ok := a.mapping.Question(name)
	if !ok {
		return "", nil, ErrUnknown
	}
	key := p.User + "\x00" + name
	if said, ok := a.remembered(key); ok {
		return said.event, said.data, nil
	}
	done := a.flights.DoChan(key, func() (any, error) {
		said, err := a.ask(context.WithoutCancel(ctx), p, q, arg)
		if err == nil {
			a.remember(key, said)
		}
		return said, err
	})
	select {
	case r := <-done:
		if r.Err != nil {
			return q.Error, a.failure(), r.Err
		}
		said, _ := r.Val.(answer)
		return said.event, said.data, nil
	case <-ctx.Done():
		return "", nil, ctx.Err()
	}
}

func (a *Asker) remembered(key string) (answer, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.known.Get(key, a.now())
}

func (a *Asker) remember(key string, said answer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.known.Put(key, said, a.now().Add(remember))
}

func (a *Asker) failure() json.RawMessage {
	return fmt.Appendf(nil, `{"error":"Not known right now","timestamp":%q}`, a.now().UTC().Format("2006-01-02T15:04:05.000Z"))
}

func (a *Asker) ask(ctx context.Context, p auth.Principal, q mapping.Question, arg json.RawMessage) (answer, error) {
	if p.Cookie == "" {
		return answer{}, errors.New("question: the user came with nothing that the application knows")
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var mu sync.Mutex // guards bodies
	bodies := make(map[string]json.RawMessage, len(q.Get))
	group, asking := errgroup.WithContext(ctx)
	for part, address := range q.Get {
		group.Go(func() error {
			body, err := a.get(asking, address, p.Cookie)
			mu.Lock()
			defer mu.Unlock()
			bodies[part] = body
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return answer{}, err
	}
	data, err := q.Data(ctx, p.User, arg, bodies, a.now())
	if err != nil {
		return answer{}, err
	}
	return answer{event: q.Event, data: data}, nil
}

// get fetches JSON. Errors name no address: it may have the user in it.
func (a *Asker) get(ctx context.Context, address, cookie string) (json.RawMessage, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, errors.New("question: the address cannot be made")
	}
	req.Header.Set("Cookie", cookie)
	req.Header.Set("Accept", "application/json")
	res, err := a.client.Do(req)
	if err != nil {
		return nil, errors.New("question: the application is not reached")
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxBody))
	if err != nil || res.StatusCode != http.StatusOK || !json.Valid(body) {
		return nil, fmt.Errorf("question: the application answers with status %d, or not with JSON", res.StatusCode)
	}
	return body, nil
}
