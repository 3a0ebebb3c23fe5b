package gateway

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	deliveryv1 "github.com/edumatrix/interlink/proto/delivery/v1"
	"github.com/edumatrix/interlink/services/gateway/internal/cursor"
)

// stock keeps of a session what the stock client (4.6 and later) keeps: its private id, and the last argument of the last
// event handled, if that is a string. It keeps them over a lost connection and gives them back.
type stock struct {
	t      *testing.T
	token  string
	pid    string
	offset string // as JSON; empty: none
	*client

	sid   string
	ready ready
	got   []given // durable events named m
	seen  []string
}

// ready is the data of session:ready.
type ready struct {
	SessionID, Reason string
	Recovered         bool
	Rooms             []string
}

// dial opens a connection, with CONNECT as the stock client sends it, and takes nothing yet.
func (s *stock) dial(h *host) {
	s.t.Helper()
	auth := fmt.Sprintf(`{"token":%q`, s.token)
	if s.pid != "" {
		auth += fmt.Sprintf(`,"pid":%q`, s.pid)
		if s.offset != "" {
			auth += `,"offset":` + s.offset
		}
	}
	s.client, s.ready = dial(s.t, h, auth+"}"), ready{}
}

// accept takes the answer to CONNECT.
func (s *stock) accept() {
	s.t.Helper()
	answer := s.next()
	var in struct{ SID, PID string }
	if !strings.HasPrefix(answer, "40{") || json.Unmarshal([]byte(answer[2:]), &in) != nil {
		s.t.Fatalf("CONNECT answered by %s", answer)
	}
	s.sid, s.pid = in.SID, in.PID
}

// handle takes one event as the client's handlers would.
func (s *stock) handle() event {
	s.t.Helper()
	text := s.next()
	e := s.parse(text)
	s.handled(text, e)
	return e
}

func (s *stock) handled(text string, e event) {
	if e.cursor != "" {
		s.offset = fmt.Sprintf("%q", e.cursor)
	}
	s.seen = append(s.seen, e.name)
	switch e.name {
	case "m":
		s.got = append(s.got, parseGiven(s.t, []string{text})...)
	case "session:ready":
		if err := json.Unmarshal(e.args[0], &s.ready); err != nil {
			s.t.Fatal(err)
		}
	}
}

// connect goes on until session:ready.
func (s *stock) connect(h *host) {
	s.t.Helper()
	s.dial(h)
	s.accept()
	s.await("session:ready")
}

func (s *stock) await(name string) event {
	s.t.Helper()
	for {
		if e := s.handle(); e.name == name {
			return e
		}
	}
}

// join joins a room, and handles what comes before the ack.
func (s *stock) join(room string) {
	s.t.Helper()
	s.acks++
	s.send(fmt.Sprintf(`42%d["room:join",%q]`, s.acks, room))
	for {
		text := s.next()
		if rest, ok := strings.CutPrefix(text, fmt.Sprintf("43%d[", s.acks)); ok {
			if !strings.HasPrefix(rest, `{"ok":true`) {
				s.t.Fatalf("join of %s: %s", room, rest)
			}
			return
		}
		s.handled(text, s.parse(text))
	}
}

// drain handles events until one with the id has come.
func (s *stock) drain(id string) {
	s.t.Helper()
	for len(s.got) == 0 || s.got[len(s.got)-1].id != id {
		s.handle()
	}
}

func (s *stock) cut() { _ = s.ws.Close() }

// ids are those of the events so far.
func (s *stock) ids() []string {
	var out []string
	for _, g := range s.got {
		out = append(out, g.id)
	}
	return out
}

// want checks what the last session:ready said.
func (s *stock) want(reason string) {
	s.t.Helper()
	if s.ready.Reason != reason || s.ready.Recovered != (reason == "resumed") {
		s.t.Fatalf("session:ready says %+v, want %s", s.ready, reason)
	}
}

// wantIDs handles events until as many as wanted are there, and checks them, each partition in its order.
func (s *stock) wantIDs(want ...string) {
	s.t.Helper()
	for len(s.got) < len(want) {
		s.handle()
	}
	partition := func(a, b string) int { return strings.Compare(a[:1], b[:1]) }
	got := slices.Clone(s.ids())
	slices.SortStableFunc(got, partition)
	slices.SortStableFunc(want, partition)
	if !slices.Equal(got, want) {
		s.t.Fatalf("handled %v, want %v", got, want)
	}
}

// pair is two gateways, one router and one presence service.
type pair struct {
	t        *testing.T
	feed     *feed
	backend  *backend
	one, two *host
	signer   *cursor.Signer
}

func newPair(t *testing.T, partitions int, change func(*Options)) *pair {
	t.Helper()
	f := newFeed(t, partitions)
	p := &pair{t: t, feed: f, backend: newBackend(t, f)}
	f.replay = p.backend.addr
	for _, h := range []**host{&p.one, &p.two} {
		*h = start(t, func(o *Options) {
			p.backend.use(o)
			o.PingTimeout, o.ResumeWindow, o.PresenceLease = 10*time.Second, time.Minute, time.Second
			if change != nil {
				change(o)
			}
		})
		f.attach((*h).grpc)
	}
	p.one.awaitReady(t)
	p.two.awaitReady(t)
	await(t, "both gateways known", func() bool {
		p.backend.mu.Lock()
		defer p.backend.mu.Unlock()
		return len(p.backend.gateways) == 2
	})
	var err error
	if p.signer, err = cursor.NewSigner([][]byte{[]byte("key")}); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *pair) client(token string) *stock { return &stock{t: p.t, token: token} }

// caughtUp waits until both gateways are at the end of the log.
func (p *pair) caughtUp() {
	p.t.Helper()
	var ends []int64
	p.feed.mu.Lock()
	for _, log := range p.feed.log {
		ends = append(ends, int64(len(log)))
	}
	p.feed.mu.Unlock()
	for _, h := range []*host{p.one, p.two} {
		await(p.t, "the end of the log", func() bool {
			at := make(chan []int64, 1)
			h.hub.At(0, func(positions []int64) { at <- slices.Clone(positions) })
			return slices.Equal(<-at, ends)
		})
	}
}

// publish appends an event whose id is its place.
func (p *pair) publish(partition int, room string) (id string) {
	p.feed.mu.Lock()
	id = fmt.Sprintf("%d/%d", partition, len(p.feed.log[partition]))
	p.feed.mu.Unlock()
	p.feed.publish(partition, &deliveryv1.Record{Id: id, Event: "m", Rooms: []string{room}, Data: []byte(`{}`)})
	return id
}

// control appends a control record.
func (p *pair) control(partition int, c *deliveryv1.Control) {
	var rooms []string
	if c.Room != "" {
		rooms = append(rooms, c.Room)
	}
	for _, user := range append(append([]string{c.User}, c.Add...), c.Remove...) {
		rooms = append(rooms, "user:"+user)
	}
	p.feed.publish(partition, &deliveryv1.Record{Id: "c", Control: c, Rooms: rooms})
}

// newSigner reads cursors; each goroutine has one of its own.
func newSigner(t *testing.T) *cursor.Signer {
	s, err := cursor.NewSigner([][]byte{[]byte("key")})
	if err != nil {
		t.Error(err)
	}
	return s
}
