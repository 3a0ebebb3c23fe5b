package router

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"

	emitv1 "github.com/edumatrix/interlink/proto/emit/v1"
)

const testMapping = `topics:
  messages: |
    if .type == "SENT" then {id: "m:\(.n)", event: "n", to: {rooms: [.room]}, data: .n} else empty end
  other: 'error("never")'
events:
  ready: '{event: "n", data: (. + 100)}'
`

func mappingFile(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "mapping.yaml")
	if err := os.WriteFile(file, []byte(testMapping), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func sent(n int) kafka.Message {
	return kafka.Message{Key: fmt.Append(nil, n), Value: fmt.Appendf(nil, `{"type":"SENT","n":%d,"room":%q}`, n, red)}
}

func TestAPlatformsOwnTopicsAreMapped(t *testing.T) {
	c := broker(t, kfake.SeedTopics(1, "messages", "other"))
	g := newGateway(t, "g1", red)
	file := mappingFile(t)
	r, stop := start(t, c, func(o *Options) { o.Gateways, o.Mapping = []string{g.addr}, file })
	attached(t, g, r)
	produceTo(t, c, "other", kafka.Message{Value: []byte("garbage")}, kafka.Message{Value: []byte("{}")})
	produceTo(t, c, "messages", sent(1), kafka.Message{Value: []byte(`{"type":"UNKNOWN"}`)}, kafka.Message{Value: []byte(`{{`)}, sent(2))
	eventually(t, "mapped records arrive", func() bool { return len(g.data(red)) == 2 })
	letters := readAll(t, c, "interlink.dead-letter", 3)
	for _, l := range letters {
		if got := headerOf(l, "source"); !strings.HasPrefix(got, "other/") && !strings.HasPrefix(got, "messages/") {
			t.Errorf("source %q", got)
		}
	}
	eventually(t, "what is dealt with is committed", func() bool { return groupCommitted(c, "interlink-mapper.messages") == 4 })
	stop()
	again, _ := start(t, c, func(o *Options) { o.Gateways, o.Mapping = []string{g.addr}, file })
	ready(t, again)
	produceTo(t, c, "messages", sent(2), sent(3))
	eventually(t, "the restarted router goes on", func() bool { return slices.Contains(g.data(red), "3") })
	if got := g.data(red); !slices.Equal(got, []string{"1", "2", "3"}) {
		t.Errorf("got %v, want each once", got)
	}
}

func TestATopicThatComesLaterIsReadFromThenOn(t *testing.T) {
	c := broker(t)
	g := newGateway(t, "g1", red)
	r, _ := start(t, c, func(o *Options) { o.Gateways, o.Mapping = []string{g.addr}, mappingFile(t) })
	attached(t, g, r)
	client := kafka.Client{Addr: kafka.TCP(c.ListenAddrs()...)}
	if _, err := client.CreateTopics(t.Context(), &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{Topic: "messages", NumPartitions: 1, ReplicationFactor: 1}}}); err != nil {
		t.Fatal(err)
	}
	produceTo(t, c, "messages", sent(1))
	eventually(t, "its records arrive", func() bool { return slices.Equal(g.data(red), []string{"1"}) })
}

func TestReadyMadeEventsAreMapped(t *testing.T) {
	c := broker(t)
	g := newGateway(t, "g1", red)
	r, _ := start(t, c, func(o *Options) { o.Gateways, o.Mapping = []string{g.addr}, mappingFile(t) })
	attached(t, g, r)
	for _, name := range []string{"ready", "n"} {
		req := httptest.NewRequest(http.MethodPost, "/api/emit", strings.NewReader(fmt.Sprintf(`{"event":%q,"data":7,"rooms":[%q]}`, name, red)))
		req.Header.Set("Authorization", "Bearer "+string(goodKey))
		w := httptest.NewRecorder()
		r.Handler().ServeHTTP(w, req)
		if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), string(red)) {
			t.Fatalf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	eventually(t, "both arrive", func() bool { return len(g.data(red)) == 2 })
	if got := g.data(red); !slices.Equal(got, []string{"107", "7"}) {
		t.Errorf("got %v", got)
	}
}

func TestReadyMadeEventsOfGatewaysAreMapped(t *testing.T) {
	c := broker(t)
	g := newGateway(t, "g1", red)
	r, _ := start(t, c, func(o *Options) { o.Gateways, o.Mapping = []string{g.addr}, mappingFile(t) })
	server := &emitServer{r: r}
	event := func(name, target, data string) *emitv1.ReadyEvent {
		return &emitv1.ReadyEvent{Id: name + data, Event: name, Target: target, Data: []byte(data)}
	}
	attached(t, g, r)
	answer, err := server.Ready(t.Context(), &emitv1.ReadyRequest{Events: []*emitv1.ReadyEvent{
		event("ready", string(red), "1"), event("ready", "nowhere", "2"), event("n", string(red), "3"), event("ready", string(red), "1"),
	}})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []emitv1.ReadyResult_Outcome{emitv1.ReadyResult_PUBLISHED, emitv1.ReadyResult_REFUSED, emitv1.ReadyResult_PUBLISHED, emitv1.ReadyResult_PUBLISHED} {
		if answer.Results[i].Outcome != want || (want == emitv1.ReadyResult_REFUSED) != (answer.Results[i].Error != "") {
			t.Errorf("event %d: %v", i, answer.Results[i])
		}
	}
	eventually(t, "both arrive, each once", func() bool { return slices.Equal(g.data(red), []string{"101", "3"}) })
}

func TestABadMappingEndsTheStartWithASentence(t *testing.T) {
	file := filepath.Join(t.TempDir(), "m.yaml")
	if err := os.WriteFile(file, []byte("topics:\n  a: '{'\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := New(Options{Kafka: Kafka{Brokers: []string{"127.0.0.1:1"}}, Mapping: file})
	if err == nil || !strings.Contains(err.Error(), "topics.a: line 2") {
		t.Errorf("got %v", err)
	}
}
