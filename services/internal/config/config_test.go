package config_test

import (
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edumatrix/interlink/services/internal/config"
)

// enough is the least that `interlink serve` starts with outside of development.
func enough(more ...string) map[string]string {
	env := map[string]string{"AUTH_SECRET": "a-secret-of-next-auth", "INTERNAL_API_KEY": "key-1"}
	for i := 0; i < len(more); i += 2 {
		env[more[i]] = more[i+1]
	}
	return env
}

func read(t *testing.T, role config.Role, env map[string]string) config.Config {
	t.Helper()
	c, err := config.Read(role, env)
	if err != nil {
		t.Fatalf("Read: %v", err)
	}
	return c
}

func TestDefaults(t *testing.T) {
	c := read(t, config.Serve, enough())
	for name, pair := range map[string][2]any{
		"port":          {c.Public.Port, 3001},
		"host":          {c.Public.Host, "0.0.0.0"},
		"origins":       {c.Public.Origins, []string{"http://localhost:3000"}},
		"admin":         {c.Ports.Admin, ":9090"},
		"http":          {c.Ports.HTTP, ":3002"},
		"version":       {c.Auth.NextAuthVersion, 5},
		"topics":        {c.Kafka.TopicPrefix, "interlink"},
		"create topics": {c.Kafka.CreateTopics, true},
		"session":       {c.Kafka.SessionTimeout, 6 * time.Second},
		"redis prefix":  {c.Redis.Prefix, "interlink:"},
		"redis mode":    {c.Redis.Mode, "single"},
		"ping":          {c.Gateway.PingInterval, 25 * time.Second},
		"pong":          {c.Gateway.PingTimeout, 20 * time.Second},
		"payload":       {c.Gateway.MaxPayload, config.Bytes(1_000_000)},
		"queue":         {c.Gateway.QueueBytes, config.Bytes(512 << 10)},
		"queue events":  {c.Gateway.QueueEvents, 2500},
		"rooms":         {c.Gateway.RoomsPerSocket, 200},
		"events":        {c.Gateway.EventsPerSecond, 50},
		"window":        {c.Resume.Window, 2 * time.Minute},
		"resume events": {c.Resume.Events, 4000},
		"resume bytes":  {c.Resume.Bytes, config.Bytes(4 << 20)},
		"log":           {c.Router.LogBytes, config.Bytes(64 << 20)},
		"lease":         {c.Presence.Lease, 9 * time.Second},
		"grace":         {c.Presence.Grace, 15 * time.Second},
		"typing":        {c.Presence.TypingTTL, 6 * time.Second},
		"drain":         {c.Gateway.DrainDelay, time.Duration(0)},
		"level":         {c.LogLevel, slog.LevelInfo},
		"dev":           {c.Dev, false},
	} {
		if !reflect.DeepEqual(pair[0], pair[1]) {
			t.Errorf("%s is %v, want %v", name, pair[0], pair[1])
		}
	}
}

