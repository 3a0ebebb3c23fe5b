package attach

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	deliveryv1 "github.com/edumatrix/interlink/proto/delivery/v1"
	"github.com/edumatrix/interlink/services/router/internal/history"
	"github.com/edumatrix/interlink/services/router/internal/partitionlog"
	"github.com/edumatrix/interlink/services/router/internal/partitions"
)

const every = 250 * time.Millisecond

func at(ms int) time.Time {
	return time.Unix(1_700_000_000, 0).Add(time.Duration(ms) * time.Millisecond)
}

// table is a gateway's session and the logs that it is served from.
type table struct {
	t *testing.T
	s *session
	l []*partitionlog.Log
}

func newTable(t *testing.T, n int, window int64) *table {
	tb := &table{t: t, s: newSession(window, every)}
	var owned []partitions.Owned
	for p := range n {
		l := partitionlog.New(partitionlog.Options{Window: time.Minute, MaxBytes: 1 << 20, MaxIDs: 100}, 0, 0, at(0))
		tb.l = append(tb.l, l)
		owned = append(owned, partitions.Owned{Partition: p, Log: l})
	}
	tb.s.own(owned)
	return tb
}

func entry(offset int64, room uint64, size int) partitionlog.Entry {
	return partitionlog.Entry{Offset: offset, Rooms: []uint64{room}, Record: []byte(fmt.Sprint(offset) + strings.Repeat(".", size))}
}

func (tb *table) append(p int, entries ...partitionlog.Entry) {
	tb.l[p].Append(entries, entries[len(entries)-1].Offset+1, 0)
}

func (tb *table) snapshot(number uint64, rooms ...uint64) {
	tb.s.apply(&deliveryv1.AttachResponse{Kind: &deliveryv1.AttachResponse_Snapshot{Snapshot: &deliveryv1.Snapshot{Number: number, Rooms: rooms}}})
}

func (tb *table) delta(number uint64, add ...uint64) {
	tb.s.apply(&deliveryv1.AttachResponse{Kind: &deliveryv1.AttachResponse_Delta{Delta: &deliveryv1.Delta{Number: number, Add: add}}})
}

func (tb *table) credit(n int64) {
	tb.s.apply(&deliveryv1.AttachResponse{Kind: &deliveryv1.AttachResponse_Credit{Credit: &deliveryv1.Credit{Bytes: n}}})
}

func (tb *table) seek(p uint32, offset int64, number uint64) {
	tb.s.apply(&deliveryv1.AttachResponse{Kind: &deliveryv1.AttachResponse_Seek{Seek: &deliveryv1.Seek{Partition: p, Offset: offset, Number: number}}})
}

// next writes the message down: "#number p[from,to)seek:offset,offset …", or "-".
func (tb *table) next(ms int) string {
	m, _, _ := tb.s.next(at(ms))
	if m == nil {
		return "-"
	}
	out := fmt.Sprintf("#%d", m.GetRanges().GetNumber())
	var parts []string
	for _, r := range m.GetRanges().GetRanges() {
		var offsets []string
		for _, b := range r.GetRecords() {
			offsets = append(offsets, strings.TrimRight(string(b), "."))
		}
		part := fmt.Sprintf(" %d[%d,%d)", r.GetPartition(), r.GetFrom(), r.GetTo())
		if r.GetSeek() > 0 {
			part += fmt.Sprint("s", r.GetSeek())
		}
		if offsets != nil {
			part += ":" + strings.Join(offsets, ",")
		}
		parts = append(parts, part)
	}
	slices.Sort(parts)
	return out + strings.Join(parts, "")
}

func (tb *table) expect(ms int, want string) {
	tb.t.Helper()
	if got := tb.next(ms); got != want {
		tb.t.Fatalf("at %d ms: got %q, want %q", ms, got, want)
	}
}

func TestNothingIsSaidBeforeTheSnapshot(t *testing.T) {
	tb := newTable(t, 1, 1000)
	tb.append(0, entry(0, 1, 0))
	tb.expect(10_000, "-")
}

func TestRecordsGoAtOnceAndSilenceEachInterval(t *testing.T) {
	tb := newTable(t, 2, 1000)
	tb.snapshot(1, 7)
	tb.expect(0, "#1 0[0,0) 1[0,0)")
	tb.append(0, entry(0, 7, 0))
	tb.expect(10, "#1 0[0,1):0")
	tb.append(0, entry(1, 8, 0))
	tb.append(1, entry(0, 8, 0))
	tb.expect(20, "-")
	tb.append(0, entry(5, 7, 0))
	tb.expect(30, "#1 0[1,6):5")
	tb.expect(249, "-")
	tb.expect(250, "#1 0[6,6) 1[0,1)")
	tb.expect(251, "-")
}

