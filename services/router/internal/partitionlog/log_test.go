package partitionlog

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

func at(s int) time.Time { return time.Unix(1_700_000_000+int64(s), 0) }

func set(rooms ...uint64) map[uint64]struct{} {
	out := map[uint64]struct{}{}
	for _, r := range rooms {
		out[r] = struct{}{}
	}
	return out
}

// entry is a record of one room whose bytes are its offset.
func entry(offset int64, room uint64, id string) Entry {
	return Entry{Offset: offset, Rooms: []uint64{room}, Record: fmt.Append(nil, offset), ID: id}
}

func newLog() *Log {
	return New(Options{Window: 120 * time.Second, MaxBytes: 1 << 20, MaxIDs: 1000}, 0, 0, at(-120))
}

func read(t *testing.T, l *Log, from, to int64, rooms ...uint64) (got []string, end int64) {
	t.Helper()
	p, ok := l.Read(from, to, set(rooms...), 1<<20)
	if !ok {
		t.Fatalf("the log does not reach back to %d", from)
	}
	for _, r := range p.Records {
		got = append(got, string(r))
	}
	return got, p.To
}

func TestReadGivesTheRecordsOfTheRoomsInOrder(t *testing.T) {
	l := newLog()
	l.Append([]Entry{entry(0, 1, ""), entry(2, 2, ""), entry(5, 1, ""), entry(6, 3, "")}, 8, 0)
	for name, tt := range map[string]struct {
		from, to int64
		rooms    []uint64
		want     []string
		end      int64
	}{
		"one room":           {0, 100, []uint64{1}, []string{"0", "5"}, 8},
		"two rooms":          {0, 100, []uint64{1, 2}, []string{"0", "2", "5"}, 8},
		"no room":            {0, 100, nil, nil, 8},
		"from a hole":        {3, 100, []uint64{1, 2}, []string{"5"}, 8},
		"up to an end":       {0, 5, []uint64{1}, []string{"0"}, 5},
		"at the head":        {8, 100, []uint64{1}, nil, 8},
		"beyond the head":    {20, 100, []uint64{1}, nil, 20},
		"an empty stretch":   {2, 2, []uint64{2}, nil, 2},
		"up to a later hole": {0, 7, []uint64{3}, []string{"6"}, 7},
	} {
		t.Run(name, func(t *testing.T) {
			if got, end := read(t, l, tt.from, tt.to, tt.rooms...); !slices.Equal(got, tt.want) || end != tt.end {
				t.Errorf("%v to %d, want %v to %d", got, end, tt.want, tt.end)
			}
		})
	}
}

func TestReadStopsBeforeTheRecordThatDoesNotFit(t *testing.T) {
	l := newLog()
	l.Append([]Entry{entry(10, 1, ""), entry(11, 1, ""), entry(12, 2, ""), entry(13, 1, "")}, 14, 0)
	p, _ := l.Read(0, 100, set(1), 5)
	if len(p.Records) != 2 || p.To != 13 || p.Bytes != 4 {
		t.Errorf("%d records, to %d, %d bytes", len(p.Records), p.To, p.Bytes)
	}
	if p, _ = l.Read(10, 100, set(1), 1); len(p.Records) != 1 || p.To != 11 {
		t.Errorf("one record at least: %d, to %d", len(p.Records), p.To)
	}
}

func TestOneIDIsKeptOnceForTwoWindows(t *testing.T) {
	l := newLog()
	l.Append([]Entry{entry(0, 1, "a"), entry(1, 1, "a"), entry(2, 1, ""), entry(3, 1, "")}, 4, 0)
	if got, _ := read(t, l, 0, 100, 1); !slices.Equal(got, []string{"0", "2", "3"}) {
		t.Errorf("got %v", got)
	}
	for s := range 241 {
		l.Tick(at(s))
	}
	if n := l.Append([]Entry{entry(4, 1, "a")}, 5, 0); n != 1 {
		t.Error("an id of two windows ago is not known any more")
	}
	if o, ok := l.Known("a"); !ok || o != 0 {
		t.Errorf("known at %d, %v", o, ok)
	}
	for s := 241; s < 500; s++ {
		l.Tick(at(s))
	}
	if n := l.Append([]Entry{entry(5, 1, "a")}, 6, 0); n != 0 {
		t.Error("an id of four windows ago is still known")
	}
}

