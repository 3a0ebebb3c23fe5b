package recovery

import (
	"slices"
	"testing"

	deliveryv1 "github.com/edumatrix/interlink/proto/delivery/v1"
)

// The exhaustive model of cursors and resume, driving Since, Reached, Spans and Replay. It stands for the stock client: it
// keeps one string, the cursor of the last event that it handled, and gives it back with its session id when it connects again.
//
// Two partitions whose records all address the client's room, two gateways that apply them in any order, up to two cuts at
// any moment (also between CONNECT and the first event, and in the middle of a replay), a reconnect to either gateway,
// typing events in between. Property: from the session's start on, every record is handled once, in the order of its partition.
const (
	modelRecords = 2
	modelCuts    = 2
	modelTyping  = 1
)

type vec [2]int8

func (v vec) vector() Vector { return Vector{int64(v[0]), int64(v[1])} }

func toVec(v Vector) vec { return vec{int8(v[0]), int8(v[1])} }

func (v vec) up(p int8) vec {
	v[p]++
	return v
}

// item is on its way to the client: a record (p < 0: none) and a cursor (none if !cited).
type item struct {
	p, offset int8
	cursor    vec
	cited     bool
}

const (
	away int8 = iota
	fetching
	live
)

type modelState struct {
	v       [2]vec    // per gateway: records applied of each partition
	half    [2][]item // mutants mint-*: between their two steps, per gateway
	at      int8
	phase   int8
	reg     vec // position at registration
	held    []item
	q       []item
	started bool
	start   vec
	cursor  vec
	got     []item
	cuts    int8
	typing  int8
}

func (s modelState) key() string {
	b := make([]byte, 0, 96)
	b = append(b, byte(s.v[0][0]), byte(s.v[0][1]), byte(s.v[1][0]), byte(s.v[1][1]), byte(s.at), byte(s.phase),
		byte(s.reg[0]), byte(s.reg[1]), byte(s.start[0]), byte(s.start[1]), byte(s.cursor[0]), byte(s.cursor[1]), byte(s.cuts), byte(s.typing))
	if s.started {
		b[0] |= 0x80
	}
	for _, items := range [][]item{s.half[0], s.half[1], s.held, s.q, s.got} {
		b = append(b, 0xfe)
		for _, i := range items {
			c := byte(0)
			if i.cited {
				c = 1
			}
			b = append(b, byte(i.p), byte(i.offset), byte(i.cursor[0]), byte(i.cursor[1]), c)
		}
	}
	return string(b)
}

func with(items []item, more ...item) []item { return append(slices.Clone(items), more...) }

type model struct{ mutant string }

func (m model) since(s modelState) vec {
	if !s.started || m.mutant == "no-start" {
		return s.cursor
	}
	return toVec(Since(s.cursor.vector(), s.start.vector()))
}

func (m model) deliver(s modelState, g int8, i item) modelState {
	if s.at != g || s.phase == away {
		return s
	}
	if s.phase == live || m.mutant == "no-hold" {
		s.q = with(s.q, i)
	} else {
		s.held = with(s.held, i)
	}
	return s
}

func (m model) apply(s modelState, g int8) (next []modelState) {
	twoSteps := m.mutant == "mint-before" || m.mutant == "mint-after"
	for p := int8(0); p < 2; p++ {
		if s.v[g][p] >= modelRecords {
			continue
		}
		i := item{p: p, offset: s.v[g][p]}
		moved := s.v[g].up(p)
		n := s
		switch {
		case !twoSteps: // the design: move, mint and queue are one step
			n.v[g] = moved
			i.cursor, i.cited = moved, true
			next = append(next, m.deliver(n, g, i))
		case slices.ContainsFunc(s.half[g], func(h item) bool { return h.p == p }):
		default:
			if m.mutant == "mint-before" {
				n.v[g] = moved
			} else {
				i.cursor, i.cited = moved, true
			}
			n.half[g] = with(s.half[g], i)
			next = append(next, n)
		}
	}
	for k, h := range s.half[g] { // second step of a mutant
		n := s
		n.half[g] = slices.Delete(slices.Clone(s.half[g]), k, k+1)
		if h.cited {
			n.v[g] = s.v[g].up(h.p)
		} else {
			h.cursor, h.cited = s.v[g], true
		}
		next = append(next, m.deliver(n, g, h))
	}
	return next
}

func (m model) connect(s modelState) (next []modelState) {
	for g := int8(0); g < 2; g++ {
		if m.mutant != "behind" && !Reached(s.v[g].vector(), m.since(s).vector()) {
			continue
		}
		n := s
		n.at, n.phase, n.reg, n.held = g, fetching, s.v[g], nil
		if !s.started {
			n.started, n.start = true, s.v[g]
		}
		next = append(next, n)
	}
	return next
}

