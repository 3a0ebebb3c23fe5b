package gateway

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"

	deliveryv1 "github.com/edumatrix/interlink/proto/delivery/v1"
	"github.com/edumatrix/interlink/services/internal/auth"
	"github.com/edumatrix/interlink/services/internal/room"
)

// patience bounds what a test waits for; nothing is expected to take anywhere near as long.
const patience = 20 * time.Second

// tokens authenticates `user` and `user|...` as user; `bad` is refused, `doubt` is in doubt as long as doubt holds.
type tokens struct {
	mu    sync.Mutex
	doubt bool
}

func (a *tokens) Authenticate(_ context.Context, c auth.Credentials) (auth.Principal, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	user, rest, _ := strings.Cut(c.Token, "|")
	switch {
	case a.doubt:
		return auth.Principal{}, errors.New("nobody to ask")
	case user == "", user == "bad":
		return auth.Principal{}, &auth.Refusal{Code: auth.Unauthenticated, Reason: "test"}
	}
	p := auth.Principal{User: user, Name: strings.ToUpper(user), IssuedAt: c.Now.Add(-time.Second), ExpiresAt: c.Now.Add(time.Hour)}
	switch rest {
	case "short":
		p.ExpiresAt = c.Now.Add(600 * time.Millisecond)
	case "later":
		p.ExpiresAt = c.Now.Add(1500 * time.Millisecond)
	}
	return p, nil
}

func (a *tokens) setDoubt(doubt bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.doubt = doubt
}

// feed is a router of one topic, for any number of gateways.
type feed struct {
	t        *testing.T
	replay   string     // address of its Replay service
	epoch    string     // of the topic, empty: e
	mu       sync.Mutex // guards what follows
	log      [][]*deliveryv1.Record
	pipes    []*pipe
	conns    []*grpc.ClientConn
	finished sync.WaitGroup
}

// pipe is one stream of a feed.
type pipe struct {
	feed   *feed
	stream grpc.BidiStreamingClient[deliveryv1.AttachRequest, deliveryv1.AttachResponse]
	number uint64
	rooms  map[uint64]bool
	pos    []int64
	seek   []uint64
}

func newFeed(t *testing.T, partitions int) *feed {
	f := &feed{t: t, log: make([][]*deliveryv1.Record, partitions)}
	t.Cleanup(func() {
		for _, c := range f.conns {
			_ = c.Close()
		}
		f.finished.Wait()
	})
	return f
}

// attach opens a stream to a gateway.
func (f *feed) attach(addr string) {
	f.t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		f.t.Fatal(err)
	}
	f.conns = append(f.conns, conn)
	stream, err := deliveryv1.NewDeliveryClient(conn).Attach(context.Background())
	if err != nil {
		f.t.Fatal(err)
	}
	f.mu.Lock()
	p := &pipe{feed: f, stream: stream, rooms: map[uint64]bool{}, pos: make([]int64, len(f.log)), seek: make([]uint64, len(f.log))}
	hello := &deliveryv1.Hello{Router: "feed", ReplayAddr: f.replay, TopicEpoch: cmp.Or(f.epoch, "e"), Partitions: uint32(len(f.log))}
	for i := range f.log {
		hello.Owned = append(hello.Owned, &deliveryv1.Ownership{Partition: uint32(i), Head: int64(len(f.log[i]))})
	}
	f.pipes = append(f.pipes, p)
	f.mu.Unlock()
	if err := stream.Send(&deliveryv1.AttachRequest{Kind: &deliveryv1.AttachRequest_Hello{Hello: hello}}); err != nil {
		f.t.Fatal(err)
	}
	f.finished.Go(p.read)
}

