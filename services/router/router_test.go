package router

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/edumatrix/interlink/services/internal/room"
)

const red, blue = room.Room("conversation:red"), room.Room("conversation:blue")

func attached(t *testing.T, g *fakeGateway, routers ...*Router) {
	t.Helper()
	ready(t, routers...)
	eventually(t, "the gateway is served by all partitions", func() bool { return g.covers(g.number, 4) })
}

func TestRecordsReachTheGatewaysThatHaveTheirRooms(t *testing.T) {
	c := broker(t)
	g, other := newGateway(t, "g1", red), newGateway(t, "g2", blue)
	r, _ := start(t, c, func(o *Options) { o.Gateways = []string{g.addr, other.addr} })
	attached(t, g, r)
	attached(t, other, r)
	for i := range 50 {
		produce(t, c, event(string(red), fmt.Sprint("id", i), i))
	}
	eventually(t, "all records of the room arrive", func() bool { return len(g.data(red)) == 50 })
	if got := g.data(red); !slices.Equal(got, numbers(0, 50)) {
		t.Errorf("got %v", got)
	}
	if got := other.data(red); got != nil {
		t.Errorf("the gateway without the room got %v", got)
	}
	hello := g.hellos[0]
	if hello.GetPartitions() != 4 || hello.GetTopic() != "interlink.events" || !strings.Contains(hello.GetTopicEpoch(), "interlink.events") || hello.GetReplayAddr() == "" {
		t.Errorf("hello %v", hello)
	}
}

func TestAJoinIsConfirmedAtOnceAndServedFromThere(t *testing.T) {
	c := broker(t)
	g := newGateway(t, "g1")
	r, _ := start(t, c, func(o *Options) { o.Gateways = []string{g.addr} })
	attached(t, g, r)
	produce(t, c, event(string(red), "before", 0))
	number := g.join(red)
	eventually(t, "every partition confirms the number", func() bool { return g.covers(number, 4) })
	produce(t, c, event(string(red), "after", 1))
	eventually(t, "the record after the join arrives", func() bool { return slices.Contains(g.data(red), "1") })
}

func TestARepeatedIDIsServedOnceAlsoAfterARestart(t *testing.T) {
	c := broker(t)
	g := newGateway(t, "g1", red)
	r, stop := start(t, c, func(o *Options) { o.Gateways = []string{g.addr} })
	attached(t, g, r)
	produce(t, c, event(string(red), "one", 1), event(string(red), "one", 1), event(string(red), "two", 2))
	eventually(t, "both arrive", func() bool { return len(g.data(red)) == 2 })
	stop()
	again, _ := start(t, c, func(o *Options) { o.Gateways = []string{g.addr} })
	ready(t, again)
	produce(t, c, event(string(red), "one", 1), event(string(red), "two", 2), event(string(red), "three", 3))
	eventually(t, "the third arrives", func() bool { return slices.Contains(g.data(red), "3") })
	if got := g.data(red); !slices.Equal(got, []string{"1", "2", "3"}) {
		t.Errorf("got %v", got)
	}
}

func TestWhatCantBeReadIsBuriedOnceAndStopsNothing(t *testing.T) {
	c := broker(t)
	g := newGateway(t, "g1", red)
	r, stop := start(t, c, func(o *Options) { o.Gateways = []string{g.addr} })
	attached(t, g, r)
	bad := kafka.Message{Key: []byte(red), Value: []byte(`{"event":1}`), Headers: []kafka.Header{{Key: "h", Value: []byte("v")}}}
	produce(t, c, event(string(red), "", 1), bad, kafka.Message{Key: []byte(red)}, event(string(red), "", 2))
	eventually(t, "what follows arrives", func() bool { return len(g.data(red)) == 2 })
	eventually(t, "both are buried", func() bool { return c.PartitionInfo("interlink.dead-letter", 0).HighWatermark == 2 })
	eventually(t, "the offset is committed", func() bool { return committed(c) == 4 })
	stop()
	again, _ := start(t, c, nil)
	ready(t, again)
	if n := c.PartitionInfo("interlink.dead-letter", 0).HighWatermark; n != 2 {
		t.Errorf("%d letters after a restart, want 2", n)
	}
	letters := readAll(t, c, "interlink.dead-letter", 2)
	if got := letters[0]; string(got.Value) != `{"event":1}` || headerOf(got, "reason") != "event: must be a string" ||
		!strings.HasPrefix(headerOf(got, "source"), "interlink.events/") || headerOf(got, "h") != "v" {
		t.Errorf("letter %s %v", got.Value, got.Headers)
	}
}

