package mapper

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edumatrix/interlink/services/internal/mapping"
	"github.com/edumatrix/interlink/services/router/internal/envelope"
)

type fakeKafka struct {
	first, next, window int64
	fails               int      // calls of Publish that fail
	taken               int      // envelopes that such a call takes first
	refuse              string   // id that is refused for good
	published           []string // id:event
	pushed              []string
	calls               int
}

func (f *fakeKafka) Offsets(context.Context, string, int) (int64, int64, error) {
	return f.first, f.next, nil
}

func (f *fakeKafka) OffsetAt(context.Context, string, int, time.Time) (int64, error) {
	return f.window, nil
}

func (f *fakeKafka) Publish(_ context.Context, all []*envelope.Envelope) []error {
	f.calls++
	errs := make([]error, len(all))
	failing := f.fails > 0
	if failing {
		f.fails--
	}
	for i, e := range all {
		switch {
		case failing && i >= f.taken:
			errs[i] = errors.New("kafka is away")
		case e.ID == f.refuse:
			errs[i] = fmt.Errorf("%w: too large", ErrRefused)
		default:
			f.published = append(f.published, e.ID)
		}
	}
	return errs
}

func (f *fakeKafka) Push(all []*envelope.Envelope) error {
	for _, e := range all {
		f.pushed = append(f.pushed, e.Event)
	}
	return nil
}

type fakeLetters struct {
	sent []string
	low  int64
}

func (f *fakeLetters) Deliver(_ context.Context, m envelope.Message, reason envelope.Reason, _ string) {
	f.sent = append(f.sent, fmt.Sprintf("%d %s", m.Offset, reason))
}

func (f *fakeLetters) Low(int) (int64, bool) { return f.low, f.low > 0 }

const programs = `topics:
  t: |
    if .fail then error("no") elif .nothing then empty
    elif .control then {control, room: "a:1", user: "u", add: ["u"]} | if .control == "membership.changed" then del(.user) else {control, user} end
    elif .volatile then {event: "typing", to: {rooms: ["a:1"]}, volatile: true}
    else (.ids // [null])[] as $id | {event: "e", to: {rooms: (.rooms // ["a:1"])}} + (if $id then {id: $id} else {} end) end
`

type bench struct {
	*Mapper
	kafka   fakeKafka
	letters fakeLetters
	counts  map[Result]int
}

func newBench(t *testing.T) *bench {
	t.Helper()
	m, err := mapping.Parse("m.yaml", []byte(programs))
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{kafka: fakeKafka{next: 1000}, counts: map[Result]int{}}
	b.Mapper = New(Options{Topic: "t", Mapping: m, Publisher: &b.kafka, Letters: &b.letters, Offsets: &b.kafka,
		Observe: func(r Result) { b.counts[r]++ }, Logger: slog.New(slog.DiscardHandler)})
	if _, err := b.Start(t.Context(), 0, 0); err != nil {
		t.Fatal(err)
	}
	return b
}

func records(values ...string) []envelope.Message {
	var out []envelope.Message
	for i, v := range values {
		out = append(out, envelope.Message{Topic: "t", Offset: int64(i), Value: json.RawMessage(v)})
	}
	return out
}