func (p *pipe) read() {
	for {
		m, err := p.stream.Recv()
		if err != nil {
			return
		}
		p.feed.mu.Lock()
		switch kind := m.Kind.(type) {
		case *deliveryv1.AttachResponse_Snapshot:
			p.number = kind.Snapshot.Number
			for _, r := range kind.Snapshot.Rooms {
				p.rooms[r] = true
			}
			for _, at := range kind.Snapshot.Positions {
				p.pos[at.Partition] = at.Offset
			}
			p.serve(true)
		case *deliveryv1.AttachResponse_Delta:
			p.number = kind.Delta.Number
			for _, r := range kind.Delta.Add {
				p.rooms[r] = true
			}
			for _, r := range kind.Delta.Remove {
				delete(p.rooms, r)
			}
			p.serve(true)
		case *deliveryv1.AttachResponse_Seek:
			p.pos[kind.Seek.Partition], p.seek[kind.Seek.Partition] = kind.Seek.Offset, kind.Seek.Number
			p.serve(true)
		}
		p.feed.mu.Unlock()
	}
}

// serve sends what is new. The feed's lock is held.
func (p *pipe) serve(empty bool) {
	m := &deliveryv1.Ranges{Number: p.number}
	for i, log := range p.feed.log {
		r := &deliveryv1.Range{Partition: uint32(i), From: p.pos[i], To: int64(len(log)), Seek: p.seek[i]}
		if r.From == r.To && !empty {
			continue
		}
		for _, record := range log[r.From:] {
			if record.Control != nil || slices.ContainsFunc(record.Rooms, func(name string) bool { return p.rooms[room.Room(name).Hash()] }) {
				b, err := proto.Marshal(record)
				if err != nil {
					p.feed.t.Error(err)
				}
				r.Records = append(r.Records, b)
			}
		}
		p.pos[i] = r.To
		m.Ranges = append(m.Ranges, r)
	}
	if len(m.Ranges) > 0 {
		_ = p.stream.Send(&deliveryv1.AttachRequest{Kind: &deliveryv1.AttachRequest_Ranges{Ranges: m}}) // a gateway that has gone reads no more
	}
}

// publish appends a record and serves it to every gateway.
func (f *feed) publish(partition int, r *deliveryv1.Record) int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	r.Offset = int64(len(f.log[partition]))
	if r.TimeMs == 0 {
		r.TimeMs = time.Now().UnixMilli()
	}
	f.log[partition] = append(f.log[partition], r)
	for _, p := range f.pipes {
		p.serve(false)
	}
	return r.Offset
}

// revoke tells every gateway that a user's tokens of before a time are void.
func (f *feed) revoke(user string, beforeMs int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.pipes {
		if err := p.stream.Send(&deliveryv1.AttachRequest{Kind: &deliveryv1.AttachRequest_Revocations{Revocations: &deliveryv1.Revocations{
			Revocations: []*deliveryv1.Revocation{{User: user, BeforeMs: beforeMs}},
		}}}); err != nil {
			f.t.Error(err)
		}
	}
}

// detach ends all streams.
func (f *feed) detach() {
	f.mu.Lock()
	conns := f.conns
	f.conns, f.pipes = nil, nil
	f.mu.Unlock()
	for _, c := range conns {
		_ = c.Close()
	}
}

// push sends an ephemeral record to every gateway.
func (f *feed) push(r *deliveryv1.Record) {
	f.mu.Lock()
	defer f.mu.Unlock()
	b, err := proto.Marshal(r)
	if err != nil {
		f.t.Error(err)
	}
	for _, p := range f.pipes {
		if err := p.stream.Send(&deliveryv1.AttachRequest{Kind: &deliveryv1.AttachRequest_Push{Push: &deliveryv1.Push{Records: [][]byte{b}}}}); err != nil {
			f.t.Error(err)
		}
	}
}

