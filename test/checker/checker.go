// Package checker judges a run: given what the log holds and what every client handled, it says what was lost, doubled,
// out of order or shown to somebody who was not in the room.
//
// The oracle is the log as a consumer of its own has read it, never what a producer believes to have sent. A client
// must handle each record of its rooms that was appended after its join's ack, once, in the order of its partition.
// "Appended after" is decided by clocks of one machine and only in the client's favour: a publisher stamps a record
// before it sends it, so a record whose stamp is later than the ack was appended later. What was appended around the ack
// may come or not; if it comes, it counts for order and doubling.
//
// A leave, or a connection that ends without recovery, ends what the client may expect: up to the last record of each
// partition that it handled, nothing may be missing; what came behind may have been on its way. Connections that began
// anew are listed with the reason that the client was told, so that a test can say which of them its fault permits. A
// join may have happened before its ack, which may be lost with the connection: that room's records may come from the
// asking on, and are owed from the ack.
//
// The package is pure: no clock, no network.
package checker

import (
	"cmp"
	"fmt"
	"slices"
)

// Record is a durable record as the log holds it. Of two with the same key and id, only the first is delivered.
type Record struct {
	Partition int
	Offset    int64
	Key, ID   string
	Rooms     []string
	Stamp     int64 // epoch milliseconds, taken by the publisher before it sent the record
}

// Kind says what a client saw.
type Kind uint8

// The kinds of an Observation.
const (
	Connected    Kind = iota // Recovered tells whether the session went on
	Joined                   // Room: the join's ack arrived at Time
	Left                     // Room: the client asks to leave it, or was evicted
	Handled                  // ID: the handler ran
	Disconnected             // the transport ended
	Asked                    // Room: the client asks to join it
	Told                     // session:ready: Recovered and Reason are what the server says of this connection
)

func (k Kind) String() string {
	return [...]string{"connected", "joined", "left", "handled", "disconnected", "asked", "told"}[k]
}

// Observation is one thing that a client saw. A client's observations are in the order in which it saw them.
type Observation struct {
	Kind      Kind
	Time      int64 // epoch milliseconds
	Room      string
	ID        string
	Recovered bool
	Reason    string
}

// Client is what one client saw during the whole run.
type Client struct {
	Name         string
	Observations []Observation
}

// Fault is something that must not happen.
type Fault struct {
	Client, ID string
	Partition  int
	Offset     int64
}

func (f Fault) String() string {
	return fmt.Sprintf("%s: %s at %d/%d", f.Client, f.ID, f.Partition, f.Offset)
}

// Beginning is a connection after a client's first that did not go on where the last one ended.
type Beginning struct {
	Client string
	Time   int64  // of the connect
	Reason string // what session:ready said, Unsaid if the connection ended before it came
}

// Unsaid is the Reason of a connection that ended before the server could say why it began anew.
const Unsaid = "unsaid"

// Report is the judgement.
type Report struct {
	Records     int     // in the log, without repeated ids
	Obliged     int     // deliveries that had to happen
	Handled     int     // events that were handled
	Lost        []Fault // had to be handled and were not
	Doubled     []Fault // handled again
	Disordered  []Fault // handled after a later one of the same partition
	Foreign     []Fault // handled by somebody who was in none of its rooms
	Unknown     []Fault // handled, and not in the log
	Unrecovered int     // connections that began anew after the first
	Recovered   int     // connections that went on where the last one ended
	Begun       []Beginning
	Lies        []Fault // ID holds the reason: session:ready says another thing of the connection than CONNECT did
}

// OK tells whether nothing was lost, doubled, out of order, foreign or unknown, and no connection contradicted itself.
func (r Report) OK() bool {
	return len(r.Lost)+len(r.Doubled)+len(r.Disordered)+len(r.Foreign)+len(r.Unknown)+len(r.Lies) == 0
}

func (r Report) String() string {
	s := fmt.Sprintf("%d records, %d deliveries owed, %d handled: %d lost, %d doubled, %d out of order, %d foreign, %d unknown; %d connections recovered, %d begun anew",
		r.Records, r.Obliged, r.Handled, len(r.Lost), len(r.Doubled), len(r.Disordered), len(r.Foreign), len(r.Unknown), r.Recovered, r.Unrecovered)
	for _, list := range []struct {
		name   string
		faults []Fault
	}{{"lost", r.Lost}, {"doubled", r.Doubled}, {"out of order", r.Disordered}, {"foreign", r.Foreign}, {"unknown", r.Unknown}, {"contradictory", r.Lies}} {
		for i, f := range list.faults {
			if i == 5 {
				s += fmt.Sprintf("\n  … %d more %s", len(list.faults)-i, list.name)
				break
			}
			s += fmt.Sprintf("\n  %s: %v", list.name, f)
		}
	}
	return s
}

// index is the log, found by id and by room.
type index struct {
	byID   map[string]*Record
	byRoom map[string][]*Record // in partition and offset order
	count  int
}

func newIndex(log []Record) index {
	log = slices.Clone(log)
	slices.SortFunc(log, func(a, b Record) int {
		return cmp.Or(cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Offset, b.Offset))
	})
	x := index{byID: make(map[string]*Record, len(log)), byRoom: map[string][]*Record{}}
	for i := range log {
		r := &log[i]
		if _, again := x.byID[r.ID]; again {
			continue
		}
		x.byID[r.ID] = r
		x.count++
		for _, room := range r.Rooms {
			x.byRoom[room] = append(x.byRoom[room], r)
		}
	}
	return x
}

// Check judges every client by the log. end is when the run ended, in epoch milliseconds: what was stamped later is not
// owed to anybody.
func Check(log []Record, clients []Client, end int64) Report {
	x := newIndex(log)
	report := Report{Records: x.count}
	for _, c := range clients {
		j := judge{index: x, client: c.Name, report: &report, end: end}
		j.run(c.Observations)
	}
	return report
}
