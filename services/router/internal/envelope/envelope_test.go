package envelope

import (
	"errors"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	deliveryv1 "github.com/edumatrix/interlink/proto/delivery/v1"
)

func message(value string, headers ...Header) Message {
	return Message{Topic: "t", Partition: 3, Offset: 7, Key: []byte("conversation:42"), Value: []byte(value),
		Headers: headers, Time: time.UnixMilli(1_700_000_000_000)}
}

func TestDecode(t *testing.T) {
	const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	event := func(change func(*deliveryv1.Record)) *deliveryv1.Record {
		r := &deliveryv1.Record{Offset: 7, Id: "t/3/7", Event: "message:new", Rooms: []string{"conversation:42"},
			Data: []byte("null"), TimeMs: 1_700_000_000_000, SingleRoom: true}
		change(r)
		return r
	}
	tests := map[string]struct {
		in   Message
		want *deliveryv1.Record
	}{
		"the smallest event": {message(`{"event":"message:new","to":{"rooms":["conversation:42"]}}`), event(func(*deliveryv1.Record) {})},
		"every field": {
			message(`{"id":"i1","event":"message:new","to":{"rooms":["conversation:42","conversation:42"],"users":["u7"]},
				"except":{"users":["u1"],"sockets":["s"]},"data":{"text":"hi"},"from":"u1","receipt":true,"queue":true,"time":"2026-11-24T10:00:00Z"}`,
				Header{"traceparent", []byte(trace)}),
			event(func(r *deliveryv1.Record) {
				r.Id, r.Rooms, r.SingleRoom = "i1", []string{"conversation:42", "user:u7"}, false
				r.ExceptUsers, r.ExceptSockets, r.Data, r.From = []string{"u1"}, []string{"s"}, []byte(`{"text":"hi"}`), "u1"
				r.Receipt, r.Queue, r.TimeMs, r.Traceparent = true, true, 1795514400000, trace
			}),
		},
		"queue without users is ignored": {message(`{"event":"message:new","to":{"rooms":["conversation:42"]},"queue":true}`), event(func(*deliveryv1.Record) {})},
		"a lone user is not a room to show": {message(`{"event":"message:new","to":{"users":["u7"]}}`),
			event(func(r *deliveryv1.Record) { r.Rooms, r.SingleRoom = []string{"user:u7"}, false })},
		"binary data": {message(`{"event":"message:new","to":{"rooms":["conversation:42"]},"dataBase64":"AP8="}`),
			event(func(r *deliveryv1.Record) { r.Data, r.Binary = []byte{0, 255}, true })},
		"a broken trace concerns nobody": {message(`{"event":"message:new","to":{"rooms":["conversation:42"]}}`, Header{"traceparent", []byte("x")}),
			event(func(*deliveryv1.Record) {})},
		"a structured CloudEvent": {
			message(`{"specversion":"1.0","id":"9","source":"/app","type":"message:new","subject":"conversation:42","data":[1],"interlinkusers":"u1, u2","interlinkqueue":true,"other":1}`,
				Header{"Content-Type", []byte("application/cloudevents+json; charset=UTF-8")}),
			event(func(r *deliveryv1.Record) {
				r.Id, r.Rooms, r.Data, r.Queue, r.SingleRoom = "/app 9", []string{"conversation:42", "user:u1", "user:u2"}, []byte("[1]"), true, false
			}),
		},
		"a binary CloudEvent": {
			message(`{"a":1}`, Header{"ce_specversion", []byte("1.0")}, Header{"ce_id", []byte("9")}, Header{"ce_source", []byte("/app")},
				Header{"ce_type", []byte("message:new")}, Header{"ce_subject", []byte("conversation:42")}, Header{"ce_time", []byte("2026-11-24T10:00:00Z")},
				Header{"content-type", []byte("application/json")}),
			event(func(r *deliveryv1.Record) { r.Id, r.Data, r.TimeMs = "/app 9", []byte(`{"a":1}`), 1795514400000 }),
		},
		"a binary CloudEvent with an image": {
			message("\x89PNG", Header{"ce_specversion", []byte("1.0")}, Header{"ce_id", []byte("9")}, Header{"ce_source", []byte("/app")},
				Header{"ce_type", []byte("message:new")}, Header{"ce_subject", []byte("conversation:42")}, Header{"content-type", []byte("image/png")}),
			event(func(r *deliveryv1.Record) { r.Id, r.Data, r.Binary = "/app 9", []byte("\x89PNG"), true }),
		},
		"a membership change addresses the room and its users": {
			message(`{"control":"membership.changed","room":"conversation:42","add":["u1"],"remove":["u2"]}`),
			event(func(r *deliveryv1.Record) {
				r.Event, r.Data, r.SingleRoom, r.Rooms = "", nil, false, []string{"conversation:42", "user:u1", "user:u2"}
				r.Control = &deliveryv1.Control{Kind: deliveryv1.Control_MEMBERSHIP_CHANGED, Room: "conversation:42", Add: []string{"u1"}, Remove: []string{"u2"}}
			}),
		},
		"a revocation without a time means the record's own": {
			message(`{"control":"session.revoked","user":"u1"}`),
			event(func(r *deliveryv1.Record) {
				r.Event, r.Data, r.SingleRoom, r.Rooms = "", nil, false, []string{"user:u1"}
				r.Control = &deliveryv1.Control{Kind: deliveryv1.Control_SESSION_REVOKED, User: "u1", BeforeMs: 1_700_000_000_000}
			}),
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := Decode(tt.in)
			if err != nil {
				t.Fatal(err)
			}
			if !proto.Equal(got.Record, tt.want) {
				t.Errorf("got  %v\nwant %v", got.Record, tt.want)
			}
		})
	}
}

