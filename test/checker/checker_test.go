package checker

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

func record(partition int, offset int64, stamp int64, rooms ...string) Record {
	return Record{Partition: partition, Offset: offset, Key: rooms[0], ID: fmt.Sprintf("%d-%d", partition, offset), Rooms: rooms, Stamp: stamp}
}

func handled(ids ...string) []Observation {
	var list []Observation
	for _, id := range ids {
		list = append(list, Observation{Kind: Handled, ID: id})
	}
	return list
}

func TestCheck(t *testing.T) {
	log := []Record{record(0, 0, 10, "a"), record(0, 1, 20, "a"), record(0, 2, 30, "b"), record(1, 0, 25, "a", "b"), record(0, 3, 40, "a")}
	connected := []Observation{{Kind: Connected}}
	join := func(room string, at int64) []Observation { return []Observation{{Kind: Joined, Room: room, Time: at}} }
	anew := []Observation{{Kind: Disconnected}, {Kind: Connected}}
	resumed := []Observation{{Kind: Disconnected}, {Kind: Connected, Recovered: true}}
	for name, test := range map[string]struct {
		saw  [][]Observation
		want Report // counts only
	}{
		"what was appended before the ack is not owed": {
			[][]Observation{connected, join("a", 20), handled("1-0", "0-3")}, Report{Obliged: 2, Handled: 2}},
		"what was appended around the ack may come": {
			[][]Observation{connected, join("a", 20), handled("0-1", "1-0", "0-3")}, Report{Obliged: 2, Handled: 3}},
		"a record for two rooms is owed once": {
			[][]Observation{connected, join("a", 0), join("b", 0), handled("0-0", "0-1", "1-0", "0-2", "0-3")}, Report{Obliged: 5, Handled: 5}},
		"a record that never came is lost": {
			[][]Observation{connected, join("a", 0), handled("0-0", "0-1", "1-0")},
			Report{Obliged: 4, Handled: 3, Lost: make([]Fault, 1)}},
		"a record handled again is doubled": {
			[][]Observation{connected, join("a", 0), handled("0-0", "0-1", "1-0", "0-1", "0-3")},
			Report{Obliged: 4, Handled: 5, Doubled: make([]Fault, 1)}},
		"an earlier record of the partition after a later one is out of order": {
			[][]Observation{connected, join("a", 0), handled("0-1", "0-0", "1-0", "0-3")},
			Report{Obliged: 4, Handled: 4, Disordered: make([]Fault, 1)}},
		"partitions are not ordered against each other": {
			[][]Observation{connected, join("a", 0), handled("1-0", "0-0", "0-1", "0-3")}, Report{Obliged: 4, Handled: 4}},
		"a record of somebody else's room is foreign": {
			[][]Observation{connected, join("a", 35), handled("0-2", "0-3")},
			Report{Obliged: 1, Handled: 2, Foreign: make([]Fault, 1)}},
		"an event that the log does not hold is unknown": {
			[][]Observation{connected, join("a", 35), handled("0-3", "9-9")},
			Report{Obliged: 1, Handled: 2, Unknown: make([]Fault, 1)}},
		"after a leave nothing more is owed": {
			[][]Observation{connected, join("a", 0), handled("0-0", "0-1"), {{Kind: Left, Room: "a"}}},
			Report{Obliged: 2, Handled: 2}},
		"before a leave nothing may be missing": {
			[][]Observation{connected, join("a", 0), handled("0-1"), {{Kind: Left, Room: "a"}}},
			Report{Obliged: 2, Handled: 1, Lost: make([]Fault, 1)}},
		"a recovered connection owes all": {
			[][]Observation{connected, join("a", 0), handled("0-0"), resumed, handled("1-0", "0-3")},
			Report{Obliged: 4, Handled: 3, Lost: make([]Fault, 1), Recovered: 1}},
		"a join whose ack was lost may have happened, once the connection is recovered": {
			[][]Observation{connected, {{Kind: Asked, Room: "a"}}, resumed, handled("1-0"), join("a", 30), handled("0-3")},
			Report{Obliged: 1, Handled: 2, Recovered: 1}},
		"what follows a join may overtake its ack": {
			[][]Observation{connected, {{Kind: Asked, Room: "a"}}, handled("1-0"), join("a", 30), handled("0-3")},
			Report{Obliged: 1, Handled: 2}},
		"a join without an ack is gone with the session": {
			[][]Observation{connected, {{Kind: Asked, Room: "a"}}, anew, handled("1-0")},
			Report{Handled: 1, Foreign: make([]Fault, 1), Unrecovered: 1}},
		"a connection begun anew owes what follows its join": {
			[][]Observation{connected, join("a", 0), handled("0-0"), anew, join("a", 30), handled("0-3")},
			Report{Obliged: 2, Handled: 2, Unrecovered: 1}},
		"a connection begun anew owes nothing for a room that was not joined again": {
			[][]Observation{connected, join("a", 0), handled("0-0"), anew}, Report{Obliged: 1, Handled: 1, Unrecovered: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			got := Check(log, []Client{{Name: "c", Observations: slices.Concat(test.saw...)}}, 100)
			test.want.Records = len(log)
			if counts(got) != counts(test.want) {
				t.Fatalf("got %v\nwant %v", got, counts(test.want))
			}
		})
	}
}

func TestARepeatedIDIsDeliveredOnce(t *testing.T) {
	log := []Record{record(0, 0, 10, "a"), record(0, 1, 11, "a")}
	log[1].ID = log[0].ID
	saw := slices.Concat([]Observation{{Kind: Connected}, {Kind: Joined, Room: "a"}}, handled("0-0"))
	if r := Check(log, []Client{{Observations: saw}}, 100); !r.OK() || r.Records != 1 || r.Obliged != 1 {
		t.Fatalf("got %v, want one record, delivered", r)
	}
}

