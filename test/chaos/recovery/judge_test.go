package recovery

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/edumatrix/interlink/test/checker"
)

func TestForbidden(t *testing.T) {
	phases := []Phase{
		{Name: "gateway killed", Begun: 0, End: 100},
		{Name: "FLUSHALL", Begun: 100, End: 200, Permits: []string{noSession, noBase}},
	}
	for name, test := range map[string]struct {
		at     int64
		reason string
		want   int
	}{
		"a reason that the fault of its time permits":     {150, noSession, 0},
		"a reason that another time's fault would permit": {50, noSession, 1},
		"a reason that no fault permits":                  {150, window, 1},
		"no reason":                                       {150, "", 1},
		"after the last phase":                            {200, noBase, 1},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Forbidden([]checker.Beginning{{Client: "c", Time: test.at, Reason: test.reason}}, phases); len(got) != test.want {
				t.Fatalf("got %v, want %d", got, test.want)
			}
		})
	}
}

const (
	partitions = 3
	half       = 2000 // milliseconds; history lasts twice as long
)

// history makes a run as it must be: clients in rooms, cut now and then. Some connections go on with a replay, some begin
// anew because the fault of the second half permits it.
func history(r *rand.Rand) ([]checker.Record, []checker.Client) {
	const rooms, records = 6, 400
	var log []checker.Record
	for i := range records {
		room := r.IntN(rooms)
		log = append(log, checker.Record{
			Partition: room % partitions, Offset: int64(i), Key: fmt.Sprint(room), ID: fmt.Sprintf("%d-%d", room, i), Rooms: []string{fmt.Sprint("room:", room)}, Stamp: int64(10 * i),
		})
	}
	clients := make([]checker.Client, 8)
	for i := range clients {
		clients[i] = checker.Client{Name: fmt.Sprint("c", i), Observations: life(r, log, []string{fmt.Sprint("room:", i%rooms), fmt.Sprint("room:", (i+1)%rooms)})}
	}
	return log, clients
}

func life(r *rand.Rand, log []checker.Record, rooms []string) []checker.Observation {
	saw := []checker.Observation{{Kind: checker.Connected, Time: -2}, {Kind: checker.Told, Time: -2, Reason: "new"}}
	join := func(at int64) {
		for _, room := range rooms {
			saw = append(saw, checker.Observation{Kind: checker.Joined, Time: at, Room: room})
		}
	}
	join(-1)
	var waiting []checker.Observation
	away := 0
	for _, rec := range log {
		if away == 0 && r.IntN(40) == 0 {
			saw = append(saw, checker.Observation{Kind: checker.Disconnected, Time: rec.Stamp})
			away = 1 + r.IntN(20)
		}
		if slices.Contains(rooms, rec.Rooms[0]) {
			waiting = append(waiting, checker.Observation{Kind: checker.Handled, Time: rec.Stamp + 1, ID: rec.ID})
		}
		if away > 0 {
			if away--; away > 0 {
				continue
			}
			recovered := rec.Stamp < half || r.IntN(2) == 0
			reason := "resumed"
			if !recovered {
				reason, waiting = noSession, nil
			}
			saw = append(saw, checker.Observation{Kind: checker.Connected, Time: rec.Stamp + 1, Recovered: recovered},
				checker.Observation{Kind: checker.Told, Time: rec.Stamp + 1, Recovered: recovered, Reason: reason})
			if !recovered {
				join(rec.Stamp + 1)
			}
		}
		saw = append(saw, waiting...)
		waiting = nil
	}
	if away > 0 {
		saw = append(saw, checker.Observation{Kind: checker.Connected, Time: 2 * half, Recovered: true},
			checker.Observation{Kind: checker.Told, Time: 2 * half, Recovered: true, Reason: "resumed"})
	}
	return append(saw, waiting...)
}

var halves = []Phase{
	{Name: "cuts", Begun: -10, End: half},
	{Name: "FLUSHALL", Begun: half, End: 1 << 40, Permits: []string{noSession, unsaid}},
}

func verdict(log []checker.Record, clients []checker.Client) bool {
	report := checker.Check(log, clients, 1<<40)
	return report.OK() && len(Forbidden(report.Begun, halves)) == 0
}

// mutant is one thing that a broken recovery does. at is the place of a connect, of the kind that recovered says, behind
// which the client handles at least three events that are each followed by another of its partition in the same life.
type mutant struct {
	recovered bool
	early     bool // only in the half in which nothing permits to begin anew
	mutate    func(saw []checker.Observation, at int) []checker.Observation
}

// first is where the events behind a connect begin: after its session:ready.
func first(at int) int { return at + 2 }