func TestDecodeRefuses(t *testing.T) {
	const to = `"to":{"rooms":["a:b"]}`
	long := strings.Repeat("x", 2000)
	tests := map[string]struct {
		value  string
		reason Reason
		want   string
	}{
		"an empty value":              {"", Empty, "empty"},
		"bytes that are not UTF-8":    {"{\"event\":\"\xff\"}", NotUTF8, "UTF-8"},
		"a list":                      {`[]`, NotJSON, "object"},
		"half an object":              {`{"event":"x"`, NotJSON, "JSON"},
		"two objects":                 {`{"event":"x",` + to + `} {}`, NotJSON, "after top-level value"},
		"a field given twice":         {`{"event":"x","event":"y",` + to + `}`, Invalid, "event: is given twice"},
		"an unknown field":            {`{"event":"x",` + to + `,"rooms":[]}`, Invalid, "rooms: is not a field"},
		"a field in another case":     {`{"Event":"x",` + to + `}`, Invalid, "Event: is not a field"},
		"no event":                    {`{` + to + `}`, Invalid, "event: is required"},
		"a long event":                {`{"event":"` + long + `",` + to + `}`, Invalid, "event: at most 128"},
		"a name that Socket.IO keeps": {`{"event":"disconnect",` + to + `}`, Invalid, "event: \"disconnect\""},
		"an event with a line break":  {`{"event":"a\nb",` + to + `}`, Invalid, "event: contains"},
		"a number as event":           {`{"event":1,` + to + `}`, Invalid, "event: must be a string"},
		"no target":                   {`{"event":"x"}`, Invalid, "to: is required"},
		"empty targets":               {`{"event":"x","to":{}}`, Invalid, "to: names no room"},
		"a room without a type":       {`{"event":"x","to":{"rooms":["lobby"]}}`, Invalid, "to.rooms"},
		"an empty user":               {`{"event":"x","to":{"users":[""]}}`, Invalid, "to.users"},
		"rooms that are a string":     {`{"event":"x","to":{"rooms":"a:b"}}`, Invalid, "to.rooms: must be a list"},
		"an unknown field in to":      {`{"event":"x","to":{"room":"a:b"}}`, Invalid, "to.room: is not a field"},
		"an unknown field in except":  {`{"event":"x",` + to + `,"except":{"rooms":[]}}`, Invalid, "except.rooms"},
		"too many targets":            {`{"event":"x","to":{"users":["` + many(1001) + `"]}}`, Invalid, "to.users: at most 1000"},
		"both kinds of data":          {`{"event":"x",` + to + `,"data":1,"dataBase64":""}`, Invalid, "exclude each other"},
		"broken base64":               {`{"event":"x",` + to + `,"dataBase64":"%"}`, Invalid, "dataBase64"},
		"too much data":               {`{"event":"x",` + to + `,"data":"` + strings.Repeat("x", MaxData) + `"}`, TooLarge, "data"},
		"a time that is none":         {`{"event":"x",` + to + `,"time":"yesterday"}`, Invalid, "time: must be an RFC 3339"},
		"a time before the epoch":     {`{"event":"x",` + to + `,"time":"1600-01-01T00:00:00Z"}`, Invalid, "time"},
		"an empty id":                 {`{"id":"","event":"x",` + to + `}`, Invalid, "id: must not be empty"},
		"queue as text":               {`{"event":"x",` + to + `,"queue":"yes"}`, Invalid, "queue: must be true"},
		"an unknown control":          {`{"control":"reboot"}`, Invalid, "control: must be"},
		"a control with an event":     {`{"control":"session.revoked","user":"u","event":"x"}`, Invalid, "event: is not a field"},
		"a membership without a room": {`{"control":"membership.changed","add":["u"]}`, Invalid, "room"},
		"a membership without users":  {`{"control":"membership.changed","room":"a:b"}`, Invalid, "add"},
		"a revocation without a user": {`{"control":"session.revoked"}`, Invalid, "user: is required"},
		"a revocation with a room":    {`{"control":"session.revoked","user":"u","room":"a:b"}`, Invalid, "room: is not a field"},
		"a disconnect with a time":    {`{"control":"user.disconnect","user":"u","before":1}`, Invalid, "before: is not a field"},
		"a transaction's end":         {"\x00\x00\x00\x00\x00\x01", Transaction, "transaction"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			m := message(tt.value)
			if tt.reason == Transaction {
				m.Key = []byte{0, 0, 0, 1}
			}
			_, err := Decode(m)
			var e *Error
			if !errors.As(err, &e) || e.Reason != tt.reason || !strings.Contains(e.Error(), tt.want) {
				t.Fatalf("got %v (%+v), want %s … %q", err, e, tt.reason, tt.want)
			}
		})
	}
}

