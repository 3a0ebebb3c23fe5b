package router

import (
	"context"
	"encoding/json"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	presencev1 "github.com/edumatrix/interlink/proto/presence/v1"
	"github.com/edumatrix/interlink/services/internal/room"
	"github.com/edumatrix/interlink/services/presence"
)

func dial(t *testing.T, addr string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// startPresence runs a presence service without Redis, on a given address or on any, until the test ends.
func startPresence(t *testing.T, addr, routers string) (at string) {
	t.Helper()
	l := listen(t)
	if addr != "" {
		l.Close()
		var err error
		if l, err = (&net.ListenConfig{}).Listen(t.Context(), "tcp", addr); err != nil {
			t.Fatal(err)
		}
	}
	p, err := presence.New(presence.Options{Memory: true, GRPCListener: l, Emit: dial(t, routers), UndeliveredAfter: time.Millisecond, StopTimeout: time.Second, Logger: testLogger(t)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

// waiting lists what waits for a user, as a session would be given it that starts behind everything.
func waiting(t *testing.T, client presencev1.PresenceClient, log, user string) []string {
	t.Helper()
	start := map[uint32]int64{}
	for p := range uint32(4) {
		start[p] = 1 << 40
	}
	if _, err := client.OpenInbox(testContext(t), &presencev1.OpenInboxRequest{Log: log, User: user, Session: "s-" + user, Start: start}); err != nil {
		return nil // away: asked again
	}
	got, err := client.ReadInbox(testContext(t), &presencev1.ReadInboxRequest{Log: log, User: user, Session: "s-" + user})
	if err != nil {
		return nil
	}
	var out []string
	for _, e := range got.GetEntries() {
		out = append(out, string(unmarshal(e.GetRecord()).GetData()))
	}
	return out
}

const queuedEvent = `{"id":"q1","event":"n","to":{"rooms":["conversation:red"],"users":["u1","u2"]},"except":{"users":["u2"]},"queue":true,"data":1}`

func TestAQueuedEventWaitsForItsUsersIsReportedOnceAndDelaysNothing(t *testing.T) {
	c := broker(t)
	g := newGateway(t, "g1", red, room.OfUser("u1"))
	routers := listen(t)
	reserved := listen(t)
	addr := reserved.Addr().String()
	reserved.Close() // presence is away when the events come
	with := func(o *Options) {
		o.Gateways, o.GRPCListener, o.Presence = []string{g.addr}, routers, dial(t, addr)
	}
	r, _ := start(t, c, with)
	attached(t, g, r)
	post(t, r, "/v1/emit", queuedEvent)
	post(t, r, "/v1/emit", queuedEvent)
	post(t, r, "/v1/emit", `{"event":"n","to":{"rooms":["conversation:red"]},"queue":true,"data":2}`)
	post(t, r, "/v1/emit", `{"id":"q3","event":"n","to":{"rooms":["conversation:red"],"users":["u1"]},"queue":true,"data":3}`)
	eventually(t, "they are delivered although presence is away", func() bool { return slices.Equal(g.data(red), numbers(1, 4)) })
	client := presencev1.NewPresenceClient(dial(t, addr))
	startPresence(t, addr, routers.Addr().String())
	log := g.epochs()[0]
	eventually(t, "both wait for the user", func() bool { return slices.Equal(waiting(t, client, log, "u1"), []string{"1", "3"}) })
	if got := waiting(t, client, log, "u2"); got != nil {
		t.Errorf("the one who was excepted has %v", got)
	}
	eventually(t, "both are reported", func() bool {
		sum := int64(0)
		for p := range int32(4) {
			sum += c.PartitionInfo("interlink.undelivered", p).HighWatermark
		}
		return sum == 2
	})
	eventually(t, "the inbox's group has come as far as presence answered", func() bool { return groupCommitted(c, "interlink-inbox") == 3 })
}

func TestALateEntryWakesTheSessionThatItWillNotComeTo(t *testing.T) {
	c := broker(t)
	g := newGateway(t, "g1", room.OfUser("u1"))
	routers := listen(t)
	addr := startPresence(t, "", routers.Addr().String())
	r, _ := start(t, c, func(o *Options) { o.Gateways, o.GRPCListener, o.Presence = []string{g.addr}, routers, dial(t, addr) })
	attached(t, g, r)
	client := presencev1.NewPresenceClient(dial(t, addr))
	eventually(t, "presence answers", func() bool {
		waiting(t, client, g.epochs()[0], "u1")
		return len(waiting(t, client, g.epochs()[0], "u1")) == 0
	})
	post(t, r, "/v1/emit", queuedEvent)
	var woken []string
	eventually(t, "its gateway is told", func() bool {
		g.with(func() {
			for _, rec := range g.pushed {
				if rec.GetEvent() == "interlink:inbox" && slices.Equal(rec.GetRooms(), []string{"user:u1"}) {
					var data struct {
						Session []string `json:"session"`
					}
					if err := json.Unmarshal(rec.GetData(), &data); err != nil {
						t.Error(err)
					}
					woken = data.Session
				}
			}
		})
		return woken != nil
	})
	if !slices.Equal(woken, []string{"s-u1"}) {
		t.Errorf("woken %v", woken)
	}
}

func TestQueuedEventsThatNobodyBroughtBeforeAreBroughtByWhoComesFirst(t *testing.T) {
	c := broker(t)
	first, stopFirst := start(t, c, nil) // without presence
	ready(t, first)
	post(t, first, "/v1/emit", strings.Replace(queuedEvent, "q1", "q0", 1))
	stopFirst()
	routers := listen(t)
	addr := startPresence(t, "", routers.Addr().String())
	second, _ := start(t, c, func(o *Options) { o.GRPCListener, o.Presence = routers, dial(t, addr) })
	ready(t, second)
	client := presencev1.NewPresenceClient(dial(t, addr))
	eventually(t, "it waits for its user", func() bool { return len(waiting(t, client, second.running.Load().epoch, "u1")) == 1 })
}
