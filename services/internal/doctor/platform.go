package doctor

import (
	"context"
	"net/http"
	"strings"

	"github.com/edumatrix/interlink/services/internal/mapping"
)

// ofThePlatform are names that only the environment of the Edu Matrix platform has.
var ofThePlatform = [...]string{"SOCKET_IO_INTERNAL_URL", "SOCKETIO_SERVER_URL", "SOCKET_IO_SERVER_URL", "KAFKA_INTERNAL_BROKERS", "KAFKA_ENABLED"}

// openRoute publishes to any topic for anybody, as the platform has it today.
const openRoute = "/api/events/track"

// platformFindings looks at what goes wrong between this platform and Interlink: its defaults, its names, its open door.
func platformFindings(ctx context.Context, p Patient) []Finding {
	c := p.Settings
	if c.Mapping == "" {
		for _, name := range ofThePlatform {
			if p.Environ[name] != "" {
				return []Finding{note("INTERLINK_MAPPING", "not set, and %s says that this is the platform's environment: its own topics, events and routes are not read; set it to config/edu-matrix.yaml", name)}
			}
		}
		return nil
	}
	m, err := mapping.Load(c.Mapping)
	if err != nil {
		return []Finding{bad("INTERLINK_MAPPING", "%v", err)}
	}
	var found []Finding
	if _, missing := m.With(map[string]string{"API_BASE_URL": c.Auth.APIBaseURL}); len(missing) > 0 {
		found = append(found, bad("API_BASE_URL", "not set, nor NEXTAUTH_URL_INTERNAL: nobody is admitted to the rooms that Next.js is asked about (%s). http://localhost:3000, the platform's default, is nobody inside a container", strings.Join(missing, "; ")))
	}
	found = append(found, platformNames(p)...)
	return append(found, openDoor(ctx, p)...)
}

// platformNames looks at names that the platform's own code reads in its own way.
func platformNames(p Patient) []Finding {
	env := p.Environ
	var found []Finding
	if brokers := env["KAFKA_BROKERS"]; strings.Contains(brokers, ",") {
		found = append(found, bad("KAFKA_BROKERS", "names several brokers, and lib/kafka.ts takes the whole string as one: split it there, brokers: process.env.KAFKA_BROKERS.split(\",\")"))
	} else if brokers != "" {
		found = append(found, note("KAFKA_BROKERS", "names one broker, as lib/kafka.ts wants it: while it is away every request that publishes hangs; split the string there and name several"))
	}
	if (env["SOCKET_IO_SERVER_URL"] == "") != (env["SOCKETIO_SERVER_URL"] == "") {
		found = append(found, note("SOCKETIO_SERVER_URL", "and SOCKET_IO_SERVER_URL are two names, one underscore apart, that different routes of Next.js read: set both to the address of Interlink"))
	}
	for _, name := range []string{"SOCKET_IO_INTERNAL_URL", "SOCKETIO_SERVER_URL", "SOCKET_IO_SERVER_URL"} {
		if p.Container && env[name] != "" && isLocal(env[name]) {
			found = append(found, bad(name, "%s: inside a container that is the container itself. Next.js needs the name of the Interlink service there; right only where Next.js runs on the host", env[name]))
		}
	}
	if env["INTERNAL_API_KEY"] == "" {
		found = append(found, bad("INTERNAL_API_KEY", "not set: lib/socket/socket-emitter.ts connects with it, and is refused without; it remembers a refusal until Next.js restarts"))
	}
	return found
}

// openDoor asks whether anybody may publish. The question names no topic: nothing is published by it.
func openDoor(ctx context.Context, p Patient) []Finding {
	base := p.Settings.Auth.APIBaseURL
	if base == "" {
		return nil
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(base, "/")+openRoute, strings.NewReader("{}"))
	if err != nil {
		return []Finding{bad("API_BASE_URL", "%v", err)}
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := p.Client.Do(req)
	if err != nil {
		return nil // that Next.js is not reached is said already
	}
	_ = resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed:
		return []Finding{fine(openRoute, "asks who is there")}
	}
	return []Finding{bad(openRoute, "answers %d to somebody without a session: whoever reaches the site can write any Kafka topic, also those that are mapped. Let it ask auth() and take topics from a list, or close it", resp.StatusCode)}
}
