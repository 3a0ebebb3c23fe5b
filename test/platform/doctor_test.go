//go:build platform

package platform

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// doctor runs `interlink doctor` with the platform's own environment, as its container has it, and wants each of its
// mistakes named.
func doctor(t *testing.T, s *stage) {
	answers(t, s.standIn) // also to whoever publishes without a session
	policy(t, s.Redis.Addr(), "allkeys-lru")
	host, port, err := net.SplitHostPort(s.Redis.Addr())
	if err != nil {
		t.Fatal(err)
	}
	env := append(platformEnv(t, s.Root),
		"KUBERNETES_SERVICE_HOST=10.0.0.1", // this is a container
		"INTERLINK_MAPPING="+filepath.Join(s.Root, "config/edu-matrix.yaml"), fmt.Sprintf("API_BASE_URL=http://localhost:%d", s.standIn),
		"KAFKA_BROKERS="+s.Kafka.Brokers[0], "REDIS_HOST="+host, "REDIS_PORT="+port, "REDIS_PASSWORD=", "SOCKET_IO_SERVER_URL=http://localhost:3001",
	)
	cmd := exec.CommandContext(t.Context(), filepath.Join(s.Bin, "interlink"), "doctor")
	cmd.Env = env
	out, err := cmd.CombinedOutput()
	if err == nil {
		t.Error("the doctor finds nothing wrong")
	}
	t.Logf("%s", out)
	for mistake, words := range map[string][]string{
		"Next.js on localhost":               {"WRONG", "API_BASE_URL", "this container itself"},
		"Kafka on localhost":                 {"WRONG", "KAFKA_BROKERS", "this container itself"},
		"Redis on localhost":                 {"WRONG", "REDIS_URL", "this container itself"},
		"Interlink on localhost":             {"WRONG", "SOCKET_IO_INTERNAL_URL", "the container itself"},
		"a key that is not set":              {"SOCKETIO_API_KEY", "not set"},
		"a token that is not set":            {"SOCKET_IO_SERVER_TOKEN", "not set"},
		"a Redis that throws away":           {"WRONG", "maxmemory-policy is allkeys-lru"},
		"one broker":                         {"KAFKA_BROKERS", "one broker, as lib/kafka.ts wants it"},
		"two names, one underscore apart":    {"SOCKETIO_SERVER_URL", "one underscore apart"},
		"a publishing route open to anybody": {"WRONG", "/api/events/track", "without a session"},
	} {
		if !says(string(out), words) {
			t.Errorf("%s is not named", mistake)
		}
	}
}

func says(out string, words []string) bool {
	for line := range strings.Lines(out) {
		has := true
		for _, word := range words {
			has = has && strings.Contains(line, word)
		}
		if has {
			return true
		}
	}
	return false
}

// platformEnv is the platform's environment; what is appended to it wins.
func platformEnv(t *testing.T, root string) (env []string) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(root, "test/image/platform.env"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(raw)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			env = append(env, line)
		}
	}
	return env
}

// policy sets what Redis does when its memory is full.
func policy(t *testing.T, addr, name string) {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := fmt.Fprintf(conn, "CONFIG SET maxmemory-policy %s\r\n", name); err != nil {
		t.Fatal(err)
	}
	if answer, err := bufio.NewReader(conn).ReadString('\n'); err != nil || answer != "+OK\r\n" {
		t.Fatalf("CONFIG SET: %q, %v", answer, err)
	}
}
