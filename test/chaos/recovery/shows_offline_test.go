//go:build chaos || soak

package recovery

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
)

// received waits until the gateway has had the pongs behind what was given: two pings.
func received(t *testing.T) { pause(t.Context(), 2*pingInterval+time.Second) }

func offline(t *testing.T, s *Stage, all []string) {
	p := newPerson(t, s, slug(t), all...)
	var ids []string
	for i := range 5 {
		ids = append(ids, queue(t, s, p.user, fmt.Sprint(slug(t), i)))
	}
	pause(t.Context(), time.Second) // the inbox's consumer is another than the delivery's
	p.connect()
	p.heardExactly("note", ids...)
	for _, e := range p.events("note") {
		if !e.queued {
			t.Errorf("%s came without meta.queued", e.id)
		}
	}
	received(t)
	p.conn.Close()
	p.conn.Wait()
	p.session.Set("", "")
	p.connect()
	want := queue(t, s, p.user, slug(t)+"-live")
	p.heardExactly("note", append(ids, want)...)
}

func killedDuringInbox(t *testing.T, s *Stage, all []string) {
	p := newPerson(t, s, slug(t), all...)
	const n = 20
	var ids []string
	for i := range n {
		ids = append(ids, queue(t, s, p.user, fmt.Sprint(slug(t), i)))
	}
	pause(t.Context(), time.Second)
	notes := 0
	p.on = func(e event) {
		if e.name == "note" {
			if notes++; notes == 3 {
				p.path.Reset(nil)
			}
		}
	}
	p.dial().Wait() // what had arrived is handled, and no pong says so
	before := p.count("note")
	p.session.Set("", "")
	p.connect()
	var got []string
	for _, e := range p.await("note", before+n)[before:] {
		got = append(got, e.id)
	}
	if !slices.Equal(got, ids) {
		t.Fatalf("%d came before the cut; afterwards %v, want %v", before, got, ids)
	}
}

func undelivered(t *testing.T, s *Stage, all []string) {
	reader := kafkaReader(t, s, "interlink.undelivered")
	absent, present := newPerson(t, s, slug(t)+"-absent", all...), newPerson(t, s, slug(t)+"-present", all...)
	present.connect()
	id, other := queue(t, s, absent.user, slug(t)+"-a"), queue(t, s, present.user, slug(t)+"-p")
	present.heardExactly("note", other)
	counts := map[string]int{}
	ctx, cancel := context.WithTimeout(t.Context(), 2*undeliveredAfter+10*time.Second)
	defer cancel()
	for {
		m, err := reader.ReadMessage(ctx)
		if err != nil {
			break
		}
		var u struct{ ID, User string }
		if err := json.Unmarshal(m.Value, &u); err != nil {
			t.Fatal(err)
		}
		counts[u.User+" "+u.ID]++
	}
	if counts[absent.user+" "+id] != 1 || counts[present.user+" "+other] != 0 {
		t.Fatalf("undelivered: %v; want %s of %s once and nothing of %s", counts, id, absent.user, present.user)
	}
}

func kafkaReader(t *testing.T, s *Stage, topic string) *kafka.Reader {
	reader := kafka.NewReader(kafka.ReaderConfig{Brokers: s.Kafka.Brokers, Topic: topic, GroupID: "test-" + slug(t), StartOffset: kafka.FirstOffset, MaxWait: 200 * time.Millisecond})
	t.Cleanup(func() { _ = reader.Close() })
	return reader
}
