// Package envelope owns the form of what is published: Interlink's JSON envelope, CloudEvents 1.0 and control records.
//
// It turns bytes into checked values and never touches the network or the clock. Everything read here came from
// outside, so each error names the field that it is about.
package envelope

import (
	"encoding/json"
	"fmt"
	"time"

	deliveryv1 "github.com/edumatrix/interlink/proto/delivery/v1"
	"github.com/edumatrix/interlink/services/internal/room"
)

// Limits of one envelope.
const (
	MaxTargets   = 1000      // rooms and users together; also the bound of each list of exceptions
	MaxEvent     = 128       // bytes of an event's name
	MaxID        = 512       // bytes of an id
	MaxData      = 1_000_000 // bytes of data, JSON or decoded base64
	MaxReason    = 512       // bytes of a reason for a disconnect
	maxKey       = 512
	maxTraceSize = 128
)

// Reason says why bytes could not be read. It is a closed set, fit for a metric label.
type Reason string

// Why a record goes to the dead letters.
const (
	Empty       Reason = "empty"
	Transaction Reason = "transaction"
	NotUTF8     Reason = "not_utf8"
	NotJSON     Reason = "not_json"
	Invalid     Reason = "invalid"
	TooLarge    Reason = "too_large"
)

// Error is what is wrong with an envelope. Field is empty if the whole is meant.
type Error struct {
	Reason Reason
	Field  string
	Detail string
}

func (e *Error) Error() string {
	if e.Field == "" {
		return e.Detail
	}
	return e.Field + ": " + e.Detail
}

func invalid(field, format string, args ...any) *Error {
	return &Error{Reason: Invalid, Field: field, Detail: fmt.Sprintf(format, args...)}
}

// Envelope is one event or control record, checked. The zero value is not valid; Parse and Decode make them.
type Envelope struct {
	ID            string // empty if the publisher gave none
	PartitionKey  string // the record's own key, usually empty
	Event         string
	Rooms         []room.Room // as named by the publisher, without repetition
	Users         []string
	ExceptUsers   []string
	ExceptSockets []string
	Data          []byte // JSON, or raw bytes if Binary
	Binary        bool
	From          string
	Receipt       bool
	Queue         bool
	Volatile      bool
	Replace       string
	Time          time.Time // zero if the publisher gave none
	Trace         string    // W3C traceparent, empty if absent or malformed
	Control       *Control
}

// Control is a control record's own part.
type Control struct {
	Kind   deliveryv1.Control_Kind
	Room   room.Room
	Add    []string
	Remove []string
	User   string
	Before time.Time // zero: the record's own time
	Reason string
}

// Key is what the record is partitioned by: its own key, else its first room, else its first user's room.
func (e *Envelope) Key() string {
	switch {
	case e.PartitionKey != "":
		return e.PartitionKey
	case e.Control != nil && e.Control.Room != "":
		return string(e.Control.Room)
	case e.Control != nil:
		return string(room.OfUser(e.Control.User))
	case len(e.Rooms) > 0:
		return string(e.Rooms[0])
	default:
		return string(room.OfUser(e.Users[0]))
	}
}

// Targets lists the rooms that the record is filtered by: those named, and each user's own, without repetition.
// A control record addresses the rooms whose gateways have to act on it.
func (e *Envelope) Targets() []room.Room {
	out := make([]room.Room, 0, len(e.Rooms)+len(e.Users)+1)
	seen := make(map[room.Room]struct{}, cap(out))
	add := func(r room.Room) {
		if _, ok := seen[r]; !ok {
			seen[r] = struct{}{}
			out = append(out, r)
		}
	}
	if c := e.Control; c != nil {
		if c.Room != "" {
			add(c.Room)
		}
		if c.User != "" {
			add(room.OfUser(c.User))
		}
		for _, u := range c.Add {
			add(room.OfUser(u))
		}
		for _, u := range c.Remove {
			add(room.OfUser(u))
		}
		return out
	}
	for _, r := range e.Rooms {
		add(r)
	}
	for _, u := range e.Users {
		add(room.OfUser(u))
	}
	return out
}

