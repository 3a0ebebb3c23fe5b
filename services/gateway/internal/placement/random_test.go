package placement

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// A random run far beyond the bounds of the exhaustive one: more partitions, routers and rooms, routers that restart,
// freeze, lose and regain partitions, joins of several rooms, leaves, time that passes. The oracle is the log itself.

const (
	simPartitions = 5
	simRouters    = 4
	simRooms      = 7
)

type simRouter struct {
	id       Stream
	attached bool
	frozen   bool
	rooms    map[uint64]bool
	number   uint64
	owns     map[uint32]bool
	pos      map[uint32]int64 // present once told
	seek     map[uint32]uint64
	up       []Message
	down     []any // sent, or []Owned
}

type simJoin struct {
	rooms   []uint64
	started bool
	start   []int64
	got     [simPartitions][]int64
}

type sim struct {
	t       *testing.T
	rng     *rand.Rand
	now     time.Time
	core    *Core
	log     [simPartitions][]uint64 // room of each record
	routers [simRouters]*simRouter
	streams Stream
	tokens  Token
	joins   map[Token]*simJoin
	expired int
	started int
	refused int
}

func newSim(t *testing.T, seed uint64) *sim {
	s := &sim{t: t, rng: rand.New(rand.NewPCG(seed, 1)), now: time.Unix(1_800_000_000, 0), core: New(), joins: map[Token]*simJoin{}}
	for i := range s.routers {
		s.routers[i] = &simRouter{}
	}
	return s
}

func (s *sim) head(p uint32) int64 { return int64(len(s.log[p])) }

func (s *sim) attach(r *simRouter) {
	s.streams++
	*r = simRouter{id: s.streams, attached: true, rooms: map[uint64]bool{}, owns: map[uint32]bool{}, pos: map[uint32]int64{}, seek: map[uint32]uint64{}}
	hello := Hello{Epoch: "e", Partitions: simPartitions}
	for p := range uint32(simPartitions) {
		if s.rng.IntN(2) == 0 {
			r.owns[p] = true
			hello.Owned = append(hello.Owned, Owned{Partition: p, Head: s.head(p)})
		}
	}
	if _, err := s.core.Attach(s.now, r.id, hello); err != nil {
		s.t.Fatal(err)
	}
	s.collect()
}

func (s *sim) detach(r *simRouter) {
	r.attached = false
	s.core.Detach(s.now, r.id)
	s.collect()
}

func (s *sim) collect() {
	for _, e := range s.core.Messages() {
		for _, r := range s.routers {
			if r.attached && r.id == e.To {
				r.up = append(r.up, e.Message)
			}
		}
	}
	for _, token := range s.core.Started() {
		s.start(token)
	}
	for _, token := range s.core.Expired() {
		s.expired++
		delete(s.joins, token)
	}
}

func (s *sim) start(token Token) {
	j := s.joins[token]
	j.started = true
	s.started++
	for p := range uint32(simPartitions) {
		j.start = append(j.start, s.core.Position(p))
	}
}

func (s *sim) read(r *simRouter) {
	m := r.up[0]
	r.up = r.up[1:]
	switch m := m.(type) {
	case Snapshot:
		r.number = m.Number
		for _, hash := range m.Rooms {
			r.rooms[hash] = true
		}
		for _, p := range m.Positions {
			r.pos[p.Partition] = p.Offset
		}
	case Delta:
		r.number = m.Number
		for _, hash := range m.Add {
			r.rooms[hash] = true
		}
		for _, hash := range m.Remove {
			delete(r.rooms, hash)
		}
	case Position:
		r.pos[m.Partition] = m.Offset
		if s.rng.IntN(4) == 0 {
			r.pos[m.Partition] = s.rng.Int64N(s.head(m.Partition) + 1) // a router that goes by its own mind
		}
	case Seek:
		r.seek[m.Partition] = m.Number
		r.pos[m.Partition] = m.Offset
	}
}

func (s *sim) serve(r *simRouter, p uint32) {
	from, placed := r.pos[p]
	if !r.owns[p] || !placed || len(r.down) > 4 {
		return
	}
	out := sent{number: r.number, r: Range{Partition: p, From: from, To: from + s.rng.Int64N(max(1, s.head(p)-from+1)), Seek: r.seek[p]}}
	for o := out.r.From; o < out.r.To; o++ {
		if r.rooms[s.log[p][o]] {
			out.recs = append(out.recs, o)
		}
	}
	r.pos[p] = out.r.To
	r.down = append(r.down, out)
}

func (s *sim) deliver(r *simRouter) {
	m := r.down[0]
	r.down = r.down[1:]
	switch m := m.(type) {
	case []Owned:
		if err := s.core.Owned(s.now, r.id, m); err != nil {
			s.t.Fatal(err)
		}
	case sent:
		s.core.Spoke(s.now, r.id, m.number)
		from, ok := s.core.Range(s.now, r.id, m.number, m.r)
		if !ok {
			s.refused++
			break
		}
		for _, o := range m.recs {
			if o < from {
				continue
			}
			for _, j := range s.joins {
				if j.started && slices.Contains(j.rooms, s.log[m.r.Partition][o]) {
					j.got[m.r.Partition] = append(j.got[m.r.Partition], o)
				}
			}
		}
		s.core.Tick(s.now)
	}
	s.collect()
}

