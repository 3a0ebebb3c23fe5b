package placement

import (
	"errors"
	"slices"
	"testing"
	"time"
)

var t0 = time.Unix(1_800_000_000, 0)

func attached(t *testing.T, heads ...int64) *Core {
	t.Helper()
	c := New()
	var owned []Owned
	for p, head := range heads {
		owned = append(owned, Owned{Partition: uint32(p), Head: head})
	}
	if _, err := c.Attach(t0, 1, Hello{Epoch: "e", Partitions: uint32(len(heads)), Owned: owned}); err != nil {
		t.Fatal(err)
	}
	c.Spoke(t0, 1, 0)
	return c
}

func TestAFreshGatewayStartsAtTheHeadsAndNamesThem(t *testing.T) {
	c := attached(t, 7, 9)
	want := []Position{{Partition: 0, Offset: 7}, {Partition: 1, Offset: 9}}
	m := c.Messages()
	if len(m) != 1 || !slices.Equal(m[0].Message.(Snapshot).Positions, want) {
		t.Fatalf("said %v, want one snapshot with %v", m, want)
	}
	if !c.Placed() || c.Unowned() != 0 {
		t.Errorf("placed %v, unowned %d", c.Placed(), c.Unowned())
	}
	c.Detach(t0, 1)
	if c.Unowned() != 2 || c.Position(1) != 9 {
		t.Errorf("after the router left: unowned %d, position %d, want 2 and 9", c.Unowned(), c.Position(1))
	}
}

func TestALaterRouterServesFromThePositionNotFromTheHead(t *testing.T) {
	c := attached(t, 7, 9)
	if _, err := c.Attach(t0, 2, Hello{Epoch: "e", Partitions: 2}); err != nil {
		t.Fatal(err)
	}
	c.Messages()
	if err := c.Owned(t0, 2, []Owned{{Partition: 1, Head: 50}}); err != nil {
		t.Fatal(err)
	}
	m := c.Messages()
	if len(m) != 1 || m[0].Message != (Position{Partition: 1, Offset: 9}) || m[0].To != 2 {
		t.Fatalf("said %v, want the position 9 to stream 2", m)
	}
	if lag := c.Lag(); lag != 41 {
		t.Errorf("lag %d, want 41", lag)
	}
}

func TestAJoinBeforeAnyRouterCameWaitsForAPosition(t *testing.T) {
	c := New()
	if c.Join(t0, 1, []uint64{5}) {
		t.Fatal("started without a position")
	}
	if _, err := c.Attach(t0, 1, Hello{Epoch: "e", Partitions: 1, Owned: []Owned{{Head: 3}}}); err != nil {
		t.Fatal(err)
	}
	s := c.Messages()[0].Message.(Snapshot)
	if !slices.Equal(s.Rooms, []uint64{5}) {
		t.Fatalf("snapshot has rooms %v", s.Rooms)
	}
	c.Spoke(t0, 1, s.Number)
	if _, ok := c.Range(t0, 1, s.Number, Range{From: 3, To: 3}); !ok {
		t.Fatal("range refused")
	}
	c.Tick(t0)
	if got := c.Started(); !slices.Equal(got, []Token{1}) {
		t.Fatalf("started %v", got)
	}
}

func TestAJoinStartsWithoutARouterThatWentSilent(t *testing.T) {
	c := attached(t, 0)
	c.Join(t0, 1, []uint64{5})
	c.Tick(t0.Add(time.Second))
	if got := c.Started(); got != nil {
		t.Fatalf("started %v while its router spoke within a second", got)
	}
	c.Tick(t0.Add(1001 * time.Millisecond))
	if got := c.Started(); !slices.Equal(got, []Token{1}) {
		t.Fatalf("started %v after the router went silent", got)
	}
	if _, ok := c.Range(t0, 1, 0, Range{From: 0, To: 4}); ok {
		t.Error("took a range that was filtered without the room")
	}
}

func TestAJoinIsGivenUpAfterFiveSeconds(t *testing.T) {
	c := attached(t, 0)
	c.Join(t0, 1, []uint64{5})
	for at := t0; at.Before(t0.Add(joinWithin)); at = at.Add(500 * time.Millisecond) {
		c.Spoke(at, 1, 0)
		c.Tick(at)
	}
	c.Spoke(t0.Add(joinWithin), 1, 0)
	c.Tick(t0.Add(joinWithin))
	if s, x := c.Started(), c.Expired(); s != nil || !slices.Equal(x, []Token{1}) {
		t.Fatalf("started %v, expired %v, want only 1 expired", s, x)
	}
	if c.Pending() != 0 || len(c.waiting) != 0 {
		t.Error("the join left something behind")
	}
}

func TestARoomLingersAndIsThenNoLongerAsked(t *testing.T) {
	c := attached(t, 0)
	c.Messages()
	c.Join(t0, 1, []uint64{5})
	c.Tick(t0)
	c.Spoke(t0, 1, 1)
	c.Range(t0, 1, 1, Range{})
	c.Tick(t0)
	c.Leave(t0, 5)
	if !c.Join(t0.Add(29*time.Second), 2, []uint64{5}) {
		t.Fatal("a lingering room did not start at once")
	}
	left := t0.Add(40 * time.Second)
	c.Leave(left, 5)
	c.Tick(t0.Add(linger)) // the first leave no longer counts
	c.Messages()
	c.Tick(left.Add(linger))
	m := c.Messages()
	if len(m) != 1 || !slices.Equal(m[0].Message.(Delta).Remove, []uint64{5}) {
		t.Fatalf("said %v, want the room's removal", m)
	}
	if c.Join(left.Add(linger), 3, []uint64{5}) {
		t.Error("a room that is gone started at once")
	}
}

