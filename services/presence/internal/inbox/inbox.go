// Package inbox owns the rules of a user's inbox: which queued events wait for him, what a receipt does, also one that
// arrives before the event, and which session is given what. It is pure; time is an argument. memstore keeps a Box per
// user, redisstore does the same in scripts, and both pass one contract suite.
//
// The rules are those of inbox.py's model: everything queued is appended, whoever is online; a fresh session is given
// what lies before its start, the rest comes to it live; what is appended late but lies before a live session's start
// wakes it; a receipt that overtakes the consumer leaves a tombstone for it.
package inbox

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// Place is where an event stands in the log.
type Place struct {
	Partition uint32
	Offset    int64
}

// Span is the offsets [From, To) of a partition.
type Span struct {
	Partition uint32
	From, To  int64
}

// Entry is one event that waits for its user.
type Entry struct {
	Place
	Seq   uint64 // order of arrival in this box, given by Append
	ID    string // of the event
	At    time.Time
	Value []byte // opaque
	Told  bool   // reported as undelivered
}

// Limits bound a box.
type Limits struct {
	Entries int           // more drop the oldest
	TTL     time.Duration // of an entry
}

// Bounds of what is kept beside the entries. Beyond them the oldest goes: an event may then be given once more.
const (
	MaxSpans    = 64  // tombstones of one partition, as disjoint spans
	MaxSessions = 100 // live sessions of one user
)

// Box is one user's inbox. The zero value is empty. It is not safe for concurrent use.
type Box struct {
	seq      uint64
	entries  map[Place]*Entry
	ids      map[string]Place
	appended map[uint32]int64  // the consumer has passed these offsets: next one expected, per partition
	tombs    map[uint32][]Span // received before they were appended, disjoint and in order
	sessions map[string]map[uint32]int64
	rules
}

// rules leaves one of them out. The zero value is the design; the others are the mutants that tests must catch.
type rules struct {
	ifOffline   bool // appends only when no session is live
	noTombstone bool // a receipt that overtakes the consumer is forgotten
	noWake      bool // what is appended late waits for the next connect
	all         bool // a connect is given every entry, also those that come live
}

// Appended answers Append.
type Appended struct {
	Added   bool
	Wake    []string // live sessions that the event will not come to by itself, ordered
	Dropped []Entry  // gone for want of room or of age, oldest first
}

// Append adds an event, by the consumer, in the order of its partition. What the consumer brings a second time, what
// was received already and what waits under the same id changes nothing.
func (b *Box) Append(e Entry, limits Limits, now time.Time) Appended {
	b.init()
	if e.Offset < b.appended[e.Partition] {
		return Appended{}
	}
	b.appended[e.Partition] = e.Offset + 1
	received := b.tombstone(e.Place)
	b.prune(e.Partition)
	if _, twice := b.ids[e.ID]; received || twice || (b.ifOffline && len(b.sessions) > 0) {
		return Appended{}
	}
	b.seq++
	e.Seq = b.seq
	b.entries[e.Place], b.ids[e.ID] = &e, e.Place
	out := Appended{Added: true}
	for session, start := range b.sessions {
		if !b.noWake && e.Offset < start[e.Partition] {
			out.Wake = append(out.Wake, session)
		}
	}
	slices.Sort(out.Wake)
	out.Dropped = b.trim(limits, now)
	return out
}

func (b *Box) init() {
	if b.entries == nil {
		b.entries, b.ids = map[Place]*Entry{}, map[string]Place{}
		b.appended, b.tombs, b.sessions = map[uint32]int64{}, map[uint32][]Span{}, map[string]map[uint32]int64{}
	}
}

// tombstone reports whether an event was received before it was appended.
func (b *Box) tombstone(p Place) bool {
	return slices.ContainsFunc(b.tombs[p.Partition], func(s Span) bool { return s.From <= p.Offset && p.Offset < s.To })
}

// prune forgets tombstones that the consumer has passed.
func (b *Box) prune(partition uint32) {
	next := b.appended[partition]
	b.tombs[partition] = slices.DeleteFunc(b.tombs[partition], func(s Span) bool { return s.To <= next })
	if len(b.tombs[partition]) == 0 {
		delete(b.tombs, partition)
	}
}

