package recovery

import (
	"slices"
	"testing"

	deliveryv1 "github.com/edumatrix/interlink/proto/delivery/v1"
)

func TestSince(t *testing.T) {
	for name, c := range map[string]struct{ cursor, start, want Vector }{
		"a client that got nothing needs all since its session's start": {nil, Vector{5, 7}, Vector{5, 7}},
		"a cursor inside the session counts":                            {Vector{6, 9}, Vector{5, 7}, Vector{6, 9}},
		"a cursor older than the session means the session's start":     {Vector{1, 2}, Vector{5, 7}, Vector{5, 7}},
		"each partition for itself":                                     {Vector{9, 2}, Vector{5, 7}, Vector{9, 7}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Since(c.cursor, c.start); !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestReached(t *testing.T) {
	for name, c := range map[string]struct {
		v, since Vector
		want     bool
	}{
		"equal":                            {Vector{5, 7}, Vector{5, 7}, true},
		"ahead in all":                     {Vector{6, 8}, Vector{5, 7}, true},
		"behind in one":                    {Vector{6, 6}, Vector{5, 7}, false},
		"a partition not yet known is not": {Vector{6}, Vector{5, 7}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Reached(c.v, c.since); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func event(offset, time int64, rooms ...string) *deliveryv1.Record {
	return &deliveryv1.Record{Offset: offset, TimeMs: time, Rooms: rooms, Event: "e"}
}

func membership(offset, time int64, room string, add, remove []string) *deliveryv1.Record {
	return &deliveryv1.Record{Offset: offset, TimeMs: time, Control: &deliveryv1.Control{
		Kind: deliveryv1.Control_MEMBERSHIP_CHANGED, Room: room, Add: add, Remove: remove}}
}

func TestReplay(t *testing.T) {
	except := event(4, 10, "c:1")
	except.ExceptUsers = []string{"me"}
	exceptSocket := event(4, 10, "c:1")
	exceptSocket.ExceptSockets = []string{"s1"}
	for name, c := range map[string]struct {
		parts [][]*deliveryv1.Record
		want  [][2]int64 // the cursor after each event
	}{
		"partitions are merged by time, each in its own order": {
			[][]*deliveryv1.Record{{event(3, 10, "c:1"), event(5, 30, "c:1")}, {event(8, 20, "c:1")}},
			[][2]int64{{4, 7}, {4, 9}, {6, 9}}},
		"a clock that runs backwards does not change the order inside a partition": {
			[][]*deliveryv1.Record{{event(3, 30, "c:1"), event(4, 10, "c:1")}, nil},
			[][2]int64{{4, 7}, {5, 7}}},
		"what lies before the cursor is not given again": {
			[][]*deliveryv1.Record{{event(2, 10, "c:1"), event(3, 20, "c:1")}, nil},
			[][2]int64{{4, 7}}},
		"other rooms are not shown, a union is": {
			[][]*deliveryv1.Record{{event(3, 10, "c:2"), event(4, 20, "c:2", "c:1")}, nil},
			[][2]int64{{5, 7}}},
		"except holds in a replay": {
			[][]*deliveryv1.Record{{except}, {exceptSocket}}, nil},
		"removed and added again shows nothing of the time between": {
			[][]*deliveryv1.Record{{event(3, 1, "c:1"), membership(4, 2, "c:1", nil, []string{"me"}), event(5, 3, "c:1"),
				membership(6, 4, "c:1", []string{"me"}, nil), event(7, 5, "c:1")}, nil},
			[][2]int64{{4, 7}, {8, 7}}},
		"a room that the socket does not have is not opened by a record that adds him": {
			[][]*deliveryv1.Record{{membership(3, 1, "c:9", []string{"me"}, nil), event(4, 2, "c:9")}, nil}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			at := Vector{10, 10}
			r := NewReplay(Vector{3, 7}, at, []string{"c:1"}, "me", "s1", c.parts)
			var got [][2]int64
			for {
				record, cursor := r.Next()
				if record == nil {
					if !slices.Equal(cursor, at) {
						t.Errorf("ends at %v, want %v", cursor, at)
					}
					break
				}
				got = append(got, [2]int64{cursor[0], cursor[1]})
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}
