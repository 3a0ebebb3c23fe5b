// Package sessionrecord owns the rules of the session record: what a gateway writes about a socket so that another one
// can resume it, when a write is taken, and when a record may be trusted. It is pure: the stores of presence apply
// Apply (or the same in a script), gateways keep a Writer per socket.
//
// The rules are those of session.py's model, tested here over all interleavings: a record is written by
// compare-and-set, a delta only onto the writer's own last write in the same run and era of the store, else whole; a
// record of an older era than the cursor's, or of another run, is not resumable until its gateway has written it
// again. Beyond that model: a record names the lives it was taken from, so that a life that was left behind, and
// writes on without knowing, is never mistaken for the one that goes on; and versions order the writes of one life, so
// that one that comes late, its time-out long past, does not undo a later one.
package sessionrecord

import "slices"

// Life names one life of a gateway: its id and incarnation, in any form without control characters.
type Life string

// Record is what is known of a session. Rooms are sorted and without duplicates.
type Record struct {
	Session string // the session's private id
	Socket  string // the socket's public id, kept over a resume
	User    string
	Life    Life   // whose socket it is
	Before  []Life // the lives that it was taken from, the latest first, at most MaxBefore
	Rooms   []string
	Start   []byte // where the session starts, opaque to the store
	Extra   []byte // what else the gateway needs, opaque to the store
	Version uint64 // grows with each write
	Era     uint64 // of the gateway when it was written
	Run     string // of the store in which it was written
}

// MaxBefore bounds Record.Before: a client whose cursor is older than so many resumes starts fresh.
const MaxBefore = 8

// Kind of a write.
type Kind uint8

// Kinds of writes.
const (
	Delta Kind = iota + 1 // by the owner, onto his own last write: rooms added and removed
	Whole                 // by the owner: everything
	Take                  // by another life, at a resume: everything, onto the version that was read
)

// Write asks to change a record.
type Write struct {
	Kind   Kind
	Record Record // Session, Life and Era always; the rest for Whole and Take. Version, Run and Before are not read
	Add    []string
	Remove []string
	Base   uint64 // Delta, Whole: the highest version that the writer's writes so far may have had; Take: the version that was read
	Run    string // Delta: run of the writer's last write
	Cursor Cursor // Take
}

// Cursor is what a client's cursor says about who minted it.
type Cursor struct {
	Life Life   // empty: the record's own life
	Era  uint64 // of the gateway when it minted the cursor
}

// Outcome of a write.
type Outcome uint8

// Outcomes.
const (
	Written   Outcome = iota + 1
	NeedWhole         // Delta: what is stored is not the writer's last write. Write whole
	Taken             // the session lives elsewhere now: the writer's socket is to be closed
	Gone              // Take: there is no record
	Moved             // Take: another version than the one read; someone else was faster
	Untrusted         // Take: not resumable, see Resumable
)

// Resumable reports whether a client that comes with the cursor has no room acknowledged that the record lacks, given
// the present run of the store.
func Resumable(r *Record, c Cursor, run string) bool { return rules{}.resumable(r, c, run) }

// Apply decides a write over what is stored, nil if nothing is, in the present run of the store. It returns what is
// stored from now on; stored itself is not changed.
func Apply(stored *Record, w Write, run string) (*Record, Outcome) {
	return rules{}.apply(stored, w, run)
}

// rules leaves one of them out. The zero value is the design; the others are the mutants that tests must catch.
type rules struct {
	noRun   bool // a record is trusted whichever run of the store it was written in
	partial bool // a delta adds its rooms to the record, whatever the record is
	noLife  bool // a cursor of another life than the record's proves nothing wrong
	noCAS   bool // a take does not compare the version
	noOrder bool // a whole write of the owner's is taken however late it comes
}

func (u rules) resumable(r *Record, c Cursor, run string) bool {
	if r == nil || (r.Run != run && !u.noRun) {
		return false
	}
	if c.Life == "" || c.Life == r.Life {
		return r.Era >= c.Era
	}
	// The cursor's life is one that the session has left by a resume: its era was judged then.
	return u.noLife || slices.Contains(r.Before, c.Life)
}

func (u rules) apply(stored *Record, w Write, run string) (*Record, Outcome) {
	switch w.Kind {
	case Delta:
		return u.delta(stored, w, run)
	case Take:
		switch {
		case stored == nil:
			return nil, Gone
		case stored.Version != w.Base && !u.noCAS:
			return stored, Moved
		case !u.resumable(stored, w.Cursor, run):
			return stored, Untrusted
		}
		return whole(w, stored.Version+1, Lineage(stored, w.Record.Life), run), Written
	default:
		switch {
		case stored == nil:
			return whole(w, w.Base+1, w.Record.Before, run), Written
		case stored.Life == w.Record.Life && (stored.Version <= w.Base || u.noOrder):
			return whole(w, max(stored.Version, w.Base)+1, w.Record.Before, run), Written
		case slices.Contains(w.Record.Before, stored.Life):
			// A life that this session has left wrote on, into a store that had forgotten the take.
			return whole(w, max(stored.Version, w.Base)+1, w.Record.Before, run), Written
		}
		return stored, Taken
	}
}

func (u rules) delta(stored *Record, w Write, run string) (*Record, Outcome) {
	switch {
	case u.partial && stored == nil:
		return whole(w, 1, nil, run).changed(w), Written
	case u.partial:
		return stored.changed(w), Written
	case stored == nil:
		return nil, NeedWhole
	case stored.Life != w.Record.Life && !slices.Contains(w.Record.Before, stored.Life):
		return stored, Taken
	case stored.Life != w.Record.Life, stored.Version != w.Base, stored.Era != w.Record.Era, stored.Run != w.Run && !u.noRun, w.Run != run && !u.noRun:
		return stored, NeedWhole
	}
	return stored.changed(w), Written
}

// Lineage is Before of a record that the next life has taken.
func Lineage(stored *Record, next Life) []Life {
	if stored.Life == next {
		return stored.Before
	}
	out := append([]Life{stored.Life}, stored.Before...)
	out = slices.DeleteFunc(out, func(l Life) bool { return l == next })
	return out[:min(len(out), MaxBefore)]
}

func whole(w Write, version uint64, before []Life, run string) *Record {
	r := w.Record
	r.Rooms = slices.Compact(slices.Sorted(slices.Values(r.Rooms)))
	r.Before = slices.Clone(before)
	r.Version, r.Run = version, run
	return &r
}

func (r *Record) changed(w Write) *Record {
	out := *r
	out.Rooms = slices.DeleteFunc(slices.Clone(r.Rooms), func(room string) bool { return slices.Contains(w.Remove, room) })
	out.Rooms = slices.Compact(slices.Sorted(slices.Values(append(out.Rooms, w.Add...))))
	out.Version++
	return &out
}
