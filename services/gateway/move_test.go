package gateway

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	deliveryv1 "github.com/edumatrix/interlink/proto/delivery/v1"
	"github.com/edumatrix/interlink/services/gateway/internal/cursor"
	"github.com/edumatrix/interlink/services/gateway/internal/hub"
)

// poller is a client that begins with long-polling, and sends each request to another gateway.
type poller struct {
	t     *testing.T
	hosts []*host
	sid   string
	turn  int
}

func (p *poller) request(method, body string) string {
	p.turn++
	h := p.hosts[p.turn%len(p.hosts)]
	url := h.url + "/socket.io/?EIO=4&transport=polling"
	if p.sid != "" {
		url += "&sid=" + p.sid
	}
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		p.t.Error(err)
		return ""
	}
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "text/plain;charset=UTF-8")
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		p.t.Error(err)
		return ""
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		p.t.Errorf("%s answered by %d %s %v", method, answer.StatusCode, b, err)
	}
	return string(b)
}

// open begins a session at the first gateway.
func (p *poller) open() {
	p.turn = len(p.hosts) - 1
	answer := p.request(http.MethodGet, "")
	_, rest, _ := strings.Cut(answer, `"sid":"`)
	p.sid, _, _ = strings.Cut(rest, `"`)
}

const separator = "\x1e"

// get polls, answers pings, and returns the messages.
func (p *poller) get() []string {
	var out []string
	for _, packet := range strings.Split(p.request(http.MethodGet, ""), separator) {
		switch {
		case packet == "2":
			p.request(http.MethodPost, "3")
		case strings.HasPrefix(packet, "4"):
			out = append(out, packet)
		case packet == "6", packet == "":
		default:
			p.t.Errorf("polled %q", packet)
		}
	}
	return out
}

// upgrade moves the client to a WebSocket at a gateway, as the stock client does: its last poll ends while the probe is
// answered, then it says that the WebSocket takes over. It returns what that last poll brought.
func (p *poller) upgrade(h *host) (*client, []string) {
	url := "ws" + strings.TrimPrefix(h.url, "http") + "/socket.io/?EIO=4&transport=websocket&sid=" + p.sid
	ws, response, err := websocket.DefaultDialer.Dial(url, nil)
	if err != nil {
		p.t.Error(err, response)
		return nil, nil
	}
	var last []string
	var polling sync.WaitGroup
	polling.Go(func() { last = p.get() })
	c := &client{t: p.t, ws: ws}
	c.send("2probe")
	if answer, err := c.read(); err != nil || answer != "3probe" {
		p.t.Errorf("probe answered by %q, %v", answer, err)
	}
	polling.Wait()
	c.send("5")
	return c, last
}

// given is one durable event as a client got it.
type given struct {
	id     string
	cursor string
}

func parseGiven(t *testing.T, texts []string) []given {
	var out []given
	c := &client{t: t}
	for _, text := range texts {
		if !strings.HasPrefix(text, "42[") {
			continue
		}
		e := c.parse(text)
		if e.name != "m" {
			continue
		}
		_, id, _ := strings.Cut(string(e.args[1]), `"id":"`)
		id, _, _ = strings.Cut(id, `"`)
		out = append(out, given{id: id, cursor: e.cursor})
	}
	return out
}

