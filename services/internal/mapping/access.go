package mapping

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/itchyny/gojq"
	"gopkg.in/yaml.v3"
)

// Access says whom the platform is asked about rooms.
type Access struct {
	Routes map[string]Route // by room type
	Open   []string         // room types that everybody who is signed in may enter
	Lists  []List           // the rooms that a user is put into at connect
}

// Route is a route of the platform, asked with the user's cookie.
type Route struct {
	Method string // GET or HEAD
	URL    string // with {id} and {user}, and names of settings

	admit *gojq.Code
}

// Admits reads the body of a 200; without a program, it admits.
func (r Route) Admits(ctx context.Context, body []byte) (bool, error) {
	if r.admit == nil {
		return true, nil
	}
	input, err := decode(body)
	if err != nil {
		return false, err
	}
	out, err := first(ctx, r.admit, input, "", "", nil, nil)
	return string(out) == "true", err
}

// List is a route that lists a user's rooms, page by page.
type List struct {
	URL string // with {page}, which counts from 1, and names of settings

	rooms, more *gojq.Code
}

// Read reads one page: rooms, and whether there are more.
func (l List) Read(ctx context.Context, body []byte) (rooms []string, more bool, err error) {
	input, err := decode(body)
	if err != nil {
		return nil, false, err
	}
	ctx, cancel := context.WithTimeout(ctx, MaxRun)
	defer cancel()
	iter := l.rooms.RunWithContext(ctx, input, "", nil, nil, nil, nil)
	for {
		v, ok := iter.Next()
		if !ok {
			break
		}
		name, isText := v.(string)
		if !isText {
			if err, bad := v.(error); bad {
				return nil, false, runError(ctx, err)
			}
			return nil, false, errors.New("mapping: a list of rooms gave something else than a string")
		}
		if rooms = append(rooms, name); len(rooms) > MaxOutputs {
			return nil, false, ErrTooMuch
		}
	}
	if l.more == nil {
		return rooms, false, nil
	}
	out, err := first(ctx, l.more, input, "", "", nil, nil)
	return rooms, string(out) == "true", err
}

type listYAML struct {
	Get   string    `yaml:"get"`
	Rooms yaml.Node `yaml:"rooms"`
	More  yaml.Node `yaml:"more"`
}

type routeYAML struct {
	Ask   string    `yaml:"ask"`
	Admit yaml.Node `yaml:"admit"`
}

// With is the mapping with its addresses filled in: {API_BASE_URL} is settings["API_BASE_URL"]. What needs a setting that
// is empty is left out, and named: rooms of that type are then as if the mapping said nothing of them.
func (m *Mapping) With(settings map[string]string) (filled *Mapping, missing []string) {
	fill := func(what string, address *string) bool {
		for name, value := range settings {
			if strings.Contains(*address, "{"+name+"}") && value == "" {
				missing = append(missing, fmt.Sprintf("%s: %s is not set", what, name))
				return false
			}
			*address = strings.ReplaceAll(*address, "{"+name+"}", strings.TrimSuffix(value, "/"))
		}
		return true
	}
	out := *m
	out.access = Access{Routes: make(map[string]Route, len(m.access.Routes)), Open: m.access.Open}
	for _, kind := range slices.Sorted(maps.Keys(m.access.Routes)) {
		if r := m.access.Routes[kind]; fill("authorize."+kind, &r.URL) {
			out.access.Routes[kind] = r
		}
	}
	for _, l := range m.access.Lists {
		if fill("connect", &l.URL) {
			out.access.Lists = append(out.access.Lists, l)
		}
	}
	out.questions = make(map[string]Question, len(m.questions))
	for _, name := range slices.Sorted(maps.Keys(m.questions)) {
		q, complete := m.questions[name], true
		q.Get = maps.Clone(q.Get)
		for part, address := range q.Get {
			complete = complete && fill("questions."+name, &address)
			q.Get[part] = address
		}
		if complete {
			out.questions[name] = q
		}
	}
	return &out, missing
}

// Access says whom the platform is asked about rooms.
func (m *Mapping) Access() Access { return m.access }

// AsksWithCookies reports whether the platform is asked anything in a user's name.
func (m *Mapping) AsksWithCookies() bool {
	return len(m.access.Routes)+len(m.access.Lists)+len(m.questions) > 0
}

// open is what `authorize` says of rooms that everybody who is signed in may enter.
const open = "open"

func access(file string, functions *yaml.Node, routes map[string]yaml.Node, lists []listYAML) (Access, error) {
	out := Access{Routes: map[string]Route{}}
	var errs []error
	for _, kind := range slices.Sorted(maps.Keys(routes)) {
		node := routes[kind]
		if node.Kind == yaml.ScalarNode && node.Value == open {
			out.Open = append(out.Open, kind)
			continue
		}
		r, err := route(functions, &node)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: authorize.%s: line %d: %w", file, kind, node.Line, err))
			continue
		}
		out.Routes[kind] = r
	}
	for i := range lists {
		l, err := list(functions, &lists[i])
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: connect[%d]: %w", file, i, err))
			continue
		}
		out.Lists = append(out.Lists, l)
	}
	return out, errors.Join(errs...)
}

// route reads `GET address`, or {ask, admit}.
func route(functions, node *yaml.Node) (Route, error) {
	y := routeYAML{Ask: node.Value}
	if node.Kind != yaml.ScalarNode {
		if err := node.Decode(&y); err != nil {
			return Route{}, err
		}
	}
	method, address, ok := strings.Cut(strings.TrimSpace(y.Ask), " ")
	if !ok || method != "GET" && method != "HEAD" {
		return Route{}, errors.New("want `open`, `GET address`, or {ask: GET address, admit: program}")
	}
	r := Route{Method: method, URL: strings.TrimSpace(address)}
	if y.Admit.Kind == 0 {
		return r, nil
	}
	var err error
	r.admit, err = compile(functions, &y.Admit)
	return r, err
}

func list(functions *yaml.Node, y *listYAML) (l List, err error) {
	if y.Get == "" || y.Rooms.Kind == 0 {
		return l, errors.New("get and rooms are required")
	}
	l.URL = y.Get
	if l.rooms, err = compile(functions, &y.Rooms); err != nil || y.More.Kind == 0 {
		return l, err
	}
	l.more, err = compile(functions, &y.More)
	return l, err
}