// host is a gateway that runs.
type host struct {
	*Gateway
	url  string // http://…
	grpc string
	stop func()
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func start(t *testing.T, change func(*Options)) *host {
	t.Helper()
	public, internal := listen(t), listen(t)
	o := Options{
		Listener: public, GRPCListener: internal, CursorKeys: [][]byte{[]byte("key")}, Authenticator: &tokens{},
		Authorize: Authorize{AllowAll: true}, PingInterval: time.Second, PingTimeout: time.Second, ResumeWindow: 15 * time.Second,
	}
	if change != nil {
		change(&o)
	}
	g, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var run sync.WaitGroup
	run.Go(func() {
		if err := g.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	stop := sync.OnceFunc(func() { cancel(); run.Wait() })
	t.Cleanup(stop)
	return &host{Gateway: g, url: "http://" + public.Addr().String(), grpc: internal.Addr().String(), stop: stop}
}

// awaitReady asks until the gateway is ready.
func (h *host) awaitReady(t *testing.T) {
	t.Helper()
	await(t, "ready", func() bool { return h.Ready() == nil })
}

func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !done() {
		if time.Now().After(deadline) {
			t.Fatalf("never came: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// client is a minimal Socket.IO client on a WebSocket.
type client struct {
	t    *testing.T
	ws   *websocket.Conn
	acks int
	late []event // came while an ack was awaited
	mute bool    // answers no pings
}

type event struct {
	name   string
	args   []json.RawMessage
	cursor string
}

func dial(t *testing.T, h *host, auth string) *client {
	t.Helper()
	ws, response, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(h.url, "http")+"/socket.io/?EIO=4&transport=websocket", http.Header{"User-Agent": {"test"}})
	if err != nil {
		t.Fatal(err, response)
	}
	t.Cleanup(func() { _ = ws.Close() })
	c := &client{t: t, ws: ws}
	if first := c.next(); !strings.HasPrefix(first, "0{") {
		t.Fatalf("opened with %s", first)
	}
	c.send("40" + auth)
	return c
}

// connect dials, and returns when session:ready is in.
func connect(t *testing.T, h *host, token string) *client {
	t.Helper()
	c := dial(t, h, fmt.Sprintf(`{"token":%q}`, token))
	if answer := c.next(); !strings.HasPrefix(answer, "40{") {
		t.Fatalf("CONNECT answered by %s", answer)
	}
	if e := c.event(); e.name != "session:ready" {
		t.Fatalf("the first event is %s", e.name)
	}
	return c
}

func (c *client) send(text string) {
	c.t.Helper()
	if err := c.ws.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
		c.t.Fatal(err)
	}
}

// next returns the next message that is no ping; pings are answered.
func (c *client) next() string {
	c.t.Helper()
	text, err := c.read()
	if err != nil {
		c.t.Fatal(err)
	}
	return text
}

func (c *client) read() (string, error) {
	for {
		_ = c.ws.SetReadDeadline(time.Now().Add(patience))
		_, b, err := c.ws.ReadMessage()
		if err != nil {
			return "", err
		}
		if string(b) == "2" {
			if c.mute {
				continue
			}
			if err := c.ws.WriteMessage(websocket.TextMessage, []byte("3")); err != nil {
				return "", err
			}
			continue
		}
		return string(b), nil
	}
}

// event returns the next event, but for session:cursor.
func (c *client) event() event {
	c.t.Helper()
	if len(c.late) > 0 {
		e := c.late[0]
		c.late = c.late[1:]
		return e
	}
	for {
		if e := c.parse(c.next()); e.name != "session:cursor" {
			return e
		}
	}
}

func (c *client) parse(text string) event {
	c.t.Helper()
	if !strings.HasPrefix(text, "42[") {
		c.t.Fatalf("not an event: %s", text)
	}
	var args []json.RawMessage
	if err := json.Unmarshal([]byte(text[2:]), &args); err != nil {
		c.t.Fatal(err)
	}
	e := event{args: args[1:]}
	_ = json.Unmarshal(args[0], &e.name)
	_ = json.Unmarshal(args[len(args)-1], &e.cursor)
	return e
}

// ask emits an event and returns its ack; events that come before are kept.
func (c *client) ask(name, arg string) string {
	c.t.Helper()
	c.acks++
	id := fmt.Sprint(c.acks)
	if arg != "" {
		arg = "," + arg
	}
	c.send(fmt.Sprintf(`42%s[%q%s]`, id, name, arg))
	for {
		text := c.next()
		if rest, ok := strings.CutPrefix(text, "43"+id+"["); ok {
			return strings.TrimSuffix(rest, "]")
		}
		if e := c.parse(text); e.name != "session:cursor" {
			c.late = append(c.late, e)
		}
	}
}

func TestOnePublishReachesEveryBrowserInTheRoom(t *testing.T) {
	h := start(t, nil)
	if h.Ready() == nil {
		t.Error("ready before any router came")
	}
	f := newFeed(t, 3)
	f.publish(1, &deliveryv1.Record{Id: "before", Event: "e", Rooms: []string{"r:1"}})
	f.attach(h.grpc)
	h.awaitReady(t)
	a, b, other := connect(t, h, "a"), connect(t, h, "b"), connect(t, h, "c")
	for _, c := range []*client{a, b} {
		if got, want := c.ask("room:join", `"r:1"`), `{"ok":true,"room":"r:1","permissions":["join","type","publish","presence"],"replayed":0}`; got != want {
			t.Errorf("join: got %s, want %s", got, want)
		}
	}
	f.publish(2, &deliveryv1.Record{Id: "x", Event: "message:new", Rooms: []string{"r:1"}, Data: []byte(`{"text":"hi"}`), TimeMs: 42, SingleRoom: true})
	f.push(&deliveryv1.Record{Event: "typing:start", Rooms: []string{"r:1", "user:c"}, Data: []byte(`{}`)})
	for _, c := range []*client{a, b} {
		e := c.event()
		if e.name != "message:new" || string(e.args[0]) != `{"text":"hi"}` || string(e.args[1]) != `{"id":"x","time":42,"room":"r:1"}` || e.cursor == "" {
			t.Errorf("got %s %s", e.name, e.args)
		}
		if e := c.event(); e.name != "typing:start" || len(e.args) != 2 {
			t.Errorf("got %s %s", e.name, e.args)
		}
	}
	if e := other.event(); e.name != "typing:start" {
		t.Errorf("got %s", e.name)
	}
}

func TestTheGatewayStopsWithClientsThatComeBack(t *testing.T) {
	h := start(t, nil)
	f := newFeed(t, 1)
	f.attach(h.grpc)
	h.awaitReady(t)
	c := connect(t, h, "a")
	stopped := make(chan struct{})
	go func() { defer close(stopped); h.stop() }()
	for {
		text, err := c.read()
		if err != nil {
			break
		}
		if strings.HasPrefix(text, "41") || strings.HasPrefix(text, "1") {
			t.Errorf("said goodbye: %s", text)
		}
	}
	<-stopped
	if err := h.Ready(); err == nil {
		t.Error("still ready")
	}
}

func TestSettingsThatCannotResumeAreRefused(t *testing.T) {
	l := listen(t)
	defer l.Close()
	_, err := New(Options{GRPCListener: l, CursorKeys: [][]byte{[]byte("key")}, Authenticator: &tokens{}, PingInterval: time.Minute})
	if err == nil || !strings.Contains(err.Error(), "resume window") {
		t.Errorf("got %v", err)
	}
	if _, err := New(Options{}); err == nil || !strings.Contains(err.Error(), "Authenticator") || !strings.Contains(err.Error(), "GRPCListener") {
		t.Errorf("all that is missing must be named: %v", err)
	}
}

func TestADrainingGatewayStillAcceptsForTheDelay(t *testing.T) {
	h := start(t, func(o *Options) { o.DrainDelay = 500 * time.Millisecond })
	f := newFeed(t, 1)
	f.attach(h.grpc)
	h.awaitReady(t)
	stopped := make(chan struct{})
	go func() { defer close(stopped); h.stop() }()
	await(t, "not ready", func() bool { return h.Ready() != nil })
	c := connect(t, h, "a") // an endpoint list that is not up to date yet
	f.publish(0, &deliveryv1.Record{Id: "x", Event: "e", Rooms: []string{"user:a"}})
	if e := c.event(); e.name != "e" {
		t.Errorf("got %s", e.name)
	}
	for {
		if text, err := c.read(); err != nil {
			break
		} else if strings.HasPrefix(text, "41") {
			t.Error("said goodbye")
		}
	}
	<-stopped
}
