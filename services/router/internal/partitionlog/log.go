// Package partitionlog owns the last minutes of one partition in memory: each record decoded once, with the hashes
// of its rooms, and one id kept once. One goroutine appends, many read. It does no I/O and takes the time as an argument.
package partitionlog

import (
	"hash/maphash"
	"sort"
	"sync"
	"time"
)

// Entry is a record as gateways get it. It is immutable and shared.
type Entry struct {
	Offset int64
	Rooms  []uint64 // hashes of its targets
	Record []byte   // marshalled deliveryv1.Record
	ID     string   // empty if the publisher gave none: then nothing can repeat it
	TimeMs int64    // time fingerprint of the Kafka record
	Key    string   // of the Kafka record, if it is not its first target
	OddKey bool     // it was partitioned by another key than it asks for
}

// bytes is what an entry costs in memory, roughly.
func (e *Entry) bytes() int64 {
	return int64(len(e.Record)+8*len(e.Rooms)+len(e.ID)+len(e.Key)) + entryOverhead
}

const entryOverhead = 120

// Options bound a log.
type Options struct {
	Window   time.Duration // how long a record is kept
	MaxBytes int64         // bound over all entries; the oldest go first
	MaxIDs   int           // ids remembered per window; beyond it the oldest are forgotten early
}

// Log is the log of one partition.
//
// Invariant: earliest <= every entry's offset < next; entries are in offset order; offsets may have holes.
// Every record in [earliest, next) that is not the repetition of an earlier id is among the entries.
type Log struct {
	opts Options

	mu       sync.RWMutex // guards what follows
	entries  []Entry      // a window into a longer array; trimmed at the front, appended at the back
	bytes    int64
	earliest int64
	next     int64
	last     int64 // time fingerprint of the record at next-1, 0 if unknown
	marks    []Mark
	ids      *IDs
	watchers map[*Watcher]struct{}
}

// Mark says that every record below Offset was appended before Time.
type Mark struct {
	Offset int64
	Time   time.Time
}

// New makes an empty log that will be appended to from start and serves what is at or beyond from.
// What lies between is only read for its ids. at is the time that from stands for.
func New(o Options, start, from int64, at time.Time) *Log {
	return &Log{
		opts: o, earliest: max(start, from), next: start, marks: []Mark{{Offset: max(start, from), Time: at}},
		ids: NewIDs(o.MaxIDs), watchers: map[*Watcher]struct{}{},
	}
}

// Append adds the records of [Next(), next) in offset order and wakes those who watch. It returns how many were repetitions.
// Only one goroutine may append.
func (l *Log) Append(entries []Entry, next int64, last int64) (repeated int) {
	l.mu.Lock()
	for i := range entries {
		e := &entries[i]
		if e.Offset < l.next || !l.ids.Add(e.ID, e.Offset) {
			repeated++
			continue
		}
		if e.Offset < l.earliest {
			continue
		}
		l.entries = append(l.entries, *e)
		l.bytes += e.bytes()
	}
	if next > l.next {
		l.next, l.last = next, last
	}
	l.trimBytes()
	for w := range l.watchers {
		w.wake()
	}
	l.mu.Unlock()
	return repeated
}

// Tick marks the present position, drops what is older than the window, and lets ids age. Call it each second.
func (l *Log) Tick(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.next >= l.earliest { // else only ids are being read
		l.marks = append(l.marks, Mark{Offset: l.next, Time: now})
	}
	horizon := now.Add(-l.opts.Window)
	keep := sort.Search(len(l.marks), func(i int) bool { return l.marks[i].Time.After(horizon) })
	if keep > 0 {
		l.trimTo(l.marks[keep-1].Offset)
		l.marks = append(l.marks[:0], l.marks[keep-1:]...)
	}
	l.ids.Tick(now, l.opts.Window)
}

// trimTo drops the entries below offset. Held: mu.
func (l *Log) trimTo(offset int64) {
	if offset <= l.earliest {
		return
	}
	n := l.search(offset)
	for i := range l.entries[:n] {
		l.bytes -= l.entries[i].bytes()
		l.entries[i] = Entry{}
	}
	l.entries = l.entries[n:]
	l.earliest = offset
}

func (l *Log) trimBytes() {
	n, bytes := 0, l.bytes
	for n < len(l.entries) && bytes > l.opts.MaxBytes {
		bytes -= l.entries[n].bytes()
		n++
	}
	switch {
	case n == 0:
	case n < len(l.entries):
		l.trimTo(l.entries[n].Offset)
	default:
		l.trimTo(l.next)
	}
}

// search is the index of the first entry at or beyond offset. Held: mu.
func (l *Log) search(offset int64) int {
	return sort.Search(len(l.entries), func(i int) bool { return l.entries[i].Offset >= offset })
}

// Bounds are the earliest offset that the log can serve and the next one to be appended,
// with the time fingerprint of the record before it (0 if none was seen).
func (l *Log) Bounds() (earliest, next, last int64) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.earliest, l.next, l.last
}

