package authorize

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/edumatrix/interlink/services/internal/auth"
	"github.com/edumatrix/interlink/services/internal/permission"
	"github.com/edumatrix/interlink/services/internal/room"
)

// Template asks a route that the application has anyway, in the user's name: 200 admits to everything, 401, 403 and 404
// to nothing, anything else is doubt.
type Template struct {
	Method string // GET if empty; or HEAD
	URL    string // with {id} of the room and {user} in its path or query
	// Admits reads the body of a 200; nil: a 200 admits. An error is doubt.
	Admits func(ctx context.Context, body []byte) (bool, error)
}

// templateAsker fills in a Template. It sends the principal's session cookie and nothing else of him.
type templateAsker struct {
	peer
	method string
	base   string // scheme and host
	path   string // escaped, with placeholders
	query  string // without "?", with placeholders
	admits func(ctx context.Context, body []byte) (bool, error)
}

// newTemplateAsker checks a template. Templates of one host share a breaker.
func newTemplateAsker(t Template, client *http.Client, o Options, breakers map[string]*breaker) (*templateAsker, error) {
	a := &templateAsker{method: t.Method, admits: t.Admits}
	if a.method == "" {
		a.method = http.MethodGet
	}
	if a.method != http.MethodGet && a.method != http.MethodHead {
		return nil, fmt.Errorf("method %q: it is GET or HEAD", t.Method)
	}
	left := strings.NewReplacer("{id}", "x", "{user}", "x").Replace(t.URL)
	u, err := url.Parse(left)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("want http(s)://host/path without a user")
	}
	if strings.ContainsAny(left, "{}") {
		return nil, errors.New("the only placeholders are {id} and {user}")
	}
	a.base = u.Scheme + "://" + u.Host
	rest, ok := strings.CutPrefix(t.URL, a.base)
	if !ok {
		return nil, errors.New("no placeholder may be before the path")
	}
	a.path, a.query, _ = strings.Cut(rest, "?")
	if !strings.HasPrefix(a.path, "/") {
		return nil, errors.New("want http(s)://host/path without a user")
	}
	b := breakers[u.Host]
	if b == nil {
		b = newBreaker()
		breakers[u.Host] = b
	}
	a.peer = peer{client: client, breaker: b, logger: o.Logger}
	return a, nil
}

func (t *templateAsker) ask(ctx context.Context, p auth.Principal, r room.Room) (answer, error) {
	_, id, _ := strings.Cut(string(r), ":")
	if !plain(id) || !plain(p.User) {
		return answer{}, nil // no route has such a name; it would be another route
	}
	if p.Cookie == "" {
		return answer{personal: true}, nil // he came with something that Next.js does not know
	}
	target := t.base + strings.NewReplacer("{id}", url.PathEscape(id), "{user}", url.PathEscape(p.User)).Replace(t.path)
	if t.query != "" {
		target += "?" + strings.NewReplacer("{id}", url.QueryEscape(id), "{user}", url.QueryEscape(p.User)).Replace(t.query)
	}
	req, err := http.NewRequestWithContext(ctx, t.method, target, nil)
	if err != nil {
		return answer{}, errors.New("ask by template: the address cannot be made")
	}
	req.Header.Set("Cookie", p.Cookie)
	req.Header.Set("Accept", "application/json")
	status, body, err := t.do(req)
	if err != nil {
		return answer{}, fmt.Errorf("ask by template: %w", err)
	}
	switch status {
	case http.StatusOK:
		return t.read(ctx, body)
	case http.StatusForbidden, http.StatusNotFound:
		return answer{}, nil
	case http.StatusUnauthorized:
		return answer{personal: true}, nil
	default:
		return answer{}, fmt.Errorf("ask by template: status %d", status)
	}
}

// read reads a 200.
func (t *templateAsker) read(ctx context.Context, body []byte) (answer, error) {
	if t.admits == nil {
		return answer{set: permission.All}, nil
	}
	yes, err := t.admits(ctx, body)
	if err != nil {
		return answer{}, fmt.Errorf("ask by template: read the answer: %w", err)
	}
	if !yes {
		return answer{}, nil
	}
	return answer{set: permission.All}, nil
}

// plain reports whether a name stays one segment of a path, however often it is escaped and read again on its way:
// `..` or `a/b` would lead to another route of the application, and its 200 would admit.
func plain(segment string) bool {
	return segment != "" && segment != "." && segment != ".." && !strings.ContainsAny(segment, `/\%?#;`)
}