func committed(c *kfake.Cluster) int64 { return groupCommitted(c, "interlink-router") }

// groupCommitted is the sum of a group's offsets, -1 without any.
func groupCommitted(c *kfake.Cluster, group string) (sum int64) {
	info := c.GroupInfo(group)
	if info == nil {
		return -1
	}
	for _, topic := range info.Commits {
		for _, commit := range topic {
			sum += commit.Offset
		}
	}
	return sum
}

func headerOf(m kafka.Message, key string) string {
	for _, h := range m.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}

func readAll(t *testing.T, c *kfake.Cluster, topic string, n int) []kafka.Message {
	t.Helper()
	r := kafka.NewReader(kafka.ReaderConfig{Brokers: c.ListenAddrs(), Topic: topic, Partition: 0, MaxWait: 100 * time.Millisecond})
	defer r.Close()
	var out []kafka.Message
	for range n {
		m, err := r.ReadMessage(testContext(t))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, m)
	}
	return out
}

func TestPartitionsMoveBetweenRoutersWithoutLossOrRepetition(t *testing.T) {
	c := broker(t)
	rooms := []room.Room{red, blue, "group:1", "group:2", "group:3", "group:4"}
	g := newGateway(t, "g1", rooms...)
	with := func(o *Options) { o.Gateways = []string{g.addr} }
	first, stopFirst := start(t, c, with)
	attached(t, g, first)
	n := 0
	send := func(count int) {
		for range count {
			for _, r := range rooms {
				produce(t, c, event(string(r), "", n))
			}
			n++
		}
	}
	send(10)
	second, _ := start(t, c, with)
	send(10)
	eventually(t, "both hold two partitions", func() bool {
		a, _ := first.held.Owned()
		b, _ := second.held.Owned()
		return len(a) == 2 && len(b) == 2
	})
	send(10)
	stopFirst()
	send(10)
	eventually(t, "the second holds all", func() bool { b, _ := second.held.Owned(); return len(b) == 4 })
	send(10)
	for _, r := range rooms {
		eventually(t, "everything has arrived in "+string(r), func() bool { return len(g.data(r)) >= n })
		if got := g.data(r); !slices.Equal(got, numbers(0, n)) {
			t.Errorf("%s: got %v", r, got)
		}
	}
}

func TestAGatewayBehindTheLogIsServedFromKafka(t *testing.T) {
	c := broker(t)
	g := newGateway(t, "g1", red)
	r, _ := start(t, c, func(o *Options) {
		o.Gateways, o.LogBytes = []string{g.addr}, 4096 // a few records per partition
	})
	attached(t, g, r)
	const n = 400
	var all []kafka.Message
	for i := range n {
		all = append(all, event(string(red), fmt.Sprint("id", i%(n-20)), i)) // the last 20 repeat the first ids
	}
	produce(t, c, all...)
	eventually(t, "the log has left the gateway behind", func() bool {
		owned, _ := r.held.Owned()
		for _, o := range owned {
			if earliest, _, _ := o.Log.Bounds(); earliest > 200 {
				return true
			}
		}
		return false
	})
	p := uint32(partitionOf(red))
	g.with(func() { // as if it had been away since the beginning
		g.positions[p], g.records[p] = 0, nil
		for st := range g.streams {
			g.askAgain(st, p)
		}
	})
	eventually(t, "it has caught up", func() bool { return len(g.data(red)) >= n-20 })
	if got := g.data(red); !slices.Equal(got, numbers(0, n-20)) {
		t.Errorf("got %v", got)
	}
}

