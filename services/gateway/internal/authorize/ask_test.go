package authorize

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/edumatrix/interlink/services/internal/permission"
	"github.com/edumatrix/interlink/services/internal/room"
)

func containsText(err error, text string) bool { return strings.Contains(err.Error(), text) }

func TestQuestionOnTheWire(t *testing.T) {
	var got *http.Request
	var body string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		got, body = r, string(raw)
		_, _ = w.Write([]byte(`{"join":true,"type":false,"publish":true,"presence":true,"more":1}`))
	}))
	defer srv.Close()
	a, err := New(Options{URL: srv.URL + "/api/rooms?v=1", Keys: func() [][]byte { return [][]byte{[]byte("k1"), []byte("k2")} }})
	if err != nil {
		t.Fatal(err)
	}
	p := ana
	p.Claims = json.RawMessage(`{"sub":"ana","role":"tutor"}`)
	wantPermission(t, a, p, "conversation:a b", permission.Join|permission.Publish|permission.Presence)
	if want := `{"user":"ana","room":"conversation:a b","claims":{"sub":"ana","role":"tutor"}}`; body != want {
		t.Errorf("body %s, want %s", body, want)
	}
	if got.Method != "POST" || got.RequestURI != "/api/rooms?v=1" || got.Header.Get("Authorization") != "Bearer k1" || got.Header.Get("Cookie") != "" {
		t.Errorf("%s %s %v", got.Method, got.RequestURI, got.Header)
	}
}

func TestWhatAnAnswerMeans(t *testing.T) {
	const yes, no, doubt = "yes", "no", "doubt"
	for name, tc := range map[string]struct {
		status   int
		body     string
		url      string // outcome with the authorizer
		template string // and with a template
	}{
		"join":                                 {200, `{"join":true}`, yes, yes},
		"no join":                              {200, `{"join":false}`, no, yes},
		"another object":                       {200, `{"error":"gone"}`, doubt, yes},
		"an empty object":                      {200, `{}`, doubt, yes},
		"join as a text":                       {200, `{"join":"true"}`, doubt, yes},
		"a page":                               {200, `<html>`, doubt, yes},
		"nothing":                              {200, ``, doubt, yes},
		"null":                                 {200, `null`, doubt, yes},
		"more than 1 MiB":                      {200, `{"join":true,"x":"` + strings.Repeat("x", maxAnswer) + `"}`, doubt, doubt},
		"created":                              {201, `{"join":true}`, doubt, doubt},
		"no content":                           {204, ``, doubt, doubt},
		"forbidden":                            {403, `{"join":true}`, no, no},
		"not found":                            {404, ``, no, no},
		"unauthorized: our key, or his cookie": {401, ``, doubt, no},
		"a redirect to a sign-in page":         {307, ``, doubt, doubt},
		"bad request":                          {400, ``, doubt, doubt},
		"too many requests":                    {429, ``, doubt, doubt},
		"a failure":                            {500, `{"join":true}`, doubt, doubt},
		"a bad gateway":                        {502, ``, doubt, doubt},
	} {
		t.Run(name, func(t *testing.T) {
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Location", "/elsewhere")
				if r.URL.Path == "/elsewhere" {
					t.Error("a redirect was followed")
				}
				w.WriteHeader(tc.status)
				_, _ = w.Write([]byte(tc.body))
			}))
			defer srv.Close()
			a, err := New(Options{URL: srv.URL, Keys: func() [][]byte { return [][]byte{[]byte("k")} }, Templates: map[string]Template{"conversation": {URL: srv.URL + "/{id}"}}})
			if err != nil {
				t.Fatal(err)
			}
			for r, want := range map[room.Room]string{"post:1": tc.url, "conversation:1": tc.template} {
				set, err := permissionOf(t, a, ana, r)
				got := no
				switch {
				case err != nil:
					got = doubt
				case set.Has(permission.Join):
					got = yes
				}
				if got != want {
					t.Errorf("%s: %s (%v), want %s", r, got, err, want)
				}
			}
		})
	}
}

func TestNoKeyAtPresentIsDoubt(t *testing.T) {
	s := newServer(always(200, joinAndType))
	a := s.with(t, Options{})
	a.url.keys = func() [][]byte { return nil }
	wantDoubt(t, a, ana, "conversation:1")
	if s.count() != 0 {
		t.Error("asked without a key")
	}
}

func TestErrorsDoNotCiteTheRoom(t *testing.T) {
	a := newServer(away).with(t, Options{Templates: map[string]Template{"conversation": {URL: "http://next.test/c/{id}"}}})
	_, err := permissionOf(t, a, ana, "conversation:SECRET\u2028NAME")
	if err == nil || containsText(err, "SECRET") {
		t.Errorf("error %v", err)
	}
}

func TestBreaker(t *testing.T) {
	now := time.Unix(1000, 0)
	b := newBreaker()
	for n := range failuresToOpen {
		if !b.allow(now) {
			t.Fatalf("closed after %d failures", n)
		}
		want := unchanged
		if n == failuresToOpen-1 {
			want = opened
		}
		if got := b.report(now, false); got != want {
			t.Fatalf("failure %d: %v, want %v", n+1, got, want)
		}
	}
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		if b.allow(now.Add(pause - 1)) {
			t.Fatalf("asks again before %v", pause)
		}
		now = now.Add(pause)
		if !b.allow(now) || b.allow(now) {
			t.Fatalf("after %v: want one probe", pause)
		}
		if pause == longestPause {
			break
		}
		b.report(now, false)
	}
	if got := b.report(now, true); got != closed || !b.allow(now) || !b.allow(now) {
		t.Errorf("after a probe that went well: %v", got)
	}
	if b.report(now, false); b.failures != 1 || b.pause != firstPause {
		t.Errorf("it does not count anew: %d failures, pause %v", b.failures, b.pause)
	}
}

func TestDoubtNamesItsCause(t *testing.T) {
	cause := errors.New("no route")
	if err := error(&DoubtError{Rooms: []room.Room{"a:1"}, Err: cause}); !errors.Is(err, cause) || !containsText(err, "1 rooms") {
		t.Errorf("%v", err)
	}
}
