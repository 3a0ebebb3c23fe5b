package auth

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/edumatrix/interlink/services/internal/lru"
)

const (
	reasonNoSessions = "the credential is no token, and no session URL is configured to ask"
	reasonOpaque     = "the session id has characters that a cookie has not"
	reasonNoSession  = "Next.js knows no such session"
)

const (
	maxSessionBody  = 256 << 10 // bytes
	maxOpaqueBytes  = 1 << 10
	maxSessions     = 20_000 // answers kept
	maxAsking       = 64     // questions at a time
	refusedTTL      = 10 * time.Second
	longestTTL      = 60 * time.Second
	defaultQuestion = 3 * time.Second
)

// sessions asks Next.js who a database session belongs to. It sends the session cookie and nothing else, follows no
// redirect, keeps no cookie that it is given, and asks once for all who want to know the same at a time.
type sessions struct {
	url     string
	client  *http.Client
	timeout time.Duration
	ttl     time.Duration
	slots   chan struct{} // one per question under way

	mu     sync.Mutex // guards known, asking
	known  *lru.Map[[sha256.Size]byte, verdict]
	asking map[[sha256.Size]byte]*question
}

// verdict is a definite answer: a principal, or none.
type verdict struct {
	principal Principal
	known     bool
}

// question is under way until done is closed; then verdict or err is set.
type question struct {
	done    chan struct{}
	verdict verdict
	err     error
}

func newSessions(o Options) (*sessions, error) {
	u, err := url.Parse(o.SessionURL)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("session URL: want http(s)://host/api/auth/session without a user")
	}
	s := &sessions{
		url: u.String(), timeout: o.SessionTimeout, ttl: o.SessionTTL,
		slots:  make(chan struct{}, maxAsking),
		known:  lru.New[[sha256.Size]byte, verdict](maxSessions),
		asking: map[[sha256.Size]byte]*question{},
	}
	if s.timeout <= 0 {
		s.timeout = defaultQuestion
	}
	if s.ttl <= 0 || s.ttl > longestTTL {
		s.ttl = longestTTL
	}
	client := http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: maxAsking, IdleConnTimeout: time.Minute, ForceAttemptHTTP2: true}}
	if o.HTTPClient != nil {
		client = *o.HTTPClient
	}
	client.Jar = nil
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	s.client = &client
	return s, nil
}

// askSession authenticates by a session in the platform's database.
func (v *Verifier) askSession(ctx context.Context, c credential, now time.Time) (Principal, error) {
	if v.session == nil {
		return Principal{}, refuse(reasonNoSessions)
	}
	if len(c.token) > maxOpaqueBytes || !opaque(c.token) {
		return Principal{}, refuse(reasonOpaque)
	}
	answer, err := v.session.who(ctx, c.cookieHeader(v.cookies), now)
	switch {
	case err != nil:
		return Principal{}, err
	case !answer.known:
		return Principal{}, refuse(reasonNoSession)
	case !now.Before(answer.principal.ExpiresAt):
		return Principal{}, &Refusal{Code: TokenExpired, Reason: reasonExpired}
	}
	return answer.principal, nil
}

// opaque holds a session id to the characters of a cookie value (RFC 6265, 4.1.1) that need no quoting.
func opaque(id string) bool {
	for i := range len(id) {
		if c := id[i]; c <= ' ' || c >= 0x7f || strings.IndexByte("\",;\\", c) >= 0 {
			return false
		}
	}
	return id != ""
}

// who returns the answer for a cookie header, from memory if it is young enough. The first who wants to know asks, for
// at most the timeout even if his own ctx ends; the others wait for him.
func (s *sessions) who(ctx context.Context, cookie string, now time.Time) (verdict, error) {
	key := sha256.Sum256([]byte(cookie)) // not the session ids themselves: memory gets dumped
	s.mu.Lock()
	if v, ok := s.known.Get(key, now); ok {
		s.mu.Unlock()
		return v, nil
	}
	if q, ok := s.asking[key]; ok {
		s.mu.Unlock()
		select {
		case <-q.done:
			return q.verdict, q.err
		case <-ctx.Done():
			return verdict{}, ctx.Err()
		}
	}
	q := &question{done: make(chan struct{})}
	s.asking[key] = q
	s.mu.Unlock()

	q.verdict, q.err = s.ask(ctx, cookie, now)

	s.mu.Lock()
	delete(s.asking, key)
	if q.err == nil {
		ends := now.Add(refusedTTL)
		if q.verdict.known {
			ends = now.Add(s.ttl)
		}
		s.known.Put(key, q.verdict, ends)
	}
	s.mu.Unlock()
	close(q.done)
	return q.verdict, q.err
}

func (s *sessions) ask(ctx context.Context, cookie string, now time.Time) (verdict, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.timeout)
	defer cancel()
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-ctx.Done():
		return verdict{}, fmt.Errorf("ask Next.js for the session: %d questions under way: %w", maxAsking, ctx.Err())
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
	if err != nil {
		return verdict{}, fmt.Errorf("ask Next.js for the session: %w", err)
	}
	req.Header.Set("Cookie", cookie)
	req.Header.Set("Accept", "application/json")
	res, err := s.client.Do(req)
	if err != nil {
		return verdict{}, fmt.Errorf("ask Next.js for the session: %w", err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxSessionBody+1))
	switch {
	case err != nil:
		return verdict{}, fmt.Errorf("ask Next.js for the session: read the answer: %w", err)
	case res.StatusCode != http.StatusOK:
		return verdict{}, fmt.Errorf("ask Next.js for the session: status %d", res.StatusCode)
	case len(body) > maxSessionBody:
		return verdict{}, fmt.Errorf("ask Next.js for the session: the answer is larger than %d bytes", maxSessionBody)
	}
	return readSession(body, cookie, now)
}

// readSession reads Next.js' answer: `null` (version 5) or `{}` (version 4) is nobody; a user needs an end in the
// future. Anything that is not such an answer is doubt: a proxy's page is no refusal.
func readSession(body []byte, cookie string, now time.Time) (verdict, error) {
	if strings.TrimSpace(string(body)) == "null" {
		return verdict{}, nil
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(body, &members); err != nil {
		return verdict{}, errors.New("ask Next.js for the session: the answer is no JSON object")
	}
	raw, there := members["user"]
	if !there || string(raw) == "null" {
		if len(members) == 0 || there {
			return verdict{}, nil
		}
		return verdict{}, errors.New("ask Next.js for the session: the answer has no user")
	}
	user, reason := readClaims(raw)
	if reason != "" {
		return verdict{}, errors.New("ask Next.js for the session: its user is no JSON object")
	}
	expires, err := time.Parse(time.RFC3339, claims{members: members}.text("expires"))
	if err != nil {
		return verdict{}, errors.New("ask Next.js for the session: the answer has no time in expires")
	}
	id := user.text("id")
	if id == "" {
		id = wholeNumber(user.members["id"])
	}
	if id == "" {
		id = user.text("email")
	}
	if !now.Before(expires) || checkUser(id) != "" {
		return verdict{}, nil
	}
	return verdict{known: true, principal: Principal{
		User: id, Name: user.text("name"), Email: user.text("email"),
		IssuedAt: now, ExpiresAt: expires, Grants: claims{members: members}.grants(), Claims: raw, Cookie: cookie,
	}}, nil
}

// wholeNumber reads an id that a database gives as a number.
func wholeNumber(raw json.RawMessage) string {
	if len(raw) == 0 || len(raw) > 20 || !digits(string(raw)) {
		return ""
	}
	return string(raw)
}
