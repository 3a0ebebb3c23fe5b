// Package receipts decides what a browser has proven to have (DESIGN, "Delivery", 8 and 9): which events lie before
// which ping of a socket, and which of them somebody wants to know about. It is pure: the caller sends the pings, hears
// the pongs and tells the inbox and the sender.
//
// What it rests on: a transport keeps its order, a client answers each ping by one pong, in order, and handles what came
// before the ping first.
package receipts

import "slices"

// By is how an arrival is known.
type By string

// The ways.
const (
	Pong   By = "pong"   // of a ping behind the event
	Client By = "client" // it said so
)

// Event is what a receipt needs of an event. It is immutable and shared by all sockets that get the event.
type Event struct {
	ID        string
	Partition uint32
	Offset    int64
	From      string   // the sender, who is told if Confirm; may be empty
	Confirm   bool     // the arrival is reported
	Waits     bool     // in the inboxes of Users
	Users     []string // the event's own users, ordered
}

// Concern is what the arrival of an event at one user means.
type Concern struct {
	Inbox  bool // the event waits in his inbox no longer
	Sender bool // the arrival is to be reported
}

// Of says what the arrival at a user means. The sender's own sockets are no recipients.
func (e *Event) Of(user string) Concern {
	c := Concern{Sender: e.Confirm && user != e.From}
	if e.Waits {
		_, c.Inbox = slices.BinarySearch(e.Users, user)
	}
	return c
}

// MaxOpen bounds what is kept of one socket, in events. Beyond it the oldest are forgotten: they stay in the inbox, and
// are given again.
const MaxOpen = 4096

// Track is what one socket was given and has not proven to have. The zero value is empty. It is not safe for
// concurrent use.
//
// Invariant: the pings of open go up.
type Track struct{ open []given }

type given struct {
	event *Event
	ping  uint32
}

// Given notes an event that was queued before the ping of that number. Numbers go up and wrap.
func (t *Track) Given(e *Event, ping uint32) {
	if len(t.open) == MaxOpen {
		t.open = slices.Delete(t.open, 0, MaxOpen/4)
	}
	t.open = append(t.open, given{event: e, ping: ping})
}

// Ponged returns the events that are proven by the pong of that ping, and by those of all before, in order.
func (t *Track) Ponged(ping uint32) []*Event {
	n := 0
	for n < len(t.open) && int32(t.open[n].ping-ping) <= 0 {
		n++
	}
	if n == 0 {
		return nil
	}
	proven := make([]*Event, n)
	for i, g := range t.open[:n] {
		proven[i] = g.event
	}
	t.open = slices.Delete(t.open, 0, n)
	if len(t.open) == 0 {
		t.open = nil
	}
	return proven
}

// Received takes what the client says to have: the events among those that are open, and the ids that are not.
func (t *Track) Received(ids []string) (proven []*Event, unknown []string) {
	for _, id := range ids {
		i := slices.IndexFunc(t.open, func(g given) bool { return g.event.ID == id })
		if i < 0 {
			unknown = append(unknown, id)
			continue
		}
		proven = append(proven, t.open[i].event)
		t.open = slices.Delete(t.open, i, i+1)
	}
	return proven, unknown
}

// Open returns what is not proven, in order, for another gateway to go on with.
func (t *Track) Open() []*Event {
	var out []*Event
	for _, g := range t.open {
		out = append(out, g.event)
	}
	return out
}

// Len is how many events are not proven.
func (t *Track) Len() int { return len(t.open) }