func TestBatch(t *testing.T) {
	for name, c := range map[string]struct {
		values    []string
		refuse    string
		published []string
		pushed    []string
		buried    []string
	}{
		"outputs go in the order of the program and of the log": {
			values: []string{`{"ids":["a","b"]}`, `{}`}, published: []string{"a", "b", "t/0/1#0"}},
		"an ephemeral output skips kafka": {
			values: []string{`{"volatile":true}`}, pushed: []string{"typing"}},
		"a record that concerns nobody is done": {
			values: []string{`{"nothing":true}`}},
		"what fails is buried and stops nobody": {
			values: []string{`{"fail":true}`, `{{`, ``, `{"ids":["a"]}`}, published: []string{"a"},
			buried: []string{"0 unmappable", "1 unmappable", "2 unmappable"}},
		"an envelope without targets is buried": {
			values: []string{`{"rooms":[]}`}, buried: []string{"0 invalid"}},
		"a membership change is taken": {
			values: []string{`{"control":"membership.changed"}`}, published: []string{"t/0/0#0"}},
		"any other control record is not": {
			values: []string{`{"control":"session.revoked"}`, `{"control":"user.disconnect"}`}, buried: []string{"0 unmappable", "1 unmappable"}},
		"what the brokers refuse for good is buried": {
			values: []string{`{"ids":["a"]}`, `{"ids":["big"]}`, `{"ids":["c"]}`}, refuse: "big", published: []string{"a", "c"}, buried: []string{"1 unmappable"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.kafka.refuse = c.refuse
			b.Batch(t.Context(), 0, records(c.values...), int64(len(c.values)), 1000)
			for what, pair := range map[string][2][]string{
				"published": {b.kafka.published, c.published}, "pushed": {b.kafka.pushed, c.pushed}, "buried": {b.letters.sent, c.buried}} {
				if !slices.Equal(pair[0], pair[1]) {
					t.Errorf("%s: got %v, want %v", what, pair[0], pair[1])
				}
			}
			if done, ok := b.Commit(0); !ok || done != int64(len(c.values)) {
				t.Errorf("committed %d, %v, want %d", done, ok, len(c.values))
			}
		})
	}
}

func TestWhileKafkaIsAwayItWaitsAndSkipsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.kafka.fails, b.kafka.taken = 20, 1
		b.Batch(t.Context(), 0, records(`{"ids":["a"]}`, `{"ids":["b"]}`, `{"ids":["c"]}`), 3, 1000)
		if want := []string{"a", "b", "c"}; !slices.Equal(b.kafka.published, want) {
			t.Errorf("published %v, want %v", b.kafka.published, want)
		}
	})
}

func TestStoppedWhileWaitingItHasCommittedNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.kafka.fails = 1 << 30
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		b.Batch(ctx, 0, records(`{"ids":["a","b"]}`), 1, 1000)
		if done, _ := b.Commit(0); done != 0 {
			t.Errorf("committed %d, want 0", done)
		}
	})
}

func TestStart(t *testing.T) {
	for name, c := range map[string]struct {
		kafka           fakeKafka
		committed, want int64
	}{
		"at the commit":                              {fakeKafka{first: 5, next: 100, window: 90}, 40, 40},
		"never committed: one window back":           {fakeKafka{first: 5, next: 100, window: 90}, -1, 90},
		"expired: at the earliest":                   {fakeKafka{first: 50, next: 100, window: 90}, 40, 50},
		"a commit of another topic: one window back": {fakeKafka{first: 0, next: 10, window: 7}, 40, 7},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.kafka = c.kafka
			got, err := b.Start(t.Context(), 1, c.committed)
			if err != nil || got != c.want {
				t.Errorf("got %d, %v, want %d", got, err, c.want)
			}
		})
	}
}

func TestCommitsStayBehindLettersThatAreNotWritten(t *testing.T) {
	b := newBench(t)
	b.Batch(t.Context(), 0, records(`{}`, `{}`, `{}`), 3, 1000)
	b.letters.low = 1
	if done, _ := b.Commit(0); done != 1 {
		t.Errorf("got %d, want 1", done)
	}
	b.Assigned([]int{7})
	if _, ok := b.Commit(0); ok {
		t.Error("a partition of the generation before is still committed")
	}
}

func TestCountsByResult(t *testing.T) {
	b := newBench(t)
	b.Batch(t.Context(), 0, records(`{}`, `{"nothing":true}`, `{"fail":true}`), 3, 1000)
	if want := map[Result]int{Mapped: 1, Nothing: 1, Buried: 1}; !reflect.DeepEqual(b.counts, want) {
		t.Errorf("got %v, want %v", b.counts, want)
	}
	if !strings.HasPrefix(b.letters.sent[0], "2 ") {
		t.Errorf("buried %v", b.letters.sent)
	}
}
