package receipts

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

func ids(events []*Event) []string {
	var out []string
	for _, e := range events {
		out = append(out, e.ID)
	}
	return out
}

func TestWhatAnArrivalMeansToAUser(t *testing.T) {
	queued := &Event{ID: "q", Waits: true, Users: []string{"u", "w"}}
	asked := &Event{ID: "r", Confirm: true, From: "s"}
	tests := []struct {
		name  string
		event *Event
		user  string
		want  Concern
	}{
		{"a user whom it waits for has it", queued, "u", Concern{Inbox: true}},
		{"somebody else in the room has no entry", queued, "v", Concern{}},
		{"the sender hears of a recipient", asked, "u", Concern{Sender: true}},
		{"the sender's own sockets don't count", asked, "s", Concern{}},
		{"an event of nobody is reported all the same", &Event{Confirm: true}, "u", Concern{Sender: true}},
		{"users alone do not make it wait", &Event{Users: []string{"u"}}, "u", Concern{}},
	}
	for _, test := range tests {
		if got := test.event.Of(test.user); got != test.want {
			t.Errorf("%s: got %+v, want %+v", test.name, got, test.want)
		}
	}
}

func TestAPongProvesWhatLiesBeforeItsPing(t *testing.T) {
	var track Track
	a, b, c := &Event{ID: "a"}, &Event{ID: "b"}, &Event{ID: "c"}
	track.Given(a, 7)
	track.Given(b, 7)
	track.Given(c, 8)
	if got := track.Ponged(6); got != nil {
		t.Errorf("an earlier pong proves %v", ids(got))
	}
	if got := ids(track.Ponged(7)); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("got %v", got)
	}
	if got := ids(track.Open()); !slices.Equal(got, []string{"c"}) {
		t.Errorf("open: %v", got)
	}
	if got := ids(track.Ponged(9)); !slices.Equal(got, []string{"c"}) || track.Len() != 0 {
		t.Errorf("got %v, %d left", got, track.Len())
	}
}

func TestNumbersOfPingsWrap(t *testing.T) {
	var track Track
	track.Given(&Event{ID: "a"}, ^uint32(0))
	track.Given(&Event{ID: "b"}, 0)
	if got := ids(track.Ponged(^uint32(0))); !slices.Equal(got, []string{"a"}) {
		t.Errorf("got %v", got)
	}
	if got := ids(track.Ponged(0)); !slices.Equal(got, []string{"b"}) {
		t.Errorf("got %v", got)
	}
}

func TestWhatAClientSaysIsProvenOnce(t *testing.T) {
	var track Track
	for i, id := range []string{"a", "b", "c"} {
		track.Given(&Event{ID: id}, uint32(i+1))
	}
	proven, unknown := track.Received([]string{"b", "x", "b"})
	if !slices.Equal(ids(proven), []string{"b"}) || !slices.Equal(unknown, []string{"x", "b"}) {
		t.Errorf("got %v and %v", ids(proven), unknown)
	}
	if got := ids(track.Ponged(3)); !slices.Equal(got, []string{"a", "c"}) {
		t.Errorf("got %v", got)
	}
}

func TestASocketThatProvesNothingIsBounded(t *testing.T) {
	var track Track
	for i := range 3 * MaxOpen {
		track.Given(&Event{ID: fmt.Sprint(i)}, uint32(i))
		if track.Len() > MaxOpen {
			t.Fatalf("%d are open", track.Len())
		}
	}
	got := track.Ponged(3 * MaxOpen)
	if last := got[len(got)-1].ID; last != fmt.Sprint(3*MaxOpen-1) {
		t.Errorf("the last is %s", last)
	}
}

// TestProvenIsWhatTheClientHas plays a transport at random: frames and pings in one order, a client that answers in
// that order and is cut somewhere. Whatever is proven was handled before.
func TestProvenIsWhatTheClientHas(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		var track Track
		var wire []any // *Event or a ping's number
		var handled []string
		sent, answered, next := uint32(0), uint32(0), 0
		var proven []string
		for range 400 {
			switch r.IntN(4) {
			case 0, 1:
				e := &Event{ID: fmt.Sprint(next)}
				next++
				track.Given(e, sent+1)
				wire = append(wire, e)
			case 2:
				sent++
				wire = append(wire, sent)
			default:
				for range min(len(wire), r.IntN(5)) {
					if e, ok := wire[0].(*Event); ok {
						handled = append(handled, e.ID)
					} else {
						answered++
						proven = append(proven, ids(track.Ponged(answered))...)
					}
					wire = wire[1:]
				}
			}
			if len(proven) > len(handled) || !slices.Equal(proven, handled[:len(proven)]) {
				t.Fatalf("seed %d: proven %v, handled %v", seed, proven, handled)
			}
		}
		if track.Len() != next-len(proven) {
			t.Fatalf("seed %d: %d open of %d, %d proven", seed, track.Len(), next, len(proven))
		}
	}
}

func TestEachPairIsFirstOnce(t *testing.T) {
	o := NewOnce(100)
	if !o.First("e", "u") || o.First("e", "u") || !o.First("e", "v") || !o.First("eu", "") {
		t.Error("pairs are mixed up")
	}
	for i := range 1000 {
		if !o.First(fmt.Sprint(i), "u") {
			t.Fatalf("%d is not the first", i)
		}
		if o.First(fmt.Sprint(max(0, i-40)), "u") {
			t.Fatalf("%d was forgotten at %d", max(0, i-40), i)
		}
		if o.Len() > 100 {
			t.Fatalf("%d are remembered", o.Len())
		}
	}
}
