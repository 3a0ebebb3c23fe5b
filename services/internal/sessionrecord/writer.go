package sessionrecord

import "slices"

// Writer is the owner's side of one session's record: it gathers joins and leaves, has at most one write in flight and
// chooses between a delta and the whole. A join may be acknowledged when Covers says so. It is not safe for concurrent
// use and does no I/O: whoever owns the socket sends what Next returns and reports how it went.
type Writer struct {
	record Record   // identity, start and extra; Era is that of the next write
	rooms  []string // in the order of their joins

	rewrite bool   // the next write is whole whatever is stored
	written bool   // the store has acknowledged the last write, whose version, era and run follow
	version uint64 // the highest that a write so far may have had
	era     uint64
	run     string

	added, removed []string // since the write in flight, or the last one
	changes        uint64   // counts every Join, Leave, Rewrite and Touch
	covered        uint64   // changes covered by the last acknowledged write
	inFlight       bool
	flying         uint64 // changes that the write in flight covers
	flyingEra      uint64
}

// NewWriter begins a session's record, nothing of which is written yet. r holds its identity, rooms and start, and, after
// a Take, what was taken: Version, Run and Before as the store has them now.
func NewWriter(r Record) *Writer {
	w := &Writer{record: r, rooms: slices.Clone(r.Rooms), changes: 1}
	w.record.Rooms = nil
	if r.Version > 0 {
		w.written, w.version, w.era, w.run, w.covered = true, r.Version, r.Era, r.Run, 1
	}
	return w
}

// Join adds a room and returns a mark for Covers.
func (w *Writer) Join(room string) (mark uint64) {
	w.rooms = with(w.rooms, room)
	w.added = with(w.added, room)
	w.removed = without(w.removed, room)
	w.changes++
	return w.changes
}

// Leave removes a room and returns a mark for Covers.
func (w *Writer) Leave(room string) (mark uint64) {
	w.rooms = without(w.rooms, room)
	w.added = without(w.added, room)
	w.removed = with(w.removed, room)
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

// Touch makes a write due that changes nothing: the record is kept longer from then on, or found to be another's.
func (w *Writer) Touch() (mark uint64) {
	w.changes++
	return w.changes
}

// Run is that of the last acknowledged write.
func (w *Writer) Run() string { return w.run }

// Version is the highest that a write so far may have had.
func (w *Writer) Version() uint64 { return w.version }

// Era is that of the next write, and of the last one if nothing is due.
func (w *Writer) Era() uint64 { return w.record.Era }

// Record is the session as it would be taken over: its identity, start and extra, and the lives before.
func (w *Writer) Record() Record {
	r := w.record
	r.Rooms = w.Rooms()
	return r
}

// Mark names what has been told so far, for Covers.
func (w *Writer) Mark() uint64 { return w.changes }

// InFlight reports whether a write is in flight.
func (w *Writer) InFlight() bool { return w.inFlight }

// Due reports whether a write is due; it may be in flight.
func (w *Writer) Due() bool { return w.covered != w.changes }

// Covers reports whether the store has everything up to the mark.
func (w *Writer) Covers(mark uint64) bool { return w.covered >= mark }

// Rooms of the session now, sorted.
func (w *Writer) Rooms() []string { return slices.Sorted(slices.Values(w.rooms)) }

// Next returns the write to send now, false if there is none or one is in flight. Report it with Done or Failed.
func (w *Writer) Next() (Write, bool) {
	if w.inFlight || w.covered == w.changes {
		return Write{}, false
	}
	w.inFlight, w.flying, w.flyingEra = true, w.changes, w.record.Era
	out := Write{Kind: Whole, Record: w.record, Base: w.version}
	if w.written && !w.rewrite && w.era == w.record.Era {
		out.Kind, out.Run = Delta, w.run
		out.Add, out.Remove = slices.Sorted(slices.Values(w.added)), slices.Sorted(slices.Values(w.removed))
		out.Record.Start, out.Record.Extra, out.Record.Rooms = nil, nil, nil
	} else {
		out.Record.Rooms = w.Rooms()
		w.rewrite = false
	}
	w.added, w.removed = nil, nil
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

// Failed reports that the write in flight may or may not have been done, now or later: the next one is whole, and of a
// version above.
func (w *Writer) Failed() {
	w.inFlight = false
	w.written = false
	w.version++
}

func with(list []string, room string) []string {
	if slices.Contains(list, room) {
		return list
	}
	return append(list, room)
}

func without(list []string, room string) []string {
	if i := slices.Index(list, room); i >= 0 {
		return slices.Delete(list, i, i+1)
	}
	return list
}
