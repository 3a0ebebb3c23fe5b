// Package recovery decides how a socket that comes back, or moves here from another gateway, is brought up to date
// without losing or doubling an event (DESIGN, "Delivery", 6). It is pure: the caller fetches, encodes and queues.
//
// The life of a recovery:
//
//	wait until the gateway has come as far as Since(cursor, start)
//	register: join all rooms at one position At; from here live events go to a Hold
//	fetch Spans(since, at) whole
//	queue CONNECT, Replay.Next until it ends, session:ready, Hold.Release, then live
//
// Invariant: after each replayed event the cursor that it carries covers exactly what the client has been given.
package recovery

import "slices"

// Vector is a position in every partition: the next offset that is needed, by partition number.
type Vector []int64

// Since is the position up to which a client needs nothing: its cursor, but never before its session began. A client
// that was refused once gives back the cursor of an older session, and one that never got an event gives none (nil).
func Since(cursor, start Vector) Vector {
	since := slices.Clone(start)
	for p := range min(len(cursor), len(since)) {
		since[p] = max(since[p], cursor[p])
	}
	return since
}

// Reached reports whether a gateway at position v has come as far as since in every partition. Before that it may not
// register the socket: it would give it events a second time that another gateway has given it already.
func Reached(v, since Vector) bool {
	if len(v) < len(since) {
		return false
	}
	for p, need := range since {
		if v[p] < need {
			return false
		}
	}
	return true
}

// Span is the part [From, To) of one partition that has to be replayed.
type Span struct {
	Partition int
	From, To  int64
	SinceMs   int64 // instead of From, if not 0: from the first record that is not older, in epoch milliseconds
}

// Spans lists what lies between since and the position of registration; partitions without a gap are left out.
func Spans(since, at Vector) []Span {
	var spans []Span
	for p, from := range since {
		if from < at[p] {
			spans = append(spans, Span{Partition: p, From: from, To: at[p]})
		}
	}
	return spans
}
