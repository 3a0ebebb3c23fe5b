package hub

import (
	"testing"

	"google.golang.org/protobuf/proto"

	deliveryv1 "github.com/edumatrix/interlink/proto/delivery/v1"
)

func TestReadingARecordAgreesWithTheGeneratedReader(t *testing.T) {
	full := &deliveryv1.Record{
		Offset: 1 << 40, Id: "id", Event: "e", Rooms: []string{"r:1", "r:2"}, ExceptUsers: []string{"u", "v"}, ExceptSockets: []string{"s"},
		Data: []byte(`{}`), Binary: true, TimeMs: 99, From: "f", Receipt: true, Queue: true, Replace: "k", Traceparent: "00-…",
		Control: &deliveryv1.Control{Kind: deliveryv1.Control_SESSION_REVOKED, User: "u"}, SingleRoom: true,
	}
	raw, err := proto.Marshal(full)
	if err != nil {
		t.Fatal(err)
	}
	var r record
	if err := r.read(raw); err != nil {
		t.Fatal(err)
	}
	if got := r.proto(); !proto.Equal(got, without(full)) {
		t.Errorf("got %v, want %v", got, full)
	}
	for cut := range raw {
		// What is cut in the middle of a field is an error; between fields it is a shorter record. Never a panic.
		_ = r.read(raw[:cut])
	}
}

// without is the record without what the gateway does not read.
func without(r *deliveryv1.Record) *deliveryv1.Record {
	c := proto.CloneOf(r)
	c.Traceparent = ""
	return c
}

func (r *record) proto() *deliveryv1.Record {
	return &deliveryv1.Record{
		Offset: r.offset, Id: r.id, Event: r.event, Rooms: r.rooms, ExceptUsers: r.exceptUsers, ExceptSockets: r.exceptSockets, Data: r.data,
		Binary: r.binary, TimeMs: r.timeMs, From: r.from, Receipt: r.receipt, Queue: r.queue, Replace: r.replace, Control: r.control, SingleRoom: r.singleRoom,
	}
}

func FuzzReadRecord(f *testing.F) {
	raw, err := proto.Marshal(&deliveryv1.Record{Offset: 5, Id: "id", Rooms: []string{"r:1"}, Control: &deliveryv1.Control{Room: "r:1"}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Fuzz(func(t *testing.T, raw []byte) {
		var r record
		if r.read(raw) != nil {
			return
		}
		want := &deliveryv1.Record{}
		if proto.Unmarshal(raw, want) != nil {
			return // such as a string that is not UTF-8, which the router never writes
		}
		if r.control == nil && want.Control == nil && (r.offset != want.Offset || r.id != want.Id || len(r.rooms) != len(want.Rooms) || r.timeMs != want.TimeMs) {
			t.Errorf("got %+v, want %v", r, want)
		}
	})
}
