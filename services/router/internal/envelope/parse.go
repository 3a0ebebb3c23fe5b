package envelope

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

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
// The envelope shares no memory with b.
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

// fields are an object's members, each still in JSON. Null members count as absent.
type fields map[string]json.RawMessage

// readObject splits one JSON object: UTF-8, no member twice, nothing behind it.
func readObject(b []byte) (fields, error) {
	switch {
	case len(bytes.TrimSpace(b)) == 0:
		return nil, &Error{Reason: Empty, Detail: "the value is empty"}
	case !utf8.Valid(b):
		return nil, &Error{Reason: NotUTF8, Detail: "the value is not UTF-8"}
	}
	d := json.NewDecoder(bytes.NewReader(b))
	first, err := d.Token()
	if err != nil || first != json.Delim('{') {
		return nil, &Error{Reason: NotJSON, Detail: "the value is not a JSON object"}
	}
	f := make(fields, 8)
	for d.More() {
		k, err := d.Token()
		name, ok := k.(string)
		if err != nil || !ok {
			return nil, notJSON(err)
		}
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return nil, notJSON(err)
		}
		if _, twice := f[name]; twice {
			return nil, invalid(clip(name), "is given twice")
		}
		f[name] = raw
	}
	if _, err := d.Token(); err != nil {
		return nil, notJSON(err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, &Error{Reason: NotJSON, Detail: "something follows the JSON object"}
	}
	for name, raw := range f {
		if string(raw) == "null" && name != "data" {
			delete(f, name)
		}
	}
	return f, nil
}

func notJSON(err error) *Error {
	detail := "broken JSON"
	if err != nil && err != io.EOF {
		detail = "broken JSON: " + clip(err.Error())
	}
	return &Error{Reason: NotJSON, Detail: detail}
}

// clip bounds what is quoted of foreign bytes in an error.
func clip(s string) string {
	const most = 64
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

func (f fields) has(name string) bool { _, ok := f[name]; return ok }

func (f fields) only(known []string) error {
	for name := range f {
		if !slices.Contains(known, name) {
			return invalid(clip(name), "is not a field of this record")
		}
	}
	return nil
}

func (f fields) str(name string, into *string) error {
	raw, ok := f[name]
	if !ok {
		return nil
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return invalid(name, "must be a string")
	}
	return nil
}

// text is a string of at most so many bytes.
func (f fields) text(name string, most int, into *string) error {
	if err := f.str(name, into); err != nil {
		return err
	}
	if len(*into) > most {
		return invalid(name, "at most %d bytes, have %d", most, len(*into))
	}
	return nil
}

// id is a text without control characters, not empty if present.
func (f fields) id(name string, most int, into *string) error {
	if err := f.text(name, most, into); err != nil {
		return err
	}
	switch {
	case f.has(name) && *into == "":
		return invalid(name, "must not be empty")
	case hasControl(*into):
		return invalid(name, "contains a control character")
	}
	return nil
}

func (f fields) boolean(name string, into *bool) error {
	raw, ok := f[name]
	if !ok {
		return nil
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return invalid(name, "must be true or false")
	}
	return nil
}

// time is RFC 3339, or epoch milliseconds.
func (f fields) time(name string, into *time.Time) error {
	raw, ok := f[name]
	if !ok {
		return nil
	}
	var ms int64
	if json.Unmarshal(raw, &ms) == nil {
		if ms <= 0 || ms > 253402300799999 { // year 9999
			return invalid(name, "is not a time in epoch milliseconds")
		}
		*into = time.UnixMilli(ms).UTC()
		return nil
	}
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return invalid(name, "must be an RFC 3339 time")
	}
	t, err := parseTime(s)
	if err != nil {
		return invalid(name, "must be an RFC 3339 time such as 2026-11-24T10:00:00Z")
	}
	*into = t
	return nil
}

func parseTime(s string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, s)
	if err == nil && t.Year() < 1970 {
		return time.Time{}, &Error{Reason: Invalid, Detail: "before 1970"}
	}
	return t.UTC(), err
}

