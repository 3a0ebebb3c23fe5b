package service_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	deliveryv1 "github.com/edumatrix/interlink/proto/delivery/v1"
	presencev1 "github.com/edumatrix/interlink/proto/presence/v1"
)

const log = "cluster/interlink.events/12"

// queue appends events to u1's inbox, at the offsets given; their ids are e<offset>.
func (w *world) queue(offsets ...int64) []*presencev1.Appended {
	w.t.Helper()
	in := &presencev1.AppendInboxRequest{Log: log}
	for _, o := range offsets {
		record, err := proto.Marshal(&deliveryv1.Record{Event: "message:new", Data: fmt.Appendf(nil, `{"n":%d}`, o)})
		if err != nil {
			w.t.Fatal(err)
		}
		in.Entries = append(in.Entries, &presencev1.InboxEntry{User: "u1", Id: fmt.Sprint("e", o), Offset: o, TimeMs: time.Now().UnixMilli(), Record: record})
	}
	r, err := w.pods[0].AppendInbox(w.t.Context(), in)
	if err != nil {
		w.t.Fatal(err)
	}
	return r.GetAppended()
}

// undelivered returns the ids reported so far.
func (w *world) undelivered() string {
	var out []string
	for _, r := range w.ears.lifecycle() {
		if rest, ok := strings.CutPrefix(r, `undelivered u1 {"id":"`); ok {
			id, _, _ := strings.Cut(rest, `"`)
			out = append(out, id)
		}
	}
	return strings.Join(out, " ")
}

func (w *world) open(session string, start int64, covered ...*presencev1.Span) string {
	w.t.Helper()
	if _, err := w.pods[0].OpenInbox(w.t.Context(), &presencev1.OpenInboxRequest{Log: log, User: "u1", Session: session,
		Start: map[uint32]int64{0: start}, Covered: covered}); err != nil {
		w.t.Fatal(err)
	}
	page, err := w.pods[0].ReadInbox(w.t.Context(), &presencev1.ReadInboxRequest{Log: log, User: "u1", Session: session})
	if err != nil {
		w.t.Fatal(err)
	}
	var out []string
	for _, e := range page.GetEntries() {
		out = append(out, e.GetId())
	}
	return strings.Join(out, " ")
}

func TestAnEventThatIsNotReceivedInTimeIsReportedOnce(t *testing.T) {
	tests := map[string]func(w *world){
		"by one of several pods": func(w *world) {
			w.queue(1, 2)
			time.Sleep(59 * time.Second)
			if got := w.undelivered(); got != "" {
				w.t.Errorf("too early: %s", got)
			}
			time.Sleep(2 * time.Hour)
			if got := w.undelivered(); got != "e1 e2" && got != "e2 e1" {
				w.t.Errorf("reported %q", got)
			}
			if got := w.open("s", 10); got != "e1 e2" {
				w.t.Errorf("what was reported waits no more: %q", got)
			}
		},
		"never if a receipt or a cursor came": func(w *world) {
			w.queue(1, 2, 3)
			if _, err := w.pods[0].Receive(w.t.Context(), &presencev1.ReceiveRequest{Log: log, User: "u1", Ids: []string{"e1"}}); err != nil {
				w.t.Fatal(err)
			}
			if got := w.open("s", 2, &presencev1.Span{From: 2, To: 9}); got != "" {
				w.t.Errorf("given again: %q", got)
			}
			time.Sleep(time.Hour)
			if got := w.undelivered(); got != "" {
				w.t.Errorf("reported %q", got)
			}
		},
		"when the routers are back": func(w *world) {
			w.ears.leave(true)
			w.queue(1)
			time.Sleep(5 * time.Minute)
			w.ears.leave(false)
			time.Sleep(time.Hour)
			if got := w.undelivered(); got != "e1" {
				w.t.Errorf("reported %q", got)
			}
		},
		"when it had to go for want of room": func(w *world) {
			var offsets []int64
			for o := range int64(1001) {
				offsets = append(offsets, o)
			}
			w.queue(offsets...)
			if got := w.undelivered(); got != "e0" {
				w.t.Errorf("reported %q", got)
			}
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(newWorld(t, 2)) })
		})
	}
}

