// Package devpage owns the page that `interlink serve` shows in development mode: two browsers side by side, a form that
// publishes as Next.js would, and the two endpoints that these need. It must never be served outside of development:
// whoever reaches it signs in as anybody.
package devpage

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// The bundle of the stock client is vendored in static/vendor, with its license and version.
//
//go:embed static
var files embed.FS

// Options of the page.
type Options struct {
	Mint    func(user, name string) (string, error) // a token for a user; blocks not
	API     http.Handler                            // serves POST /v1/emit
	APIKey  func() string                           // a key that API takes
	Brokers []string                                // to show; where Next.js would publish
	Topic   string
	Hosts   []string // names of this machine, in lower case, that the page may be asked by, beside localhost and addresses
}

// maxBody bounds what the endpoints read, in bytes.
const maxBody = 2 << 20

// Handler serves the page at / and its endpoints at /dev/.
func Handler(o Options) http.Handler {
	static, err := fs.Sub(files, "static")
	if err != nil {
		panic("devpage: " + err.Error()) // the folder is part of the program
	}
	mux := http.NewServeMux()
	mux.Handle("GET /", guarded(http.FileServerFS(static)))
	mux.HandleFunc("GET /dev/info", o.info)
	mux.HandleFunc("POST /dev/token", fromThePage(o.token))
	mux.HandleFunc("POST /dev/emit", fromThePage(o.emit))
	return o.here(mux)
}

// here refuses a page that has its own name point to this machine: to a browser it is then of the same origin as we are.
// An address cannot be pointed elsewhere.
func (o Options) here(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := r.Host
		if host, _, err := net.SplitHostPort(name); err == nil {
			name = host
		}
		name = strings.ToLower(strings.Trim(name, "[]"))
		if net.ParseIP(name) == nil && name != "localhost" && !strings.HasSuffix(name, ".localhost") && !slices.Contains(o.Hosts, name) {
			fail(w, http.StatusForbidden, "the developer page answers to localhost, to an address, and to the name in SOCKET_IO_HOST")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// guarded lets the page load from here alone.
func guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'self'; connect-src 'self' ws: wss:; img-src 'self' data:; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-cache")
		next.ServeHTTP(w, r)
	})
}

// fromThePage refuses what another site's page may send without asking: anything but JSON, and anything that the
// browser says comes from elsewhere.
func fromThePage(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
		site := r.Header.Get("Sec-Fetch-Site")
		if strings.TrimSpace(kind) != "application/json" || (site != "" && site != "same-origin" && site != "none") {
			fail(w, http.StatusForbidden, "only the developer page may ask this, with application/json")
			return
		}
		next(w, r)
	}
}

func (o Options) info(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, map[string]any{"apiKey": o.APIKey(), "brokers": o.Brokers, "topic": o.Topic})
}

func (o Options) token(w http.ResponseWriter, r *http.Request) {
	var who struct{ User, Name string }
	if err := json.NewDecoder(io.LimitReader(r.Body, maxBody)).Decode(&who); err != nil {
		fail(w, http.StatusBadRequest, "expected {user, name?}: "+err.Error())
		return
	}
	token, err := o.Mint(who.User, who.Name)
	if err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return
	}
	answer(w, http.StatusOK, map[string]string{"token": token})
}

// emit passes the record on to the API with the key, which the page does not hold.
func (o Options) emit(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		fail(w, http.StatusRequestEntityTooLarge, "the record is too large")
		return
	}
	if err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return
	}
	req := r.Clone(r.Context())
	req.URL = &url.URL{Path: "/v1/emit"}
	req.RequestURI, req.Body, req.ContentLength = "/v1/emit", io.NopCloser(bytes.NewReader(body)), int64(len(body))
	req.Header = http.Header{}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+o.APIKey())
	o.API.ServeHTTP(w, req)
}

func fail(w http.ResponseWriter, status int, text string) {
	answer(w, status, map[string]string{"detail": text})
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the page is gone
}
