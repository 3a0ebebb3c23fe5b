package doctor

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"
)

const platformMapping = "../../../config/edu-matrix.yaml"

// The platform's own environment block, in a container, with every mistake that it has.
func TestThePlatformsEnvironmentIsNamedMistakeByMistake(t *testing.T) {
	next := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == openRoute {
			w.WriteHeader(http.StatusBadRequest) // no topic: it did not ask who is there
			return
		}
		_, _ = w.Write([]byte("{}"))
	}))
	defer next.Close()
	m := miniredis.RunT(t)
	if err := m.Server().Register("INFO", func(c *server.Peer, _ string, _ []string) {
		c.WriteBulk("# Memory\r\nmaxmemory_policy:allkeys-lru\r\n")
	}); err != nil {
		t.Log(err) // miniredis has one of its own
	}
	p := patient(t, "INTERLINK_MAPPING", platformMapping, "SOCKETIO_API_KEY", "", "SOCKET_IO_SERVER_TOKEN", "", "INTERNAL_API_KEY", "",
		"API_BASE_URL", next.URL, "SOCKET_IO_INTERNAL_URL", "http://localhost:3001", "SOCKET_IO_SERVER_URL", "http://localhost:3001",
		"KAFKA_BROKERS", "localhost:29092", "REDIS_HOST", "localhost")
	p.Container = true
	found := append(append(append(secrets(p), pages(p)...), places(p)...), platformFindings(t.Context(), p)...)
	for name, want := range map[string]struct {
		level       Level
		about, text string
	}{
		"localhost as Kafka":           {Bad, "KAFKA_BROKERS", "this container itself"},
		"localhost as Redis":           {Bad, "REDIS_URL", "this container itself"},
		"localhost as Interlink":       {Bad, "SOCKET_IO_INTERNAL_URL", "the container itself"},
		"a key that is not set":        {Bad, "INTERNAL_API_KEY", "not set"},
		"the emitter's key":            {Bad, "INTERNAL_API_KEY", "socket-emitter.ts"},
		"one broker":                   {Note, "KAFKA_BROKERS", "one broker"},
		"two names, one underscore":    {Note, "SOCKETIO_SERVER_URL", "one underscore apart"},
		"a route that anybody may use": {Bad, openRoute, "without a session"},
	} {
		if !has(found, want.level, want.about, want.text) {
			t.Errorf("%s is not found in %+v", name, found)
		}
	}
	p = patient(t, "INTERLINK_MAPPING", platformMapping, "SOCKETIO_API_KEY", "", "SOCKET_IO_SERVER_TOKEN", "", "KAFKA_BROKERS", "a:1,b:1")
	found = append(secrets(p), platformFindings(t.Context(), p)...)
	for name, about := range map[string]string{"API_BASE_URL is not set": "API_BASE_URL", "a list that is read as one": "KAFKA_BROKERS"} {
		if !has(found, Bad, about, "") {
			t.Errorf("%s: found %+v", name, found)
		}
	}
	for _, name := range []string{"SOCKETIO_API_KEY", "SOCKET_IO_SERVER_TOKEN"} {
		if !has(found, Note, name, "falls back to a word that is refused") {
			t.Errorf("%s: found %+v", name, found)
		}
	}
	p = patient(t, "SOCKETIO_SERVER_URL", "http://interlink:3001")
	if found := platformFindings(t.Context(), p); !has(found, Note, "INTERLINK_MAPPING", "not set") {
		t.Errorf("without a mapping: %+v", found)
	}
}
