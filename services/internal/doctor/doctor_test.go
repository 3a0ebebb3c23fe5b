package doctor

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/edumatrix/interlink/services/internal/config"
)

const goodSecret = "0123456789abcdef0123456789abcdef"

// patient has settings that nothing is wrong with, and more.
func patient(t *testing.T, more ...string) Patient {
	t.Helper()
	env := map[string]string{
		"AUTH_SECRET": goodSecret, "INTERNAL_API_KEY": goodSecret, "SOCKETIO_API_KEY": goodSecret, "SOCKET_IO_SERVER_TOKEN": goodSecret,
		"NEXTAUTH_URL": "https://app.example", "SOCKET_IO_PORT": "1",
	}
	for i := 0; i < len(more); i += 2 {
		env[more[i]] = more[i+1]
		if more[i+1] == "" {
			delete(env, more[i])
		}
	}
	c, err := config.ReadAnyway(env)
	if err != nil {
		t.Fatal(err)
	}
	return Patient{Settings: c, Environ: env, Client: &http.Client{Timeout: patience}, Now: time.Now}
}

// has looks for a finding of this level about that, which says so.
func has(found []Finding, level Level, about, text string) bool {
	for _, f := range found {
		if f.Level == level && strings.Contains(f.About, about) && strings.Contains(f.Text, text) {
			return true
		}
	}
	return false
}

func TestSettingsThatAreWrong(t *testing.T) {
	for name, tc := range map[string]struct {
		env         []string
		container   bool
		level       Level
		about, text string
	}{
		"no secret":                          {[]string{"AUTH_SECRET", ""}, false, Bad, "AUTH_SECRET", "nobody could sign in"},
		"a secret with its quotes":           {[]string{"AUTH_SECRET", `"` + goodSecret + `"`}, false, Bad, "AUTH_SECRET", "quotes or blanks"},
		"a short secret":                     {[]string{"AUTH_SECRET", "short"}, false, Note, "AUTH_SECRET", "only 5 characters"},
		"two secrets that differ":            {[]string{"NEXTAUTH_SECRET", "x" + goodSecret}, false, Note, "NEXTAUTH_SECRET", "differs"},
		"a short JWT secret":                 {[]string{"JWT_SECRET", "short"}, false, Bad, "JWT_SECRET", "has 5 bytes"},
		"no key":                             {[]string{"INTERNAL_API_KEY", "", "SOCKETIO_API_KEY", "", "SOCKET_IO_SERVER_TOKEN", ""}, false, Bad, "INTERNAL_API_KEY", "not set"},
		"a name that a route of Next reads":  {[]string{"SOCKETIO_API_KEY", ""}, false, Note, "SOCKETIO_API_KEY", "falls back to a word that is refused"},
		"a key that can be guessed":          {[]string{"INTERNAL_API_KEY", "abc"}, false, Note, "INTERNAL_API_KEY", "only 3 characters"},
		"development mode":                   {[]string{"INTERLINK_DEV", "1"}, false, Note, "INTERLINK_DEV", "anybody"},
		"an origin that is not there":        {[]string{"SOCKET_IO_CORS_ORIGIN", "https://other.example"}, false, Bad, "SOCKET_IO_CORS_ORIGIN", "lacks https://app.example"},
		"every origin":                       {[]string{"SOCKET_IO_CORS_ORIGIN", "*"}, false, Bad, "SOCKET_IO_CORS_ORIGIN", "browsers refuse"},
		"the origin is right":                {nil, false, Fine, "SOCKET_IO_CORS_ORIGIN", "https://app.example"},
		"a cookie that https does not use":   {[]string{"INTERLINK_NEXTAUTH_COOKIE", "next-auth.session-token"}, false, Note, "COOKIE", "__Secure-"},
		"a cookie that http does not carry":  {[]string{"NEXTAUTH_URL", "http://app.example", "INTERLINK_NEXTAUTH_COOKIE", "__Secure-a"}, false, Note, "COOKIE", "not https"},
		"sockets on another host":            {[]string{"NEXT_PUBLIC_SOCKET_URL", "https://live.example"}, false, Note, "NEXT_PUBLIC_SOCKET_URL", "cookie stays behind"},
		"localhost in a container":           {[]string{"API_BASE_URL", "http://localhost:3000"}, true, Bad, "API_BASE_URL", "this container itself"},
		"Kafka on localhost in a container":  {[]string{"KAFKA_BROKERS", "127.0.0.1:9092"}, true, Bad, "KAFKA_BROKERS", "this container itself"},
		"Redis on localhost in a container":  {[]string{"REDIS_URL", "redis://localhost"}, true, Bad, "REDIS_URL", "this container itself"},
		"localhost where it is this machine": {[]string{"API_BASE_URL", "http://localhost:3000"}, false, Fine, "AUTH_SECRET", "can be read"},
	} {
		t.Run(name, func(t *testing.T) {
			p := patient(t, tc.env...)
			p.Container = tc.container
			found := append(append(secrets(p), pages(p)...), places(p)...)
			if !has(found, tc.level, tc.about, tc.text) {
				t.Errorf("found %+v", found)
			}
		})
	}
}

func TestNothingIsWrongWithGoodSettings(t *testing.T) {
	p := patient(t)
	if found := append(append(secrets(p), pages(p)...), places(p)...); Worst(found) != Fine {
		t.Errorf("found %+v", found)
	}
}

