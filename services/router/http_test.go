package router

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	deliveryv1 "github.com/edumatrix/interlink/proto/delivery/v1"
	emitv1 "github.com/edumatrix/interlink/proto/emit/v1"
	presencev1 "github.com/edumatrix/interlink/proto/presence/v1"
)

func post(t *testing.T, r *Router, path, body string) (int, map[string]any) {
	t.Helper()
	req := httptest.NewRequest("POST", path, strings.NewReader(body))
	req.Header.Set("X-Api-Key", string(goodKey))
	w := httptest.NewRecorder()
	r.Handler().ServeHTTP(w, req)
	var got map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	return w.Code, got
}

func TestAnEmitReachesTheRoomOnceHoweverOftenItIsRepeated(t *testing.T) {
	c := broker(t)
	g := newGateway(t, "g1", red)
	r, _ := start(t, c, func(o *Options) { o.Gateways = []string{g.addr} })
	attached(t, g, r)
	const body = `{"id":"i1","event":"n","to":{"rooms":["conversation:red"]},"data":7}`
	status, first := post(t, r, "/v1/emit", body)
	if status != http.StatusAccepted || first["id"] != "i1" || first["partition"] != float64(partitionOf(red)) || first["offset"] != float64(0) {
		t.Fatalf("%d %v", status, first)
	}
	for range 3 {
		if _, again := post(t, r, "/v1/emit", body); again["offset"] != first["offset"] {
			t.Errorf("repeated: %v, first: %v", again, first)
		}
	}
	post(t, r, "/v1/emit", `{"event":"n","to":{"rooms":["conversation:red"]},"data":8}`)
	eventually(t, "the next one arrives", func() bool { return slices.Contains(g.data(red), "8") })
	if got := g.data(red); !slices.Equal(got, []string{"7", "8"}) {
		t.Errorf("got %v", got)
	}
	rec := g.records[uint32(partitionOf(red))][0]
	if rec.GetId() != "i1" || rec.GetTimeMs() == 0 || !rec.GetSingleRoom() {
		t.Errorf("record %v", rec)
	}
}

func TestABatchKeepsItsOrder(t *testing.T) {
	c := broker(t)
	g := newGateway(t, "g1", red)
	r, _ := start(t, c, func(o *Options) { o.Gateways = []string{g.addr} })
	attached(t, g, r)
	var body strings.Builder
	for _, n := range numbers(0, 500) {
		body.WriteString(`{"event":"n","to":{"rooms":["conversation:red"]},"data":` + n + "}\n")
	}
	req := httptest.NewRequest("POST", "/v1/emit/batch", strings.NewReader(body.String()))
	req.Header.Set("Authorization", "Bearer "+string(goodKey))
	w := httptest.NewRecorder()
	r.Handler().ServeHTTP(w, req)
	out, _ := io.ReadAll(w.Body)
	if lines := strings.Count(string(out), `"offset"`); lines != 500 {
		t.Fatalf("%d lines: %.300s", lines, out)
	}
	eventually(t, "all arrive", func() bool { return len(g.data(red)) == 500 })
	if got := g.data(red); !slices.Equal(got, numbers(0, 500)) {
		t.Errorf("got %v", got)
	}
}

