//go:build chaos || soak

package recovery

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/edumatrix/interlink/test/harness"
)

// TestTheTopicIsMadeAnew is the last half of show 5: everybody is told to begin anew, nobody is silent, and events flow.
func TestTheTopicIsMadeAnew(t *testing.T) {
	t.Parallel()
	const people, topic = 20, "interlink.events"
	authorizer := harness.NewAuthorizer()
	defer authorizer.Close()
	s := NewStage(t, harness.Config{Name: "recovery-topic", Gateways: 2, Routers: 2, Presence: 1, AuthorizeURL: authorizer.URL()}, resumeWindow)
	room := harness.OpenRooms + "topic"
	everybody := make([]*person, people)
	for i := range everybody {
		everybody[i] = newPerson(t, s, fmt.Sprint("topic-", i), s.Gateways[i%2].Public)
		everybody[i].connect()
		everybody[i].join(room)
	}
	for i := range 50 {
		say(t, s, room, fmt.Sprint("before-", i))
	}
	for _, p := range everybody {
		p.await("message:new", 50)
	}
	// One is away while it happens, and comes back when everybody else has been told. Another comes back at once: whatever
	// it is told then, its connection ends with the others'.
	away := everybody[people-1]
	away.cut()
	remake(t, s, topic)
	begun := time.Now()
	if early := everybody[0]; early.conn.Err() == nil {
		early.cut()
		early.connect()
	}
	for _, p := range everybody {
		if p != away {
			select {
			case <-p.conn.Done():
				p.conn.Wait()
			case <-time.After(caughtUpWithin - time.Since(begun)):
				t.Fatalf("%s is silent: its connection lasts %v after the topic was made anew", p.user, time.Since(begun))
			}
		}
		// Who was away for longer than the window is told that first.
		if r := p.connect(); r.Recovered || r.Reason != epoch && (p != away || r.Reason != window) {
			t.Errorf("%s: session:ready says recovered %v, %q", p.user, r.Recovered, r.Reason)
		}
		p.join(room)
	}
	t.Logf("everybody was told after %v", time.Since(begun).Round(time.Millisecond))
	for i := range 5 {
		say(t, s, room, fmt.Sprint("after-", i))
	}
	for _, p := range everybody {
		for i, e := range p.await("message:new", 55)[50:] {
			if e.id != fmt.Sprint("after-", i) {
				t.Errorf("%s heard %s, want after-%d", p.user, e.id, i)
			}
		}
	}
}

// remake deletes a topic and makes it again.
func remake(t *testing.T, s *Stage, topic string) {
	t.Helper()
	c := &kafka.Client{Addr: kafka.TCP(s.Kafka.Brokers...), Timeout: 10 * time.Second}
	if res, err := c.DeleteTopics(t.Context(), &kafka.DeleteTopicsRequest{Topics: []string{topic}}); err != nil || res.Errors[topic] != nil {
		t.Fatalf("delete %s: %v %v", topic, err, res)
	}
	ctx, cancel := context.WithTimeout(t.Context(), caughtUpWithin)
	defer cancel()
	if err := harness.Eventually(ctx, func(ctx context.Context) error {
		res, err := c.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{Topic: topic, NumPartitions: 12, ReplicationFactor: 1}}})
		if err != nil {
			return err
		}
		if failed := res.Errors[topic]; failed != nil && !errors.Is(failed, kafka.TopicAlreadyExists) {
			return failed
		}
		return nil
	}); err != nil {
		t.Fatalf("make %s anew: %v", topic, err)
	}
}