// fetched queues the whole replay, then session:ready, then what was held.
func (m model) fetched(s modelState) modelState {
	since := m.since(s)
	parts := make([][]*deliveryv1.Record, 2)
	for _, span := range Spans(since.vector(), s.reg.vector()) {
		for o := span.From; o < span.To; o++ {
			parts[span.Partition] = append(parts[span.Partition], &deliveryv1.Record{Offset: o, Rooms: []string{"a:1"}})
		}
	}
	replay := NewReplay(since.vector(), s.reg.vector(), []string{"a:1"}, "u", "s", parts)
	var out []item
	for {
		record, cursor := replay.Next()
		if record == nil {
			ready := item{p: -1, cursor: toVec(cursor), cited: true}
			if m.mutant == "ready-first" {
				out = append([]item{ready}, out...)
			} else {
				out = append(out, ready)
			}
			break
		}
		i := item{cited: true, cursor: toVec(cursor), offset: int8(record.Offset)}
		for p := range parts { // which partition moved last
			if len(out) == 0 && cursor[p] > int64(since[p]) || len(out) > 0 && int8(cursor[p]) > out[len(out)-1].cursor[p] {
				i.p = int8(p)
			}
		}
		out = append(out, i)
	}
	if m.mutant == "replay-head" {
		for k := range out {
			out[k].cursor = s.reg
		}
	}
	s.phase, s.reg = live, vec{}
	s.q = with(with(s.q, out...), s.held...)
	s.held = nil
	return s
}

func (m model) steps(s modelState) (next []modelState) {
	next = append(m.apply(s, 0), m.apply(s, 1)...)
	switch s.phase {
	case away:
		next = append(next, m.connect(s)...)
	case fetching:
		next = append(next, m.fetched(s))
	case live:
		if s.typing < modelTyping {
			n := s
			n.typing++
			if k := slices.IndexFunc(s.q, func(i item) bool { return i.p < 0 }); m.mutant == "ephemeral" && k >= 0 {
				r := n
				r.q = slices.Clone(s.q)
				r.q[k] = item{p: -1, cursor: s.v[s.at], cited: true}
				next = append(next, r)
			}
			n.q = with(s.q, item{p: -1})
			next = append(next, n)
		}
	}
	if len(s.q) > 0 { // the client handles the next event
		n, i := s, s.q[0]
		n.q = slices.Clone(s.q[1:])
		if i.p >= 0 {
			n.got = with(s.got, item{p: i.p, offset: i.offset})
		}
		if i.cited {
			n.cursor = i.cursor
		}
		next = append(next, n)
	}
	if s.phase != away && s.cuts < modelCuts { // everything on its way is lost
		n := s
		n.phase, n.at, n.q, n.held, n.cuts, n.reg = away, -1, nil, nil, s.cuts+1, vec{}
		next = append(next, n)
	}
	return next
}

func brokenOrder(s modelState) bool {
	next := s.start
	for _, i := range s.got {
		if i.offset != next[i.p] {
			return true
		}
		next[i.p]++
	}
	return false
}

func missing(s modelState) bool {
	var got vec
	for _, i := range s.got {
		got[i.p]++
	}
	return got[0] != modelRecords-s.start[0] || got[1] != modelRecords-s.start[1]
}

// run explores every interleaving; a mutant stops at its first violation.
func (m model) run() (states, ends, violations int) {
	seen := map[string]struct{}{}
	stack := []modelState{{at: -1}}
	whole := vec{modelRecords, modelRecords}
	for len(stack) > 0 {
		s := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		k := s.key()
		if _, ok := seen[k]; ok {
			continue
		}
		seen[k] = struct{}{}
		bad := s.started && brokenOrder(s)
		if !bad && s.phase == live && len(s.q) == 0 && s.v[0] == whole && s.v[1] == whole && len(s.half[0])+len(s.half[1]) == 0 {
			ends++
			bad = missing(s)
		}
		if bad {
			violations++
			if m.mutant != "" {
				break
			}
			continue
		}
		stack = append(stack, m.steps(s)...)
	}
	return len(seen), ends, violations
}

func TestEveryInterleavingOfCutsAndReconnectsHandlesEachRecordOnce(t *testing.T) {
	states, ends, violations := model{}.run()
	t.Logf("%d states, %d ends, %d violations", states, ends, violations)
	if violations > 0 || ends == 0 {
		t.Fatalf("want no violation and at least one end")
	}
}

func TestEachRuleLeftOutIsCaughtByTheModel(t *testing.T) {
	for _, mutant := range []string{"mint-before", "mint-after", "ready-first", "replay-head", "no-start", "ephemeral", "no-hold", "behind"} {
		t.Run(mutant, func(t *testing.T) {
			t.Parallel()
			if states, _, violations := (model{mutant: mutant}).run(); violations == 0 {
				t.Errorf("not caught in %d states", states)
			}
		})
	}
}