func TestValues(t *testing.T) {
	c := read(t, config.Serve, enough(
		"SOCKET_IO_CORS_ORIGIN", "https://App.example:443, http://localhost:3000/",
		"INTERLINK_TRUSTED_PROXIES", "10.1.2.3/8,192.0.2.7",
		"NEXTAUTH_SECRET", "an-older-secret,a-secret-of-next-auth",
		"SOCKETIO_API_KEY", "key-2,key-3",
		"SOCKET_IO_SERVER_TOKEN", "key-1",
		"KAFKA_BROKERS", "one:9092, two:9092",
		"REDIS_URL", "rediss://me:p%40ss@cache/3",
		"REDIS_HOST", "ignored",
		"API_BASE_URL", "http://next:3000/",
		"LOG_LEVEL", "DEBUG",
		"SOCKET_IO_PORT", "",
		"SOMEBODY_ELSES", "x",
	))
	for name, pair := range map[string][2]any{
		"origins as browsers write them":  {c.Public.Origins, []string{"https://app.example", "http://localhost:3000"}},
		"networks":                        {c.Public.TrustedProxies, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.7/32")}},
		"both names of the secret":        {c.Auth.Secrets.Values(), []string{"a-secret-of-next-auth", "an-older-secret"}},
		"all names of the key":            {c.Keys.API.Values(), []string{"key-1", "key-2", "key-3"}},
		"brokers":                         {c.Kafka.Brokers, []string{"one:9092", "two:9092"}},
		"redis address":                   {c.Redis.Addrs, []string{"cache:6379"}},
		"redis user":                      {c.Redis.Username + " " + c.Redis.Password, "me p@ss"},
		"redis db":                        {c.Redis.DB, 3},
		"redis tls":                       {c.Redis.TLS, true},
		"session url":                     {c.Auth.SessionURL, "http://next:3000/api/auth/session"},
		"level":                           {c.LogLevel, slog.LevelDebug},
		"an empty value is the default's": {c.Public.Port, 3001},
	} {
		if !reflect.DeepEqual(pair[0], pair[1]) {
			t.Errorf("%s: %v, want %v", name, pair[0], pair[1])
		}
	}
}

func TestRedisByHost(t *testing.T) {
	c := read(t, config.Presence, map[string]string{"REDIS_HOST": "cache", "REDIS_PORT": "6380", "REDIS_PASSWORD": "p", "INTERLINK_ROUTERS": "r:9102"})
	if got := c.Redis.Addrs; !reflect.DeepEqual(got, []string{"cache:6380"}) || c.Redis.Password != "p" {
		t.Errorf("addresses %v, password %q", got, c.Redis.Password)
	}
}

func TestTheOriginOfNextJSMayConnect(t *testing.T) {
	c := read(t, config.Serve, enough("NEXTAUTH_URL", "https://app.example/base"))
	if got := c.Public.Origins; !reflect.DeepEqual(got, []string{"https://app.example"}) {
		t.Errorf("origins %v", got)
	}
}

func TestDevelopmentNeedsNothing(t *testing.T) {
	c := read(t, config.Serve, map[string]string{"INTERLINK_DEV": "1"})
	if got := c.Keys.API.Values(); !reflect.DeepEqual(got, []string{config.DevAPIKey}) {
		t.Errorf("keys %v", got)
	}
	if got := c.Auth.JWTSecrets.Values(); !reflect.DeepEqual(got, []string{config.DevSecret}) || len(config.DevSecret) < 32 {
		t.Errorf("secrets %v", got)
	}
	if c.Ports.Admin != "127.0.0.1:0" {
		t.Errorf("admin address %q is not this machine's alone", c.Ports.Admin)
	}
}

func TestWhatIsWrongIsNamed(t *testing.T) {
	for name, tc := range map[string]struct {
		role config.Role
		env  map[string]string
		want []string
	}{
		"everything at once": {config.Serve, enough("SOCKET_IO_PORT", "abc", "INTERLINK_PING_INTERVAL", "25", "INTERLINK_LOG_BYTES", "lots"), []string{
			`SOCKET_IO_PORT: expected a port number, 0 to 65535, not "abc"`,
			`INTERLINK_PING_INTERVAL: expected a duration such as 250ms, 25s or 2m, not "25"`,
			`INTERLINK_LOG_BYTES: expected a size such as 512KiB, 64MiB or 1000000, not "lots"`,
		}},
		"an unknown name of ours":       {config.Serve, enough("INTERLINK_PING_INTERVALL", "1s"), []string{"INTERLINK_PING_INTERVALL: there is no such setting, did you mean INTERLINK_PING_INTERVAL?"}},
		"an unknown file of ours":       {config.Serve, enough("INTERLINK_CURSOR_KY_FILE", "/x"), []string{"INTERLINK_CURSOR_KY_FILE: there is no such setting"}},
		"no secret":                     {config.Serve, map[string]string{"INTERNAL_API_KEY": "k"}, []string{"AUTH_SECRET: not set", "nobody could sign in"}},
		"no key":                        {config.Serve, map[string]string{"AUTH_SECRET": "s"}, []string{"INTERNAL_API_KEY: not set", "openssl rand -hex 32"}},
		"a key that everybody knows":    {config.Serve, enough("SOCKETIO_API_KEY", "dev-key"), []string{`"dev-key" is a word that everybody can read`}},
		"a window below the heartbeats": {config.Serve, enough("INTERLINK_RESUME_WINDOW", "60s"), []string{"INTERLINK_RESUME_WINDOW: 1m0s is too short", "expected 1m15s or more"}},
		"an origin with a typo":         {config.Serve, enough("SOCKET_IO_CORS_ORIGIN", "app.example"), []string{`SOCKET_IO_CORS_ORIGIN: expected origins such as https://app.example`, `"app.example" is not an origin`}},
		"a star beside origins":         {config.Serve, enough("SOCKET_IO_CORS_ORIGIN", "*,https://app.example"), []string{"SOCKET_IO_CORS_ORIGIN: expected * alone"}},
		"a missing file":                {config.Serve, enough("JWT_SECRET_FILE", "/nowhere/at/all"), []string{"JWT_SECRET_FILE: a readable file is expected"}},
		"a value and a file":            {config.Serve, enough("AUTH_SECRET_FILE", "/x"), []string{"AUTH_SECRET and AUTH_SECRET_FILE are both set"}},
		"a router alone":                {config.Router, map[string]string{}, []string{"KAFKA_BROKERS: not set", "INTERLINK_GATEWAYS: not set", "INTERLINK_PRESENCE: not set", "INTERNAL_API_KEY: not set"}},
		"a gateway alone":               {config.Gateway, map[string]string{"JWT_SECRET": "x"}, []string{"INTERLINK_ROUTERS: not set", "INTERLINK_PRESENCE: not set", "cursors are signed"}},
		"a gateway's name with dots":    {config.Gateway, enough("INTERLINK_GATEWAY_ID", "a.b"), []string{"INTERLINK_GATEWAY_ID: expected a name without dots"}},
		"presence alone":                {config.Presence, map[string]string{}, []string{"REDIS_URL: not set", "INTERLINK_ROUTERS: not set"}},
		"a user for Kafka forgotten":    {config.Router, enough("INTERLINK_KAFKA_SASL", "PLAIN"), []string{"INTERLINK_KAFKA_SASL: set without INTERLINK_KAFKA_USERNAME"}},
		"half a certificate":            {config.Serve, enough("INTERLINK_TLS_CERT", "/c"), []string{"expected all three or none"}},
		"sentinels without a master":    {config.Serve, enough("INTERLINK_REDIS_MODE", "sentinel"), []string{"INTERLINK_REDIS_MASTER"}},
		"two kinds of peers":            {config.Gateway, enough("INTERLINK_ROUTERS", "dns:///r:1,x:2"), []string{"INTERLINK_ROUTERS: expected host:port", "dns:/// stands alone"}},
		"a Redis address that is none":  {config.Serve, enough("REDIS_URL", "cache:6379"), []string{"REDIS_URL: expected redis://"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := config.Read(tc.role, tc.env)
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error lacks %q:\n%v", want, err)
				}
			}
		})
	}
}