func TestANumberIsConfirmedAtOnceAndWhatWasPassedOverIsServedForIt(t *testing.T) {
	tb := newTable(t, 1, 1000)
	tb.snapshot(1)
	tb.expect(0, "#1 0[0,0)")
	tb.append(0, entry(0, 7, 0), entry(1, 8, 0))
	tb.expect(10, "-")
	tb.delta(2, 7)
	tb.expect(20, "#2 0[0,2):0")
	tb.delta(3, 8)
	tb.expect(30, "#3 0[2,2)")
}

func TestARouterWithoutPartitionsConfirmsToo(t *testing.T) {
	tb := newTable(t, 0, 1000)
	tb.snapshot(4)
	tb.expect(0, "#4")
}

func TestTheWindowIsBoundedInBytesAndReturnedByCredit(t *testing.T) {
	tb := newTable(t, 1, 250)
	tb.snapshot(1, 7)
	tb.expect(0, "#1 0[0,0)")
	tb.append(0, entry(0, 7, 99), entry(1, 7, 99), entry(2, 7, 99), entry(3, 7, 99))
	tb.expect(10, "#1 0[0,2):0,1")
	tb.expect(20, "#1 0[2,3):2") // 50 bytes were left: one record at least
	tb.expect(30, "-")
	tb.delta(2)
	tb.expect(40, "#2 0[3,3)") // numbers are confirmed all the same
	tb.credit(200)
	tb.expect(50, "#2 0[3,4):3")
	tb.credit(1 << 40)
	if tb.s.window != 250 {
		t.Errorf("window %d", tb.s.window)
	}
	tb.credit(-5)
	if tb.s.window != 250 {
		t.Errorf("window %d after a negative credit", tb.s.window)
	}
}

func TestASeekServesAgainUnderItsNumber(t *testing.T) {
	tb := newTable(t, 1, 1000)
	tb.append(0, entry(0, 7, 0), entry(1, 7, 0))
	tb.snapshot(1, 7)
	tb.expect(0, "#1 0[2,2)") // no position was named: from the head
	tb.seek(0, 1, 1)
	tb.expect(10, "#1 0[1,2)s1:1")
	tb.seek(9, 0, 1) // a partition that is not served
	tb.seek(0, -1, 2)
	tb.expect(20, "-")
}

func TestAPartitionThatComesIsServedWhenTheGatewayHasSaidFromWhere(t *testing.T) {
	tb := newTable(t, 1, 1000)
	tb.snapshot(1, 7)
	tb.expect(0, "#1 0[0,0)")
	l := partitionlog.New(partitionlog.Options{Window: time.Minute, MaxBytes: 1 << 20, MaxIDs: 100}, 0, 0, at(0))
	l.Append([]partitionlog.Entry{entry(0, 7, 0), entry(1, 7, 0)}, 2, 0)
	both := []partitions.Owned{{Partition: 0, Log: tb.l[0]}, {Partition: 1, Log: l}}
	if m := tb.s.own(both); len(m.GetOwned().GetOwned()) != 2 || m.GetOwned().GetOwned()[1].GetHead() != 2 {
		t.Fatalf("%v", m)
	}
	if m := tb.s.own(both); m != nil {
		t.Errorf("said twice: %v", m)
	}
	tb.expect(10, "-")
	tb.s.apply(&deliveryv1.AttachResponse{Kind: &deliveryv1.AttachResponse_Position{Position: &deliveryv1.Position{Partition: 1, Offset: 1}}})
	tb.expect(20, "#1 1[1,2):1")
	if m := tb.s.own(both[:1]); len(m.GetOwned().GetOwned()) != 1 {
		t.Errorf("%v", m)
	}
	tb.expect(300, "#1 0[0,0)")
}