var mutants = map[string]mutant{
	"an event of the replay is lost": {recovered: true, mutate: func(saw []checker.Observation, at int) []checker.Observation {
		return slices.Delete(saw, first(at)+1, first(at)+2)
	}},
	"a silent gap over a reconnect": {recovered: true, mutate: func(saw []checker.Observation, at int) []checker.Observation {
		return slices.Delete(saw, first(at), first(at)+3)
	}},
	"the replay begins too early": {recovered: true, mutate: func(saw []checker.Observation, at int) []checker.Observation {
		for i := at - 1; i >= 0 && (saw[i].Kind != checker.Connected || saw[i].Recovered); i-- {
			if saw[i].Kind == checker.Handled {
				return slices.Insert(saw, first(at), saw[i])
			}
		}
		return nil
	}},
	"a second resume replays again": {recovered: true, mutate: func(saw []checker.Observation, at int) []checker.Observation {
		again := slices.Clone(saw[first(at) : first(at)+3])
		return slices.Insert(saw, first(at)+3, again...)
	}},
	"live events overtake the replay": {recovered: true, mutate: func(saw []checker.Observation, at int) []checker.Observation {
		o := saw[first(at)]
		for i := first(at) + 1; i < len(saw); i++ {
			if saw[i].Kind == checker.Handled && partition(saw[i].ID) == partition(o.ID) {
				saw = slices.Insert(saw, i+1, o)
				return slices.Delete(saw, first(at), first(at)+1)
			}
		}
		return nil
	}},
	"recovered without its replay": {recovered: true, mutate: func(saw []checker.Observation, at int) []checker.Observation {
		end := first(at)
		for end < len(saw) && saw[end].Kind == checker.Handled && saw[end].Time == saw[first(at)].Time {
			end++
		}
		return slices.Delete(saw, first(at), max(end, first(at)+1))
	}},
	"begun anew for a reason that no fault permits": {mutate: func(saw []checker.Observation, at int) []checker.Observation {
		saw[at+1].Reason = window
		return saw
	}},
	"begun anew without a reason": {mutate: func(saw []checker.Observation, at int) []checker.Observation {
		saw[at+1].Reason = ""
		return saw
	}},
	"begun anew while nothing permits it": {recovered: true, early: true, mutate: func(saw []checker.Observation, at int) []checker.Observation {
		saw[at].Recovered, saw[at+1].Recovered, saw[at+1].Reason = false, false, noSession
		return saw
	}},
	"session:ready contradicts CONNECT": {recovered: true, mutate: func(saw []checker.Observation, at int) []checker.Observation {
		saw[at+1].Recovered = false
		return saw
	}},
	"begun anew, and the old session's events still come": {mutate: func(saw []checker.Observation, at int) []checker.Observation {
		return slices.DeleteFunc(saw, func(o checker.Observation) bool {
			return o.Kind == checker.Joined && o.Time >= saw[at].Time && o.Room == roomOf(saw[at+4].ID)
		})
	}},
}

// In history a record's name tells its room and thereby its partition.
func roomOf(id string) string { return "room:" + strings.Split(id, "-")[0] }
func partition(id string) int { n, _ := strconv.Atoi(strings.Split(id, "-")[0]); return n % partitions }

// places returns where a mutant can be applied.
func (m mutant) places(saw []checker.Observation) []int {
	var list []int
	for at, o := range saw {
		if o.Kind == checker.Connected && at > 0 && o.Recovered == m.recovered && (!m.early || o.Time < half) && m.visible(saw, at) {
			list = append(list, at)
		}
	}
	return list
}

// visible tells whether three events follow, apart from joins, each followed by another of its partition in the same life.
func (m mutant) visible(saw []checker.Observation, at int) bool {
	end := at + 1
	for end < len(saw) && (saw[end].Kind != checker.Connected || saw[end].Recovered) {
		end++
	}
	from := at + 2
	for !m.recovered && from < end && saw[from].Kind == checker.Joined {
		from++
	}
	for i := from; i < from+3; i++ {
		if i >= end || saw[i].Kind != checker.Handled || !slices.ContainsFunc(saw[i+1:end], func(o checker.Observation) bool {
			return o.Kind == checker.Handled && partition(o.ID) == partition(saw[i].ID)
		}) {
			return false
		}
	}
	return true
}

// A judge that passes everything proves nothing: every mutant of every run must be caught.
func TestMutantsAreCaught(t *testing.T) {
	const runs = 40
	caught, total := 0, 0
	for name, m := range mutants {
		applied := 0
		for seed := range uint64(runs) {
			r := rand.New(rand.NewPCG(seed, 9))
			log, clients := history(r)
			if !verdict(log, clients) {
				t.Fatalf("seed %d: the run without a mutant is refused: %v", seed, checker.Check(log, clients, 1<<40))
			}
			for i := range clients {
				places := m.places(clients[i].Observations)
				if len(places) == 0 {
					continue
				}
				mutated := m.mutate(slices.Clone(clients[i].Observations), places[r.IntN(len(places))])
				if mutated == nil {
					continue
				}
				clients[i].Observations = mutated
				applied++
				if verdict(log, clients) {
					t.Errorf("%s, seed %d: not caught", name, seed)
				} else {
					caught++
				}
				break
			}
		}
		if applied == 0 {
			t.Errorf("%s: no run in which it can be applied", name)
		}
		total += applied
	}
	t.Logf("mutants caught: %d of %d", caught, total)
}