func many(n int) string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = "u" + strings.Repeat("i", i)[:min(i, 2)] + time.Duration(i).String()
	}
	return strings.Join(ids, `","`)
}

func TestCloudEventRefuses(t *testing.T) {
	headers := func(change map[string]string) []Header {
		all := map[string]string{"specversion": "1.0", "id": "1", "source": "/a", "type": "x", "subject": "a:b"}
		for k, v := range change {
			all[k] = v
		}
		var out []Header
		for k, v := range all {
			out = append(out, Header{"ce_" + k, []byte(v)})
		}
		return out
	}
	for name, change := range map[string]map[string]string{
		"another version":     {"specversion": "0.3"},
		"no id":               {"id": ""},
		"no source":           {"source": ""},
		"no type":             {"type": ""},
		"a kept type":         {"type": "connect"},
		"a subject no room":   {"subject": "b"},
		"no target":           {"subject": ""},
		"a broken time":       {"time": "noon"},
		"a broken queue":      {"interlinkqueue": "perhaps"},
		"a source with space": {"source": "a b"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Decode(message("1", headers(change)...)); err == nil {
				t.Fatal("accepted")
			}
		})
	}
}

func TestKeyIsTheFirstRoomUnlessTheRecordSaysSo(t *testing.T) {
	for value, want := range map[string]string{
		`{"event":"x","to":{"rooms":["a:b"],"users":["u"]}}`:              "a:b",
		`{"event":"x","to":{"users":["u"]}}`:                              "user:u",
		`{"key":"k","event":"x","to":{"users":["u"]}}`:                    "k",
		`{"control":"membership.changed","room":"a:b","add":["u"]}`:       "a:b",
		`{"control":"user.disconnect","user":"u","reason":"moved house"}`: "user:u",
	} {
		e, err := Parse([]byte(value))
		if err != nil {
			t.Fatal(err)
		}
		if e.Key() != want {
			t.Errorf("%s: key %q, want %q", value, e.Key(), want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(`{"id":"1","event":"x","to":{"rooms":["a:b"],"users":["u"]},"except":{"users":["u"]},"data":{"a":[1,2]},"time":"2026-11-24T10:00:00Z","queue":true}`, "")
	f.Add(`{"control":"membership.changed","room":"a:b","add":["u"],"remove":["v"]}`, "")
	f.Add(`{"control":"session.revoked","user":"u","before":1700000000000}`, "")
	f.Add(`{"event":"x","to":{"users":["u"]},"dataBase64":""}`, "")
	f.Add(`{"specversion":"1.0","id":"1","source":"/a","type":"x","subject":"a:b","data":1}`, "application/cloudevents+json")
	f.Fuzz(func(t *testing.T, value, contentType string) {
		m := message(value, Header{"content-type", []byte(contentType)})
		got, err := Decode(m)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Reason == "" {
				t.Fatalf("an error without a reason: %v", err)
			}
			return
		}
		if len(got.Record.Rooms) == 0 || (got.Record.Control == nil && got.Record.Event == "") {
			t.Fatalf("a record without target or event: %v", got.Record)
		}
		if _, err := proto.Marshal(got.Record); err != nil {
			t.Fatal(err)
		}
		e, err := read(m)
		if err != nil || e.Volatile || e.Replace != "" || e.PartitionKey != "" {
			return
		}
		b, err := e.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse(b)
		if err != nil {
			t.Fatalf("what was written can't be read: %v: %s", err, b)
		}
		again.Trace = e.Trace
		if x, y := e.Record("i", 1, time.UnixMilli(5)), again.Record("i", 1, time.UnixMilli(5)); x.Id != y.Id || x.Event != y.Event || len(x.Rooms) != len(y.Rooms) || x.TimeMs != y.TimeMs {
			t.Fatalf("read %v, wrote %v", x, y)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	m := message(`{"id":"01JD0000000000000000000000","event":"message:new","to":{"rooms":["conversation:42"]},"except":{"users":["u1"]},` +
		`"data":{"id":"m1","conversationId":"42","senderId":"u1","content":"` + strings.Repeat("hello ", 30) + `"},"from":"u1","time":"2026-11-24T10:00:00Z"}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode(m); err != nil {
			b.Fatal(err)
		}
	}
}