func (s *sim) reown(r *simRouter) {
	p := s.rng.Uint32N(simPartitions)
	if r.owns[p] {
		delete(r.owns, p)
		if s.rng.IntN(2) == 0 {
			delete(r.pos, p)
			delete(r.seek, p) // some routers remember, some don't
		}
	} else {
		r.owns[p] = true
		delete(r.pos, p)
	}
	var owned []Owned
	for p := range r.owns {
		owned = append(owned, Owned{Partition: p, Head: s.head(p)})
	}
	r.down = append(r.down, owned)
}

func (s *sim) step() {
	r := s.routers[s.rng.IntN(simRouters)]
	switch n := s.rng.IntN(100); {
	case n < 20:
		p := s.rng.IntN(simPartitions)
		s.log[p] = append(s.log[p], uint64(s.rng.IntN(simRooms))+100)
	case n < 26:
		s.tokens++
		j := &simJoin{}
		for range 1 + s.rng.IntN(3) {
			if hash := uint64(s.rng.IntN(simRooms)) + 100; !slices.Contains(j.rooms, hash) {
				j.rooms = append(j.rooms, hash)
			}
		}
		s.joins[s.tokens] = j
		if s.core.Join(s.now, s.tokens, j.rooms) {
			s.start(s.tokens)
		}
		s.core.Tick(s.now)
		s.collect()
	case n < 31:
		for token, j := range s.joins { // any one
			s.check(j, false)
			if j.started {
				for _, hash := range j.rooms {
					s.core.Leave(s.now, hash)
				}
			} else {
				s.core.Cancel(s.now, token)
			}
			delete(s.joins, token)
			break
		}
	case n < 33:
		s.now = s.now.Add(time.Duration(s.rng.IntN(2500)) * time.Millisecond)
		s.core.Tick(s.now)
		s.collect()
	case n < 34:
		if r.attached {
			s.detach(r)
		} else {
			s.attach(r)
		}
	case n < 36:
		if r.attached {
			s.reown(r)
		}
	case n < 37:
		r.frozen = !r.frozen
	case n < 55:
		if r.attached && !r.frozen && len(r.up) > 0 {
			s.read(r)
		}
	case n < 80:
		if r.attached && !r.frozen {
			s.serve(r, s.rng.Uint32N(simPartitions))
		}
	default:
		if r.attached && len(r.down) > 0 {
			s.deliver(r)
		}
	}
}

func (s *sim) check(j *simJoin, final bool) {
	if !j.started {
		return
	}
	for p := range s.log {
		var want []int64
		end := s.core.Position(uint32(p))
		for o := j.start[p]; o < end; o++ {
			if slices.Contains(j.rooms, s.log[p][o]) {
				want = append(want, o)
			}
		}
		if !slices.Equal(j.got[p], want) {
			s.t.Fatalf("rooms %v, partition %d from %d to %d: got %v, want %v", j.rooms, p, j.start[p], end, j.got[p], want)
		}
		if final && end != s.head(uint32(p)) {
			s.t.Fatalf("partition %d came to %d, the head is %d", p, end, s.head(uint32(p)))
		}
	}
}

// settle lets every router attach, one of them own everything, and all be said and served.
func (s *sim) settle() {
	for _, r := range s.routers {
		r.frozen = false
		if !r.attached {
			s.attach(r)
		}
	}
	last := s.routers[0]
	var owned []Owned
	for p := range uint32(simPartitions) {
		if !last.owns[p] {
			last.owns[p] = true
			delete(last.pos, p)
		}
		owned = append(owned, Owned{Partition: p, Head: s.head(p)})
	}
	last.down = append(last.down, owned)
	for i := range 610 {
		if i < 600 {
			s.now = s.now.Add(50 * time.Millisecond)
		}
		for _, r := range s.routers {
			for len(r.up) > 0 {
				s.read(r)
			}
			for p := range uint32(simPartitions) {
				s.serve(r, p)
			}
			for len(r.down) > 0 {
				s.deliver(r)
			}
		}
		s.core.Tick(s.now)
		s.collect()
	}
}

func TestRandomRunsAgainstTheLog(t *testing.T) {
	var started, expired, refused int
	for seed := range uint64(150) {
		s := newSim(t, seed)
		for range 3000 {
			s.step()
		}
		for _, j := range s.joins {
			s.check(j, false)
		}
		s.settle()
		for token, j := range s.joins {
			if !j.started {
				t.Fatalf("seed %d: join %d of %v neither started nor expired", seed, token, j.rooms)
			}
			s.check(j, true)
		}
		if len(s.core.changes) != 0 {
			t.Errorf("seed %d: %d changes kept although every router knows them", seed, len(s.core.changes))
		}
		if s.core.Pending() != 0 || len(s.core.waiting) != 0 {
			t.Errorf("seed %d: %d joins and %d rooms still wait", seed, s.core.Pending(), len(s.core.waiting))
		}
		started, expired, refused = started+s.started, expired+s.expired, refused+s.refused
	}
	t.Logf("%d joins started, %d expired, %d ranges refused", started, expired, refused)
	if started == 0 || expired == 0 || refused == 0 {
		t.Error("the run did not reach what it is for")
	}
}
