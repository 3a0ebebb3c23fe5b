package router

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// soon makes a router look at its topic often.
func soon(o *Options) { o.TopicCheck, o.TopicConfirm = 50*time.Millisecond, 100*time.Millisecond }

func (g *fakeGateway) epochs() (all []string) {
	g.with(func() {
		for _, h := range g.hellos {
			if !slices.Contains(all, h.GetTopicEpoch()) {
				all = append(all, h.GetTopicEpoch())
			}
		}
	})
	return all
}

func TestATopicMadeAnewIsTheSameNewOneToBothRouters(t *testing.T) {
	c := broker(t)
	g := newGateway(t, "g1", red)
	with := func(o *Options) { soon(o); o.Gateways = []string{g.addr} }
	first, _ := start(t, c, with)
	second, _ := start(t, c, with)
	attached(t, g, first, second)
	const body = `{"id":"i1","event":"n","to":{"rooms":["conversation:red"]},"data":1}`
	if status, got := post(t, first, "/v1/emit", body); status != http.StatusAccepted {
		t.Fatalf("%d %v", status, got)
	}
	eventually(t, "it arrives", func() bool { return len(g.data(red)) == 1 })
	old := g.epochs()
	if len(old) != 1 {
		t.Fatalf("two routers speak of %q", old)
	}
	if err := c.DeleteTopic("interlink.events"); err != nil {
		t.Fatal(err)
	}
	if err := c.CreateTopic("interlink.events", 4, nil); err != nil {
		t.Fatal(err)
	}
	produce(t, c, event(string(red), "", 2)) // no offset is out of range: only the topic's id tells
	eventually(t, "both routers speak of another topic, and the same", func() bool {
		a, b := first.running.Load().epoch, second.running.Load().epoch
		return a == b && a != old[0]
	})
	eventually(t, "a record of the new topic arrives", func() bool {
		produce(t, c, event(string(red), "", 3))
		return slices.Contains(g.data(red), "3")
	})
	ready(t, first, second)
	// What was published to the old topic has not been published to this one.
	if status, got := post(t, first, "/v1/emit", body); status != http.StatusAccepted {
		t.Fatalf("%d %v", status, got)
	}
	eventually(t, "an id of the old topic is taken again", func() bool { return slices.Contains(g.data(red), "1") })
}

func TestAPartitionThatLostItsEndIsToldByAnotherEpoch(t *testing.T) {
	c := broker(t)
	g := newGateway(t, "g1", red)
	with := func(o *Options) { soon(o); o.Gateways = []string{g.addr} }
	r, _ := start(t, c, with)
	attached(t, g, r)
	produce(t, c, event(string(red), "", 0), event(string(red), "", 1))
	eventually(t, "both arrive", func() bool { return len(g.data(red)) == 2 })
	p := uint32(partitionOf(red))
	g.with(func() { // as if it had taken what the partition has no more
		g.positions[p] = 7
		for st := range g.streams {
			g.askAgain(st, p)
		}
	})
	eventually(t, "the gateway hears of another epoch", func() bool { return len(g.epochs()) == 2 })
	if all := g.epochs(); all[1] != all[0]+"+1" {
		t.Errorf("%q", all)
	}
	eventually(t, "what follows arrives", func() bool {
		produce(t, c, event(string(red), "", 2))
		return slices.Contains(g.data(red), "2")
	})
	late := newGateway(t, "g2", red)
	other, _ := start(t, c, func(o *Options) { soon(o); o.Gateways = []string{late.addr} })
	ready(t, other)
	eventually(t, "a router that starts now has attached", func() bool { return len(late.epochs()) == 1 })
	if all := g.epochs(); late.epochs()[0] != all[len(all)-1] {
		t.Errorf("a router that starts now speaks of %q, the others of %q", late.epochs(), all)
	}
}

func TestAGatewayWhoseRecordsHaveExpiredIsTold(t *testing.T) {
	c := broker(t)
	g := newGateway(t, "g1", red)
	r, _ := start(t, c, func(o *Options) { soon(o); o.Gateways, o.LogBytes = []string{g.addr}, 4096 })
	attached(t, g, r)
	for i := range 100 {
		produce(t, c, event(string(red), fmt.Sprint("id", i), i))
	}
	eventually(t, "all arrive", func() bool { return len(g.data(red)) == 100 })
	p := partitionOf(red)
	if err := c.DeleteRecords("interlink.events", int32(p), 50); err != nil {
		t.Fatal(err)
	}
	g.with(func() { // as if it had been frozen since the beginning
		g.positions[uint32(p)], g.records[uint32(p)] = 0, nil
		for st := range g.streams {
			g.askAgain(st, uint32(p))
		}
	})
	eventually(t, "it is served from what is left", func() bool { return slices.Equal(g.data(red), numbers(50, 100)) })
	g.with(func() {
		if len(g.gone) == 0 || g.gone[0].GetPartition() != uint32(p) || g.gone[0].GetPosition() != 0 || g.gone[0].GetEarliest() != 50 {
			t.Errorf("told %v", g.gone)
		}
	})
	if all := g.epochs(); len(all) != 1 || strings.Contains(all[0], "+") {
		t.Errorf("it concerns nobody else: %q", all)
	}
}

func TestAnIDIsDeliveredOnceOverARestartAndAMove(t *testing.T) {
	c := broker(t)
	g := newGateway(t, "g1", red)
	with := func(o *Options) { o.Gateways = []string{g.addr} }
	const body = `{"id":"i1","event":"n","to":{"rooms":["conversation:red"]},"data":1}`
	emit := func(r *Router) {
		t.Helper()
		if status, got := post(t, r, "/v1/emit", body); status != http.StatusAccepted || got["id"] != "i1" {
			t.Fatalf("%d %v", status, got)
		}
	}
	first, stopFirst := start(t, c, with)
	attached(t, g, first)
	emit(first)
	eventually(t, "it arrives", func() bool { return len(g.data(red)) == 1 })
	stopFirst() // a restart: nothing is in memory any more
	second, stopSecond := start(t, c, with)
	attached(t, g, second)
	emit(second)
	third, _ := start(t, c, with)
	attached(t, g, third)
	emit(third) // which may not hold the partition: then the id reaches the log again, and is dropped there
	produce(t, c, event(string(red), "i1", 1))
	stopSecond() // a move
	eventually(t, "the third holds all", func() bool { owned, _ := third.held.Owned(); return len(owned) == 4 })
	emit(third)
	produce(t, c, event(string(red), "i1", 1), event(string(red), "last", 2))
	eventually(t, "what follows arrives", func() bool { return slices.Contains(g.data(red), "2") })
	if got := g.data(red); !slices.Equal(got, []string{"1", "2"}) {
		t.Errorf("got %v", got)
	}
}