func TestTheUndeliveredRecordLooksAsAgreed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		when := time.Now().UTC().Truncate(time.Millisecond).Format(time.RFC3339Nano)
		w.queue(7)
		time.Sleep(2 * time.Minute)
		want := `undelivered u1 {"id":"e7","event":"message:new","user":"u1","data":{"n":7},"queuedAt":"` + when + `"}`
		if got := w.ears.lifecycle(); len(got) != 1 || got[0] != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
}

func TestAnInboxGivesWhatLiesBeforeTheStartAndWakesForWhatComesLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		w.queue(1, 2)
		if got := w.open("s", 4); got != "e1 e2" {
			t.Errorf("read %q", got)
		}
		late := w.queue(3, 4)
		if fmt.Sprint(late[0].GetWake()) != "[s]" || len(late[1].GetWake()) != 0 {
			t.Errorf("wake %v", late)
		}
		if _, err := w.pods[0].CloseInbox(t.Context(), &presencev1.CloseInboxRequest{Log: log, User: "u1", Session: "s"}); err != nil {
			t.Fatal(err)
		}
		if got := w.open("s2", 5); got != "e1 e2 e3 e4" {
			t.Errorf("read %q", got)
		}
	})
}

func TestASessionIsWrittenReadTakenAndEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		s, ctx := w.pods[0], t.Context()
		record := &presencev1.SessionRecord{Session: "s1", Socket: "k1", User: "u1", Life: "gw-a/1", Rooms: []string{"user:u1"}, Start: []byte("v"), Era: 1}
		wrote, err := s.PutSession(ctx, &presencev1.PutSessionRequest{Record: record, Whole: true})
		if err != nil || wrote.GetOutcome() != presencev1.SessionOutcome_WRITTEN || wrote.GetVersion() != 1 {
			t.Fatalf("%v, %v", wrote, err)
		}
		wrote, err = s.PutSession(ctx, &presencev1.PutSessionRequest{Record: record, Add: []string{"conversation:1"}, Base: 1, Run: wrote.GetRun()})
		if err != nil || wrote.GetOutcome() != presencev1.SessionOutcome_WRITTEN {
			t.Fatalf("%v, %v", wrote, err)
		}
		for era, want := range map[uint64]bool{1: true, 2: false} {
			got, err := s.GetSession(ctx, &presencev1.GetSessionRequest{Session: "s1", CursorLife: "gw-a/1", CursorEra: era})
			if err != nil || got.GetResumable() != want || strings.Join(got.GetRecord().GetRooms(), " ") != "conversation:1 user:u1" {
				t.Errorf("era %d: %v, %v", era, got, err)
			}
		}
		record.Life = "gw-b/1"
		took, err := s.TakeSession(ctx, &presencev1.TakeSessionRequest{Record: record, Version: 2, CursorLife: "gw-a/1", CursorEra: 1})
		if err != nil || took.GetOutcome() != presencev1.SessionOutcome_WRITTEN || took.GetVersion() != 3 {
			t.Fatalf("%v, %v", took, err)
		}
		record.Life = "gw-a/1"
		wrote, err = s.PutSession(ctx, &presencev1.PutSessionRequest{Record: record, Whole: true, Base: 2})
		if err != nil || wrote.GetOutcome() != presencev1.SessionOutcome_TAKEN {
			t.Errorf("the old owner: %v, %v", wrote, err)
		}
		for life, want := range map[string]bool{"gw-a/1": false, "gw-b/1": true} {
			if got, err := s.EndSession(ctx, &presencev1.EndSessionRequest{Session: "s1", Life: life, Version: 3}); err != nil || (got.GetEnded() && !want) {
				t.Errorf("%s ends it: %v, %v", life, got, err)
			}
		}
		if _, err := s.GetSession(ctx, &presencev1.GetSessionRequest{Session: "s1"}); status.Code(err) != codes.NotFound {
			t.Errorf("after its end: %v", err)
		}
	})
}
