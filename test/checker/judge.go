package checker

import "maps"

// span is a stay of a client in a room. What is owed for one that has ended lies, in each partition, before the last
// record that the client handled while it was there: what came behind may have been on its way.
type span struct {
	from int64         // when the join's ack arrived
	upTo map[int]int64 // nil while it lasts
}

// judge follows one client. A life is what lies between two connections of which the second did not recover the first.
type judge struct {
	index  index
	client string
	report *Report
	end    int64

	connected bool
	rooms     map[string][]span // of this life
	handled   map[string]bool   // of this life
	last      map[int]int64     // per partition, the latest offset handled in this life
}

func (j *judge) run(observations []Observation) {
	j.begin()
	for _, o := range observations {
		switch o.Kind {
		case Connected:
			j.connect(o.Recovered)
		case Joined:
			j.join(o.Room, o.Time)
		case Left:
			j.leave(o.Room)
		case Handled:
			j.handle(o.ID)
		case Disconnected:
		}
	}
	j.finish()
}

func (j *judge) begin() {
	j.rooms, j.handled, j.last = map[string][]span{}, map[string]bool{}, map[int]int64{}
}

func (j *judge) connect(recovered bool) {
	switch {
	case !j.connected:
		j.connected = true
	case recovered:
		j.report.Recovered++
	default:
		j.report.Unrecovered++
		for room := range j.rooms {
			j.leave(room)
		}
		j.finish()
		j.begin()
	}
}

func (j *judge) join(room string, at int64) {
	spans := j.rooms[room]
	if n := len(spans); n > 0 && spans[n-1].upTo == nil {
		return // it is there already
	}
	j.rooms[room] = append(spans, span{from: at})
}

func (j *judge) leave(room string) {
	if spans := j.rooms[room]; len(spans) > 0 && spans[len(spans)-1].upTo == nil {
		spans[len(spans)-1].upTo = maps.Clone(j.last)
	}
}

func (j *judge) handle(id string) {
	j.report.Handled++
	r, ok := j.index.byID[id]
	if !ok {
		j.report.Unknown = append(j.report.Unknown, Fault{Client: j.client, ID: id, Partition: -1, Offset: -1})
		return
	}
	fault := Fault{Client: j.client, ID: id, Partition: r.Partition, Offset: r.Offset}
	if j.handled[id] {
		j.report.Doubled = append(j.report.Doubled, fault)
		return
	}
	j.handled[id] = true
	if last, any := j.last[r.Partition]; any && r.Offset < last {
		j.report.Disordered = append(j.report.Disordered, fault)
	} else {
		j.last[r.Partition] = r.Offset
	}
	if !j.everIn(r.Rooms) {
		j.report.Foreign = append(j.report.Foreign, fault)
	}
}

// everIn tells whether the client has been in one of the rooms in this life. Interlink delivers nothing of a room before
// the ack of its join, except to the rooms of the connect, whose joins a recorder writes down first.
func (j *judge) everIn(rooms []string) bool {
	for _, room := range rooms {
		if len(j.rooms[room]) > 0 {
			return true
		}
	}
	return false
}

// finish counts what is owed for this life.
func (j *judge) finish() {
	seen := map[string]bool{}
	for room, spans := range j.rooms {
		for _, r := range j.index.byRoom[room] {
			if seen[r.ID] || r.Stamp >= j.end || !owed(spans, r) {
				continue
			}
			seen[r.ID] = true
			j.report.Obliged++
			if !j.handled[r.ID] {
				j.report.Lost = append(j.report.Lost, Fault{Client: j.client, ID: r.ID, Partition: r.Partition, Offset: r.Offset})
			}
		}
	}
}

func owed(spans []span, r *Record) bool {
	for _, s := range spans {
		if r.Stamp <= s.from {
			continue
		}
		if s.upTo == nil {
			return true
		}
		if last, any := s.upTo[r.Partition]; any && r.Offset <= last {
			return true
		}
	}
	return false
}
