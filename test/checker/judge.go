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
	recovered bool              // what CONNECT said of this connection
	untold    *Beginning        // this connection, until session:ready says why it began anew
	asked     map[string]bool   // rooms of this life whose join has not been acked, and may have happened
	rooms     map[string][]span // of this life
	handled   map[string]bool   // of this life
	last      map[int]int64     // per partition, the latest offset handled in this life
}

func (j *judge) run(observations []Observation) {
	j.begin()
	for _, o := range observations {
		switch o.Kind {
		case Connected:
			j.connect(o)
		case Told:
			j.told(o)
		case Asked:
			j.asked[o.Room] = true
		case Joined:
			j.join(o.Room, o.Time)
		case Left:
			j.leave(o.Room)
		case Handled:
			j.handle(o.ID)
		case Disconnected:
			j.unsaid()
		}
	}
	j.unsaid()
	j.finish()
}

func (j *judge) begin() {
	j.rooms, j.handled, j.last = map[string][]span{}, map[string]bool{}, map[int]int64{}
	j.asked = map[string]bool{}
}

func (j *judge) connect(o Observation) {
	j.unsaid()
	j.recovered = o.Recovered
	switch {
	case !j.connected:
		j.connected = true
	case o.Recovered:
		j.report.Recovered++
	default:
		j.report.Unrecovered++
		j.untold = &Beginning{Client: j.client, Time: o.Time}
		for room := range j.rooms {
			j.leave(room)
		}
		j.finish()
		j.begin()
	}
}

func (j *judge) told(o Observation) {
	if o.Recovered != j.recovered {
		j.report.Lies = append(j.report.Lies, Fault{Client: j.client, ID: o.Reason, Partition: -1, Offset: -1})
	}
	if j.untold != nil {
		j.untold.Reason = o.Reason
		j.report.Begun = append(j.report.Begun, *j.untold)
		j.untold = nil
	}
}

func (j *judge) unsaid() {
	if j.untold != nil {
		j.told(Observation{Reason: Unsaid, Recovered: j.recovered})
	}
}

func (j *judge) join(room string, at int64) {
	delete(j.asked, room)
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

// everIn tells whether the client has been in one of the rooms in this life, or has asked to be: what follows a join may
// overtake its ack.
func (j *judge) everIn(rooms []string) bool {
	for _, room := range rooms {
		if len(j.rooms[room]) > 0 || j.asked[room] {
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