// Record is the envelope as gateways get it. id and at stand in for what the publisher did not give;
// two routers that read the same Kafka record must pass the same.
func (e *Envelope) Record(id string, offset int64, at time.Time) *deliveryv1.Record {
	if e.ID != "" {
		id = e.ID
	}
	if !e.Time.IsZero() {
		at = e.Time
	}
	targets := e.Targets()
	names := make([]string, len(targets))
	for i, r := range targets {
		names[i] = string(r)
	}
	rec := &deliveryv1.Record{
		Offset: offset, Id: id, Event: e.Event, Rooms: names,
		ExceptUsers: e.ExceptUsers, ExceptSockets: e.ExceptSockets,
		Data: e.Data, Binary: e.Binary, TimeMs: at.UnixMilli(), From: e.From,
		Receipt: e.Receipt, Queue: e.Queue && len(e.Users) > 0, Replace: e.Replace, Traceparent: e.Trace,
		SingleRoom: e.Control == nil && len(targets) == 1 && len(e.Rooms) > 0,
	}
	if c := e.Control; c != nil {
		before := at
		if !c.Before.IsZero() {
			before = c.Before
		}
		rec.Control = &deliveryv1.Control{Kind: c.Kind, Room: string(c.Room), Add: c.Add, Remove: c.Remove, User: c.User, Reason: c.Reason}
		if c.Kind == deliveryv1.Control_SESSION_REVOKED {
			rec.Control.BeforeMs = before.UnixMilli()
		}
	}
	return rec
}

// wire is the envelope's JSON form, as Marshal writes it.
type wire struct {
	ID         string          `json:"id,omitempty"`
	Control    string          `json:"control,omitempty"`
	Event      string          `json:"event,omitempty"`
	To         *wireTo         `json:"to,omitempty"`
	Except     *wireExcept     `json:"except,omitempty"`
	Data       json.RawMessage `json:"data,omitempty"`
	DataBase64 []byte          `json:"dataBase64,omitempty"`
	From       string          `json:"from,omitempty"`
	Receipt    bool            `json:"receipt,omitempty"`
	Queue      bool            `json:"queue,omitempty"`
	Time       string          `json:"time,omitempty"`
	Room       string          `json:"room,omitempty"`
	Add        []string        `json:"add,omitempty"`
	Remove     []string        `json:"remove,omitempty"`
	User       string          `json:"user,omitempty"`
	Before     string          `json:"before,omitempty"`
	Reason     string          `json:"reason,omitempty"`
}

type wireTo struct {
	Rooms []room.Room `json:"rooms,omitempty"`
	Users []string    `json:"users,omitempty"`
}

type wireExcept struct {
	Users   []string `json:"users,omitempty"`
	Sockets []string `json:"sockets,omitempty"`
}

// Marshal is the value of the Kafka record that carries e. The key is Key, the trace a header: neither is in the value.
func (e *Envelope) Marshal() ([]byte, error) {
	w := wire{ID: e.ID, Event: e.Event, From: e.From, Receipt: e.Receipt, Queue: e.Queue, Time: stamp(e.Time)}
	if c := e.Control; c != nil {
		w.Control, w.Room, w.Add, w.Remove = controlName(c.Kind), string(c.Room), c.Add, c.Remove
		w.User, w.Before, w.Reason = c.User, stamp(c.Before), c.Reason
		return json.Marshal(w)
	}
	w.To = &wireTo{Rooms: e.Rooms, Users: e.Users}
	if len(e.ExceptUsers)+len(e.ExceptSockets) > 0 {
		w.Except = &wireExcept{Users: e.ExceptUsers, Sockets: e.ExceptSockets}
	}
	if e.Binary {
		w.DataBase64 = e.Data
		if len(e.Data) == 0 { // omitempty would lose that the argument is binary
			return marshalEmptyBinary(w)
		}
	} else {
		w.Data = e.Data
	}
	return json.Marshal(w)
}

func marshalEmptyBinary(w wire) ([]byte, error) {
	return json.Marshal(struct {
		wire
		DataBase64 []byte `json:"dataBase64"`
	}{wire: w, DataBase64: []byte{}})
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}
