package trail

import (
	"fmt"
	"testing"
	"time"
)

func at(s int) time.Time { return time.Unix(1_700_000_000+int64(s), 0) }

func TestTheLatestOfTheUsersAreFoundLatestFirst(t *testing.T) {
	var trail Trail
	if got := trail.Of(map[string]bool{"u1": true}, at(0), 10); got != nil {
		t.Errorf("of nothing: %v", got)
	}
	for s := range 2*Size + 100 { // the ring is overwritten twice
		trail.Add(Closed{User: fmt.Sprint("u", s%3), Socket: fmt.Sprint(s), Reason: "slow", At: at(s)})
	}
	last := 2*Size + 99
	got := trail.Of(map[string]bool{"u1": true, "u2": true}, at(last-10), 100)
	if len(got) != 8 || got[0].At != at(last) || got[7].Socket != fmt.Sprint(last-10) {
		t.Errorf("%d: %v", len(got), got)
	}
	for i := range got {
		if got[i].User == "u0" || i > 0 && !got[i].At.Before(got[i-1].At) {
			t.Errorf("%d: %+v", i, got[i])
		}
	}
	if got := trail.Of(map[string]bool{"u0": true}, at(0), 5); len(got) != 5 {
		t.Errorf("%d over the limit", len(got))
	}
	if got := trail.Of(map[string]bool{"u0": true, "u1": true, "u2": true}, at(0), 1<<20); len(got) != Size {
		t.Errorf("%d are remembered", len(got))
	}
}
