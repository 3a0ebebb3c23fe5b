package doctor

import (
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/edumatrix/interlink/services/internal/apikey"
	"github.com/edumatrix/interlink/services/internal/config"
)

// leastSecret is the length in bytes below which a secret can be guessed.
const leastSecret = 32

// secrets looks at the keys themselves.
func secrets(p Patient) []Finding {
	c := p.Settings
	var found []Finding
	if c.Dev {
		found = append(found, note("INTERLINK_DEV", "development mode: everybody who reaches the port may sign in as anybody; never set it on a server"))
	}
	found = append(found, sessionSecrets(c)...)
	for _, secret := range c.Auth.JWTSecrets.Values() {
		if len(secret) < leastSecret {
			found = append(found, bad("JWT_SECRET", "has %d bytes, 32 or more are expected: a gateway does not start with it", len(secret)))
		}
	}
	keys := map[string]config.Secret{"INTERNAL_API_KEY, SOCKETIO_API_KEY, SOCKET_IO_SERVER_TOKEN": c.Keys.API}
	for name, s := range keys {
		for _, key := range s.Values() {
			if apikey.Usable(key) && len(key) < 16 && !c.Dev {
				found = append(found, note(name, "one of the keys has only %d characters; `openssl rand -hex 32` prints a good one", len(key)))
			}
		}
	}
	if !c.Keys.API.Set() {
		return append(found, bad("INTERNAL_API_KEY", "not set: Next.js could not publish over HTTP"))
	}
	for _, name := range []string{"SOCKETIO_API_KEY", "SOCKET_IO_SERVER_TOKEN"} {
		if !c.Given(name) && !c.Dev {
			found = append(found, note(name, "not set here. If it is not set in Next.js either, the route that reads it falls back to a word that is refused: set it there to the value of INTERNAL_API_KEY"))
		}
	}
	return found
}

func sessionSecrets(c config.Config) []Finding {
	a := c.Auth
	if !a.Secrets.Set() && !a.DerivedKeys.Set() && !a.JWTSecrets.Set() && a.SessionURL == "" {
		return []Finding{bad("AUTH_SECRET", "not set, nor anything instead of it: nobody could sign in. It is the value that Next.js has")}
	}
	var found []Finding
	for _, secret := range a.Secrets.Values() {
		switch {
		case strings.ContainsAny(secret, "\"' \t"):
			found = append(found, bad("AUTH_SECRET", "has quotes or blanks in it, probably from the .env file: Next.js reads it without them, so no session would open"))
		case len(secret) < leastSecret && !c.Dev:
			found = append(found, note("AUTH_SECRET", "has only %d characters; sessions are as safe as it is hard to guess", len(secret)))
		}
	}
	if c.Given("AUTH_SECRET") && c.Given("NEXTAUTH_SECRET") && len(a.Secrets.Values()) > 1 {
		found = append(found, note("NEXTAUTH_SECRET", "differs from AUTH_SECRET; both are taken, Next.js uses AUTH_SECRET"))
	}
	if len(found) == 0 {
		found = append(found, fine("AUTH_SECRET", "sessions can be read; `interlink whoami --cookie …` tries one"))
	}
	return found
}

// pages looks at what decides whether a page's connection comes with its session.
func pages(p Patient) []Finding {
	c := p.Settings
	var found []Finding
	site, hasSite := config.Origin(c.Auth.NextAuthURL)
	origins := c.Public.Origins
	switch {
	case slices.Contains(origins, "*"):
		found = append(found, bad("SOCKET_IO_CORS_ORIGIN", "is *, which browsers refuse together with cookies: name the origins"))
	case hasSite && !slices.Contains(origins, site):
		found = append(found, bad("SOCKET_IO_CORS_ORIGIN", "is %s and lacks %s, the origin of NEXTAUTH_URL: its pages are refused unless they use the same host", strings.Join(origins, ","), site))
	default:
		found = append(found, fine("SOCKET_IO_CORS_ORIGIN", "pages of %s may connect", strings.Join(origins, ", ")))
	}
	if !hasSite {
		return found
	}
	secure := strings.HasPrefix(site, "https://")
	if cookies := c.Auth.Cookies; len(cookies) > 0 {
		isSecure := func(name string) bool {
			return strings.HasPrefix(name, "__Secure-") || strings.HasPrefix(name, "__Host-")
		}
		if secure && !slices.ContainsFunc(cookies, isSecure) {
			found = append(found, note("INTERLINK_NEXTAUTH_COOKIE", "names no __Secure- cookie, but NEXTAUTH_URL is https, where NextAuth uses one unless told otherwise"))
		}
		if !secure && !slices.ContainsFunc(cookies, func(name string) bool { return !isSecure(name) }) {
			found = append(found, note("INTERLINK_NEXTAUTH_COOKIE", "names __Secure- cookies only, but NEXTAUTH_URL is not https, where browsers send none"))
		}
	}
	if socket, ok := config.Origin(p.Environ["NEXT_PUBLIC_SOCKET_URL"]); ok && hostOf(socket) != hostOf(site) {
		found = append(found, note("NEXT_PUBLIC_SOCKET_URL", "%s is another host than %s: the session cookie stays behind, pages must send auth.token (docs/guides/authentication.md)", socket, site))
	}
	return found
}

func hostOf(origin string) string {
	u, err := url.Parse(origin)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

// places looks for addresses that mean something else here than they were meant to.
func places(p Patient) []Finding {
	if !p.Container {
		return nil
	}
	c := p.Settings
	named := []struct {
		name  string
		addrs []string
	}{
		{"API_BASE_URL", []string{c.Auth.APIBaseURL}}, {"INTERLINK_SESSION_URL", []string{c.Auth.SessionURL}},
		{"INTERLINK_AUTHORIZE_URL", []string{c.Auth.AuthorizeURL}}, {"KAFKA_BROKERS", c.Kafka.Brokers}, {"REDIS_URL", c.Redis.Addrs},
		{"INTERLINK_GATEWAYS", c.Peers.Gateways}, {"INTERLINK_ROUTERS", c.Peers.Routers}, {"INTERLINK_PRESENCE", c.Peers.Presence},
	}
	var found []Finding
	for _, n := range named {
		for _, addr := range n.addrs {
			if isLocal(addr) {
				found = append(found, bad(n.name, "%s is this container itself, not the machine it runs on: use the service's name, or host.docker.internal", addr))
			}
		}
	}
	return found
}

func isLocal(addr string) bool {
	host := addr
	if u, err := url.Parse(addr); err == nil && u.Host != "" {
		host = u.Hostname()
	} else if h, _, err := net.SplitHostPort(addr); err == nil {
		host = h
	}
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}