func TestVolatileAndPushedRecordsGoPastKafkaToTheirRoomsOnly(t *testing.T) {
	c := broker(t)
	g, other := newGateway(t, "g1", red), newGateway(t, "g2", blue)
	r, _ := start(t, c, func(o *Options) { o.Gateways = []string{g.addr, other.addr} })
	attached(t, g, r)
	attached(t, other, r)
	if status, got := post(t, r, "/v1/emit", `{"volatile":true,"event":"v","to":{"rooms":["conversation:red"]}}`); status != 202 || got["offset"] != nil {
		t.Fatalf("%d %v", status, got)
	}
	conn, err := grpc.NewClient(r.opts.GRPCListener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	b, err := proto.Marshal(&deliveryv1.Record{Event: "typing:start", Rooms: []string{string(red)}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := emitv1.NewEmitClient(conn).Push(testContext(t), &emitv1.PushRequest{Records: [][]byte{b}}); err != nil {
		t.Fatal(err)
	}
	pushed := func() (n int) { g.with(func() { n = len(g.pushed) }); return n }
	eventually(t, "both are pushed", func() bool { return pushed() == 2 })
	other.with(func() {
		if len(other.pushed) != 0 {
			t.Errorf("the other gateway got %v", other.pushed)
		}
	})
	if n := c.PartitionInfo("interlink.events", int32(partitionOf(red))).HighWatermark; n != 0 {
		t.Errorf("%d records in kafka", n)
	}
}

func TestPublishOverGRPCWritesOurTopicsOnly(t *testing.T) {
	c := broker(t)
	r, _ := start(t, c, nil)
	ready(t, r)
	conn, err := grpc.NewClient(r.opts.GRPCListener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	client := emitv1.NewEmitClient(conn)
	resp, err := client.Publish(testContext(t), &emitv1.PublishRequest{Entries: []*emitv1.Entry{
		{Topic: "lifecycle", Key: []byte("u1"), Value: []byte("1")}, {Topic: "receipts", Key: []byte("u1"), Value: []byte("2")}}})
	if err != nil || len(resp.GetResults()) != 2 || resp.GetResults()[0].GetError() != "" {
		t.Fatalf("%v %v", resp, err)
	}
	p := resp.GetResults()[0].GetPartition()
	if n := c.PartitionInfo("interlink.lifecycle", int32(p)).HighWatermark; n != 1 {
		t.Errorf("%d records", n)
	}
	if _, err := client.Publish(testContext(t), &emitv1.PublishRequest{Entries: []*emitv1.Entry{{Topic: "__consumer_offsets"}}}); err == nil {
		t.Error("a foreign topic was written")
	}
}

func TestARevocationIsKeptAndToldToEveryGatewayAlsoAfterARestart(t *testing.T) {
	c := broker(t)
	g := newGateway(t, "g1")
	r, stop := start(t, c, func(o *Options) { o.Gateways = []string{g.addr} })
	attached(t, g, r)
	before := time.Now().Add(-time.Hour).UTC().Truncate(time.Millisecond)
	post(t, r, "/v1/emit", `{"control":"session.revoked","user":"u7","before":"`+before.Format(time.RFC3339Nano)+`"}`)
	told := func(g *fakeGateway) (ok bool) {
		g.with(func() {
			for _, v := range g.revoked {
				ok = ok || v.GetUser() == "u7" && v.GetBeforeMs() == before.UnixMilli()
			}
		})
		return ok
	}
	eventually(t, "the gateway is told", func() bool { return told(g) })
	stop()
	late := newGateway(t, "g2")
	start(t, c, func(o *Options) { o.Gateways = []string{late.addr} })
	eventually(t, "a gateway of the next router is told", func() bool { return told(late) })
	if n := c.PartitionInfo("interlink.revocations", 0).HighWatermark; n != 1 {
		t.Errorf("%d revocations were written, want 1", n)
	}
}

func TestRoomsAndSessionsAreAskedOfEveryGateway(t *testing.T) {
	c := broker(t)
	g, other := newGateway(t, "g1"), newGateway(t, "g2")
	r, _ := start(t, c, func(o *Options) { o.Gateways = []string{g.addr, other.addr} })
	attached(t, g, r)
	attached(t, other, r)
	get := func(path string) string {
		req := httptest.NewRequest("GET", path, nil)
		req.Header.Set("X-Api-Key", string(goodKey))
		w := httptest.NewRecorder()
		r.Handler().ServeHTTP(w, req)
		return w.Body.String()
	}
	if got := get("/v1/rooms/a:b"); !strings.Contains(got, `"sockets":2,"users":["u-g1","u-g2"]`) {
		t.Error(got)
	}
	if got := get("/v1/users/u1/sessions"); strings.Count(got, `"userAgent":"test"`) != 2 {
		t.Error(got)
	}
	if got := get("/v1/presence?users=a"); !strings.Contains(got, "unavailable") {
		t.Error(got)
	}
}

func TestKafkaAwayIsA503AndComesBack(t *testing.T) {
	c := broker(t)
	r, _ := start(t, c, func(o *Options) { o.EmitTimeout = 300 * time.Millisecond })
	const body = `{"id":"i1","event":"n","to":{"rooms":["conversation:red"]}}`
	ready(t, r)
	stall := make(chan struct{})
	c.ControlKey(0, stalled(c, stall))
	if status, got := post(t, r, "/v1/emit", body); status != 503 || got["code"] != "unavailable" {
		t.Errorf("%d %v", status, got)
	}
	close(stall)
	eventually(t, "it is published", func() bool { status, _ := post(t, r, "/v1/emit", body); return status == 202 })
}

func TestBeforeKafkaAnswersEmitsAre503(t *testing.T) {
	r, err := New(Options{Kafka: Kafka{Brokers: []string{"127.0.0.1:1"}}, APIKeys: func() [][]byte { return [][]byte{goodKey} }})
	if err != nil {
		t.Fatal(err)
	}
	if status, _ := post(t, r, "/v1/emit", `{"event":"n","to":{"rooms":["a:b"]}}`); status != 503 {
		t.Errorf("%d", status)
	}
	if err := r.Ready(); err == nil {
		t.Error("ready without kafka")
	}
}

type fakePresence struct {
	presencev1.UnimplementedPresenceServer
	dropped chan *presencev1.DropPermissionsRequest
	fails   atomic.Int32
}

func (f *fakePresence) DropPermissions(_ context.Context, req *presencev1.DropPermissionsRequest) (*presencev1.DropPermissionsResponse, error) {
	if f.fails.Add(-1) >= 0 {
		return nil, status.Error(codes.Unavailable, "away")
	}
	f.dropped <- req
	return &presencev1.DropPermissionsResponse{}, nil
}

func TestThePermissionsAreForgottenBeforeTheChangeIsDelivered(t *testing.T) {
	c := broker(t)
	g := newGateway(t, "g1", red)
	f := &fakePresence{dropped: make(chan *presencev1.DropPermissionsRequest)} // answers when the test takes it
	server := grpc.NewServer()
	presencev1.RegisterPresenceServer(server, f)
	l := listen(t)
	go server.Serve(l)
	t.Cleanup(server.Stop)
	r, _ := start(t, c, func(o *Options) { o.Gateways, o.Presence = []string{g.addr}, dial(t, l.Addr().String()) })
	attached(t, g, r)
	controls := func() (n int) {
		g.with(func() {
			for _, rec := range g.records[uint32(partitionOf(red))] {
				if rec.GetControl() != nil {
					n++
				}
			}
		})
		return n
	}
	post(t, r, "/v1/rooms/conversation:red/evict", `{"users":["u1"]}`)
	select {
	case <-f.dropped:
	case <-time.After(within):
		t.Fatal("never dropped")
	}
	eventually(t, "the change is delivered", func() bool { return controls() == 1 })
	post(t, r, "/v1/rooms/conversation:red/evict", `{"users":["u2"]}`) // nobody answers: it is delivered all the same
	eventually(t, "the change is delivered although presence hangs", func() bool { return controls() == 2 })
	select {
	case <-f.dropped:
	case <-time.After(within):
		t.Fatal("never dropped")
	}
}

func TestAChangedMembershipIsForgottenByTheCacheAlsoIfPresenceWasAway(t *testing.T) {
	c := broker(t)
	f := &fakePresence{dropped: make(chan *presencev1.DropPermissionsRequest, 8)}
	f.fails.Store(1)
	server := grpc.NewServer()
	presencev1.RegisterPresenceServer(server, f)
	l := listen(t)
	go server.Serve(l)
	t.Cleanup(server.Stop)
	conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	r, _ := start(t, c, func(o *Options) { o.Presence = conn })
	ready(t, r)
	post(t, r, "/v1/rooms/conversation:red/evict", `{"users":["u1"]}`)
	select {
	case req := <-f.dropped:
		if req.GetRoom() != string(red) || !slices.Equal(req.GetRemoved(), []string{"u1"}) || len(req.GetUsers()) > 0 ||
			time.Since(time.UnixMilli(req.GetRemovedMs())).Abs() > time.Minute {
			t.Errorf("%v", req)
		}
	case <-time.After(within):
		t.Fatal("never dropped")
	}
}