// Bytes is what the entries hold in memory.
func (l *Log) Bytes() int64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.bytes
}

// Part is what Read found: the wanted records of [from, To).
type Part struct {
	To      int64
	Records [][]byte
	Bytes   int64 // sum of their lengths
}

// Read collects the records in [from, to) that address a room of want, up to maxBytes (at least one, however long).
// ok is false if the log no longer reaches back to from; then Kafka has to be asked.
func (l *Log) Read(from, to int64, want map[uint64]struct{}, maxBytes int64) (p Part, ok bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if from < l.earliest {
		return Part{To: from}, false
	}
	p.To = max(from, min(to, l.next))
	for i := l.search(from); i < len(l.entries) && l.entries[i].Offset < p.To; i++ {
		e := &l.entries[i]
		if !Wanted(e.Rooms, want) {
			continue
		}
		if p.Bytes+int64(len(e.Record)) > maxBytes && len(p.Records) > 0 {
			p.To = e.Offset
			break
		}
		p.Records = append(p.Records, e.Record)
		p.Bytes += int64(len(e.Record))
	}
	return p, true
}

// Wanted reports whether one of rooms is in want.
func Wanted(rooms []uint64, want map[uint64]struct{}) bool {
	for _, r := range rooms {
		if _, ok := want[r]; ok {
			return true
		}
	}
	return false
}

// Since is an offset such that no record below it was appended at t or later. ok is false if t lies before what the log knows.
func (l *Log) Since(t time.Time) (offset int64, ok bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	n := sort.Search(len(l.marks), func(i int) bool { return l.marks[i].Time.After(t) })
	if n == 0 {
		return 0, false
	}
	return max(l.marks[n-1].Offset, l.earliest), l.marks[n-1].Offset >= l.earliest
}

// ForgotEarly counts how often, since the log began, ids were forgotten before their time because there were too many.
func (l *Log) ForgotEarly() uint64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.ids.ForgotEarly()
}

// Known is the offset at which an id was first seen within the last two windows.
func (l *Log) Known(id string) (offset int64, ok bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.ids.Find(id)
}

// At is the entry at an offset, if it is still there.
func (l *Log) At(offset int64) (Entry, bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if i := l.search(offset); i < len(l.entries) && l.entries[i].Offset == offset {
		return l.entries[i], true
	}
	return Entry{}, false
}

// Watcher is told, at most once until it listens again, that logs have grown.
type Watcher struct{ C chan struct{} }

// NewWatcher makes a watcher that may watch many logs.
func NewWatcher() *Watcher { return &Watcher{C: make(chan struct{}, 1)} }

func (w *Watcher) wake() {
	select {
	case w.C <- struct{}{}:
	default:
	}
}

// Wake tells the watcher as a log would.
func (w *Watcher) Wake() { w.wake() }

// Watch tells w after each Append until Unwatch.
func (l *Log) Watch(w *Watcher) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.watchers[w] = struct{}{}
}

// Unwatch ends Watch.
func (l *Log) Unwatch(w *Watcher) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.watchers, w)
}

// IDs remembers ids for at least two windows, in bounded memory: three generations, the oldest forgotten as a whole, early
// if the newest is full. Ids are kept as 128-bit hashes, about 50 bytes each. Not safe for use by several goroutines.
type IDs struct {
	max         int
	seeds       [2]maphash.Seed
	generations [3]map[idHash]int64
	turned      time.Time
	early       uint64
}

type idHash [2]uint64

// NewIDs bounds each generation to most ids.
func NewIDs(most int) *IDs {
	return &IDs{max: max(most, 1), seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}, generations: [3]map[idHash]int64{{}, {}, {}}}
}

func (s *IDs) hash(id string) idHash {
	return idHash{maphash.String(s.seeds[0], id), maphash.String(s.seeds[1], id)}
}

// Add remembers id; false if it is known already. The empty id is never known.
func (s *IDs) Add(id string, offset int64) bool {
	if id == "" {
		return true
	}
	h := s.hash(id)
	for _, g := range s.generations {
		if _, ok := g[h]; ok {
			return false
		}
	}
	if len(s.generations[0]) >= s.max {
		if len(s.generations[2]) > 0 {
			s.early++
		}
		s.turn()
	}
	s.generations[0][h] = offset
	return true
}

// ForgotEarly counts how often ids were forgotten because there were too many.
func (s *IDs) ForgotEarly() uint64 { return s.early }

// Find is the offset that id was added with.
func (s *IDs) Find(id string) (int64, bool) {
	h := s.hash(id)
	for _, g := range s.generations {
		if o, ok := g[h]; ok {
			return o, true
		}
	}
	return 0, false
}

// Tick starts a new generation when the present one is a window old.
func (s *IDs) Tick(now time.Time, window time.Duration) {
	switch {
	case s.turned.IsZero():
		s.turned = now
	case now.Sub(s.turned) >= window:
		s.turned = now
		s.turn()
	}
}

func (s *IDs) turn() {
	s.generations = [3]map[idHash]int64{{}, s.generations[0], s.generations[1]}
}
