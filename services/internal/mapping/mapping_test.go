package mapping

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
)

const platform = "../../../config/edu-matrix.yaml"

func load(t testing.TB) *Mapping {
	t.Helper()
	m, err := Load(platform)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func lines(t testing.TB, path string) [][]byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out [][]byte
	scanner := bufio.NewScanner(bytes.NewReader(data))
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		out = append(out, slices.Clone(scanner.Bytes()))
	}
	return out
}

// flat is the fixtures' way to write an envelope or control record.
func flat(t *testing.T, raw json.RawMessage) map[string]any {
	t.Helper()
	var e map[string]any
	if err := json.Unmarshal(raw, &e); err != nil {
		t.Fatal(err)
	}
	if e["control"] != nil {
		delete(e, "id")
		return e
	}
	to, _ := e["to"].(map[string]any)
	for _, kind := range []string{"rooms", "users"} {
		e[kind] = []any{}
		if list, ok := to[kind].([]any); ok {
			e[kind] = list
		}
	}
	if except, ok := e["except"].(map[string]any); ok {
		e["except"] = except["users"]
	}
	delete(e, "to")
	if id, _ := e["id"].(string); strings.Contains(id, "#") {
		delete(e, "id")
	}
	return e
}

func TestEveryRecordedLineOfThePlatformIsMapped(t *testing.T) {
	m := load(t)
	mapped, nothing := 0, 0
	for n, line := range lines(t, "testdata/platform-records.jsonl") {
		var fixture struct {
			Topic        string
			Value        json.RawMessage
			Expect       map[string]any
			Before, Also []map[string]any
		}
		if err := json.Unmarshal(line, &fixture); err != nil {
			t.Fatal(err)
		}
		t.Run(fmt.Sprintf("line %d, %s", n+1, fixture.Topic), func(t *testing.T) {
			out, err := m.Record(t.Context(), Source{Topic: fixture.Topic, Partition: 3, Offset: 42}, fixture.Value)
			if fixture.Expect == nil {
				nothing++
				if len(out) > 0 || err != nil && !errors.Is(err, ErrNoProgram) {
					t.Fatalf("got %d outputs and %v, want none", len(out), err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			mapped++
			want := append(append(slices.Clone(fixture.Before), fixture.Expect), fixture.Also...)
			if len(out) != len(want) {
				t.Fatalf("got %d outputs, want %d: %s", len(out), len(want), out)
			}
			for i := range want {
				if got := flat(t, out[i]); !reflect.DeepEqual(got, want[i]) {
					t.Errorf("output %d:\n got %s\nwant %s", i, pretty(got), pretty(want[i]))
				}
			}
		})
	}
	t.Logf("%d lines mapped, %d to nothing on purpose", mapped, nothing)
}

func TestWhatThePlatformMayAddToItsRecordsIsUsed(t *testing.T) {
	m := load(t)
	for name, c := range map[string]struct{ topic, value, want string }{
		"all reactions": {"messages", `{"type":"REACTION_REMOVED","data":{"messageId":"m1","conversationId":"c1","emoji":"x","userId":"u1","reactions":[]}}`,
			`{"data":{"conversationId":"c1","messageId":"m1","reactions":[]},"event":"message:reaction:updated","id":"messages/0/0#1","to":{"rooms":["conversation:c1"]}}`},
		"recipients of a story": {"students-interlinked.story.created", `{"storyId":"s1","authorId":"u1","storyData":{"visibility":"FOLLOWERS"},"recipients":["u2","u3"]}`,
			`{"data":{"visibility":"FOLLOWERS"},"event":"students-interlinked:new-story","except":{"users":["u1"]},"id":"s:s1","to":{"users":["u2","u3"]}}`},
	} {
		out, err := m.Record(t.Context(), Source{Topic: c.topic}, []byte(c.value))
		if err != nil || len(out) == 0 || string(out[len(out)-1]) != c.want {
			t.Errorf("%s: got %s, %v", name, out, err)
		}
	}
}

func TestReadyMadeEventsOfThePlatformAreMapped(t *testing.T) {
	m := load(t)
	checked := 0
	for n, line := range lines(t, "testdata/platform-http.jsonl") {
		var fixture struct {
			Path string
			Body struct {
				Event string
				Data  json.RawMessage
				Rooms []string
			}
			Expect struct{ Emits []map[string]any }
		}
		if err := json.Unmarshal(line, &fixture); err != nil {
			t.Fatal(err)
		}
		if fixture.Path != "/api/emit" || fixture.Expect.Emits == nil {
			continue
		}
		t.Run(fmt.Sprintf("line %d, %s", n+1, fixture.Body.Event), func(t *testing.T) {
			out, err := m.Event(t.Context(), fixture.Body.Event, "", fixture.Body.Data, map[string]any{"rooms": []any{"conversation:c1"}})
			if errors.Is(err, ErrNoProgram) {
				return // passes unchanged
			}
			if err != nil {
				t.Fatal(err)
			}
			if len(out) != len(fixture.Expect.Emits) {
				t.Fatalf("got %d outputs, want %d", len(out), len(fixture.Expect.Emits))
			}
			for i, want := range fixture.Expect.Emits {
				if got := flat(t, out[i]); !reflect.DeepEqual(got, want) {
					t.Errorf("output %d:\n got %s\nwant %s", i, pretty(got), pretty(want))
				}
			}
			checked++
		})
	}
	if checked < 3 {
		t.Errorf("%d events checked, want at least 3", checked)
	}
}

func pretty(v any) string {
	b, _ := json.Marshal(v)
	return string(b)
}

func TestOutputsWithoutAnIDAreNamedByTheirRecord(t *testing.T) {
	m, err := Parse("m.yaml", []byte("topics:\n  a: '{event: \"x\"}, {id: \"own\", event: \"y\"}, {event: \"z\"}'\n"))
	if err != nil {
		t.Fatal(err)
	}
	out, err := m.Record(t.Context(), Source{Topic: "a", Partition: 3, Offset: 42}, []byte(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{`{"event":"x","id":"a/3/42#0"}`, `{"event":"y","id":"own"}`, `{"event":"z","id":"a/3/42#2"}`}
	for i := range want {
		if string(out[i]) != want[i] {
			t.Errorf("got %s, want %s", out[i], want[i])
		}
	}
}

func TestLargeNumbersStayAsTheyWereWritten(t *testing.T) {
	m, err := Parse("m.yaml", []byte("topics:\n  a: '{event: \"x\", data: .}'\n"))
	if err != nil {
		t.Fatal(err)
	}
	out, err := m.Record(t.Context(), Source{Topic: "a"}, []byte(`{"id":9007199254740993}`))
	if err != nil || !strings.Contains(string(out[0]), "9007199254740993") {
		t.Errorf("got %s, %v", out, err)
	}
}

func TestABadFileNamesFileTopicAndLine(t *testing.T) {
	for name, c := range map[string]struct{ yaml, want string }{
		"a syntax error":             {"topics:\n  good: '.'\n  bad: |\n    {a: 1,\n     b: }\n", "m.yaml: topics.bad: line 5:"},
		"an unknown function":        {"topics:\n  bad: |\n    nope(.)\n", "m.yaml: topics.bad: line 2:"},
		"a bad event":                {"events:\n  a:b: '{'\n", "m.yaml: events.a:b: line 2:"},
		"an unknown key":             {"topic:\n  a: '.'\n", "field topic not found"},
		"a program that is no text":  {"topics:\n  a: [1]\n", "m.yaml: topics.a"},
		"bad functions":              {"functions: 'def x: ;'\ntopics:\n  a: '.'\n", "m.yaml: topics.a: line 1:"},
		"a function without its end": {"functions: |\n  def x: 1\ntopics:\n  a: '.'\n", "m.yaml: topics.a: line 2:"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse("m.yaml", []byte(c.yaml))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q in it", err, c.want)
			}
		})
	}
}

func TestWhatCannotBeMappedIsAnError(t *testing.T) {
	m, err := Parse("m.yaml", []byte(`topics:
  endless: 'def f: f; f'
  many: '{event: (range(2000) | tostring)}'
  huge: '{event: ("x" * 5000000)}'
  fails: '.a.b.c'
  text: '"hello"'
`))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		topic, value string
		want         string
	}{
		"a program without an end":   {"endless", `{}`, ErrTooSlow.Error()},
		"too many outputs":           {"many", `{}`, ErrTooMuch.Error()},
		"too many bytes":             {"huge", `{}`, ErrTooMuch.Error()},
		"a program that fails":       {"fails", `{"a":[1]}`, "expected an object"},
		"an output that is a string": {"text", `{}`, "no object"},
		"garbage":                    {"text", `{{{`, "not JSON"},
		"two values":                 {"text", `{} {}`, "more than one value"},
		"nothing":                    {"text", ``, "not JSON"},
		"a topic of nobody":          {"other", `{}`, ErrNoProgram.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := m.Record(t.Context(), Source{Topic: c.topic}, []byte(c.value))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q in it", err, c.want)
			}
		})
	}
}

func BenchmarkRecord(b *testing.B) {
	m := load(b)
	var fixture struct{ Value json.RawMessage }
	if err := json.Unmarshal(lines(b, "testdata/platform-records.jsonl")[0], &fixture); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.Record(b.Context(), Source{Topic: "messages"}, fixture.Value); err != nil {
			b.Fatal(err)
		}
	}
}