func TestBeginningsCarryTheirReasons(t *testing.T) {
	saw := []Observation{
		{Kind: Connected}, {Kind: Told, Reason: "new"}, {Kind: Disconnected},
		{Kind: Connected, Recovered: true}, {Kind: Told, Recovered: true, Reason: "resumed"}, {Kind: Disconnected},
		{Kind: Connected, Time: 3}, {Kind: Told, Reason: "window"}, {Kind: Disconnected},
		{Kind: Connected, Time: 4}, {Kind: Disconnected},
		{Kind: Connected, Time: 5},
	}
	r := Check(nil, []Client{{Name: "c", Observations: saw}}, 100)
	want := []Beginning{{"c", 3, "window"}, {"c", 4, Unsaid}, {"c", 5, Unsaid}}
	if !slices.Equal(r.Begun, want) || r.Unrecovered != 3 || r.Recovered != 1 || !r.OK() {
		t.Fatalf("got %+v, want %v", r, want)
	}
	saw[4].Recovered = false
	if r := Check(nil, []Client{{Name: "c", Observations: saw}}, 100); len(r.Lies) != 1 || r.OK() {
		t.Fatalf("got %+v, want one contradiction", r)
	}
}

// counts is a Report without the names of its faults.
func counts(r Report) string {
	return fmt.Sprint(r.Records, r.Obliged, r.Handled, len(r.Lost), len(r.Doubled), len(r.Disordered), len(r.Foreign), len(r.Unknown), r.Recovered, r.Unrecovered)
}

// perfect is a log and what its clients see when nothing goes wrong.
func perfect(r *rand.Rand) ([]Record, []Client) {
	const rooms, partitions = 12, 4
	var log []Record
	for i := range 400 {
		room := r.IntN(rooms)
		log = append(log, record(room%partitions, int64(i), int64(1000+i), fmt.Sprint("room:", room)))
	}
	clients := make([]Client, 20)
	for c := range clients {
		saw := []Observation{{Kind: Connected}}
		in := map[string]bool{}
		joins := map[int]string{r.IntN(100): fmt.Sprint("room:", r.IntN(rooms)), 100 + r.IntN(100): fmt.Sprint("room:", r.IntN(rooms))}
		for i, rec := range log {
			if room := joins[i]; room != "" {
				in[room] = true
				saw = append(saw, Observation{Kind: Joined, Room: room, Time: rec.Stamp - 1})
			}
			if in[rec.Rooms[0]] {
				saw = append(saw, Observation{Kind: Handled, ID: rec.ID, Time: rec.Stamp})
			}
		}
		clients[c] = Client{Name: fmt.Sprint("client ", c), Observations: saw}
	}
	return log, clients
}

// A checker that passes everything proves nothing: each mutant is a run with one wrong delivery, and each must be caught.
func TestMutantsAreCaught(t *testing.T) {
	mutants := map[string]struct {
		mutate func(saw []Observation, i int) []Observation
		caught func(Report) bool
	}{
		"drop one": {
			func(saw []Observation, i int) []Observation { return slices.Delete(saw, i, i+1) },
			func(r Report) bool { return len(r.Lost) == 1 }},
		"double one at once": {
			func(saw []Observation, i int) []Observation { return slices.Insert(saw, i, saw[i]) },
			func(r Report) bool { return len(r.Doubled) == 1 }},
		"double one at the end": {
			func(saw []Observation, i int) []Observation { return append(saw, saw[i]) },
			func(r Report) bool { return len(r.Doubled) == 1 }},
		"move one to the end": {
			func(saw []Observation, i int) []Observation {
				o := saw[i]
				return append(slices.Delete(saw, i, i+1), o)
			},
			func(r Report) bool { return len(r.Disordered) == 1 }},
		"forge one": {
			func(saw []Observation, i int) []Observation {
				return slices.Insert(saw, i, Observation{Kind: Handled, ID: "forged"})
			},
			func(r Report) bool { return len(r.Unknown) == 1 }},
	}
	const runs = 50
	caught, total := 0, 0
	for name, m := range mutants {
		for seed := range uint64(runs) {
			r := rand.New(rand.NewPCG(seed, 1))
			log, clients := perfect(r)
			if got := Check(log, clients, 1<<40); !got.OK() || got.Obliged == 0 {
				t.Fatalf("seed %d: the run without a mutant: %v", seed, got)
			}
			c := &clients[r.IntN(len(clients))]
			at := victims(log, c.Observations)
			if len(at) == 0 {
				continue
			}
			c.Observations = m.mutate(slices.Clone(c.Observations), at[r.IntN(len(at))])
			total++
			if m.caught(Check(log, clients, 1<<40)) {
				caught++
			} else {
				t.Errorf("%s, seed %d: not caught", name, seed)
			}
		}
	}
	t.Logf("mutants caught: %d of %d", caught, total)
}

// victims are the events that are followed by another of the same partition, so that each mutant is visible.
func victims(log []Record, saw []Observation) []int {
	partition := map[string]int{}
	for _, r := range log {
		partition[r.ID] = r.Partition
	}
	var list []int
	later := map[int]bool{}
	for i, o := range slices.Backward(saw) {
		if o.Kind != Handled {
			continue
		}
		if later[partition[o.ID]] {
			list = append(list, i)
		}
		later[partition[o.ID]] = true
	}
	return list
}
