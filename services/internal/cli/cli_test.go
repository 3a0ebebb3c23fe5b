package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/edumatrix/interlink/services/internal/config"
)

// run runs a command line and returns what it printed.
func run(t *testing.T, env map[string]string, args ...string) (code int, out, errOut string) {
	t.Helper()
	var o, e bytes.Buffer
	c := Command{Out: &o, Err: &e, Environ: env, Version: "v1.2.3", Run: func(_ context.Context, s config.Config, out, _ io.Writer) error {
		_, err := io.WriteString(out, "runs "+string(s.Role)+"\n")
		return err
	}}
	code = c.execute(t.Context(), Interlink(listening)(c), args)
	return code, o.String(), e.String()
}

func TestCommands(t *testing.T) {
	dev := map[string]string{"INTERLINK_DEV": "1"}
	for name, tc := range map[string]struct {
		env      map[string]string
		args     []string
		code     int
		out, err string // what must be in there
	}{
		"without a command it serves":          {dev, nil, 0, "runs serve", ""},
		"serve":                                {dev, []string{"serve"}, 0, "runs serve", ""},
		"a router":                             {map[string]string{"KAFKA_BROKERS": "k:1", "INTERLINK_GATEWAYS": "g:1", "INTERLINK_PRESENCE": "p:1", "INTERNAL_API_KEY": "k"}, []string{"router"}, 0, "runs router", ""},
		"a service that lacks settings":        {nil, []string{"serve"}, 1, "", "2 things are wrong:\n  - INTERNAL_API_KEY: not set"},
		"a word that is no command":            {dev, []string{"sreve"}, 1, "", `unknown command "sreve"`},
		"an unknown setting":                   {map[string]string{"INTERLINK_DEW": "1"}, []string{"version"}, 0, "interlink v1.2.3", ""},
		"version as a flag":                    {nil, []string{"--version"}, 0, "v1.2.3", ""},
		"help":                                 {nil, []string{"--help"}, 0, "interlink publish --room", ""},
		"publish without an event":             {nil, []string{"publish", "--room", "a:1"}, 1, "", "--event: expected"},
		"publish to nobody":                    {nil, []string{"publish", "--event", "x"}, 1, "", "--room or --user: expected at least one"},
		"publish to a room that is none":       {nil, []string{"publish", "--event", "x", "--room", "lobby"}, 1, "", `--room "lobby": a room is type:id`},
		"publish what is not JSON":             {nil, []string{"publish", "--event", "x", "--room", "a:1", "--data", "hi"}, 1, "", "--data: expected JSON"},
		"publish where nobody is":              {nil, []string{"publish", "--event", "x", "--room", "a:1", "--url", "http://127.0.0.1:1"}, 1, "", "is Interlink running there?"},
		"publish by Kafka without brokers":     {nil, []string{"publish", "--event", "x", "--room", "a:1", "--kafka"}, 1, "", "KAFKA_BROKERS or --brokers"},
		"a token for nobody":                   {nil, []string{"token"}, 1, "", "--user: expected"},
		"a token with a secret that is short":  {map[string]string{"JWT_SECRET": "short"}, []string{"token", "--user", "u"}, 1, "", "32 or more"},
		"whoami of nothing":                    {dev, []string{"whoami"}, 1, "", "expected --cookie"},
		"whoami of something that is no token": {dev, []string{"whoami", "--token", "a.b.c"}, 1, "refused", ""},
		"whoami without secrets":               {nil, []string{"whoami", "--token", "a.b.c"}, 1, "", "nobody could sign in"},
		"config with nothing":                  {nil, []string{"config"}, 0, "No setting is given here", ""},
		"config":                               {dev, []string{"config"}, 0, "INTERLINK_DEV", ""},
		"all of config":                        {nil, []string{"config", "--all"}, 0, "INTERLINK_RESUME_WINDOW", ""},
		"healthcheck of nothing":               {map[string]string{"INTERLINK_ADMIN_ADDR": ":1", "SOCKET_IO_PORT": "1"}, []string{"healthcheck"}, 1, "", "not well"},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, errOut := run(t, tc.env, tc.args...)
			if code != tc.code || !strings.Contains(out, tc.out) || !strings.Contains(errOut, tc.err) {
				t.Errorf("code %d, want %d\nout: %s\nwant: %s\nerr: %s\nwant: %s", code, tc.code, out, tc.out, errOut, tc.err)
			}
		})
	}
}

func TestEveryCommandHasHelpWithAnExample(t *testing.T) {
	c := Command{Out: io.Discard, Err: io.Discard}
	for _, root := range []*cobra.Command{Interlink(listening)(c), Gateway(c), Router(c), Presence(c)} {
		for _, cmd := range append(root.Commands(), root) {
			if cmd.Short == "" || cmd.Example == "" {
				t.Errorf("%s: short %q, example %q", cmd.CommandPath(), cmd.Short, cmd.Example)
			}
		}
	}
}

func TestATokenIsWhoItSays(t *testing.T) {
	env := map[string]string{"INTERLINK_DEV": "1"}
	_, token, _ := run(t, nil, "token", "--user", "u7", "--name", "Ada")
	code, out, errOut := run(t, env, "whoami", "--token", strings.TrimSpace(token))
	if code != 0 || !strings.Contains(out, "u7") || !strings.Contains(out, "Ada") {
		t.Errorf("code %d\n%s%s", code, out, errOut)
	}
}

func TestPublishSendsTheRecord(t *testing.T) {
	var got map[string]any
	var key string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key = r.Header.Get("Authorization")
		if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
			t.Error(err)
		}
		if r.URL.Path != "/v1/emit" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, `{"id":"1","partition":2,"offset":3}`)
	}))
	defer server.Close()
	code, out, errOut := run(t, map[string]string{"INTERNAL_API_KEY": "k1,k2"}, "publish", "--room", "conversation:42", "--user", "u7",
		"--event", "message:new", "--data", `{"text":"hi"}`, "--id", "m1", "--queue", "--url", server.URL+"/")
	if code != 0 || !strings.Contains(out, `"offset":3`) {
		t.Fatalf("code %d\n%s%s", code, out, errOut)
	}
	text, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"data":{"text":"hi"},"event":"message:new","id":"m1","queue":true,"to":{"rooms":["conversation:42"],"users":["u7"]}}`
	if string(text) != want || key != "Bearer k1" {
		t.Errorf("key %q, record %s, want %s", key, text, want)
	}
}

func TestHealthcheckIsTheProbe(t *testing.T) {
	status := http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, r.URL.Path)
	}))
	defer server.Close()
	env := map[string]string{"INTERLINK_ADMIN_ADDR": strings.TrimPrefix(server.URL, "http://")}
	if code, out, errOut := run(t, env, "healthcheck"); code != 0 || !strings.Contains(out, "/readyz") {
		t.Errorf("code %d\n%s%s", code, out, errOut)
	}
	status = http.StatusServiceUnavailable
	if code, _, errOut := run(t, env, "healthcheck"); code != 1 || !strings.Contains(errOut, "not well: 503") {
		t.Errorf("code %d\n%s", code, errOut)
	}
}
