package sessionrecord

import (
	"maps"
	"slices"
)

// Writer is the owner's side of one session's record: it gathers joins and leaves, has at most one write in flight and
// chooses between a delta and the whole. A join may be acknowledged when Covers says so. It is not safe for concurrent
// use and does no I/O: whoever owns the socket sends what Next returns and reports how it went.
type Writer struct {
	record Record // identity, start and extra; Era is that of the next write
	rooms  map[string]bool

	rewrite bool // the next write is whole whatever is stored
	written bool // the store has acknowledged the last write, whose version, era and run follow
	version uint64
	era     uint64
	run     string

	added, removed map[string]bool // since the write in flight, or the last one
	changes        uint64          // counts every Join, Leave and Rewrite
	covered        uint64          // changes covered by the last acknowledged write
	inFlight       bool
	flying         uint64 // changes that the write in flight covers
	flyingEra      uint64
}

// NewWriter begins a session's record, nothing of which is written yet. r holds its identity, rooms and start, and, after
// a Take, what was taken: Version, Run and Before as the store has them now.
func NewWriter(r Record) *Writer {
	w := &Writer{record: r, rooms: map[string]bool{}, added: map[string]bool{}, removed: map[string]bool{}, changes: 1}
	for _, room := range r.Rooms {
		w.rooms[room] = true
	}
	if r.Version > 0 {
		w.written, w.version, w.era, w.run, w.covered = true, r.Version, r.Era, r.Run, 1
	}
	return w
}

// Join adds a room and returns a mark for Covers.
func (w *Writer) Join(room string) (mark uint64) {
	w.rooms[room] = true
	w.added[room] = true
	delete(w.removed, room)
	w.changes++
	return w.changes
}

// Leave removes a room and returns a mark for Covers.
func (w *Writer) Leave(room string) (mark uint64) {
	delete(w.rooms, room)
	delete(w.added, room)
	w.removed[room] = true
	w.changes++
	return w.changes
}

// Rewrite makes the next write a whole one: the store has forgotten something, or the era was raised to era.
func (w *Writer) Rewrite(era uint64) (mark uint64) {
	w.record.Era = era
	w.rewrite = true
	w.changes++
	return w.changes
}

// Covers reports whether the store has everything up to the mark.
func (w *Writer) Covers(mark uint64) bool { return w.covered >= mark }

// Rooms of the session now, sorted.
func (w *Writer) Rooms() []string { return slices.Sorted(maps.Keys(w.rooms)) }

// Next returns the write to send now, false if there is none or one is in flight. Report it with Done or Failed.
func (w *Writer) Next() (Write, bool) {
	if w.inFlight || w.covered == w.changes {
		return Write{}, false
	}
	w.inFlight, w.flying, w.flyingEra = true, w.changes, w.record.Era
	out := Write{Kind: Whole, Record: w.record, Base: w.version}
	if w.written && !w.rewrite && w.era == w.record.Era {
		out.Kind, out.Run = Delta, w.run
		out.Add, out.Remove = slices.Sorted(maps.Keys(w.added)), slices.Sorted(maps.Keys(w.removed))
		out.Record.Start, out.Record.Extra, out.Record.Rooms = nil, nil, nil
	} else {
		out.Record.Rooms = w.Rooms()
		w.rewrite = false
	}
	w.added, w.removed = map[string]bool{}, map[string]bool{}
	return out, true
}

// Done reports the store's answer to the write in flight, with the version and the run it gave. It returns true if
// the session goes on, false if it was taken elsewhere.
func (w *Writer) Done(outcome Outcome, version uint64, run string) bool {
	w.inFlight = false
	switch outcome {
	case Written:
		w.written, w.version, w.run, w.era = true, version, run, w.flyingEra
		w.covered = w.flying
		return true
	case Taken:
		return false
	}
	w.written = false // NeedWhole
	return true
}

// Failed reports that the write in flight may or may not have been done: the next one is whole.
func (w *Writer) Failed() {
	w.inFlight = false
	w.written = false
}
