//go:build platform

package platform

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/edumatrix/interlink/test/client"
	"github.com/edumatrix/interlink/test/harness"
)

const (
	rate   = 2000 // records a second
	rooms  = 20
	poison = 120 // records of the topic that strangers write
)

// answers is a platform where nobody is in anything.
func answers(t *testing.T, port int) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, `{"conversations":[],"pagination":{"hasMore":false}}`)
	})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l)
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-done
	})
}

func room(i int) string { return fmt.Sprintf("conversation:load-%d", i%rooms) }

// listener is one socket in each room; it notes how long each event took.
type listener struct {
	mu     sync.Mutex // guards what follows
	delays map[string][]time.Duration
	seen   map[string]int
}

func listen(t *testing.T, s *stage) *listener {
	t.Helper()
	l := &listener{delays: map[string][]time.Duration{}, seen: map[string]int{}}
	for i := range rooms {
		c, err := client.Dial(t.Context(), client.Options{
			URL: "http://" + s.Gateways[0].Public, Auth: map[string]any{"token": harness.Token(fmt.Sprintf("listener-%d", i), room(i))}, Handle: l.handle,
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		if answer, err := c.Ask(t.Context(), "room:join", room(i)); err != nil || !answer.OK {
			t.Fatalf("join: %+v, %v", answer, err)
		}
	}
	return l
}

func (l *listener) handle(e client.Event) {
	if e.Name != "message:new" {
		return
	}
	var data struct {
		ID, Phase string
		SentAt    int64
	}
	if json.Unmarshal(e.Args[0], &data) != nil {
		return
	}
	took := time.Since(time.UnixMicro(data.SentAt))
	l.mu.Lock()
	defer l.mu.Unlock()
	l.delays[data.Phase] = append(l.delays[data.Phase], took)
	l.seen[data.ID]++
}

func (l *listener) count(phase string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.delays[phase])
}

func (l *listener) percentiles(phase string) (p50, p99 time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := slices.Sorted(slices.Values(l.delays[phase]))
	if len(all) == 0 {
		return 0, 0
	}
	return all[len(all)/2], all[len(all)*99/100]
}

// besides measures what the mapping adds to the time that a record takes while the router maps at the full rate: of two
// probes that differ only in their topic, side by side.
func (l *listener) besides(t *testing.T, s *stage, n int) {
	const every = 20 // of 20 records two are probes
	probes := n / every
	var writing sync.WaitGroup
	writing.Go(func() { write(t, s.Kafka.Brokers, "messages", rate-2*rate/every, n-2*probes, message("load")) })
	writing.Go(func() { write(t, s.Kafka.Brokers, "interlink.events", rate/every, probes, envelope("probe-direct")) })
	writing.Go(func() { write(t, s.Kafka.Brokers, "messages", rate/every, probes, message("probe-mapped")) })
	writing.Wait()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := harness.Eventually(ctx, func(context.Context) error {
		if l.count("probe-direct") < probes || l.count("probe-mapped") < probes || l.count("load") < n-2*probes {
			return fmt.Errorf("%d and %d of %d probes arrived", l.count("probe-direct"), l.count("probe-mapped"), probes)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	d50, d99 := l.percentiles("probe-direct")
	m50, m99 := l.percentiles("probe-mapped")
	t.Logf("  meanwhile, from the producer to the browser's handler: direct p50 %v, p99 %v; mapped p50 %v, p99 %v: the mapping adds %v and %v",
		d50.Round(time.Millisecond), d99.Round(time.Millisecond), m50.Round(time.Millisecond), m99.Round(time.Millisecond),
		(m50 - d50).Round(time.Millisecond), (m99 - d99).Round(time.Millisecond))
}

// write publishes records at a rate until all are written; each phase has ids of its own.
func write(t *testing.T, brokers []string, topic string, perSecond, n int, record func(i int) kafka.Message) {
	t.Helper()
	w := &kafka.Writer{Addr: kafka.TCP(brokers...), Topic: topic, Balancer: &kafka.RoundRobin{}, BatchTimeout: 5 * time.Millisecond, RequiredAcks: kafka.RequireAll, BatchBytes: 4 << 20}
	if topic == "interlink.events" {
		w.Balancer = &kafka.Murmur2Balancer{}
	}
	defer w.Close()
	begun, every := time.Now(), 10*time.Millisecond
	var writing sync.WaitGroup
	for sent := 0; sent < n; {
		due := min(n, int(time.Since(begun).Seconds()*float64(perSecond)))
		if due > sent {
			batch := []kafka.Message{}
			for ; sent < due; sent++ {
				batch = append(batch, record(sent))
			}
			writing.Go(func() {
				if err := w.WriteMessages(t.Context(), batch...); err != nil {
					t.Error(err)
				}
			})
		}
		time.Sleep(every)
	}
	writing.Wait()
}

func value(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // of maps and strings
	}
	return b
}

// message is a record as the platform writes it.
func message(phase string) func(i int) kafka.Message {
	return func(i int) kafka.Message {
		id := fmt.Sprintf("%s-%d", phase, i)
		return kafka.Message{Key: fmt.Append(nil, time.Now().UnixMilli()), Value: value(map[string]any{
			"type": "MESSAGE_SENT", "timestamp": time.Now(), "source": "main-app", "metadata": map[string]any{"userId": "u1"},
			"data": map[string]any{
				"id": id, "conversationId": strings.TrimPrefix(room(i), "conversation:"), "senderId": "u1", "content": "hello there, this is about as long as a message is",
				"messageType": "TEXT", "mediaUrls": []string{}, "isEdited": false, "createdAt": time.Now(), "phase": phase, "sentAt": time.Now().UnixMicro(),
				"sender": map[string]any{"id": "u1", "name": "Ana", "email": "u1@example.test", "username": "ana"},
			},
		})}
	}
}

// envelope is the same without a mapping.
func envelope(phase string) func(i int) kafka.Message {
	of := message(phase)
	return func(i int) kafka.Message {
		var record struct{ Data map[string]any }
		if err := json.Unmarshal(of(i).Value, &record); err != nil {
			panic(err)
		}
		data := map[string]any{"message": record.Data}
		for name, v := range record.Data {
			data[name] = v
		}
		data["sentAt"] = time.Now().UnixMicro()
		return kafka.Message{Key: []byte(room(i)), Value: value(map[string]any{
			"id": "m:" + fmt.Sprintf("%s-%d", phase, i), "event": "message:new", "to": map[string]any{"rooms": []string{room(i)}}, "data": data,
		})}
	}
}

// poisoned are records that no program can do anything with.
func poisoned(i int) kafka.Message {
	big := strings.Repeat("x", 900_000)
	kinds := [][]byte{
		[]byte("\x00\xff garbage {{{"), value(map[string]any{"contentType": "post", "contentId": big}), []byte(strings.Repeat("[", 100_000)),
		[]byte("[" + strings.Repeat("0,", 200_000) + "0]"), value(big), value(map[string]any{"contentType": "post"}),
	}
	return kafka.Message{Value: kinds[i%len(kinds)]}
}

// Mapped records cost a router little and reach browsers soon; a topic full of poison costs nobody else.
func TestMappedRecordsUnderLoad(t *testing.T) {
	s := start(t, "platform-load", 1)
	answers(t, s.standIn)
	topics(t, s, map[string]int{"messages": 5, "like-events": 3})
	l := listen(t, s)
	during := harness.Seconds(t, "PLATFORM_SECONDS", 10*time.Second)
	n := int(during.Seconds()) * rate
	router := s.Routers[0].PID()

	phase := func(name, topic string, perSecond, n int, records func(string) func(int) kafka.Message) time.Duration {
		meter := harness.Measure(router)
		write(t, s.Kafka.Brokers, topic, perSecond, n, records(name))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := harness.Eventually(ctx, func(context.Context) error {
			if got := l.count(name); got < n {
				return fmt.Errorf("%d of %d %s records arrived", got, n, name)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return meter.Stop() / time.Duration(n)
	}
	phase("warm", "messages", 200, 400, message)
	direct := phase("direct", "interlink.events", rate, n, envelope)
	mapped := phase("mapped", "messages", rate, n, message)
	t.Logf("%d records/s on one router, %v each way, %d rooms with a socket each:", rate, during, rooms)
	t.Logf("  published to our topic: %6v CPU of the router a record", direct.Round(time.Microsecond))
	t.Logf("  mapped from messages:   %6v", mapped.Round(time.Microsecond))
	l.besides(t, s, n)

	phase("calm", "messages", 200, 2000, message)
	written := make(chan struct{})
	go func() {
		defer close(written)
		write(t, s.Kafka.Brokers, "like-events", poison/8, poison, poisoned)
	}()
	phase("beside", "messages", 200, 2000, message)
	<-written
	c50, c99 := l.percentiles("calm")
	b50, b99 := l.percentiles("beside")
	t.Logf("beside a topic of poison: p50 %v, p99 %v; without: p50 %v, p99 %v", b50.Round(time.Millisecond), b99.Round(time.Millisecond), c50.Round(time.Millisecond), c99.Round(time.Millisecond))
	if b99 > c99+time.Second {
		t.Errorf("p99 beside poison is %v, without %v", b99, c99)
	}
	buried(t, s, poison)
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, times := range l.seen {
		if times != 1 {
			t.Errorf("%s arrived %d times", id, times)
		}
	}
}

// topics makes topics of the platform.
func topics(t *testing.T, s *stage, partitions map[string]int) {
	t.Helper()
	c := kafka.Client{Addr: kafka.TCP(s.Kafka.Brokers...)}
	var all []kafka.TopicConfig
	for name, n := range partitions {
		all = append(all, kafka.TopicConfig{Topic: name, NumPartitions: n, ReplicationFactor: 1})
	}
	if _, err := c.CreateTopics(t.Context(), &kafka.CreateTopicsRequest{Topics: all}); err != nil {
		t.Fatal(err)
	}
}

// buried reads the dead letters until as many are there, from that topic, each with its reason.
func buried(t *testing.T, s *stage, want int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	metrics := func() (float64, error) {
		m, err := harness.Scrape(ctx, s.Routers[0].Admin)
		return m.Sum("interlink_router_dead_letters_total"), err
	}
	err := harness.Eventually(ctx, func(context.Context) error {
		found, reasons := 0, map[string]int{}
		c := kafka.Client{Addr: kafka.TCP(s.Kafka.Brokers...)}
		meta, err := c.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{"interlink.dead-letter"}})
		if err != nil {
			return err
		}
		for _, p := range meta.Topics[0].Partitions {
			records, err := all(ctx, s.Kafka.Brokers, "interlink.dead-letter", p.ID)
			if err != nil {
				return err
			}
			for _, r := range records {
				for _, h := range r.Headers {
					if h.Key == "source" && strings.HasPrefix(string(h.Value), "like-events/") {
						found++
					}
					if h.Key == "reason" {
						reasons[string(h.Value)]++
					}
				}
			}
		}
		if found != want {
			counted, _ := metrics()
			return fmt.Errorf("%d of %d are dead letters (%v); %v counted", found, want, reasons, counted)
		}
		t.Logf("all %d poisoned records are dead letters: %v", found, reasons)
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// all reads a partition as far as it goes.
func all(ctx context.Context, brokers []string, topic string, partition int) (out []kafka.Message, err error) {
	conn, err := kafka.DialLeader(ctx, "tcp", brokers[0], topic, partition)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	last, err := conn.ReadLastOffset()
	if err != nil {
		return nil, err
	}
	r := kafka.NewReader(kafka.ReaderConfig{Brokers: brokers, Topic: topic, Partition: partition, MaxBytes: 10 << 20})
	defer r.Close()
	for int64(len(out)) < last {
		m, err := r.ReadMessage(ctx)
		if err != nil {
			return out, err
		}
		out = append(out, m)
	}
	return out, nil
}