func cluster(t *testing.T, o ...kfake.Opt) string {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1)}, o...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c.ListenAddrs()[0]
}

func TestKafka(t *testing.T) {
	all := []string{}
	for _, name := range topics[1:] {
		all = append(all, "interlink."+name)
	}
	complete := cluster(t, kfake.SeedTopics(12, "interlink.events"), kfake.SeedTopics(1, all...))
	for name, tc := range map[string]struct {
		env         []string
		level       Level
		about, text string
	}{
		"all topics":              {[]string{"KAFKA_BROKERS", complete}, Fine, "Kafka", "12 partitions"},
		"a single broker":         {[]string{"KAFKA_BROKERS", complete}, Note, "Kafka", "single broker"},
		"topics to be made":       {[]string{"KAFKA_BROKERS", cluster(t)}, Note, "Kafka", "will be made at start: interlink.events"},
		"topics that are missing": {[]string{"KAFKA_BROKERS", cluster(t), "INTERLINK_CREATE_TOPICS", "false"}, Bad, "Kafka", "INTERLINK_CREATE_TOPICS=true"},
		"one broker of three":     {[]string{"KAFKA_BROKERS", cluster(t, kfake.NumBrokers(3))}, Note, "KAFKA_BROKERS", "one broker of 3"},
		"nobody there":            {[]string{"KAFKA_BROKERS", "127.0.0.1:1"}, Bad, "KAFKA_BROKERS", "127.0.0.1:1"},
		"a user who may nothing": {[]string{"KAFKA_BROKERS", cluster(t, kfake.EnableSASL(), kfake.EnableACLs(), kfake.SeedTopics(1, "interlink.events"),
			kfake.Superuser("PLAIN", "admin", "admin"), kfake.User("PLAIN", "me", "pw")),
			"INTERLINK_KAFKA_SASL", "plain", "INTERLINK_KAFKA_USERNAME", "me", "INTERLINK_KAFKA_PASSWORD", "pw"}, Bad, "Kafka", "ACL"},
		"none configured": {nil, Note, "KAFKA_BROKERS", "brings a broker of its own"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
			defer cancel()
			if found := kafkaFindings(ctx, patient(t, tc.env...)); !has(found, tc.level, tc.about, tc.text) {
				t.Errorf("found %+v", found)
			}
		})
	}
}

func TestRedis(t *testing.T) {
	m := miniredis.RunT(t)
	m.RequireAuth("right")
	url := func(password string) []string { return []string{"REDIS_URL", "redis://:" + password + "@" + m.Addr()} }
	if found := redisFindings(t.Context(), patient(t, url("right")...)); !has(found, Fine, "Redis", "answers") {
		t.Errorf("found %+v", found)
	}
	if found := redisFindings(t.Context(), patient(t, url("wrong")...)); !has(found, Bad, "Redis", "REDIS_PASSWORD") {
		t.Errorf("a wrong password: %+v", found)
	}
	p := patient(t, url("right")...)
	p.Now = func() time.Time { return time.Now().Add(-time.Hour) }
	if found := redisFindings(t.Context(), p); !has(found, Bad, "clock", "1h0m0s apart") {
		t.Errorf("a clock that is wrong: %+v", found)
	}
	m.Close()
	if found := redisFindings(t.Context(), p); !has(found, Bad, "Redis", "is not reached") {
		t.Errorf("Redis away: %+v", found)
	}
}

func TestNextJS(t *testing.T) {
	answer, date := "{}", time.Now()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", date.UTC().Format(http.TimeFormat))
		_, _ = w.Write([]byte(answer))
	}))
	defer server.Close()
	p := patient(t, "API_BASE_URL", server.URL)
	if found := nextFindings(t.Context(), p); !has(found, Fine, "Next.js", "/api/auth/session answers") {
		t.Errorf("found %+v", found)
	}
	date = date.Add(-time.Hour)
	if found := nextFindings(t.Context(), p); !has(found, Bad, "clock", "apart") {
		t.Errorf("a clock that is wrong: %+v", found)
	}
	answer = "<html>"
	if found := nextFindings(t.Context(), p); !has(found, Bad, "API_BASE_URL", "not with JSON") {
		t.Errorf("something else: %+v", found)
	}
	server.Close()
	if found := nextFindings(t.Context(), p); !has(found, Bad, "API_BASE_URL", "not reached") {
		t.Errorf("away: %+v", found)
	}
}

func TestInterlinkItself(t *testing.T) {
	body := `{"status":"healthy"}`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte(body)) }))
	defer server.Close()
	p := patient(t, "SOCKET_IO_PORT", server.URL[strings.LastIndex(server.URL, ":")+1:])
	for _, tc := range []struct {
		body, about, text string
		level             Level
	}{
		{body, "Interlink", "is well", Fine},
		{`{"status":"unhealthy","reason":"no router"}`, "Interlink", "no router", Bad},
		{`<html>`, "SOCKET_IO_PORT", "something else", Bad},
	} {
		body = tc.body
		if found := selfFindings(t.Context(), p); !has(found, tc.level, tc.about, tc.text) {
			t.Errorf("%s: %+v", tc.body, found)
		}
	}
	server.Close()
	if found := selfFindings(t.Context(), p); !has(found, Note, "Interlink", "nothing listens") {
		t.Errorf("nothing there: %+v", found)
	}
}