// judge compares what a client got with the log: each record of its room from start to end once, in the order of its
// partition, and each cursor stands for exactly what was given up to it.
func judge(t *testing.T, f *feed, b *backend, who, name string, start []int64, got []given) {
	t.Helper()
	signer, err := cursor.NewSigner([][]byte{[]byte("key")})
	if err != nil {
		t.Fatal(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	at := append([]int64(nil), start...)
	mine := func(r *deliveryv1.Record) bool { return r.Control == nil && r.Rooms[0] == name }
	for n, g := range got {
		var p int
		var o int64
		if _, err := fmt.Sscanf(g.id, "%d/%d", &p, &o); err != nil {
			t.Fatal(err)
		}
		for at[p] < o {
			if mine(f.log[p][at[p]]) {
				t.Fatalf("%s: %s came after a record at %d/%d was left out", who, g.id, p, at[p])
			}
			at[p]++
		}
		if at[p] > o {
			t.Fatalf("%s: %s came again, or late", who, g.id)
		}
		at[p]++
		stands := b.vector(t, signer, g.cursor)
		for q, offset := range stands {
			for o := min(at[q], offset); o < max(at[q], offset); o++ {
				if mine(f.log[q][o]) {
					t.Fatalf("%s: event %d, %s: its cursor says %v, it was given up to %v", who, n, g.id, stands, at)
				}
			}
		}
	}
	for p := range at {
		for ; at[p] < int64(len(f.log[p])); at[p]++ {
			if mine(f.log[p][at[p]]) {
				t.Fatalf("%s: %d/%d never came", who, p, at[p])
			}
		}
	}
}

// vector reads a cursor, base and all.
func (b *backend) vector(t *testing.T, signer *cursor.Signer, text string) []int64 {
	t.Helper()
	c, err := signer.Parse(text)
	if err != nil {
		t.Fatalf("cursor %q: %v", text, err)
	}
	if c.Base == 0 {
		return c.Offsets
	}
	b.mu.Lock()
	record, stored := b.bases[hub.BaseID(c.Base)]
	b.mu.Unlock()
	if !stored {
		t.Fatal("a cursor cites a base that is not stored")
	}
	base, err := cursor.ParseBase(record)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Resolve(base); err != nil {
		t.Fatal(err)
	}
	return c.Offsets
}

// publisher appends records to all partitions until it is told to stop.
func publishUntil(f *feed, rooms []string, stop chan struct{}) *sync.WaitGroup {
	var running sync.WaitGroup
	for p := range f.log {
		running.Go(func() {
			pace := time.NewTicker(2 * time.Millisecond)
			defer pace.Stop()
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				case <-pace.C:
				}
				f.mu.Lock()
				id := fmt.Sprintf("%d/%d", p, len(f.log[p]))
				f.mu.Unlock()
				f.publish(p, &deliveryv1.Record{Id: id, Event: "m", Rooms: []string{rooms[n%len(rooms)]}, Data: []byte(`{"n":1}`)})
			}
		})
	}
	return &running
}

func TestSessionsMoveUnderLoadAndLoseNothing(t *testing.T) {
	f := newFeed(t, 3)
	b := newBackend(t, f)
	f.replay = b.addr
	one, two := start(t, b.use), start(t, b.use)
	f.attach(one.grpc)
	f.attach(two.grpc)
	one.awaitReady(t)
	two.awaitReady(t)
	await(t, "both gateways known", func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return len(b.gateways) == 2
	})
	rooms := []string{"r:0", "r:1", "r:2", "r:3"}
	stop := make(chan struct{})
	publishing := publishUntil(f, rooms, stop)
	type run struct {
		who, room string
		start     []int64
		got       []given
		ws        *client
	}
	runs := make([]*run, 12)
	signer, err := cursor.NewSigner([][]byte{[]byte("key")})
	if err != nil {
		t.Fatal(err)
	}
	var signing sync.Mutex
	var moving sync.WaitGroup
	for i := range runs {
		r := &run{who: fmt.Sprintf("u%d", i), room: rooms[i%len(rooms)]}
		runs[i] = r
		moving.Go(func() {
			p := &poller{t: t, hosts: []*host{one, two}}
			p.open()
			p.request(http.MethodPost, `40{"token":"`+r.who+`"}`)
			p.request(http.MethodPost, `421["room:join","`+r.room+`"]`)
			cursor := ""
			for r.start == nil && !t.Failed() { // it begins at the session:cursor before the ack
				for _, text := range p.get() {
					switch {
					case strings.HasPrefix(text, "42["):
						if e := (&client{t: t}).parse(text); r.start == nil {
							cursor = e.cursor
						} else {
							r.got = append(r.got, parseGiven(t, []string{text})...)
						}
					case strings.HasPrefix(text, "431["):
						signing.Lock()
						r.start = b.vector(t, signer, cursor)
						signing.Unlock()
					}
				}
			}
			var texts []string
			for range 3 + i%4 {
				texts = append(texts, p.get()...)
			}
			ws, last := p.upgrade(two)
			r.ws, r.got = ws, append(r.got, parseGiven(t, append(texts, last...))...)
		})
	}
	moving.Wait()
	for range 50 {
		for _, r := range runs { // some live events each
			if r.ws != nil {
				text, err := r.ws.read()
				if err != nil {
					t.Fatalf("%s: %v", r.who, err)
				}
				r.got = append(r.got, parseGiven(t, []string{text})...)
			}
		}
	}
	close(stop)
	publishing.Wait()
	for p := range f.log {
		for _, name := range rooms {
			f.publish(p, &deliveryv1.Record{Id: fmt.Sprintf("%d/%d", p, len(f.log[p])), Event: "m", Rooms: []string{name}})
		}
	}
	last := map[string]string{}
	for _, name := range rooms {
		f.publish(0, &deliveryv1.Record{Id: fmt.Sprintf("0/%d", len(f.log[0])), Event: "m", Rooms: []string{name}})
		last[name] = fmt.Sprintf("0/%d", len(f.log[0])-1)
	}
	for _, r := range runs {
		for len(r.got) == 0 || r.got[len(r.got)-1].id != last[r.room] {
			text, err := r.ws.read()
			if err != nil {
				t.Fatalf("%s: %v", r.who, err)
			}
			r.got = append(r.got, parseGiven(t, []string{text})...)
		}
		judge(t, f, b, r.who, r.room, r.start, r.got)
		_ = r.ws.ws.Close()
	}
	total := 0
	for _, r := range runs {
		total += len(r.got)
	}
	t.Logf("%d sockets moved, %d events judged, %d partitions replayed", len(runs), total, b.fetches)
	if b.fetches == 0 {
		t.Error("nothing was replayed: the run did not reach what it is for")
	}
}

