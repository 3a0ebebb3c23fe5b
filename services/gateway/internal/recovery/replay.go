package recovery

import (
	"slices"

	deliveryv1 "github.com/edumatrix/interlink/proto/delivery/v1"
)

// Replay merges the fetched records of all partitions by time, each partition in its own order, and says with which
// cursor each goes out.
type Replay struct {
	user    string
	socket  string
	visible map[string]bool // rooms of the socket; false while a removal in the log hides them
	at      Vector
	cursor  Vector
	parts   [][]*deliveryv1.Record // by partition, in offset order
	last    int                    // partition of what Next gave
}

// NewReplay takes what was fetched for Spans(since, at), by partition. Rooms are those that the socket was registered
// for, its permission for each checked at the time of the resume; user and socket serve `except`.
func NewReplay(since, at Vector, rooms []string, user, socket string, parts [][]*deliveryv1.Record) *Replay {
	r := &Replay{user: user, socket: socket, visible: make(map[string]bool, len(rooms)), at: at, cursor: slices.Clone(since), parts: parts}
	for _, room := range rooms {
		r.visible[room] = true
	}
	return r
}

// Next gives the next event and the cursor that it must carry: how far the replay has come, never the live position.
// The vector is valid until the next call. The last event is followed by nil and the position of registration.
func (r *Replay) Next() (*deliveryv1.Record, Vector) {
	for {
		p := r.oldest()
		if p < 0 {
			copy(r.cursor, r.at)
			return nil, r.cursor
		}
		record := r.parts[p][0]
		r.parts[p] = r.parts[p][1:]
		if record.Offset < r.cursor[p] {
			continue
		}
		r.cursor[p] = record.Offset + 1
		if record.Control != nil {
			r.control(record.Control)
			continue
		}
		if r.shown(record) {
			r.last = p
			return record, r.cursor
		}
	}
}

// Partition is that of the event which Next gave last.
func (r *Replay) Partition() uint32 { return uint32(r.last) }

func (r *Replay) oldest() int {
	best := -1
	for p, records := range r.parts {
		if len(records) > 0 && (best < 0 || records[0].TimeMs < r.parts[best][0].TimeMs) {
			best = p
		}
	}
	return best
}

// control honours membership changes in the order of the log: who was removed and added again sees nothing of the time between.
func (r *Replay) control(c *deliveryv1.Control) {
	if c.Kind != deliveryv1.Control_MEMBERSHIP_CHANGED {
		return
	}
	if _, mine := r.visible[c.Room]; !mine {
		return
	}
	if slices.Contains(c.Remove, r.user) {
		r.visible[c.Room] = false
	}
	if slices.Contains(c.Add, r.user) {
		r.visible[c.Room] = true
	}
}

func (r *Replay) shown(record *deliveryv1.Record) bool {
	if slices.Contains(record.ExceptUsers, r.user) || slices.Contains(record.ExceptSockets, r.socket) {
		return false
	}
	return slices.ContainsFunc(record.Rooms, func(room string) bool { return r.visible[room] })
}
