package socketio

import (
	"encoding/json"
	"strings"
	"testing"
)

func BenchmarkDecodeClientEvent(b *testing.B) {
	text := []byte(`212["room:join",{"room":"conversation:42","since":1790000000000}]`)
	var p Packet
	b.ReportAllocs()
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if err := Decode(&p, text, Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeLongText(b *testing.B) {
	text := []byte(`2["message:new",{"text":"` + strings.Repeat("lorem ipsum ", 1000) + `"}]`)
	var p Packet
	b.ReportAllocs()
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if err := Decode(&p, text, Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeNested(b *testing.B) {
	text := []byte(`2["message:new",{"list":[` + strings.TrimSuffix(strings.Repeat(`{"id":123456,"on":true,"tags":["a","b"],"none":null},`, 200), ",") + `]}]`)
	var p Packet
	b.ReportAllocs()
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if err := Decode(&p, text, Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendEvent(b *testing.B) {
	data, meta, cursor := json.RawMessage(`{"text":"hello","from":"u1"}`), json.RawMessage(`{"id":"01JD","time":"2026-11-24T10:00:00Z"}`), json.RawMessage(`"c3Vyc29y"`)
	dst := make([]byte, 0, 512)
	b.ReportAllocs()
	for b.Loop() {
		dst = AppendEvent(dst[:0], "message:new", data, meta, cursor)
	}
}

func BenchmarkAppendAck(b *testing.B) {
	dst := make([]byte, 0, 512)
	answer := json.RawMessage(`{"ok":true}`)
	b.ReportAllocs()
	for b.Loop() {
		dst = AppendAck(dst[:0], 12, answer)
	}
}

func TestHotPathsDoNotAllocate(t *testing.T) {
	var p Packet
	var r Reader
	dst := make([]byte, 0, 512)
	event := []byte(`212["room:join",{"room":"conversation:42"},null]`)
	arg := json.RawMessage(`{"ok":true}`)
	if err := Decode(&p, event, Limits{}); err != nil {
		t.Fatal(err) // Args have their storage from here on
	}
	for name, f := range map[string]func(){
		"an event is read":             func() { _ = Decode(&p, event, Limits{}) },
		"an event is read by a Reader": func() { _, _ = r.Text(&p, event, Limits{}) },
		"an event is written":          func() { dst = AppendEvent(dst[:0], "message:new", arg, arg, arg) },
		"an ack is written":            func() { dst = AppendAck(dst[:0], 12, arg) },
		"CONNECT is written":           func() { dst = AppendConnect(dst[:0], "abc", "def") },
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
