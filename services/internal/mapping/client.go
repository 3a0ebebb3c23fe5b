package mapping

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/itchyny/gojq"
	"gopkg.in/yaml.v3"

	"github.com/edumatrix/interlink/services/internal/room"
)

// MaxArgument bounds the argument of a page's event that is given to a program, in bytes.
const MaxArgument = 64 << 10

// Op says what an event of a page means. Exactly one of those before Room is set.
type Op struct {
	Join     string          `json:"join,omitempty"`  // the room
	Leave    string          `json:"leave,omitempty"` // the room
	Keep     bool            `json:"keep,omitempty"`  // nothing: the room stays
	Own      string          `json:"own,omitempty"`   // the user whose own room is meant
	Typing   *Typing         `json:"typing,omitempty"`
	Watch    []string        `json:"watch,omitempty"`    // users
	Status   string          `json:"status,omitempty"`   // of the user
	Received []string        `json:"received,omitempty"` // ids
	Forward  bool            `json:"forward,omitempty"`  // to the client-events topic
	Ask      string          `json:"ask,omitempty"`      // one of questions
	Refuse   string          `json:"refuse,omitempty"`   // why it is not served
	Room     string          `json:"room,omitempty"`     // of Forward, may be empty
	Ack      json.RawMessage `json:"ack,omitempty"`      // to its callback, if all went well
	Reply    string          `json:"reply,omitempty"`    // event of replies, to the asking socket
}

// Typing is the start or end of typing in a room.
type Typing struct {
	Room   string `json:"room"`
	Active bool   `json:"active"`
}

// Errors of Client.
var (
	ErrLong = errors.New("mapping: the argument is larger than 64 KiB")
	ErrOp   = errors.New("mapping: an output says one of join, leave, keep, own, typing, watch, status, received, forward, ask, refuse")
)

// Client says what an event of a page means; arg is its argument, null without one. ErrNoProgram: the mapping says nothing
// of it, or of one with this argument.
func (m *Mapping) Client(ctx context.Context, name, user string, arg json.RawMessage) (Op, error) {
	code, ok := m.client[name]
	if !ok {
		return Op{}, ErrNoProgram
	}
	if len(arg) > MaxArgument {
		return Op{}, ErrLong
	}
	input, err := decode(orNull(arg))
	if err != nil {
		return Op{}, err
	}
	out, err := first(ctx, code, input, name, user, nil, nil)
	if err != nil {
		return Op{}, err
	}
	if out == nil {
		return Op{}, ErrNoProgram
	}
	var op Op
	decoder := json.NewDecoder(bytes.NewReader(out))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&op); err != nil {
		return Op{}, fmt.Errorf("%w: %w", ErrOp, err)
	}
	return op, op.check()
}

func (o *Op) check() error {
	said := 0
	for _, is := range []bool{
		o.Join != "", o.Leave != "", o.Keep, o.Own != "", o.Typing != nil, o.Watch != nil, o.Status != "", o.Received != nil, o.Forward,
		o.Ask != "", o.Refuse != "",
	} {
		if is {
			said++
		}
	}
	if said != 1 {
		return ErrOp
	}
	return nil
}

// Reply makes the data of a reply: the input is our own ack, $arg the event's argument, $user who asked, $now the time as
// ISO 8601.
func (m *Mapping) Reply(ctx context.Context, name, user string, arg, answer json.RawMessage, now time.Time) (json.RawMessage, error) {
	code, ok := m.replies[name]
	if !ok {
		return nil, ErrNoProgram
	}
	return shaped(ctx, code, name, user, arg, answer, now)
}

// stamp is a time as the platform's pages write it.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

func shaped(ctx context.Context, code *gojq.Code, name, user string, arg, input json.RawMessage, now time.Time) (json.RawMessage, error) {
	in, err := decode(orNull(input))
	if err != nil {
		return nil, err
	}
	argument, err := decode(orNull(arg))
	if err != nil {
		return nil, err
	}
	return first(ctx, code, in, name, user, argument, stamp(now))
}

func orNull(b json.RawMessage) json.RawMessage {
	if len(b) == 0 {
		return json.RawMessage("null")
	}
	return b
}

