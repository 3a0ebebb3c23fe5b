package cli

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestWhyTellsPeople(t *testing.T) {
	const answer = `{"id":"t/3/17","events":[{"partition":3,"offset":17,"inMemory":true,"time":"2026-11-24T10:00:00.000Z","event":"message:new","from":"u1",
		"rooms":["conversation:42"],"queue":false,"receipt":false,"key":"user:u1","wrongKey":true,
		"gateways":[{"gateway":"g1","members":2,"position":18,"passed":true},{"gateway":"g2","members":0,"position":9,"passed":false}],
		"users":[{"user":"u7","outcome":"slow_closed","detail":"its socket could not keep up","sockets":[{"socket":"s1","gateway":"g1","outcome":"slow_closed","reason":"slow"}]}],"more":true},
		{"partition":4,"offset":1,"inMemory":false,"rooms":[],"queue":false,"receipt":false,"key":"","wrongKey":false,"gateways":[],"users":[],"more":false}],
		"incomplete":["gateway g3"]}`
	var asked string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r.Method + " " + r.RequestURI + " " + r.Header.Get("Authorization")
		if r.URL.Query().Get("user") == "nobody" {
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, `{"detail":"no partition log has this id"}`)
			return
		}
		_, _ = io.WriteString(w, answer)
	}))
	defer server.Close()
	env := map[string]string{"INTERNAL_API_KEY": "k"}
	code, out, errOut := run(t, env, "why", "t/3/17", "--user", "u7", "--url", server.URL)
	if code != 0 || errOut != "" || asked != "GET /v1/events/t%2F3%2F17?user=u7 Bearer k" {
		t.Fatalf("%d %s, asked %s", code, errOut, asked)
	}
	for _, want := range []string{"partition 3, offset 17", "(u1)", "THE WRONG KEY", "g1 has come past it", "g2 has NOT come past it: it expects offset 9",
		"u7: slow_closed — its socket could not keep up", "socket s1 at g1: slow_closed (slow)", "more users", "partition 4, offset 1: known by its id", "gateway g3"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not said:\n%s", want, out)
		}
	}
	if _, out, _ := run(t, env, "why", "t/3/17", "--json", "--url", server.URL); !strings.HasPrefix(out, `{"id":"t/3/17"`) {
		t.Errorf("--json: %s", out)
	}
	if code, _, errOut := run(t, env, "why", "x", "--user", "nobody", "--url", server.URL); code != 1 || !strings.Contains(errOut, "no partition log has this id") {
		t.Errorf("%d %s", code, errOut)
	}
	if code, _, errOut := run(t, env, "why"); code != 1 || !strings.Contains(errOut, "arg") {
		t.Errorf("without an id: %d %s", code, errOut)
	}
}