func TestStrayRequestsOfGatewaysThatHaveGone(t *testing.T) {
	s := newScene(t, nil)
	get := func(sid string) (int, string) {
		answer, err := http.Get(s.url + "/socket.io/?EIO=4&transport=polling&sid=" + sid)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		b, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer.StatusCode, string(b)
	}
	if code, body := get("gone.abc"); code != http.StatusBadRequest || !strings.Contains(body, "Session ID unknown") {
		t.Errorf("a gateway without a lease: %d %s, want the client to begin anew", code, body)
	}
	s.backend.setAway(true)
	if code, _ := get("other.abc"); code != http.StatusServiceUnavailable {
		t.Errorf("in doubt: %d, want the client to try again", code)
	}
	s.backend.setAway(false)
	s.backend.mu.Lock()
	s.backend.gateways["dead"] = "127.0.0.1:1"
	s.backend.mu.Unlock()
	if code, _ := get("dead.abc"); code != http.StatusServiceUnavailable {
		t.Errorf("a gateway that does not answer: %d, want the client to try again", code)
	}
	url := "ws" + strings.TrimPrefix(s.url, "http") + "/socket.io/?EIO=4&transport=websocket&sid=gone.abc"
	ws, _, err := websocket.DefaultDialer.Dial(url, nil)
	if err == nil { // upgrade before it is known that there is nothing to take over
		_ = ws.SetReadDeadline(time.Now().Add(patience))
		if _, _, err := ws.ReadMessage(); err == nil {
			t.Error("a WebSocket for a session that is gone was served")
		}
		_ = ws.Close()
	}
}

func TestASessionThatHasNoSocketYetMovesToo(t *testing.T) {
	f := newFeed(t, 1)
	b := newBackend(t, f)
	one, two := start(t, b.use), start(t, b.use)
	f.attach(one.grpc)
	f.attach(two.grpc)
	one.awaitReady(t)
	two.awaitReady(t)
	await(t, "both gateways known", func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return len(b.gateways) == 2
	})
	p := &poller{t: t, hosts: []*host{one}}
	p.open()
	c, _ := p.upgrade(two)
	defer c.ws.Close()
	c.send(`40{"token":"u"}`)
	if answer := c.next(); !strings.HasPrefix(answer, "40{") {
		t.Fatalf("CONNECT answered by %s", answer)
	}
	if e := c.event(); e.name != "session:ready" {
		t.Errorf("got %s", e.name)
	}
	if got := c.fields("room:join", `"r:1"`); !got.OK {
		t.Errorf("got %+v", got)
	}
}