func TestABusyPartitionLeavesRoomForTheOthers(t *testing.T) {
	tb := newTable(t, 3, 64<<20)
	tb.snapshot(1, 7)
	tb.expect(0, "#1 0[0,0) 1[0,0) 2[0,0)")
	var many []partitionlog.Entry
	for i := range int64(300) {
		many = append(many, entry(i, 7, 3000))
	}
	tb.append(0, many...)
	tb.append(1, many...)
	tb.append(2, entry(0, 7, 0))
	m, bytes, more := tb.s.next(at(10))
	if len(m.GetRanges().GetRanges()) != 3 || !more || bytes > messageBytes {
		t.Errorf("%d ranges, %d bytes, more %v", len(m.GetRanges().GetRanges()), bytes, more)
	}
	sent := 0
	for more {
		m, _, more = tb.s.next(at(10))
		for _, r := range m.GetRanges().GetRanges() {
			sent += len(r.GetRecords())
		}
	}
	if tb.s.parts[0].pos != 300 || tb.s.parts[1].pos != 300 {
		t.Errorf("%d and %d after %d more records", tb.s.parts[0].pos, tb.s.parts[1].pos, sent)
	}
}

func TestWhatTheLogHasLostComesFromKafka(t *testing.T) {
	tb := newTable(t, 1, 1000)
	l := partitionlog.New(partitionlog.Options{Window: time.Minute, MaxBytes: 1 << 20, MaxIDs: 100}, 10, 10, at(0))
	l.Append([]partitionlog.Entry{entry(10, 7, 0)}, 11, 0)
	tb.s.parts[0].log = l
	tb.snapshot(1, 7)
	tb.seek(0, 3, 1)
	tb.expect(0, "#1 0[3,3)s1") // confirms the number meanwhile
	if got := tb.s.hungry(); len(got) != 1 || got[0] != 3 {
		t.Fatalf("hungry %v", got)
	}
	if tb.s.feed(0, history.Chunk{From: 5, To: 9}) {
		t.Error("a chunk with a gap was taken")
	}
	if !tb.s.feed(0, history.Chunk{From: 2, To: 10, Entries: []partitionlog.Entry{entry(2, 7, 0), entry(4, 7, 0), entry(6, 8, 0), entry(8, 7, 0)}}) {
		t.Fatal("refused")
	}
	tb.expect(10, "#1 0[3,10)s1:4,8")
	tb.expect(20, "#1 0[10,11)s1:10")
	if got := tb.s.hungry(); got != nil {
		t.Errorf("still hungry: %v", got)
	}
	tb.seek(0, 3, 2)
	tb.next(30)
	tb.s.expired(0, 7)
	if got := tb.s.hungry(); got != nil && got[0] != 7 {
		t.Errorf("after the end of retention: %v", got)
	}
	tb.expect(300, "#1 0[7,7)s2")
}

func TestTheSlowAreToldOfTheirLossesOldestFirst(t *testing.T) {
	var q pushQueue
	big := Ephemeral{Record: make([]byte, pushBytes/2)}
	q.add([]Ephemeral{{Record: []byte("first")}})
	if n := q.add([]Ephemeral{big, big}); n != 1 {
		t.Errorf("%d dropped, want the first alone", n)
	}
	if got := q.take(); len(got) != 2 || q.bytes != 0 || q.take() != nil {
		t.Errorf("%d left, %d bytes", len(got), q.bytes)
	}
}

func TestNamesAreResolvedAgainAndKeptWhenTheyCantBe(t *testing.T) {
	r := newResolver([]string{"b:1", "dns:///gateways:9101"})
	answers := [][]string{{"10.0.0.2", "10.0.0.1"}, nil, {"10.0.0.3"}}
	r.lookup = func(_ context.Context, host string) ([]string, error) {
		a := answers[0]
		answers = answers[1:]
		if a == nil || host != "gateways" {
			return nil, errors.New("no such host")
		}
		return a, nil
	}
	for i, want := range [][]string{{"10.0.0.1:9101", "10.0.0.2:9101", "b:1"}, {"10.0.0.1:9101", "10.0.0.2:9101", "b:1"}, {"10.0.0.3:9101", "b:1"}} {
		if got := r.addresses(t.Context()); !slices.Equal(got, want) {
			t.Errorf("answer %d: %v, want %v", i, got, want)
		}
	}
}

func TestTheWatchJudgesSilence(t *testing.T) {
	w := &watch{started: at(0)}
	if err := w.judge(at(9000)); err != nil {
		t.Error(err)
	}
	if err := w.judge(at(10_001)); !errors.Is(err, errNoAnswer) {
		t.Error(err)
	}
	w.answered.Store(true)
	w.sending.Store(at(5000).UnixNano())
	if err := w.judge(at(14_000)); err != nil {
		t.Error(err)
	}
	if err := w.judge(at(15_001)); !errors.Is(err, errBlocked) {
		t.Error(err)
	}
}