func (b *Box) trim(limits Limits, now time.Time) []Entry {
	var out []Entry
	order := b.ordered()
	for i, e := range order {
		if len(order)-i > limits.Entries || !e.At.Add(limits.TTL).After(now) {
			out = append(out, *e)
			b.remove(e)
			continue
		}
		break
	}
	return out
}

func (b *Box) ordered() []*Entry {
	return slices.SortedFunc(maps.Values(b.entries), func(x, y *Entry) int { return cmp.Compare(x.Seq, y.Seq) })
}

func (b *Box) remove(e *Entry) {
	delete(b.entries, e.Place)
	delete(b.ids, e.ID)
}

// Connect makes a session live. A fresh one starts at start, where everything from there on comes to it live; a
// resumed one names the start it had.
func (b *Box) Connect(session string, start map[uint32]int64) {
	b.init()
	if len(b.sessions) >= MaxSessions && b.sessions[session] == nil {
		delete(b.sessions, slices.Min(slices.Collect(maps.Keys(b.sessions))))
	}
	b.sessions[session] = maps.Clone(start)
}

// Disconnect ends a session.
func (b *Box) Disconnect(session string) { delete(b.sessions, session) }

// Read returns entries that come after seq and lie before the session's start, oldest first, at most limit entries
// and bytes (but one at least); more says that some are left. A session that is not live reads nothing.
func (b *Box) Read(session string, after uint64, limit int, bytes int) (entries []Entry, more bool) {
	start, live := b.sessions[session]
	if !live {
		return nil, false
	}
	for _, e := range b.ordered() {
		if e.Seq <= after || (e.Offset >= start[e.Partition] && !b.all) {
			continue
		}
		if len(entries) == limit || (len(entries) > 0 && bytes < len(e.Value)) {
			return entries, true
		}
		bytes -= len(e.Value)
		entries = append(entries, *e)
	}
	return entries, false
}

// Receive removes what one of the user's sockets has. The span is what a cursor covers, or a single event; what the
// consumer has not appended yet of it leaves a tombstone. It returns how many entries went.
func (b *Box) Receive(s Span) int {
	b.init()
	gone := 0
	for p, e := range b.entries {
		if p.Partition == s.Partition && s.From <= p.Offset && p.Offset < s.To {
			b.remove(e)
			gone++
		}
	}
	s.From = max(s.From, b.appended[s.Partition])
	if s.From < s.To && !b.noTombstone {
		b.tombs[s.Partition] = merge(b.tombs[s.Partition], s)
	}
	return gone
}

// ReceiveID removes the entry of an event that is known by its id only. It reports whether there was one.
func (b *Box) ReceiveID(id string) bool {
	p, ok := b.ids[id]
	if ok {
		b.remove(b.entries[p])
	}
	return ok
}

// merge adds a span to disjoint ones in order.
func merge(spans []Span, s Span) []Span {
	out := make([]Span, 0, len(spans)+1)
	for _, o := range spans {
		if o.To < s.From || o.From > s.To {
			out = append(out, o)
			continue
		}
		s.From, s.To = min(s.From, o.From), max(s.To, o.To)
	}
	out = append(out, s)
	slices.SortFunc(out, func(x, y Span) int { return cmp.Compare(x.From, y.From) })
	return out[max(0, len(out)-MaxSpans):]
}

// Len is how many entries wait.
func (b *Box) Len() int { return len(b.entries) }

// Find returns an entry that still waits.
func (b *Box) Find(p Place) (Entry, bool) {
	if e := b.entries[p]; e != nil {
		return *e, true
	}
	return Entry{}, false
}

// Standing is where one event stands with a user to whom it was queued.
type Standing uint8

// The standings.
const (
	Expected Standing = iota + 1 // the consumer has not brought it yet
	Waiting                      // in the box
	Reported                     // in the box, and reported as undelivered
	Taken                        // not in the box any more: received, or too old; or received before it was brought
)

// Look tells where an event stands.
func (b *Box) Look(p Place) Standing {
	e, waits := b.Find(p)
	switch {
	case waits && e.Told:
		return Reported
	case waits:
		return Waiting
	case p.Offset < b.appended[p.Partition] || b.tombstone(p):
		return Taken
	default:
		return Expected
	}
}

// MarkTold notes that an entry was reported as undelivered. It reports whether the entry still waits.
func (b *Box) MarkTold(p Place) bool {
	e := b.entries[p]
	if e != nil {
		e.Told = true
	}
	return e != nil
}
