package question

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edumatrix/interlink/services/internal/auth"
	"github.com/edumatrix/interlink/services/internal/mapping"
)

func asker(t *testing.T, handler http.HandlerFunc) (*Asker, *time.Time) {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	m, err := mapping.Parse("m.yaml", []byte(`questions:
  unread:
    get: {a: "{BASE}/a", b: "{BASE}/b"}
    event: counts
    error: no-counts
    data: '{user: $user, sum: (.a.n + .b.n)}'
`))
	if err != nil {
		t.Fatal(err)
	}
	m, missing := m.With(map[string]string{"BASE": server.URL})
	if len(missing) > 0 {
		t.Fatal(missing)
	}
	now := time.Date(2026, 1, 5, 10, 0, 0, 0, time.UTC)
	return New(m, nil, func() time.Time { return now }), &now
}

var ana = auth.Principal{User: "ana", Cookie: "session=ana"}

func TestAnAnswerIsMadeOfAllRoutesAndSharedForAMoment(t *testing.T) {
	var asked atomic.Int32
	a, now := asker(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if r.Header.Get("Cookie") != "session=ana" {
			t.Errorf("cookie %q", r.Header.Get("Cookie"))
		}
		_, _ = w.Write([]byte(`{"n":2}`))
	})
	for range 3 {
		event, data, err := a.Answer(t.Context(), ana, "unread", []byte(`{"userId":"somebody else"}`))
		if err != nil || event != "counts" || string(data) != `{"sum":4,"user":"ana"}` {
			t.Fatalf("got %s %s, %v", event, data, err)
		}
	}
	if asked.Load() != 2 {
		t.Errorf("asked %d times, want once each", asked.Load())
	}
	*now = now.Add(remember + time.Millisecond)
	if _, _, err := a.Answer(t.Context(), ana, "unread", nil); err != nil || asked.Load() != 4 {
		t.Errorf("asked %d times, %v", asked.Load(), err)
	}
}

func TestWhatIsNotKnownIsNeverAnAnswer(t *testing.T) {
	for name, handler := range map[string]http.HandlerFunc{
		"a failure":     func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		"a sign-in":     func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/login", http.StatusFound) },
		"a page":        func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) },
		"another shape": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`[1]`)) },
	} {
		t.Run(name, func(t *testing.T) {
			a, _ := asker(t, handler)
			event, data, err := a.Answer(t.Context(), ana, "unread", nil)
			if err == nil || event != "no-counts" || !strings.Contains(string(data), `"timestamp":"2026-01-05T10:00:00.000Z"`) {
				t.Errorf("got %s %s, %v", event, data, err)
			}
		})
	}
	a, _ := asker(t, func(http.ResponseWriter, *http.Request) { t.Error("asked without a cookie") })
	if event, _, err := a.Answer(t.Context(), auth.Principal{User: "ana"}, "unread", nil); err == nil || event != "no-counts" {
		t.Errorf("without a cookie: %s, %v", event, err)
	}
	if _, _, err := a.Answer(t.Context(), ana, "other", nil); !errors.Is(err, ErrUnknown) {
		t.Errorf("got %v", err)
	}
}
