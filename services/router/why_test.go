package router

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	deliveryv1 "github.com/edumatrix/interlink/proto/delivery/v1"
	"github.com/edumatrix/interlink/services/internal/room"
	"github.com/edumatrix/interlink/services/router/internal/why"
)

// Outcome answers with one socket for each user asked about, or of user u1, in every room.
func (g *fakeGateway) Outcome(_ context.Context, req *deliveryv1.OutcomeRequest) (*deliveryv1.OutcomeResponse, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := &deliveryv1.OutcomeResponse{Gateway: g.name, Position: g.positions[req.GetPartition()], Members: 1, TopicEpoch: g.hellos[len(g.hellos)-1].GetTopicEpoch()}
	users := req.GetUsers()
	if len(users) == 0 {
		users = []string{"u-" + g.name}
	}
	for _, u := range users {
		if u == "u-"+g.name {
			out.Sockets = append(out.Sockets, &deliveryv1.SocketOutcome{Socket: "s-" + g.name, User: u, Member: true})
		}
	}
	return out, nil
}

// Routers lists those that said Hello.
func (g *fakeGateway) Routers(context.Context, *deliveryv1.RoutersRequest) (*deliveryv1.RoutersResponse, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := &deliveryv1.RoutersResponse{}
	for _, h := range g.hellos {
		out.Addrs = append(out.Addrs, h.GetReplayAddr())
	}
	slices.Sort(out.Addrs)
	out.Addrs = slices.Compact(out.Addrs)
	return out, nil
}

func explain(t *testing.T, r *Router, id, user string) (int, why.Answer) {
	t.Helper()
	path := "/v1/events/" + url.PathEscape(id)
	if user != "" {
		path += "?user=" + url.QueryEscape(user)
	}
	req := httptest.NewRequest("GET", path, nil)
	req.Header.Set("X-Api-Key", string(goodKey))
	w := httptest.NewRecorder()
	r.Handler().ServeHTTP(w, req)
	var got why.Answer
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	return w.Code, got
}

func TestAnyRouterSaysWhatHappenedToAnyEvent(t *testing.T) {
	c := broker(t)
	rooms := []room.Room{red, blue, "group:1", "group:2", "group:3", "group:4"}
	g, other := newGateway(t, "g1", rooms...), newGateway(t, "g2", rooms...)
	with := func(o *Options) { o.Gateways = []string{g.addr, other.addr} }
	first, _ := start(t, c, with)
	second, _ := start(t, c, with)
	attached(t, g, first, second)
	attached(t, other, first, second)
	eventually(t, "both hold two partitions", func() bool {
		a, _ := first.held.Owned()
		b, _ := second.held.Owned()
		return len(a) == 2 && len(b) == 2
	})
	for i, name := range rooms {
		id := "id-" + string(name)
		produce(t, c, event(string(name), id, i))
		eventually(t, "it arrives", func() bool { return len(g.data(name)) == 1 && len(other.data(name)) == 1 })
		for _, r := range []*Router{first, second} {
			status, got := explain(t, r, id, "")
			if status != http.StatusOK || len(got.Events) != 1 || got.Incomplete != nil {
				t.Fatalf("%s: %d %+v", id, status, got)
			}
			e := got.Events[0]
			if e.Partition != partitionOf(name) || !e.InMemory || e.Key != string(name) || e.WrongKey || !slices.Equal(e.Rooms, []string{string(name)}) {
				t.Errorf("%s: %+v", id, e)
			}
			if len(e.Gateways) != 2 || !e.Gateways[0].Passed || e.Gateways[1].Gateway != "g2" {
				t.Errorf("%s: gateways %+v", id, e.Gateways)
			}
			if len(e.Users) != 2 || e.Users[0].User != "u-g1" || e.Users[0].Outcome != why.Delivered || e.Users[1].Sockets[0].Gateway != "g2" {
				t.Errorf("%s: users %+v", id, e.Users)
			}
		}
	}
	if status, got := explain(t, first, "id-"+string(red), "nobody"); status != 200 || len(got.Events[0].Users) != 1 || got.Events[0].Users[0].Outcome != why.Offline {
		t.Errorf("%d %+v", status, got)
	}
	if status, _ := explain(t, second, "never", ""); status != http.StatusNotFound {
		t.Errorf("an id that was never published: %d", status)
	}
}

func TestAWrongKeyAndAMissingIDAreNamed(t *testing.T) {
	c := broker(t)
	g := newGateway(t, "g1", red)
	r, _ := start(t, c, func(o *Options) { o.Gateways = []string{g.addr} })
	attached(t, g, r)
	odd := event(string(red), "odd", 1)
	odd.Key = []byte("user:sender")
	none := event(string(red), "", 2)
	none.Key = nil
	produce(t, c, odd, none, event(string(red), "odd", 1))
	eventually(t, "all arrive", func() bool { return len(g.data(red)) == 3 })
	status, got := explain(t, r, "odd", "")
	if status != 200 || len(got.Events) != 2 {
		t.Fatalf("%d %+v", status, got)
	}
	for _, e := range got.Events {
		if wrong := e.Key != string(red); e.WrongKey != wrong || e.Key != string(red) && e.Key != "user:sender" {
			t.Errorf("%+v", e)
		}
	}
	var id string
	g.with(func() {
		for _, records := range g.records {
			for _, rec := range records {
				if strings.HasPrefix(rec.GetId(), "interlink.events/") {
					id = rec.GetId()
				}
			}
		}
	})
	status, got = explain(t, r, id, "")
	if status != 200 || len(got.Events) != 1 || got.Events[0].Key != "" || !got.Events[0].WrongKey || got.Events[0].Rooms[0] != string(red) {
		t.Errorf("%s: %d %+v", id, status, got)
	}
}

func TestADoubtIsNotAnAnswer(t *testing.T) {
	c := broker(t)
	g := newGateway(t, "g1", red)
	r, _ := start(t, c, func(o *Options) { o.Gateways = []string{g.addr} })
	attached(t, g, r)
	g.with(func() { // a router that is away, or has never been
		g.hellos = append(g.hellos, &deliveryv1.Hello{ReplayAddr: "127.0.0.1:1", TopicEpoch: g.hellos[0].GetTopicEpoch()})
	})
	if status, _ := explain(t, r, "never", ""); status != http.StatusServiceUnavailable {
		t.Errorf("while a router does not answer: %d", status)
	}
	produce(t, c, event(string(red), "one", 1))
	eventually(t, "it arrives", func() bool { return len(g.data(red)) == 1 })
	if status, got := explain(t, r, "one", ""); status != 200 || !slices.Equal(got.Incomplete, []string{"router 127.0.0.1:1"}) {
		t.Errorf("%d %+v", status, got)
	}
}