func TestIDsBeforeTheServedPartAreLearnt(t *testing.T) {
	l := New(Options{Window: time.Minute, MaxBytes: 1 << 20, MaxIDs: 10}, 0, 3, at(0))
	l.Append([]Entry{entry(0, 1, "a"), entry(1, 1, "b")}, 3, 0)
	l.Append([]Entry{entry(3, 1, "a"), entry(4, 1, "c")}, 5, 0)
	if _, ok := l.Read(0, 100, set(1), 100); ok {
		t.Error("what was read for its ids only is served")
	}
	if got, _ := read(t, l, 3, 100, 1); !slices.Equal(got, []string{"4"}) {
		t.Errorf("got %v", got)
	}
}

func TestRecordsGoWhenTheyAreAWindowOld(t *testing.T) {
	l := newLog()
	for s := range 200 {
		l.Append([]Entry{entry(int64(s), 1, "")}, int64(s+1), 0)
		l.Tick(at(s))
	}
	// The mark of second 79 says that what lies below offset 80 was appended by then.
	if earliest, next, _ := l.Bounds(); earliest != 80 || next != 200 {
		t.Errorf("[%d, %d)", earliest, next)
	}
	if _, ok := l.Read(79, 100, set(1), 100); ok {
		t.Error("an old record is still served")
	}
	if got, _ := read(t, l, 80, 82, 1); !slices.Equal(got, []string{"80", "81"}) {
		t.Errorf("got %v", got)
	}
}

func TestBytesAreBounded(t *testing.T) {
	l := New(Options{Window: time.Hour, MaxBytes: 1000, MaxIDs: 10}, 0, 0, at(0))
	for i := range int64(1000) {
		l.Append([]Entry{entry(i, 1, "")}, i+1, 0)
		if b := l.Bytes(); b > 1000 {
			t.Fatalf("%d bytes", b)
		}
	}
	earliest, next, _ := l.Bounds()
	if got, _ := read(t, l, earliest, next, 1); int64(len(got)) != next-earliest || len(got) == 0 {
		t.Errorf("%d records in [%d, %d)", len(got), earliest, next)
	}
	big := entry(1000, 1, "")
	big.Record = make([]byte, 2000)
	l.Append([]Entry{big}, 1001, 0)
	if earliest, next, _ := l.Bounds(); earliest != next || l.Bytes() != 0 {
		t.Errorf("a record larger than the log: [%d, %d), %d bytes", earliest, next, l.Bytes())
	}
}

func TestSinceIsNeverLate(t *testing.T) {
	l := newLog()
	for s := range 60 {
		l.Tick(at(s)) // before the records of the second
		l.Append([]Entry{entry(int64(s), 1, "")}, int64(s+1), 0)
	}
	for s := 1; s < 60; s++ {
		if o, ok := l.Since(at(s)); !ok || o > int64(s) || o < int64(s)-1 {
			t.Errorf("since second %d: offset %d, %v", s, o, ok)
		}
	}
	if _, ok := l.Since(at(-121)); ok {
		t.Error("a time before the log is known")
	}
	if o, ok := l.Since(at(-120)); !ok || o != 0 {
		t.Errorf("since the beginning: %d, %v", o, ok)
	}
}

func TestIDsAreBounded(t *testing.T) {
	ids := NewIDs(100)
	for i := range 10_000 {
		ids.Add(fmt.Sprint(i), int64(i))
	}
	n := 0
	for _, g := range ids.generations {
		n += len(g)
	}
	if n > 300 {
		t.Errorf("%d ids are kept", n)
	}
	if ids.Add("9999", 0) || ids.Add("9900", 0) {
		t.Error("the last ids are not known")
	}
}

func TestWatchersAreToldOnceUntilTheyListen(t *testing.T) {
	l, w := newLog(), NewWatcher()
	l.Watch(w)
	l.Append(nil, 1, 0)
	l.Append(nil, 2, 0)
	<-w.C
	select {
	case <-w.C:
		t.Error("told twice")
	default:
	}
	l.Unwatch(w)
	l.Append(nil, 3, 0)
	select {
	case <-w.C:
		t.Error("told after the end")
	default:
	}
}
