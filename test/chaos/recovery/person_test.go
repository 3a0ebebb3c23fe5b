//go:build chaos || soak

package recovery

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/edumatrix/interlink/test/client"
	"github.com/edumatrix/interlink/test/cut"
	"github.com/edumatrix/interlink/test/harness"
)

// person is somebody with a browser: one session over many connections, through a proxy of its own.
type person struct {
	t       *testing.T
	user    string
	token   string
	path    *cut.Proxy
	session client.Session
	on      func(event) // runs on the reading goroutine before an event is written down; may be nil

	mu    sync.Mutex // guards what follows
	conn  *client.Client
	heard []event
	ended []time.Time   // of his connections, those that live for him in the background
	woken chan struct{} // closed and made anew when something is heard
}

// event is what a handler was given.
type event struct {
	name, id string
	at       time.Time
	queued   bool
	data     json.RawMessage
}

// ready is the data of session:ready.
type ready struct {
	SessionID string
	UserID    string
	Recovered bool
	Reason    string
	Rooms     []string
}

// newPerson gives a user a path to some gateways.
func newPerson(t *testing.T, s *Stage, user string, gateways ...string) *person {
	t.Helper()
	path, err := s.proxy(gateways...)
	if err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	s.personal = append(s.personal, path)
	s.mu.Unlock()
	p := &person{t: t, user: user, token: harness.Token(user), path: path, woken: make(chan struct{})}
	t.Cleanup(func() {
		if p.conn != nil {
			p.conn.Close()
		}
	})
	return p
}

func (p *person) handle(e client.Event) {
	var meta struct {
		ID     string
		Queued bool
	}
	got := event{name: e.Name, at: time.Now()}
	if len(e.Args) > 1 {
		_ = json.Unmarshal(e.Args[1], &meta)
		got.id, got.queued, got.data = meta.ID, meta.Queued, slices.Clone(e.Args[0])
	}
	if p.on != nil {
		p.on(got)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.heard = append(p.heard, got)
	close(p.woken)
	p.woken = make(chan struct{})
}

// dial connects and returns when CONNECT is answered.
func (p *person) dial() *client.Client {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), 30*time.Second)
	defer cancel()
	c, err := client.Dial(ctx, p.options())
	if err != nil {
		p.t.Fatalf("%s: %v", p.user, err)
	}
	p.mu.Lock()
	p.conn = c
	p.mu.Unlock()
	return c
}

func (p *person) options() client.Options {
	return client.Options{
		URL: "http://" + p.path.Addr(), Auth: map[string]any{"token": p.token}, OpenTimeout: 4 * time.Second, Session: &p.session, Handle: p.handle,
	}
}

// current returns the connection that he has, nil before the first.
func (p *person) current() *client.Client {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.conn
}

// connect connects and returns what session:ready says.
func (p *person) connect() ready {
	p.t.Helper()
	before := p.count("session:ready")
	p.dial()
	events := p.await("session:ready", before+1)
	var r ready
	if err := json.Unmarshal(events[before].data, &r); err != nil {
		p.t.Fatalf("session:ready: %v", err)
	}
	return r
}

func (p *person) resume() {
	p.t.Helper()
	if r := p.connect(); !r.Recovered || r.Reason != "resumed" {
		p.t.Fatalf("%s: session:ready says recovered %v, %q", p.user, r.Recovered, r.Reason)
	}
	if !p.conn.Recovered() {
		p.t.Fatalf("%s: session:ready says recovered, the answer to CONNECT does not", p.user)
	}
}

// cut ends the connection without a word.
func (p *person) cut() {
	p.path.Reset(nil)
	p.conn.Wait()
}

func (p *person) join(rooms ...string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), 30*time.Second)
	defer cancel()
	for _, room := range rooms {
		if answer, err := p.conn.Ask(ctx, "room:join", room); err != nil || !answer.OK {
			p.t.Fatalf("%s: join %s: %v %v", p.user, room, answer, err)
		}
	}
}

func (p *person) events(name string) []event {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(p.heard), func(e event) bool { return e.name != name })
}

func (p *person) count(name string) int { return len(p.events(name)) }

// await waits until n events of that name were heard, and returns all of them.
func (p *person) await(name string, n int) []event {
	p.t.Helper()
	late := time.After(30 * time.Second)
	for {
		p.mu.Lock()
		woken := p.woken
		p.mu.Unlock()
		if list := p.events(name); len(list) >= n {
			return list
		}
		select {
		case <-woken:
		case <-late:
			p.t.Fatalf("%s heard %d of %d %s, %d events in all", p.user, p.count(name), n, name, len(p.heard))
		}
	}
}

// heardExactly waits for the last of ids and then compares all that was heard under that name.
func (p *person) heardExactly(name string, ids ...string) {
	p.t.Helper()
	var got []string
	for _, e := range p.await(name, len(ids)) {
		got = append(got, e.id)
	}
	if !slices.Equal(got, ids) {
		p.t.Fatalf("%s heard %v, want %v", p.user, got, ids)
	}
}

// emit publishes by HTTP and returns the record's id.
func emit(t *testing.T, s *Stage, record map[string]any) string {
	t.Helper()
	id, err := emitTo(t.Context(), s.Routers[0].HTTP, record)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// emitTo publishes by a router's HTTP port.
func emitTo(ctx context.Context, addr string, record map[string]any) (id string, err error) {
	body, err := json.Marshal(record)
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+"/v1/emit", bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Authorization", "Bearer "+harness.APIKey)
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	said, _ := io.ReadAll(res.Body)
	var answer struct{ ID string }
	if res.StatusCode != http.StatusAccepted || json.Unmarshal(said, &answer) != nil {
		return "", fmt.Errorf("emit: %d %s", res.StatusCode, said)
	}
	return answer.ID, nil
}

// say publishes an event to a room.
func say(t *testing.T, s *Stage, room, id string) string {
	t.Helper()
	return emit(t, s, map[string]any{"id": id, "event": "message:new", "to": map[string]any{"rooms": []string{room}}, "data": id})
}

// queue publishes an event to users that waits for them.
func queue(t *testing.T, s *Stage, user, id string) string {
	t.Helper()
	return emit(t, s, map[string]any{"id": id, "event": "note", "queue": true, "to": map[string]any{"users": []string{user}}, "data": id})
}

// resumes adds up the gateways' counters of resumes with a result.
func resumes(t *testing.T, s *Stage, result string) float64 {
	t.Helper()
	sum := 0.0
	for _, g := range s.Gateways {
		m, err := harness.Scrape(t.Context(), g.Admin)
		if err != nil {
			t.Fatal(err)
		}
		sum += m.Sum("interlink_gateway_resumes_total", "result", result)
	}
	return sum
}

// paths are the proxies of people.
func (s *Stage) paths() []*cut.Proxy {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.personal)
}
