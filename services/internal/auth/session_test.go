package auth

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// answers is Next.js' session route: what it answers, and the requests that came.
type answers struct {
	mu       sync.Mutex // guards all
	status   int
	body     string
	requests []*http.Request
	delay    time.Duration
}

func (a *answers) RoundTrip(r *http.Request) (*http.Response, error) {
	a.mu.Lock()
	a.requests = append(a.requests, r)
	status, body, delay := a.status, a.body, a.delay
	a.mu.Unlock()
	if delay > 0 {
		select {
		case <-time.After(delay):
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	if status == 0 {
		return nil, errors.New("connection refused")
	}
	return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader(body)), Header: http.Header{"Set-Cookie": {"s=renewed"}}, Request: r}, nil
}

func (a *answers) asked() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.requests)
}

func (a *answers) verifier(t *testing.T) *Verifier {
	t.Helper()
	return newVerifier(t, Options{SessionURL: "http://next.test/api/auth/session", HTTPClient: &http.Client{Transport: a}, Cookies: []string{"__Secure-s", "s"}})
}

const someone = `{"user":{"id":"ana","name":"Ana","email":"ana@x.test","image":null},"expires":"2026-01-01T00:00:00.000Z"}`

func TestDatabaseSessionAnswers(t *testing.T) {
	const accept, refused, doubt = "accept", "refused", "doubt"
	for name, tc := range map[string]struct {
		status int
		body   string
		want   string
		user   string
	}{
		"a session":                         {200, someone, accept, "ana"},
		"a session without an id":           {200, `{"user":{"name":"Ana","email":"ana@x.test"},"expires":"2026-01-01T00:00:00.000Z"}`, accept, "ana@x.test"},
		"an id that is a number":            {200, `{"user":{"id":42,"email":"ana@x.test"},"expires":"2026-01-01T00:00:00.000Z"}`, accept, "42"},
		"no session in version 4":           {200, `{}`, refused, ""},
		"no session in version 5":           {200, "null\n", refused, ""},
		"a user that is null":               {200, `{"user":null,"expires":"2026-01-01T00:00:00.000Z"}`, refused, ""},
		"a session that has ended":          {200, `{"user":{"id":"ana"},"expires":"2025-11-24T16:00:00.000Z"}`, refused, ""},
		"a user who is nobody":              {200, `{"user":{"name":"Ana"},"expires":"2026-01-01T00:00:00.000Z"}`, refused, ""},
		"a session without an end":          {200, `{"user":{"id":"ana"}}`, doubt, ""},
		"a misconfigured application":       {500, `{"message":"There was a problem with the server configuration."}`, doubt, ""},
		"its message with a good status":    {200, `{"message":"There was a problem"}`, doubt, ""},
		"a page":                            {200, `<html>`, doubt, ""},
		"nothing":                           {200, ``, doubt, ""},
		"a list":                            {200, `[]`, doubt, ""},
		"a user that is a text":             {200, `{"user":"ana","expires":"2026-01-01T00:00:00.000Z"}`, doubt, ""},
		"a redirect":                        {307, ``, doubt, ""},
		"unauthorized, which it never says": {401, ``, doubt, ""},
		"not found: the address is wrong":   {404, ``, doubt, ""},
		"more than 256 KiB":                 {200, someone + strings.Repeat(" ", maxSessionBody), doubt, ""},
		"away":                              {0, ``, doubt, ""},
	} {
		t.Run(name, func(t *testing.T) {
			a := &answers{status: tc.status, body: tc.body}
			p, err := a.verifier(t).Authenticate(context.Background(), Credentials{CookieHeader: "s=0f0e8d1c", Now: t0})
			got := accept
			if err != nil {
				if got = doubt; errors.As(err, new(*Refusal)) {
					got = refused
				}
			}
			if got != tc.want || p.User != tc.user {
				t.Errorf("%s %q (%v), want %s %q", got, p.User, err, tc.want, tc.user)
			}
			if err == nil && (p.Cookie != "s=0f0e8d1c" || !p.IssuedAt.Equal(t0) || p.ExpiresAt.Year() != 2026) {
				t.Errorf("%+v", p)
			}
		})
	}
}

func TestOnlyTheSessionCookieIsSent(t *testing.T) {
	var got http.Header
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r.Header
		if r.URL.Path != "/api/auth/session" {
			t.Errorf("%s: a redirect was followed", r.URL)
		}
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(http.StatusFound)
	}))
	defer srv.Close()
	v := newVerifier(t, Options{SessionURL: srv.URL + "/api/auth/session", Cookies: []string{"s"}})
	_, err := v.Authenticate(t.Context(), Credentials{CookieHeader: "tracking=1; s=0f0e8d1c; csrf=2", Now: t0})
	if errors.As(err, new(*Refusal)) || err == nil {
		t.Errorf("a redirect is %v, want doubt", err)
	}
	if got.Get("Cookie") != "s=0f0e8d1c" || got.Get("Authorization") != "" {
		t.Errorf("sent %v", got)
	}
}