// first is a program's first output, nil without one.
func first(ctx context.Context, code *gojq.Code, input any, name, user string, arg, now any) (json.RawMessage, error) {
	ctx, cancel := context.WithTimeout(ctx, MaxRun)
	defer cancel()
	v, ok := code.RunWithContext(ctx, input, name, nil, user, arg, now).Next()
	if !ok {
		return nil, nil
	}
	if err, bad := v.(error); bad {
		return nil, runError(ctx, err)
	}
	out, err := gojq.Marshal(v)
	if err == nil && len(out) > MaxBytes {
		return nil, ErrTooMuch
	}
	return out, err
}

// Answers lists the names of the events of pages that have a program, sorted.
func (m *Mapping) Answers() []string { return slices.Sorted(maps.Keys(m.client)) }

// Room is the name that a room of the platform has here: its own, unless the mapping gives it another.
func (m *Mapping) Room(name string) string {
	if here, ok := m.rooms[name]; ok {
		return here
	}
	return name
}

// Named gives the rooms of an output the names that they have here. What is no envelope stays as it is.
func (m *Mapping) Named(output json.RawMessage) json.RawMessage {
	mentioned := false
	for name := range m.rooms {
		mentioned = mentioned || bytes.Contains(output, []byte(name))
	}
	if !mentioned {
		return output
	}
	v, err := decode(output)
	object, _ := v.(map[string]any)
	to, _ := object["to"].(map[string]any)
	rooms, isList := to["rooms"].([]any)
	if err != nil || !isList {
		return output
	}
	for i := range rooms {
		if name, ok := rooms[i].(string); ok {
			rooms[i] = m.Room(name)
		}
	}
	renamed, err := gojq.Marshal(object)
	if err != nil {
		return output
	}
	return renamed
}

// Code is what the platform's pages call one of our codes of a refused CONNECT.
func (m *Mapping) Code(code string) string {
	if theirs, ok := m.codes[code]; ok {
		return theirs
	}
	return code
}

func roomNames(file string, names map[string]string) (map[string]string, error) {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if _, err := room.Parse(names[name]); err != nil {
			errs = append(errs, fmt.Errorf("%s: rooms.%s: %q: %w", file, name, names[name], err))
		}
	}
	return names, errors.Join(errs...)
}

// Question is one that the platform's own routes answer, asked with the user's cookie.
type Question struct {
	Get   map[string]string // addresses, by the name under which Data finds their bodies
	Event string            // that answers
	Error string            // event that says that it can't be answered, with {error, timestamp}

	data *gojq.Code
}

// Data makes the answer's data of the bodies; $user asked, $arg is the event's argument, $now the time as ISO 8601.
func (q Question) Data(ctx context.Context, user string, arg json.RawMessage, bodies map[string]json.RawMessage, now time.Time) (json.RawMessage, error) {
	input, err := json.Marshal(bodies)
	if err != nil {
		return nil, fmt.Errorf("mapping: %w", err)
	}
	return shaped(ctx, q.data, q.Event, user, arg, input, now)
}

type questionYAML struct {
	Get   map[string]string `yaml:"get"`
	Event string            `yaml:"event"`
	Data  yaml.Node         `yaml:"data"`
	Error string            `yaml:"error"`
}

// Question looks one up.
func (m *Mapping) Question(name string) (Question, bool) {
	q, ok := m.questions[name]
	return q, ok
}

func questions(file string, functions *yaml.Node, all map[string]questionYAML) (map[string]Question, error) {
	out := make(map[string]Question, len(all))
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(all)) {
		y := all[name]
		if len(y.Get) == 0 || y.Event == "" || y.Error == "" {
			errs = append(errs, fmt.Errorf("%s: questions.%s: line %d: get, event and error are required", file, name, y.Data.Line))
			continue
		}
		code, err := compile(functions, &y.Data)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: questions.%s: %w", file, name, err))
			continue
		}
		out[name] = Question{Get: y.Get, Event: y.Event, Error: y.Error, data: code}
	}
	return out, errors.Join(errs...)
}