func TestDeltasGatherWhileOneIsUnconfirmed(t *testing.T) {
	c := attached(t, 0)
	c.Messages()
	for i := range 1000 {
		c.Join(t0, Token(i+1), []uint64{uint64(i)})
		c.Tick(t0)
	}
	m := c.Messages()
	if len(m) != 1 || m[0].Message.(Delta).Number != 1 {
		t.Fatalf("%d messages, want one delta with number 1", len(m))
	}
	c.Spoke(t0, 1, 1)
	c.Tick(t0)
	m = c.Messages()
	if len(m) != 1 || len(m[0].Message.(Delta).Add) != 999 || m[0].Message.(Delta).Number != 1000 {
		t.Fatalf("said %v, want the other 999 rooms at once", m)
	}
}

func TestOneSeekIsOutstandingPerPartitionAndStream(t *testing.T) {
	c := attached(t, 10)
	c.Messages()
	for range 3 {
		if _, ok := c.Range(t0, 1, 0, Range{From: 12, To: 13}); ok {
			t.Fatal("took a range behind a gap")
		}
	}
	m := c.Messages()
	want := Seek{Offset: 10, Number: 1}
	if len(m) != 1 || m[0].Message != want {
		t.Fatalf("said %v, want %v once", m, want)
	}
	if _, ok := c.Range(t0, 1, 0, Range{From: 10, To: 13}); ok {
		t.Error("took a range that cites no seek while one is outstanding")
	}
	if from, ok := c.Range(t0, 1, 0, Range{From: 8, To: 13, Seek: 1}); !ok || from != 10 {
		t.Errorf("from %d, %v; want 10, taken", from, ok)
	}
}

func TestASeekThatIsNotHonouredIsRepeated(t *testing.T) {
	c := attached(t, 10)
	c.Range(t0, 1, 0, Range{From: 12, To: 13})
	c.Messages()
	c.Range(t0.Add(seekAgain-1), 1, 0, Range{From: 13, To: 13})
	if m := c.Messages(); m != nil {
		t.Fatalf("said %v too early", m)
	}
	c.Range(t0.Add(seekAgain), 1, 0, Range{From: 13, To: 13})
	if m := c.Messages(); len(m) != 1 || m[0].Message != (Seek{Offset: 10, Number: 1}) {
		t.Fatalf("said %v, want the seek again", m)
	}
}

func TestAnotherEpochWaitsUntilTheOldOneHasNoRouter(t *testing.T) {
	c := attached(t, 10)
	other := Hello{Epoch: "f", Partitions: 3, Owned: []Owned{{Partition: 2, Head: 4}}}
	if _, err := c.Attach(t0, 2, other); !errors.Is(err, ErrEpoch) {
		t.Fatalf("got %v, want ErrEpoch", err)
	}
	c.Detach(t0, 1)
	restarted, err := c.Attach(t0, 2, other)
	if err != nil || !restarted || c.Position(2) != 4 || c.Position(0) != Unknown {
		t.Errorf("restarted %v, %v, positions %v", restarted, err, c.positions)
	}
}

func TestNonsenseFromARouterIsRefused(t *testing.T) {
	tests := map[string]Hello{
		"no partitions":            {Epoch: "e"},
		"a partition out of range": {Epoch: "e", Partitions: 2, Owned: []Owned{{Partition: 2}}},
		"a negative head":          {Epoch: "e", Partitions: 2, Owned: []Owned{{Partition: 1, Head: -1}}},
	}
	for name, hello := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := New().Attach(t0, 1, hello); !errors.Is(err, ErrPartitions) {
				t.Errorf("got %v", err)
			}
		})
	}
	c := attached(t, 10)
	for name, r := range map[string]Range{
		"an unknown partition": {Partition: 4, From: 10, To: 11},
		"a backward range":     {From: 10, To: 9},
		"a negative offset":    {From: -1, To: 20},
	} {
		if _, ok := c.Range(t0, 1, 0, r); ok || c.Position(0) != 10 {
			t.Errorf("%s was taken", name)
		}
	}
}

// A router may drop a seek that comes while it does not own the partition: it has to be asked again as soon as that shows.
func TestASeekIsRepeatedToARouterThatLostThePartitionMeanwhile(t *testing.T) {
	c := attached(t, 7)
	if _, ok := c.Range(t0, 1, 0, Range{From: 9, To: 12}); ok {
		t.Fatal("took a range behind a gap")
	}
	if err := errors.Join(c.Owned(t0, 1, nil), c.Owned(t0, 1, []Owned{{Head: 12}})); err != nil {
		t.Fatal(err)
	}
	c.Messages()
	if _, ok := c.Range(t0, 1, 0, Range{From: 7, To: 12}); ok {
		t.Fatal("took a range that cites no seek")
	}
	m := c.Messages()
	if len(m) != 1 || m[0].Message != (Seek{Offset: 7, Number: 1}) {
		t.Fatalf("said %v, want the seek again", m)
	}
	if from, ok := c.Range(t0, 1, 0, Range{From: 7, To: 12, Seek: 1}); !ok || from != 7 {
		t.Errorf("the answer: from %d, %v", from, ok)
	}
}
