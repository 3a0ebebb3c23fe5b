package engine

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/edumatrix/interlink/services/gateway/internal/engineio"
)

// Handshake is what the request that began a session said.
type Handshake struct {
	Cookie     string // the header as it came; empty if it came with a page of another origin and Options.Credentials is not set
	Origin     string
	Host       string
	UserAgent  string
	RemoteAddr netip.Addr // of the client, behind trusted proxies; invalid if unknown
	Query      url.Values
	Secure     bool // over TLS, here or at a trusted proxy
}

func (e *Engine) handshake(r *http.Request) Handshake {
	return Handshake{
		Cookie: e.cookies(r), Origin: r.Header.Get("Origin"), Host: r.Host, UserAgent: r.UserAgent(),
		RemoteAddr: e.remote(r), Query: r.URL.Query(), Secure: r.TLS != nil || e.forwardedProto(r) == "https",
	}
}

// cookies are what the client is known by. CORS keeps a page of any origin from polling with them; for a WebSocket a browser sends them all the same.
func (e *Engine) cookies(r *http.Request) string {
	if origin := r.Header.Get("Origin"); !e.origins.credentials && origin != "" && !sameHost(origin, r.Host) {
		return ""
	}
	return strings.Join(r.Header.Values("Cookie"), "; ")
}

// remote is the client's address: the last one in X-Forwarded-For that no trusted proxy has, if the request comes from a trusted proxy.
func (e *Engine) remote(r *http.Request) netip.Addr {
	addr := peer(r)
	if !e.trusted(addr) {
		return addr
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		hop, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			return addr // what stands further left was written by somebody else
		}
		if addr = hop.Unmap(); !e.trusted(addr) {
			return addr
		}
	}
	return addr
}

func (e *Engine) forwardedProto(r *http.Request) string {
	if !e.trusted(peer(r)) {
		return ""
	}
	return r.Header.Get("X-Forwarded-Proto")
}

func peer(r *http.Request) netip.Addr {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Addr{}
	}
	return addr.Unmap().WithZone("")
}

func (e *Engine) trusted(addr netip.Addr) bool {
	for _, prefix := range e.options.TrustedProxies {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}

// origins decides which pages may use the engine.
type origins struct {
	allowed     map[string]bool
	any         bool
	credentials bool
}

func newOrigins(list []string, credentials bool) origins {
	o := origins{allowed: make(map[string]bool, len(list)), credentials: credentials}
	for _, origin := range list {
		if origin == "*" {
			o.any = true
			continue
		}
		o.allowed[strings.TrimSuffix(origin, "/")] = true
	}
	return o
}

// admits tells whether a request of that Origin may be served. Without an Origin it comes from no page, or from one of the same host.
func (o origins) admits(origin, host string) bool {
	return origin == "" || o.any || o.allowed[origin] || sameHost(origin, host)
}

// sameHost compares an Origin with a request's Host. The scheme is not compared beyond its default port: TLS may end before us.
func sameHost(origin, host string) bool {
	scheme, rest, found := strings.Cut(origin, "://")
	if !found || scheme != "http" && scheme != "https" || rest == "" || host == "" {
		return false
	}
	port := ":80"
	if scheme == "https" {
		port = ":443"
	}
	return strings.EqualFold(strings.TrimSuffix(rest, port), strings.TrimSuffix(host, port))
}

// requestHeaders are what a page of another origin may send beside the simple ones. Two of them are response headers that the platform's page
// sends with its requests.
var requestHeaders = [...]string{
	"content-type", "authorization", "access-control-allow-origin", "access-control-allow-credentials", "cache-control", "x-requested-with",
}

// cross checks the Origin and says what a page may do (CORS). It reports whether the request goes on: a refused one and a preflight have been answered.
func (e *Engine) cross(w http.ResponseWriter, r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if !e.origins.admits(origin, r.Host) {
		e.refuse(w, engineio.Forbidden, engineio.Forbidden.Error())
		return false
	}
	h := w.Header()
	if origin != "" {
		h.Add("Vary", "Origin")
		if e.origins.any && !e.origins.allowed[origin] {
			h.Set("Access-Control-Allow-Origin", "*")
		} else {
			h.Set("Access-Control-Allow-Origin", origin)
		}
		if e.origins.credentials {
			h.Set("Access-Control-Allow-Credentials", "true")
		}
	}
	if r.Method != http.MethodOptions {
		return true
	}
	h.Set("Access-Control-Allow-Methods", "GET, POST")
	h.Set("Access-Control-Allow-Headers", allowHeaders(r.Header.Get("Access-Control-Request-Headers")))
	h.Set("Access-Control-Max-Age", "600")
	h.Set("Content-Length", "0")
	w.WriteHeader(http.StatusNoContent)
	return false
}

// allowHeaders is content-type and those of the asked that are allowed.
func allowHeaders(asked string) string {
	allowed := []string{requestHeaders[0]}
	for name := range strings.SplitSeq(asked, ",") {
		name = strings.ToLower(strings.TrimSpace(name))
		for _, known := range requestHeaders[1:] {
			if name == known {
				allowed = append(allowed, name)
			}
		}
	}
	return strings.Join(allowed, ", ")
}
