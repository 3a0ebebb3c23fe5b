package load

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/centrifugal/centrifuge-go"

	"github.com/edumatrix/interlink/test/checker"
)

// rivalClient is one client of Centrifugo's own library with its subscriptions. Recovery there is each channel's own, so
// each subscription is judged as a client of its own, and what a subscription could not recover begins anew.
type rivalClient struct {
	url           string
	subscriptions []*recorder
	plan          Plan
}

// run keeps the client connected until ctx ends.
func (c *rivalClient) run(ctx context.Context) {
	backoff := c.plan.Backoff
	if backoff == 0 {
		backoff = time.Second // as the stock client of Socket.IO does
	}
	conn := centrifuge.NewJsonClient(strings.Replace(c.url, "http", "ws", 1)+"/connection/websocket", centrifuge.Config{
		MinReconnectDelay: backoff, MaxReconnectDelay: 5 * backoff,
	})
	defer conn.Close()
	for _, r := range c.subscriptions {
		if err := subscribe(conn, r, backoff); err != nil {
			r.fail("subscribe: " + err.Error())
			return
		}
	}
	if err := conn.Connect(); err != nil {
		c.subscriptions[0].fail("connect: " + err.Error())
		return
	}
	<-ctx.Done()
}

func subscribe(conn *centrifuge.Client, r *recorder, backoff time.Duration) error {
	room := r.m.rooms[0]
	s, err := conn.NewSubscription(room, centrifuge.SubscriptionConfig{
		Recoverable: true, Positioned: true, MinResubscribeDelay: backoff, MaxResubscribeDelay: 5 * backoff,
	})
	if err != nil {
		return err
	}
	s.OnSubscribed(func(e centrifuge.SubscribedEvent) {
		recovered := e.WasRecovering && e.Recovered
		reason := "recovered"
		if !recovered {
			reason = "not recovered"
		}
		r.add(checker.Observation{Kind: checker.Connected, Time: now(), Recovered: recovered})
		r.add(checker.Observation{Kind: checker.Told, Time: now(), Recovered: recovered, Reason: reason})
		r.add(checker.Observation{Kind: checker.Joined, Time: now(), Room: room})
	})
	s.OnSubscribing(func(centrifuge.SubscribingEvent) { r.add(checker.Observation{Kind: checker.Disconnected, Time: now()}) })
	s.OnUnsubscribed(func(e centrifuge.UnsubscribedEvent) { r.fail("unsubscribed: " + e.Reason) })
	s.OnError(func(e centrifuge.SubscriptionErrorEvent) { r.fail("subscription: " + e.Error.Error()) })
	s.OnPublication(func(e centrifuge.PublicationEvent) {
		var data struct{ ID string }
		if json.Unmarshal(e.Data, &data) == nil {
			r.add(checker.Observation{Kind: checker.Handled, Time: now(), ID: data.ID})
		}
	})
	return s.Subscribe()
}

// startRivals starts the clients whose subscriptions are the recorders, as many a client as the plan says.
func (r *Run) startRivals(life context.Context, recorders []*recorder) {
	for i := 0; i+r.plan.RoomsPerSocket <= len(recorders); i += r.plan.RoomsPerSocket {
		c := &rivalClient{url: recorders[i].m.url, subscriptions: recorders[i : i+r.plan.RoomsPerSocket], plan: r.plan}
		r.wg.Go(func() {
			pause(life, time.Duration(i)*rampEvery)
			c.run(life)
		})
	}
}
