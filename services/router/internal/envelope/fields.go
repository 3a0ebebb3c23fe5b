package envelope

import (
	"encoding/base64"
	"slices"
	"strconv"
	"time"

	"github.com/edumatrix/interlink/services/internal/room"
)

func (f fields) only(known []string) error {
	for _, m := range f {
		if !slices.Contains(known, m.name) {
			return invalid(clip(m.name), "is not a field of this record")
		}
	}
	return nil
}

func (f fields) str(name string, into *string) error {
	raw, ok := f.get(name)
	if !ok {
		return nil
	}
	if raw[0] != '"' {
		return invalid(name, "must be a string")
	}
	*into = text(raw)
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
	raw, ok := f.get(name)
	if !ok {
		return nil
	}
	switch string(raw) {
	case "true":
		*into = true
	case "false":
		*into = false
	default:
		return invalid(name, "must be true or false")
	}
	return nil
}

// time is RFC 3339, or epoch milliseconds.
func (f fields) time(name string, into *time.Time) error {
	raw, ok := f.get(name)
	if !ok {
		return nil
	}
	if ms, err := strconv.ParseInt(string(raw), 10, 64); err == nil {
		if ms <= 0 || ms > 253402300799999 { // year 9999
			return invalid(name, "is not a time in epoch milliseconds")
		}
		*into = time.UnixMilli(ms).UTC()
		return nil
	}
	if raw[0] != '"' {
		return invalid(name, "must be an RFC 3339 time")
	}
	t, err := parseTime(text(raw))
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
	raw, ok := f.get(name)
	if !ok {
		return nil
	}
	all, ok := elements(raw)
	if !ok {
		return invalid(label, "must be a list of strings")
	}
	if len(all) > MaxTargets {
		return invalid(label, "at most %d, have %d", MaxTargets, len(all))
	}
	*into = unique(all)
	return nil
}

func unique(all []string) []string {
	if len(all) < 2 {
		return all
	}
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
	raw, ok := f.get("to")
	if !ok {
		return invalid("to", "is required: {\"rooms\":[…],\"users\":[…]}")
	}
	to, err := split(raw)
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
	raw, ok := f.get("except")
	if !ok {
		return nil
	}
	ex, err := split(raw)
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
	raw, plain := f.get("data")
	coded, binary := f.get("dataBase64")
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

func base64JSON(raw []byte) ([]byte, error) {
	if raw[0] != '"' {
		return nil, base64.CorruptInputError(0)
	}
	return base64.StdEncoding.Strict().DecodeString(text(raw))
}

func checkSize(e *Envelope) error {
	if len(e.Data) > MaxData {
		return &Error{Reason: TooLarge, Field: "data", Detail: "at most 1 MB"}
	}
	return nil
}
