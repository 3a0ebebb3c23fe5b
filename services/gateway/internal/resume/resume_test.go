package resume

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/edumatrix/interlink/services/gateway/internal/cursor"
	"github.com/edumatrix/interlink/services/gateway/internal/recovery"
	"github.com/edumatrix/interlink/services/internal/permission"
	"github.com/edumatrix/interlink/services/internal/sessionrecord"
)

const (
	here   = 7 // life of the record's gateway
	before = 8 // a life that the session was taken from
	other  = 9
)

func input() Input {
	at := time.UnixMilli(1_000_000)
	return Input{
		Arrived: at, Window: 2 * time.Minute, User: "u1", Run: "run",
		Cursor: &cursor.Cursor{Life: here, Era: 1, Epoch: 5, MintedMs: at.UnixMilli() - 1000, Offsets: []int64{12, 30}},
		Record: &sessionrecord.Record{User: "u1", Life: Life(here), Before: []sessionrecord.Life{Life(before)}, Era: 1, Run: "run"},
		Start:  Start{Epoch: 5, At: recovery.Vector{10, 20}, MadeMs: at.UnixMilli() - 60_000},
	}
}

func TestAResumeIsJudged(t *testing.T) {
	for name, c := range map[string]struct {
		change    func(*Input)
		want      Reason
		wantWait  bool
		wantSince recovery.Vector
	}{
		"a client that was away for a second": {func(*Input) {}, "", false, recovery.Vector{12, 30}},
		"one that has handled nothing":        {func(in *Input) { in.Cursor = nil }, "", false, recovery.Vector{10, 20}},
		"one that gives an older session's":   {func(in *Input) { in.Cursor.MintedMs, in.Cursor.Offsets, in.Cursor.Life = 900_000, []int64{3, 4}, other }, "", false, recovery.Vector{10, 20}},
		"an older session's of a gateway ahead": {func(in *Input) {
			in.Cursor.MintedMs, in.Cursor.Offsets, in.Cursor.Life = 900_000, []int64{11, 4}, other
		}, NoSession, true, recovery.Vector{11, 20}},
		"another user":                            {func(in *Input) { in.User = "u2" }, OtherUser, false, nil},
		"a cursor of another topic":               {func(in *Input) { in.Cursor.Epoch = 6 }, Epoch, false, nil},
		"a cursor of other partitions":            {func(in *Input) { in.Cursor.Offsets = []int64{12} }, Epoch, false, nil},
		"a cursor as old as the window":           {func(in *Input) { in.Cursor.MintedMs = 1_000_000 - 120_000; in.Start.MadeMs = 1 }, "", false, recovery.Vector{12, 30}},
		"a cursor a moment older":                 {func(in *Input) { in.Cursor.MintedMs = 1_000_000 - 120_001; in.Start.MadeMs = 1 }, Window, false, nil},
		"none, and a session older than that":     {func(in *Input) { in.Cursor = nil; in.Start.MadeMs = 1 }, Window, false, nil},
		"a record of an older era":                {func(in *Input) { in.Cursor.Era = 2 }, NoSession, true, recovery.Vector{12, 30}},
		"a record of another run of the store":    {func(in *Input) { in.Run = "next" }, NoSession, true, recovery.Vector{12, 30}},
		"a cursor of a life it was taken from":    {func(in *Input) { in.Cursor.Life, in.Cursor.Era = before, 77 }, "", false, recovery.Vector{12, 30}},
		"a cursor of a life that nobody knows":    {func(in *Input) { in.Cursor.Life = other }, NoSession, true, recovery.Vector{12, 30}},
		"a cursor from a clock that is ahead":     {func(in *Input) { in.Cursor.MintedMs += 5000 }, "", false, recovery.Vector{12, 30}},
		"a cursor that is ahead in one partition": {func(in *Input) { in.Cursor.Offsets = []int64{5, 30} }, "", false, recovery.Vector{10, 30}},
	} {
		t.Run(name, func(t *testing.T) {
			in := input()
			c.change(&in)
			got := Judge(in)
			if got.Reason != c.want || got.Wait != c.wantWait || !slices.Equal(got.Since, c.wantSince) {
				t.Errorf("got %+v, want %q %t %v", got, c.want, c.wantWait, c.wantSince)
			}
		})
	}
}

func TestStartsAndEntriesRoundTrip(t *testing.T) {
	want := Start{Epoch: 5, At: recovery.Vector{10, 20, 0}, MadeMs: 77}
	got, err := ParseStart(want.Append(nil))
	if err != nil || got.Epoch != want.Epoch || got.MadeMs != want.MadeMs || !slices.Equal(got.At, want.At) {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := ParseStart([]byte("x")); err == nil {
		t.Error("nonsense was read")
	}
	for _, e := range []Entry{{Room: "conversation:a b", Permissions: permission.All}, {Room: "r:1"}, {Room: "presence:u", Internal: true}} {
		if got, ok := ParseEntry(e.String()); !ok || got != e {
			t.Errorf("got %+v, want %+v", got, e)
		}
	}
	for _, text := range []string{"", "r:1", "f ", "g r:1", "100000000 r:1"} {
		if e, ok := ParseEntry(text); ok {
			t.Errorf("%q was read as %+v", text, e)
		}
	}
}

func TestWhatAClientGivesBackIsReadWithCare(t *testing.T) {
	for name, c := range map[string]struct {
		pid, offset string
		want        Offer
		wantOK      bool
	}{
		"nothing":           {"", `"x"`, Offer{}, false},
		"a session only":    {"s", "", Offer{Session: "s"}, true},
		"no offset":         {"s", "null", Offer{Session: "s"}, true},
		"a cursor":          {"s", `"abc"`, Offer{Session: "s", Cursor: "abc"}, true},
		"a number":          {"s", "17", Offer{Session: "s", Bad: true}, true},
		"an object":         {"s", `{"a":1}`, Offer{Session: "s", Bad: true}, true},
		"an empty text":     {"s", `""`, Offer{Session: "s"}, true},
		"more than any one": {"s", `"` + string(make([]byte, cursor.MaxBytes)) + `"`, Offer{Session: "s", Bad: true}, true},
	} {
		t.Run(name, func(t *testing.T) {
			if got, ok := ReadOffer(c.pid, json.RawMessage(c.offset)); got != c.want || ok != c.wantOK {
				t.Errorf("got %+v, %t", got, ok)
			}
		})
	}
}
