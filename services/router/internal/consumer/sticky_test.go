package consumer

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/segmentio/kafka-go"
)

func all(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

// moved counts the partitions that were held by a member who is still there and are now another's.
func moved(before, after map[string][]int) int {
	n := 0
	for m, held := range before {
		now, still := after[m]
		if !still {
			continue
		}
		for _, p := range held {
			if !slices.Contains(now, p) {
				n++
			}
		}
	}
	return n
}

func claimsOf(held map[string][]int) map[string]claim {
	out := map[string]claim{}
	for m, p := range held {
		out[m] = claim{Generation: 1, Held: p}
	}
	return out
}

func even(t *testing.T, got map[string][]int, partitions int) {
	t.Helper()
	var given []int
	least, most := partitions, 0
	for _, p := range got {
		given = append(given, p...)
		least, most = min(least, len(p)), max(most, len(p))
	}
	slices.Sort(given)
	if !slices.Equal(given, all(partitions)) || most-least > 1 {
		t.Fatalf("not each once, or uneven: %v", got)
	}
}

func TestAsFewPartitionsMoveAsAnEvenSpreadAllows(t *testing.T) {
	held := spread(map[string]claim{"a": {}, "b": {}, "c": {}}, all(24))
	even(t, held, 24)
	claims := claimsOf(held)
	claims["d"] = claim{}
	joined := spread(claims, all(24))
	even(t, joined, 24)
	if n := moved(held, joined); n != 6 {
		t.Errorf("a fourth member joins: %d moved, want 6", n)
	}
	claims = claimsOf(joined)
	delete(claims, "b")
	left := spread(claims, all(24))
	even(t, left, 24)
	if n := moved(joined, left); n != 0 {
		t.Errorf("a member leaves: %d of the others moved", n)
	}
	if again := spread(claimsOf(left), all(24)); moved(left, again) != 0 {
		t.Error("something moves although nothing changed")
	}
}

func TestOfTwoClaimsTheLaterGenerationWins(t *testing.T) {
	got := spread(map[string]claim{"old": {Generation: 3, Held: []int{0, 1}}, "new": {Generation: 4, Held: []int{1, 2}}}, all(4))
	if !slices.Contains(got["new"], 1) || !slices.Contains(got["old"], 0) {
		t.Errorf("%v", got)
	}
}

func TestAnySpreadIsEvenAndMinimal(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	held := map[string][]int{}
	for round := range 300 {
		partitions := 12
		claims := claimsOf(held)
		if len(claims) > 1 && rng.IntN(2) == 0 {
			for m := range claims {
				delete(claims, m)
				break
			}
		} else {
			claims[fmt.Sprint("m", round)] = claim{}
		}
		got := spread(claims, all(partitions))
		even(t, got, partitions)
		// At least what exceeds the larger share has to move, and no more than that.
		share := (partitions + len(claims) - 1) / len(claims)
		larger := partitions % len(claims)
		if larger == 0 {
			larger = len(claims)
		}
		excess, full := 0, 0
		for _, c := range claims {
			over := max(len(c.Held)-share, 0)
			excess += over
			if len(c.Held) >= share {
				full++
			}
		}
		excess += max(full-larger, 0)
		if n := moved(held, got); n != excess {
			t.Fatalf("round %d: %d moved, %d had to: %v → %v", round, n, excess, held, got)
		}
		held = got
	}
}

func TestTheBalancerReadsWhatMembersTell(t *testing.T) {
	s := &sticky{}
	s.hold(7, []int{1, 3})
	data, err := s.UserData()
	if err != nil {
		t.Fatal(err)
	}
	var c claim
	if err := json.Unmarshal(data, &c); err != nil || c.Generation != 7 || !slices.Equal(c.Held, []int{1, 3}) {
		t.Fatalf("%s %v", data, err)
	}
	var partitions []kafka.Partition
	for i := range 4 {
		partitions = append(partitions, kafka.Partition{Topic: "t", ID: i})
	}
	got := s.AssignGroups([]kafka.GroupMember{{ID: "x", UserData: data}, {ID: "y", UserData: []byte("another version's")}}, partitions)
	if !slices.Equal(got["x"]["t"], []int{1, 3}) || !slices.Equal(got["y"]["t"], []int{0, 2}) {
		t.Errorf("%v", got)
	}
}
