// Package readymade turns what the application calls by its own event names, `POST /api/emit` and `server:emit`, into
// envelopes: what the mapping makes of it, or as it is where the mapping says nothing.
package readymade

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	"github.com/edumatrix/interlink/services/internal/mapping"
	"github.com/edumatrix/interlink/services/router/internal/envelope"
)

// Event is one that the application has named and addressed itself.
type Event struct {
	Name   string
	ID     string // of the first record, unless the mapping gives one; may be empty
	Data   json.RawMessage
	Rooms  []string // by the application's names, `user:{id}` is a user
	Target string   // one more way to say it
}

// Maker makes envelopes. The zero value knows no mapping. Safe for use by many goroutines.
type Maker struct{ Mapping *mapping.Mapping }

// Envelopes returns what an event means, in order; none if it concerns nobody. Errors are of type *envelope.Error.
func (m Maker) Envelopes(ctx context.Context, e Event) ([]*envelope.Envelope, error) {
	if e.Name == "" || len(e.Data) == 0 {
		return nil, &envelope.Error{Reason: envelope.Invalid, Detail: "event and data are required"}
	}
	targets := e.targets()
	if m.Mapping != nil {
		for i, name := range targets {
			targets[i] = m.Mapping.Room(name)
		}
		out, err := m.Mapping.Event(ctx, e.Name, e.ID, e.Data, envelope.TargetsJSON(targets))
		switch {
		case err == nil:
			return m.parse(out)
		case !errors.Is(err, mapping.ErrNoProgram):
			return nil, &envelope.Error{Reason: envelope.Invalid, Field: "event", Detail: err.Error()}
		}
	}
	one, err := envelope.ForTargets(e.Name, e.Data, targets)
	if err != nil {
		return nil, err
	}
	if e.ID != "" {
		if err := one.SetID(e.ID); err != nil {
			return nil, err
		}
	}
	return []*envelope.Envelope{one}, nil
}

func (m Maker) parse(raw []json.RawMessage) ([]*envelope.Envelope, error) {
	all := make([]*envelope.Envelope, len(raw))
	for i, b := range raw {
		e, err := envelope.Parse(m.Mapping.Named(b))
		if err != nil {
			return nil, err
		}
		all[i] = e
	}
	return all, nil
}

// targets are the rooms named, the target, or the conversation that the data speaks of.
func (e Event) targets() []string {
	switch {
	case len(e.Rooms) > 0:
		return append([]string(nil), e.Rooms...)
	case e.Target != "":
		return []string{e.Target}
	}
	var of struct {
		ConversationID string `json:"conversationId"`
	}
	if json.Unmarshal(e.Data, &of) == nil && of.ConversationID != "" {
		return []string{"conversation:" + strings.TrimPrefix(of.ConversationID, "conversation:")}
	}
	return nil
}