func partitionOf(r room.Room) int {
	return kafka.Murmur2Balancer{}.Balance(kafka.Message{Key: []byte(r)}, 0, 1, 2, 3)
}

func TestASeekServesAgain(t *testing.T) {
	c := broker(t)
	g := newGateway(t, "g1", red)
	r, _ := start(t, c, func(o *Options) { o.Gateways = []string{g.addr} })
	attached(t, g, r)
	produce(t, c, event(string(red), "", 0), event(string(red), "", 1), event(string(red), "", 2))
	eventually(t, "three arrive", func() bool { return len(g.data(red)) == 3 })
	p := uint32(partitionOf(red))
	g.with(func() {
		g.positions[p], g.records[p] = 1, nil
		for st := range g.streams {
			g.askAgain(st, p)
		}
	})
	eventually(t, "two arrive again", func() bool { return len(g.data(red)) == 2 })
	if got := g.data(red); !slices.Equal(got, []string{"1", "2"}) {
		t.Errorf("got %v", got)
	}
}

func TestASlowGatewayFallsBehindAlone(t *testing.T) {
	c := broker(t)
	slow, fast := newGateway(t, "slow", red), newGateway(t, "fast", red)
	r, _ := start(t, c, func(o *Options) { o.Gateways = []string{slow.addr, fast.addr} })
	attached(t, slow, r)
	attached(t, fast, r)
	slow.with(func() { slow.frozen = make(chan struct{}) })
	pad := strings.Repeat("x", 100_000)
	const n = 150 // 15 MB: more than the window
	for i := range n {
		produce(t, c, kafka.Message{Key: []byte(red), Value: fmt.Appendf(nil, `{"event":"n","to":{"rooms":[%q]},"data":%d,"from":"u","except":{"sockets":[%q]}}`, red, i, pad)})
	}
	eventually(t, "the other gateway has everything", func() bool { return len(fast.data(red)) == n })
	if got := len(slow.data(red)); got > n/2 {
		t.Errorf("the frozen gateway took %d", got)
	}
	slow.with(func() { close(slow.frozen); slow.frozen = nil })
	eventually(t, "the slow one catches up", func() bool { return len(slow.data(red)) >= n })
	if got := slow.data(red); !slices.Equal(got, numbers(0, n)) {
		t.Errorf("got %v", got)
	}
}

func TestALeaderThatMovesIsFollowed(t *testing.T) {
	c := broker(t, kfake.NumBrokers(3))
	g := newGateway(t, "g1", red)
	r, _ := start(t, c, func(o *Options) { o.Gateways = []string{g.addr} })
	attached(t, g, r)
	p := int32(partitionOf(red))
	for n := range 6 {
		if err := c.MoveTopicPartition("interlink.events", p, (c.LeaderFor("interlink.events", p)+1)%3); err != nil {
			t.Fatal(err)
		}
		if status, got := post(t, r, "/v1/emit", fmt.Sprintf(`{"event":"n","to":{"rooms":[%q]},"data":%d}`, red, n)); status != 202 {
			t.Fatalf("%d %v", status, got)
		}
	}
	eventually(t, "all arrive", func() bool { return len(g.data(red)) == 6 })
	if got := g.data(red); !slices.Equal(got, numbers(0, 6)) {
		t.Errorf("got %v", got)
	}
}

func TestGatewaysMayComeAndGo(t *testing.T) {
	c := broker(t)
	l := listen(t)
	addr := l.Addr().String()
	l.Close()
	r, _ := start(t, c, func(o *Options) { o.Gateways = []string{addr} })
	ready(t, r)
	for life := range 2 {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		g := newGatewayOn(l, "g1", red)
		eventually(t, "it is served", func() bool { return g.covers(1, 4) })
		produce(t, c, event(string(red), "", life))
		eventually(t, "its record arrives", func() bool { return slices.Equal(g.data(red), []string{fmt.Sprint(life)}) })
		g.server.Stop()
	}
	eventually(t, "none is attached", func() bool { return r.running.Load().fleet.Attached() == 0 })
}