func TestDatabaseSessionIDsThatAreNotAsked(t *testing.T) {
	for name, c := range map[string]Credentials{
		"a space":            {Token: "a b"},
		"a line end":         {Token: "a\r\nX-Admin: 1"},
		"another cookie":     {Token: "a; role=admin"},
		"a quote":            {CookieHeader: `s="abc"`},
		"not ASCII":          {Token: "ä"},
		"more than 1 KiB":    {Token: strings.Repeat("a", 1025)},
		"a signed token":     {CookieHeader: "s=a.b.c"},
		"a sealed token":     {CookieHeader: "s=a..b.c.d"},
		"something with dot": {CookieHeader: "s=a.b"},
	} {
		t.Run(name, func(t *testing.T) {
			a := &answers{status: 200, body: someone}
			c.Now = t0
			_, err := a.verifier(t).Authenticate(context.Background(), c)
			refusal(t, err)
			if a.asked() != 0 {
				t.Error("asked")
			}
		})
	}
}

func TestABareSessionIDIsSentUnderEachName(t *testing.T) {
	a := &answers{status: 200, body: someone}
	p, err := a.verifier(t).Authenticate(context.Background(), Credentials{Token: "0f0e8d1c", Now: t0})
	if want := "__Secure-s=0f0e8d1c; s=0f0e8d1c"; err != nil || p.Cookie != want || a.requests[0].Header.Get("Cookie") != want {
		t.Errorf("%q, %v", p.Cookie, err)
	}
}

func TestAnswersHoldForAWhile(t *testing.T) {
	for name, tc := range map[string]struct {
		body  string
		holds time.Duration
	}{
		"a session, a minute":    {someone, time.Minute},
		"a refusal, ten seconds": {`{}`, 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			a := &answers{status: 200, body: tc.body}
			v := a.verifier(t)
			for _, after := range []time.Duration{0, tc.holds - 1} {
				_, _ = v.Authenticate(context.Background(), Credentials{CookieHeader: "s=0f0e8d1c", Now: t0.Add(after)})
			}
			if a.asked() != 1 {
				t.Errorf("asked %d times within %v", a.asked(), tc.holds)
			}
			_, _ = v.Authenticate(context.Background(), Credentials{CookieHeader: "s=0f0e8d1c", Now: t0.Add(tc.holds)})
			_, _ = v.Authenticate(context.Background(), Credentials{CookieHeader: "s=another", Now: t0})
			if a.asked() != 3 {
				t.Errorf("asked %d times, want again after %v and for another session", a.asked(), tc.holds)
			}
		})
	}
}

func TestAnAnswerDoesNotOutliveTheSession(t *testing.T) {
	a := &answers{status: 200, body: `{"user":{"id":"ana"},"expires":"2025-11-24T16:00:30.000Z"}`}
	v := a.verifier(t)
	c := Credentials{CookieHeader: "s=0f0e8d1c", Now: t0}
	if _, err := v.Authenticate(context.Background(), c); err != nil {
		t.Fatal(err)
	}
	c.Now = t0.Add(30 * time.Second)
	_, err := v.Authenticate(context.Background(), c)
	if r := refusal(t, err); r.Code != TokenExpired {
		t.Errorf("code %s", r.Code)
	}
}

func TestOneQuestionForAllSocketsOfASession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &answers{status: 200, body: someone, delay: time.Second}
		v := a.verifier(t)
		var wg sync.WaitGroup
		for n := range 50 {
			wg.Go(func() {
				ctx, cancel := context.WithCancel(t.Context())
				if n%10 == 9 {
					time.AfterFunc(time.Millisecond, cancel)
				}
				defer cancel()
				p, err := v.Authenticate(ctx, Credentials{CookieHeader: "s=0f0e8d1c", Now: t0})
				if err == nil && p.User != "ana" || err != nil && !errors.Is(err, context.Canceled) {
					t.Errorf("%q, %v", p.User, err)
				}
			})
		}
		wg.Wait()
		if a.asked() != 1 {
			t.Errorf("asked %d times", a.asked())
		}
	})
}

func TestAHangingNextJSIsDoubt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &answers{status: 200, body: someone, delay: time.Hour}
		start := time.Now()
		_, err := a.verifier(t).Authenticate(t.Context(), Credentials{CookieHeader: "s=0f0e8d1c", Now: t0})
		if took := time.Since(start); took != 3*time.Second || errors.As(err, new(*Refusal)) || err == nil {
			t.Errorf("%v after %v, want doubt after 3 s", err, took)
		}
	})
}
