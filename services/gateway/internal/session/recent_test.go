package session

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

func TestAClientEventIsNewOnceAndAgainAfterAFailure(t *testing.T) {
	r := newRecent()
	now := time.Unix(1_800_000_000, 0)
	id := clientID{event: "e", id: "1"}
	var told []error
	hear := func(err error) { told = append(told, err) }
	first := r.begin("u", id, now, hear)
	if first == nil || r.begin("u", id, now, hear) != nil || len(told) != 0 {
		t.Fatal("the second of the same is to wait for the first")
	}
	away := errors.New("away")
	r.end(first, "u", id, now, away)
	if len(told) != 1 || told[0] != away {
		t.Fatalf("told %v", told)
	}
	again := r.begin("u", id, now, hear)
	if again == nil {
		t.Fatal("what failed is not new")
	}
	r.end(first, "u", id, now, away) // late, and of another attempt
	r.end(again, "u", id, now, nil)
	if r.begin("u", id, now, hear) != nil || len(told) != 2 || told[1] != nil {
		t.Errorf("told %v", told)
	}
	for _, other := range []clientID{{event: "f", id: "1"}, {event: "e", id: "2"}} {
		if r.begin("u", other, now, hear) == nil {
			t.Errorf("%v is another event", other)
		}
	}
	if r.begin("v", id, now, hear) == nil {
		t.Error("another user's is another")
	}
	if r.begin("u", id, now.Add(recentFor+time.Second), hear) == nil {
		t.Error("remembered for ever")
	}
}

func TestManyClientEventsKeepTheirBoundAndLoseNoAnswer(t *testing.T) {
	r := newRecent()
	now := time.Unix(1_800_000_000, 0)
	answers := 0
	hear := func(error) { answers++ }
	id := clientID{event: "e", id: "slow"}
	slow := r.begin("u", id, now, hear)
	r.begin("u", id, now, hear) // waits
	for i := range 10 * recentIDs {
		other := clientID{event: "e", id: fmt.Sprint(i)}
		r.end(r.begin("u", other, now, hear), "u", other, now, nil)
	}
	ids, _ := r.users.Get("u", now)
	if ids.Len() > recentIDs {
		t.Errorf("%d ids of one user", ids.Len())
	}
	r.end(slow, "u", id, now, nil)
	if answers != 1 {
		t.Errorf("%d answers, want that of the one that waited", answers)
	}
}