func TestErrorsShowNoSecret(t *testing.T) {
	_, err := config.Read(config.Serve, map[string]string{"REDIS_URL": "redis://:hunter2@%zz", "JWT_SECRET": ",", "AUTH_SECRET": "hunter2", "AUTH_SECRET_FILE": "/x"})
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("error: %v", err)
	}
	c := read(t, config.Serve, enough("JWT_SECRET", "hunter2", "REDIS_URL", "redis://:hunter2@cache"))
	for _, e := range c.Entries() {
		if strings.Contains(e.Value, "hunter2") {
			t.Errorf("%s shows %q", e.Name, e.Value)
		}
	}
}

func TestSecretFollowsItsFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("first\n")
	env := enough("SOCKETIO_API_KEY_FILE", file)
	synctest.Test(t, func(t *testing.T) {
		c := read(t, config.Serve, env)
		go func() {
			if err := c.Follow(t.Context(), time.Second, slog.New(slog.DiscardHandler), func(string) {}); err != nil {
				t.Error(err)
			}
		}()
		for _, step := range []struct {
			file string
			want []string
		}{
			{"first\n", []string{"key-1", "first"}},
			{"second,first\r\n", []string{"key-1", "second", "first"}},
			{"", []string{"key-1", "second", "first"}}, // being replaced: the old ones stay
			{"third", []string{"key-1", "third"}},
		} {
			write(step.file)
			time.Sleep(1500 * time.Millisecond)
			synctest.Wait()
			if got := c.Keys.API.Values(); !reflect.DeepEqual(got, step.want) {
				t.Errorf("file %q: keys %v, want %v", step.file, got, step.want)
			}
		}
	})
}

func TestParseBytes(t *testing.T) {
	for text, want := range map[string]config.Bytes{"1": 1, "10B": 10, "1KB": 1000, "1KiB": 1024, "64MiB": 64 << 20, "2 GB": 2e9, "512kib": 512 << 10} {
		if got, err := config.ParseBytes(text); err != nil || got != want {
			t.Errorf("%q: %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "0", "-1", "1.5MB", "MB", "1TB", "9223372036854775807KiB", "1 K B"} {
		if got, err := config.ParseBytes(text); err == nil {
			t.Errorf("%q is %d, want an error", text, got)
		}
	}
}
