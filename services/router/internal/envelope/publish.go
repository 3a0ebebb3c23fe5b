package envelope

import (
	"encoding/json"
	"mime"

	"github.com/edumatrix/interlink/services/internal/room"
)

// ParseAs reads what was posted: a CloudEvent in JSON by its content type, else an envelope. Errors are of type *Error.
func ParseAs(contentType string, b []byte) (*Envelope, error) {
	if media, _, err := mime.ParseMediaType(contentType); err == nil && media == cloudEventsJSON {
		return parseStructured(b)
	}
	return Parse(b)
}

// SetID gives the envelope an id from elsewhere, checked as one inside would be.
func (e *Envelope) SetID(id string) error {
	if id == "" || len(id) > MaxID || hasControl(id) {
		return invalid("id", "1 to %d bytes without control characters", MaxID)
	}
	e.ID = id
	return nil
}

// SetTrace gives the envelope a W3C trace context unless it has one; a malformed one is left out.
func (e *Envelope) SetTrace(traceparent string) {
	if e.Trace == "" {
		e.Trace = traceOf(traceparent)
	}
}

// ForTargets makes an event for rooms by name; `user:{id}` is the user. Errors are of type *Error.
func ForTargets(event string, data json.RawMessage, targets []string) (*Envelope, error) {
	to := wireTo{}
	for _, t := range targets {
		if user, ok := room.Room(t).User(); ok {
			to.Users = append(to.Users, user)
		} else {
			to.Rooms = append(to.Rooms, room.Room(t))
		}
	}
	b, err := json.Marshal(wire{Event: event, To: &to, Data: data})
	if err != nil {
		return nil, &Error{Reason: NotJSON, Field: "data", Detail: "is not JSON"}
	}
	return Parse(b)
}

// TargetsJSON is the `to` of an envelope for rooms by name, as a decoded JSON object: what a mapping may change.
func TargetsJSON(targets []string) map[string]any {
	rooms, users := []any{}, []any{}
	for _, t := range targets {
		if user, ok := room.Room(t).User(); ok {
			users = append(users, user)
		} else {
			rooms = append(rooms, t)
		}
	}
	return map[string]any{"rooms": rooms, "users": users}
}
