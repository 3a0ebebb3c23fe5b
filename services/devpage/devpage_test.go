package devpage_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/edumatrix/interlink/services/devpage"
)

// api notes what it is asked.
type api struct{ path, key, body string }

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	a.path, a.key, a.body = r.URL.Path, r.Header.Get("Authorization"), string(body)
	w.WriteHeader(http.StatusAccepted)
	_, _ = io.WriteString(w, `{"id":"1"}`)
}

func page(a http.Handler) http.Handler {
	return devpage.Handler(devpage.Options{
		Hosts: []string{"laptop", "example.com"}, // the latter is httptest's
		API:   a, APIKey: func() string { return "the-key" }, Brokers: []string{"127.0.0.1:9092"}, Topic: "interlink.events",
		Mint: func(user, name string) (string, error) {
			if user == "" {
				return "", errors.New("no user")
			}
			return "token of " + user + " " + name, nil
		},
	})
}

func TestEndpoints(t *testing.T) {
	js := http.Header{"Content-Type": {"application/json; charset=utf-8"}}
	for name, tc := range map[string]struct {
		method, path, body string
		header             http.Header
		status             int
		want               string
	}{
		"the page":                             {"GET", "/", "", nil, 200, "data-testid"},
		"its script":                           {"GET", "/app.js", "", nil, 200, "Pane"},
		"what to show":                         {"GET", "/dev/info", "", nil, 200, `"brokers":["127.0.0.1:9092"]`},
		"a token":                              {"POST", "/dev/token", `{"user":"ada","name":"Ada"}`, js, 200, "token of ada Ada"},
		"a token for nobody":                   {"POST", "/dev/token", `{}`, js, 400, "no user"},
		"a token for what is no JSON":          {"POST", "/dev/token", `user=ada`, js, 400, "expected {user"},
		"an event":                             {"POST", "/dev/emit", `{"event":"x"}`, js, 202, `"id":"1"`},
		"an event that is too large":           {"POST", "/dev/emit", strings.Repeat("x", 2<<20+1), js, 413, "too large"},
		"a form of another site":               {"POST", "/dev/emit", `{"event":"x"}`, http.Header{"Content-Type": {"text/plain"}}, 403, "only the developer page"},
		"a page of another site":               {"POST", "/dev/token", `{"user":"ada"}`, http.Header{"Content-Type": js["Content-Type"], "Sec-Fetch-Site": {"cross-site"}}, 403, "only the developer page"},
		"a file that is not there":             {"GET", "/nothing.js", "", nil, 404, ""},
		"a token by a link, without its guard": {"GET", "/dev/token", "", nil, 404, ""},
	} {
		t.Run(name, func(t *testing.T) {
			req := httptest.NewRequest(tc.method, tc.path, strings.NewReader(tc.body))
			for k, v := range tc.header {
				req.Header[k] = v
			}
			w := httptest.NewRecorder()
			page(&api{}).ServeHTTP(w, req)
			if w.Code != tc.status || !strings.Contains(w.Body.String(), tc.want) {
				t.Errorf("%d %s", w.Code, w.Body.String())
			}
		})
	}
}

func TestOnlyNamesOfThisMachineAreAnswered(t *testing.T) {
	for host, want := range map[string]int{
		"localhost:3001": 200, "LOCALHOST": 200, "app.localhost:3001": 200, "127.0.0.1:3001": 200, "[::1]:3001": 200, "192.168.1.7": 200,
		"laptop:3001": 200, "evil.example:3001": 403, "localhost.evil.example": 403, "": 403,
	} {
		req := httptest.NewRequest("GET", "/dev/info", nil)
		req.Host = host
		w := httptest.NewRecorder()
		page(&api{}).ServeHTTP(w, req)
		if w.Code != want || want == 403 && strings.Contains(w.Body.String(), "the-key") {
			t.Errorf("%q: %d %s", host, w.Code, w.Body)
		}
	}
}

func TestEventsGoToTheAPIWithTheKey(t *testing.T) {
	a := &api{}
	req := httptest.NewRequest("POST", "/dev/emit", strings.NewReader(`{"event":"x"}`))
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Cookie", "session=1")
	page(a).ServeHTTP(httptest.NewRecorder(), req)
	if a.path != "/v1/emit" || a.key != "Bearer the-key" || a.body != `{"event":"x"}` {
		t.Errorf("the API is asked %+v", *a)
	}
}
