package consumer

import (
	"cmp"
	"encoding/json"
	"slices"
	"sync"

	"github.com/segmentio/kafka-go"
)

// sticky is a GroupBalancer that moves as few partitions as an even spread allows. Each member tells in its UserData
// what it holds and since which generation; of two that claim the same, the later generation wins.
type sticky struct {
	mu    sync.Mutex // guards claim
	claim claim
}

// claim is the UserData of a member.
type claim struct {
	Generation int32 `json:"generation"`
	Held       []int `json:"held"`
}

// ProtocolName is offered to the group's coordinator.
func (s *sticky) ProtocolName() string { return "interlink-sticky" }

// UserData is asked for at each join.
func (s *sticky) UserData() ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return json.Marshal(s.claim)
}

func (s *sticky) hold(generation int32, held []int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.claim = claim{Generation: generation, Held: slices.Clone(held)}
}

// AssignGroups is asked of the group's leader. All members read the same topic.
func (s *sticky) AssignGroups(members []kafka.GroupMember, partitions []kafka.Partition) kafka.GroupMemberAssignments {
	byTopic := map[string][]int{}
	for _, p := range partitions {
		byTopic[p.Topic] = append(byTopic[p.Topic], p.ID)
	}
	claims := make(map[string]claim, len(members))
	for _, m := range members {
		var c claim
		_ = json.Unmarshal(m.UserData, &c) // another version's data claims nothing
		claims[m.ID] = c
	}
	out := make(kafka.GroupMemberAssignments, len(members))
	for _, m := range members {
		out[m.ID] = map[string][]int{}
	}
	for topic, ids := range byTopic {
		for member, got := range spread(claims, ids) {
			out[member][topic] = got
		}
	}
	return out
}

// spread gives each partition to one member, so that counts differ by at most one and as few as possible move.
func spread(claims map[string]claim, partitions []int) map[string][]int {
	if len(claims) == 0 {
		return nil
	}
	kept, free := settle(claims, partitions)
	members := make([]string, 0, len(claims))
	for m := range claims {
		members = append(members, m)
	}
	// Those who hold most get the larger shares: that keeps most in place.
	slices.SortFunc(members, func(a, b string) int {
		return cmp.Or(cmp.Compare(len(kept[b]), len(kept[a])), cmp.Compare(a, b))
	})
	share, larger := len(partitions)/len(members), len(partitions)%len(members)
	quota := func(i int) int {
		if i < larger {
			return share + 1
		}
		return share
	}
	for i, m := range members {
		if q := quota(i); len(kept[m]) > q {
			free = append(free, kept[m][q:]...)
			kept[m] = kept[m][:q]
		}
	}
	slices.Sort(free)
	for i, m := range members {
		n := quota(i) - len(kept[m])
		kept[m] = append(kept[m], free[:n]...)
		free = free[n:]
		slices.Sort(kept[m])
	}
	return kept
}

// settle decides between claims: the latest generation, then the lowest member id. What nobody claims is free.
func settle(claims map[string]claim, partitions []int) (kept map[string][]int, free []int) {
	kept = make(map[string][]int, len(claims))
	for m := range claims {
		kept[m] = nil
	}
	for _, p := range partitions {
		winner := ""
		for m, c := range claims {
			if !slices.Contains(c.Held, p) {
				continue
			}
			w := claims[winner]
			if winner == "" || c.Generation > w.Generation || c.Generation == w.Generation && m < winner {
				winner = m
			}
		}
		if winner == "" {
			free = append(free, p)
			continue
		}
		kept[winner] = append(kept[winner], p)
	}
	for _, k := range kept {
		slices.Sort(k)
	}
	return kept, free
}
