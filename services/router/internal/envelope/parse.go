package envelope

import (
	"slices"
	"strings"

	deliveryv1 "github.com/edumatrix/interlink/proto/delivery/v1"
	"github.com/edumatrix/interlink/services/internal/room"
)

const (
	membershipChanged = "membership.changed"
	sessionRevoked    = "session.revoked"
	userDisconnect    = "user.disconnect"
)

// Names that socket.io-client keeps for itself: emitting one throws there.
var reserved = []string{"connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"}

var (
	eventFields   = []string{"id", "key", "event", "to", "except", "data", "dataBase64", "from", "receipt", "queue", "time", "volatile", "replace"}
	controlFields = []string{"id", "key", "control", "time", "room", "add", "remove", "user", "before", "reason", "from"}
)

// Parse reads one JSON envelope, an event or a control record. Errors are of type *Error.
// The envelope's data shares b's memory.
func Parse(b []byte) (*Envelope, error) {
	f, err := readObject(b)
	if err != nil {
		return nil, err
	}
	if f.has("control") {
		return parseControl(f)
	}
	return parseEvent(f)
}

func parseEvent(f fields) (*Envelope, error) {
	if err := f.only(eventFields); err != nil {
		return nil, err
	}
	var e Envelope
	err := firstOf(
		f.id("id", MaxID, &e.ID),
		f.id("key", maxKey, &e.PartitionKey),
		f.event("event", &e.Event),
		f.targets(&e),
		f.except(&e),
		f.data(&e),
		f.id("from", room.MaxBytes, &e.From),
		f.boolean("receipt", &e.Receipt),
		f.boolean("queue", &e.Queue),
		f.boolean("volatile", &e.Volatile),
		f.id("replace", maxKey, &e.Replace),
		f.time("time", &e.Time),
	)
	if err != nil {
		return nil, err
	}
	return &e, nil
}

func parseControl(f fields) (*Envelope, error) {
	if err := f.only(controlFields); err != nil {
		return nil, err
	}
	var e Envelope
	var kind, where string
	c := &Control{}
	e.Control = c
	err := firstOf(
		f.id("id", MaxID, &e.ID), f.id("key", maxKey, &e.PartitionKey), f.str("control", &kind), f.time("time", &e.Time),
		f.str("room", &where), f.users("add", "add", &c.Add), f.users("remove", "remove", &c.Remove),
		f.user("user", &c.User), f.time("before", &c.Before), f.text("reason", MaxReason, &c.Reason), f.id("from", room.MaxBytes, &e.From),
	)
	if err != nil {
		return nil, err
	}
	var allowed []string
	switch kind {
	case membershipChanged:
		c.Kind, allowed = deliveryv1.Control_MEMBERSHIP_CHANGED, []string{"room", "add", "remove"}
		if err := membership(c, where); err != nil {
			return nil, err
		}
	case sessionRevoked:
		c.Kind, allowed = deliveryv1.Control_SESSION_REVOKED, []string{"user", "before"}
	case userDisconnect:
		c.Kind, allowed = deliveryv1.Control_USER_DISCONNECT, []string{"user", "reason"}
	default:
		return nil, invalid("control", "must be %s, %s or %s", membershipChanged, sessionRevoked, userDisconnect)
	}
	if slices.Contains(allowed, "user") && c.User == "" {
		return nil, invalid("user", "is required by %s", kind)
	}
	if err := f.only(append([]string{"id", "key", "control", "time", "from"}, allowed...)); err != nil {
		return nil, err
	}
	return &e, nil
}

func membership(c *Control, where string) error {
	r, err := room.Parse(where)
	if err != nil {
		return invalid("room", "%v", err)
	}
	c.Room = r
	switch n := len(c.Add) + len(c.Remove); {
	case n == 0:
		return invalid("add", "a membership change names at least one user in add or remove")
	case n > MaxTargets:
		return invalid("add", "at most %d users in add and remove together, have %d", MaxTargets, n)
	}
	return nil
}

func controlName(k deliveryv1.Control_Kind) string {
	switch k {
	case deliveryv1.Control_MEMBERSHIP_CHANGED:
		return membershipChanged
	case deliveryv1.Control_SESSION_REVOKED:
		return sessionRevoked
	default:
		return userDisconnect
	}
}

func (f fields) event(field string, into *string) error {
	if err := f.str(field, into); err != nil {
		return err
	}
	return checkEvent(field, *into)
}

func checkEvent(field, name string) error {
	switch {
	case name == "":
		return invalid(field, "is required")
	case len(name) > MaxEvent:
		return invalid(field, "at most %d bytes, have %d", MaxEvent, len(name))
	case slices.Contains(reserved, name):
		return invalid(field, "%q is kept by Socket.IO for itself", name)
	case hasControl(name):
		return invalid(field, "contains a control character")
	}
	return nil
}

func hasControl(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r == 0x7f })
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
