package inbox

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	deliveryv1 "github.com/edumatrix/interlink/proto/delivery/v1"
	presencev1 "github.com/edumatrix/interlink/proto/presence/v1"
	"github.com/edumatrix/interlink/services/router/internal/envelope"
)

// fakePresence keeps what it is brought, as user@offset.
type fakePresence struct {
	fails int        // calls that fail before one succeeds
	code  codes.Code // with this
	calls int
	most  int // entries of the largest call
	log   string
	got   []string
	wake  map[string][]string // by user
}

func (f *fakePresence) AppendInbox(_ context.Context, in *presencev1.AppendInboxRequest, _ ...grpc.CallOption) (*presencev1.AppendInboxResponse, error) {
	f.calls++
	if f.fails > 0 {
		f.fails--
		return nil, status.Error(f.code, "away")
	}
	f.log, f.most = in.GetLog(), max(f.most, len(in.GetEntries()))
	out := &presencev1.AppendInboxResponse{}
	for _, e := range in.GetEntries() {
		name := fmt.Sprintf("%s@%d", e.GetUser(), e.GetOffset())
		out.Appended = append(out.Appended, &presencev1.Appended{Added: !slices.Contains(f.got, name), Wake: f.wake[e.GetUser()]})
		f.got = append(f.got, name)
		var rec deliveryv1.Record
		if proto.Unmarshal(e.GetRecord(), &rec) != nil || rec.GetId() != e.GetId() || rec.GetOffset() != e.GetOffset() {
			panic("a record that is not the entry's")
		}
	}
	return out, nil
}

// fakeKafka is a partition with one record a second, from time zero on.
type fakeKafka struct{ first, next int64 }

var zero = time.Unix(1_700_000_000, 0)

func (f fakeKafka) Offsets(context.Context, string, int) (int64, int64, error) {
	return f.first, f.next, nil
}

func (f fakeKafka) OffsetAt(_ context.Context, _ string, _ int, t time.Time) (int64, error) {
	return min(max(int64(t.Sub(zero)/time.Second), f.first), f.next), nil
}

func (f fakeKafka) TimeAt(_ context.Context, _ string, _ int, offset int64) (time.Time, bool, error) {
	return zero.Add(time.Duration(offset) * time.Second), offset < f.next, nil
}

type bench struct {
	*Feeder
	presence fakePresence
	kafka    fakeKafka
	counts   map[Result]int
	woken    []string
}

func newBench() *bench {
	b := &bench{counts: map[Result]int{}, kafka: fakeKafka{next: 1000}}
	b.Feeder = New(Options{Topic: "t", Log: "c/t/1", TTL: 500 * time.Second, Window: 60 * time.Second, Presence: &b.presence, Offsets: &b.kafka,
		Wake: func(records []*deliveryv1.Record) {
			for _, r := range records {
				b.woken = append(b.woken, r.GetEvent()+" "+r.GetRooms()[0]+" "+string(r.GetData()))
			}
		},
		Observe: func(r Result, n int) { b.counts[r] += n }, Logger: slog.New(slog.DiscardHandler)})
	return b
}

func queued(offset int64, id string, users ...string) envelope.Message {
	idField := ""
	if id != "" {
		idField = fmt.Sprintf(`"id":%q,`, id)
	}
	list := `"` + strings.Join(users, `","`) + `"`
	if len(users) == 0 {
		list = ""
	}
	return envelope.Message{Topic: "t", Offset: offset,
		Value: fmt.Appendf(nil, `{%s"event":"n","to":{"rooms":["a:b"],"users":[%s]},"except":{"users":["x"]},"queue":true}`, idField, list)}
}

func (b *bench) begin(t *testing.T, committed int64) int64 {
	t.Helper()
	start, err := b.Start(t.Context(), 0, committed)
	if err != nil {
		t.Fatal(err)
	}
	return start
}

func (b *bench) committed() int64 {
	o, _ := b.Commit(0)
	return o
}

func TestEveryNamedUserGetsAnEntryAndNobodyElse(t *testing.T) {
	b := newBench()
	b.begin(t, 10)
	plain := envelope.Message{Topic: "t", Offset: 13, Value: []byte(`{"event":"queue","to":{"users":["u1"]}}`)}
	broken := envelope.Message{Topic: "t", Offset: 14, Value: []byte(`{"queue":true`)}
	b.Batch(t.Context(), 0, []envelope.Message{queued(10, "", "u1", "u2"), queued(11, ""), queued(12, "", "u1", "x"), plain, broken}, 15, 20)
	if want := []string{"u1@10", "u2@10", "u1@12"}; !slices.Equal(b.presence.got, want) || b.presence.log != "c/t/1" || b.presence.calls != 1 {
		t.Errorf("%v of %s in %d calls, want %v", b.presence.got, b.presence.log, b.presence.calls, want)
	}
	if b.counts[Kept] != 3 || b.counts[Ignored] != 1 || b.committed() != 15 || b.Lag() != 5 {
		t.Errorf("%v, committed %d, lag %d", b.counts, b.committed(), b.Lag())
	}
}

func TestWhilePresenceIsAwayItWaitsAndSkipsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		b.begin(t, 10)
		b.presence.fails, b.presence.code = 20, codes.Unavailable
		done := make(chan struct{})
		began := time.Now()
		go func() {
			b.Batch(t.Context(), 0, []envelope.Message{queued(10, "", "u1")}, 11, 11)
			close(done)
		}()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if b.committed() != 10 {
			t.Errorf("committed %d behind nothing", b.committed())
		}
		<-done
		synctest.Wait()
		if b.committed() != 11 || len(b.presence.got) != 1 || b.presence.calls != 21 || time.Since(began) < time.Minute {
			t.Errorf("committed %d, %v after %d calls in %v", b.committed(), b.presence.got, b.presence.calls, time.Since(began))
		}
	})
}

func TestAnEndWhileWaitingCommitsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		b.begin(t, 10)
		b.presence.fails, b.presence.code = 1000, codes.Unavailable
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		b.Batch(ctx, 0, []envelope.Message{queued(10, "", "u1")}, 11, 11)
		if b.committed() != 10 {
			t.Errorf("committed %d", b.committed())
		}
	})
}

func TestWhatPresenceCanNeverTakeStopsNothing(t *testing.T) {
	b := newBench()
	b.begin(t, 10)
	b.presence.fails, b.presence.code = 1, codes.InvalidArgument
	b.Batch(t.Context(), 0, []envelope.Message{queued(10, "", "u1", "u2")}, 11, 11)
	b.Batch(t.Context(), 0, []envelope.Message{queued(11, "", "u1")}, 12, 12)
	if b.counts[Refused] != 2 || b.counts[Kept] != 1 || b.committed() != 12 {
		t.Errorf("%v, committed %d", b.counts, b.committed())
	}
}

func TestWhereItStarts(t *testing.T) {
	for name, tt := range map[string]struct {
		kafka     fakeKafka
		committed int64
		from, ids int64 // brings from, reads from
	}{
		"at the committed offset":                   {fakeKafka{0, 1000}, 700, 700, 580},
		"never committed: what an inbox may hold":   {fakeKafka{0, 1000}, -1, 400, 280},
		"never committed, as kafka-go says it":      {fakeKafka{0, 1000}, -2, 400, 280},
		"never committed and expired: the first":    {fakeKafka{600, 1000}, -1, 600, 600},
		"committed and expired: the first":          {fakeKafka{800, 1000}, 700, 800, 800},
		"committed in another topic: what there is": {fakeKafka{0, 1000}, 2000, 400, 280},
		"at the end":     {fakeKafka{0, 1000}, 1000, 1000, 780},
		"an empty topic": {fakeKafka{0, 0}, -1, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(time.Until(zero.Add(900 * time.Second)))
				b := newBench()
				b.kafka = tt.kafka
				if start := b.begin(t, tt.committed); start != tt.ids || b.committed() != tt.from {
					t.Errorf("reads from %d, brings from %d, want %d and %d", start, b.committed(), tt.ids, tt.from)
				}
			})
		})
	}
}

func TestOneIDIsBroughtOnceAlsoIfItWasBroughtBeforeTheStart(t *testing.T) {
	b := newBench()
	b.begin(t, 10)
	b.Batch(t.Context(), 0, []envelope.Message{queued(8, "a", "u1"), queued(9, "b", "u1")}, 10, 12)
	if len(b.presence.got) != 0 || b.committed() != 10 {
		t.Fatalf("brought before the start: %v, committed %d", b.presence.got, b.committed())
	}
	b.Batch(t.Context(), 0, []envelope.Message{queued(10, "b", "u1"), queued(11, "c", "u1"), queued(12, "c", "u1"), queued(13, "", "u1"), queued(14, "", "u1")}, 15, 15)
	if want := []string{"u1@11", "u1@13", "u1@14"}; !slices.Equal(b.presence.got, want) {
		t.Errorf("%v, want %v", b.presence.got, want)
	}
}

func TestCallsAreBoundedInEntriesAndBytes(t *testing.T) {
	b := newBench()
	b.begin(t, 0)
	records := make([]envelope.Message, 450)
	for i := range records {
		records[i] = queued(int64(i), "", "u1", "u2")
	}
	b.Batch(t.Context(), 0, records, 450, 450)
	if b.presence.most != callEntries || len(b.presence.got) != 900 {
		t.Errorf("%d entries, at most %d in a call", len(b.presence.got), b.presence.most)
	}
	big := make([]*presencev1.InboxEntry, 10)
	for i := range big {
		big[i] = &presencev1.InboxEntry{Record: make([]byte, 900<<10)}
	}
	if n := chunk(big); n != 2 {
		t.Errorf("%d entries of 900 KiB in one call", n)
	}
	big[0].Record = make([]byte, 2*callBytes)
	if n := chunk(big); n != 1 {
		t.Errorf("%d entries with one that is too long", n)
	}
}

func TestSessionsThatMissedALateEntryAreWoken(t *testing.T) {
	b := newBench()
	b.begin(t, 0)
	b.presence.wake = map[string][]string{"u1": {"s2", "s1"}}
	b.Batch(t.Context(), 0, []envelope.Message{queued(0, "", "u1", "u2"), queued(1, "", "u1")}, 2, 2)
	if want := []string{`interlink:inbox user:u1 {"session":["s1","s2"]}`}; !slices.Equal(b.woken, want) {
		t.Errorf("%q, want %q", b.woken, want)
	}
}

func TestAPartitionThatWentIsForgotten(t *testing.T) {
	b := newBench()
	b.begin(t, 10)
	b.Assigned([]int{1})
	b.Batch(t.Context(), 0, []envelope.Message{queued(10, "", "u1")}, 11, 11)
	if _, ok := b.Commit(0); ok || len(b.presence.got) != 0 {
		t.Errorf("%v", b.presence.got)
	}
}