func (f fields) list(name, label string, into *[]string) error {
	raw, ok := f[name]
	if !ok {
		return nil
	}
	var all []string
	if err := json.Unmarshal(raw, &all); err != nil {
		return invalid(label, "must be a list of strings")
	}
	if len(all) > MaxTargets {
		return invalid(label, "at most %d, have %d", MaxTargets, len(all))
	}
	*into = unique(all)
	return nil
}

func unique(all []string) []string {
	out := all[:0]
	seen := make(map[string]struct{}, len(all))
	for _, s := range all {
		if _, ok := seen[s]; !ok {
			seen[s] = struct{}{}
			out = append(out, s)
		}
	}
	return out
}

// users is a list of user ids, each of which has a room of its own.
func (f fields) users(name, label string, into *[]string) error {
	if err := f.list(name, label, into); err != nil {
		return err
	}
	for _, u := range *into {
		if err := checkUser(label, u); err != nil {
			return err
		}
	}
	return nil
}

func (f fields) user(name string, into *string) error {
	if err := f.str(name, into); err != nil || !f.has(name) {
		return err
	}
	return checkUser(name, *into)
}

func checkUser(label, u string) error {
	if _, err := room.Parse(string(room.OfUser(u))); err != nil {
		return invalid(label, "%q is not a user id: 1 to %d bytes without control characters", clip(u), room.MaxBytes-len("user:"))
	}
	return nil
}

func (f fields) targets(e *Envelope) error {
	raw, ok := f["to"]
	if !ok {
		return invalid("to", "is required: {\"rooms\":[…],\"users\":[…]}")
	}
	to, err := readObject(raw)
	if err != nil {
		return invalid("to", "must be an object with rooms and users")
	}
	if err := to.only([]string{"rooms", "users"}); err != nil {
		return prefixed("to.", err)
	}
	var names []string
	if err := firstOf(to.list("rooms", "to.rooms", &names), to.users("users", "to.users", &e.Users)); err != nil {
		return err
	}
	if e.Rooms, err = parseRooms("to.rooms", names); err != nil {
		return err
	}
	return checkTargets("to", e)
}

func parseRooms(label string, names []string) ([]room.Room, error) {
	out := make([]room.Room, 0, len(names))
	for _, n := range names {
		r, err := room.Parse(n)
		if err != nil {
			return nil, invalid(label, "%q: %v", clip(n), err)
		}
		out = append(out, r)
	}
	return out, nil
}

func checkTargets(label string, e *Envelope) error {
	switch n := len(e.Rooms) + len(e.Users); {
	case n == 0:
		return invalid(label, "names no room and no user")
	case n > MaxTargets:
		return invalid(label, "at most %d rooms and users together, have %d", MaxTargets, n)
	}
	return nil
}

func (f fields) except(e *Envelope) error {
	raw, ok := f["except"]
	if !ok {
		return nil
	}
	ex, err := readObject(raw)
	if err != nil {
		return invalid("except", "must be an object with users and sockets")
	}
	if err := ex.only([]string{"users", "sockets"}); err != nil {
		return prefixed("except.", err)
	}
	return firstOf(ex.users("users", "except.users", &e.ExceptUsers), ex.list("sockets", "except.sockets", &e.ExceptSockets))
}

func prefixed(p string, err error) error {
	if e, ok := err.(*Error); ok {
		return &Error{Reason: e.Reason, Field: p + e.Field, Detail: e.Detail}
	}
	return err
}

func (f fields) data(e *Envelope) error {
	raw, plain := f["data"]
	coded, binary := f["dataBase64"]
	switch {
	case plain && binary:
		return invalid("data", "data and dataBase64 exclude each other")
	case binary:
		b, err := base64JSON(coded)
		if err != nil {
			return invalid("dataBase64", "must be standard base64 in a string")
		}
		e.Data, e.Binary = b, true
	case plain:
		e.Data = raw
	default:
		e.Data = []byte("null")
	}
	return checkSize(e)
}

func base64JSON(raw json.RawMessage) ([]byte, error) {
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		return nil, err
	}
	return base64.StdEncoding.Strict().DecodeString(s)
}

func checkSize(e *Envelope) error {
	if len(e.Data) > MaxData {
		return &Error{Reason: TooLarge, Field: "data", Detail: "at most 1 MB"}
	}
	return nil
}
