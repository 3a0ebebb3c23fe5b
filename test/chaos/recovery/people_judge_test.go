//go:build chaos || soak

package recovery

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/segmentio/kafka-go"
)

// judge has everybody come once more, with nothing broken, and compares.
func (w *town) judge(users []*person, sender, recipient *person) {
	t := w.t
	w.ctx, w.cancel = context.WithCancel(t.Context())
	defer w.wg.Wait()
	defer w.cancel()
	w.wg.Go(func() { w.live(w.ctx, recipient) })
	w.wg.Go(func() { w.live(w.ctx, sender) })
	repeated := 0
	for _, p := range users {
		repeated += w.inbox(p)
	}
	received(t)
	for _, p := range users { // what was received does not come again
		before := p.count("note")
		p.conn.Close()
		p.conn.Wait()
		p.session.Set("", "")
		p.connect()
		pause(t.Context(), 300*time.Millisecond)
		if again := p.count("note") - before; again != 0 {
			t.Errorf("%s was given %d again that he has had", p.user, again)
		}
	}
	receipts := w.read("interlink.receipts")
	told, twice := map[string]int{}, 0
	for _, e := range sender.events("message:delivered") {
		var d struct{ ID string }
		_ = json.Unmarshal(e.data, &d)
		told[d.ID]++
	}
	heard, provable := map[string]int{}, map[string]bool{}
	for _, e := range recipient.events("message:new") {
		heard[e.id]++
		provable[e.id] = recipient.wasThere(e.at)
	}
	untold, unproven := 0, 0
	for _, id := range w.confirm {
		if heard[id] != 1 {
			t.Errorf("the recipient heard %s %d times", id, heard[id])
		}
		if receipts[id] == 0 && !provable[id] {
			unproven++
		} else if receipts[id] == 0 {
			t.Errorf("no receipt of %s on interlink.receipts", id)
		}
		if receipts[id] > 1 {
			twice++
		}
		if told[id] == 0 {
			untold++
		}
	}
	events := w.read("interlink.client-events")
	doubled := 0
	for _, id := range w.acked {
		if events[id] == 0 {
			t.Errorf("%s was acked and is not on interlink.client-events", id)
		}
		if events[id] > 1 {
			doubled++
		}
	}
	total := 0
	for _, ids := range w.queued {
		total += len(ids)
	}
	if total == 0 || len(w.confirm) == 0 || len(w.acked) == 0 || w.pages == 0 {
		t.Errorf("%d queued, %d with a receipt, %d events of browsers, %d pages: it proves nothing", total, len(w.confirm), len(w.acked), w.pages)
	}
	t.Logf("%d queued, %d given more than once; %d receipts, %d told by two gateways, %d whose pong was cut off, %d senders were away when told; %d events of browsers, %d published by two gateways; %d pages joined without a hole, %d were told of one or cut",
		total, repeated, len(w.confirm), twice, unproven, untold, len(w.acked), doubled, w.pages, w.notWhole)
}

// inbox compares what a user heard with what was queued for him, and returns how much came more than once.
func (w *town) inbox(p *person) (repeated int) {
	want := w.queued[p.user]
	p.session.Set("", "")
	p.connect()
	late := time.Now().Add(20 * time.Second)
	for {
		var first []string
		seen := map[string]int{}
		for _, e := range p.events("note") {
			if seen[e.id]++; seen[e.id] == 1 {
				first = append(first, e.id)
			} else {
				repeated++
			}
		}
		if slices.Equal(first, want) {
			return repeated
		}
		if time.Now().After(late) {
			missing := slices.DeleteFunc(slices.Clone(want), func(id string) bool { return seen[id] > 0 })
			w.t.Errorf("%s heard %d of %d: missing %v, out of order %v", p.user, len(first), len(want), missing, len(missing) == 0)
			return repeated
		}
		repeated = 0
		pause(w.ctx, 200*time.Millisecond)
	}
}

// wasThere tells whether the connection on which something was heard at that time lasted long enough for its pong to come
// through, whatever was in the way. A pong that is cut off proves nothing, and what it would have proven does not come again.
func (p *person) wasThere(at time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !slices.ContainsFunc(p.ended, func(end time.Time) bool {
		return end.After(at) && end.Before(at.Add(pingInterval+pingTimeout+time.Second))
	})
}

// read counts a topic's records by id.
func (w *town) read(topic string) map[string]int {
	t := w.t
	c := &kafka.Client{Addr: kafka.TCP(w.stage.Kafka.Brokers...), Timeout: 10 * time.Second}
	meta, err := c.Metadata(t.Context(), &kafka.MetadataRequest{Topics: []string{topic}})
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]int{}
	for _, p := range meta.Topics[0].Partitions {
		conn, err := kafka.DialLeader(t.Context(), "tcp", w.stage.Kafka.Brokers[0], topic, p.ID)
		if err != nil {
			t.Fatal(err)
		}
		_, end, err := conn.ReadOffsets()
		for at := int64(0); err == nil && at < end; {
			var m kafka.Message
			if m, err = conn.ReadMessage(1 << 20); err == nil {
				var r struct{ ID string }
				_ = json.Unmarshal(m.Value, &r)
				counts[r.ID]++
				at = m.Offset + 1
			}
		}
		_ = conn.Close()
		if err != nil {
			t.Fatalf("read %s: %v", topic, err)
		}
	}
	if len(counts) == 0 {
		t.Errorf("%s is empty", topic)
	}
	return counts
}
