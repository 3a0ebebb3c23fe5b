// Package room owns the names of rooms: `type:id`, their limits and the hash that routers filter by.
package room

import (
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/cespare/xxhash/v2"
)

// Room is the name of a set of sockets, `type:id`.
type Room string

// MaxBytes bounds a room's name, in bytes.
const MaxBytes = 256

// ErrInvalid is returned by Parse.
var ErrInvalid = errors.New("a room is type:id, 3 to 256 bytes of UTF-8 without control characters")

// Parse checks a name that came from outside.
func Parse(s string) (Room, error) {
	kind, id, ok := strings.Cut(s, ":")
	if !ok || kind == "" || id == "" || len(s) > MaxBytes || !utf8.ValidString(s) {
		return "", ErrInvalid
	}
	for _, r := range s {
		if r < 0x20 || r == 0x7f {
			return "", ErrInvalid
		}
	}
	return Room(s), nil
}

// OfUser is the user's own room.
func OfUser(user string) Room { return Room("user:" + user) }

// User returns the user whose own room this is.
func (r Room) User() (string, bool) { return strings.CutPrefix(string(r), "user:") }

// Type is the part before the colon.
func (r Room) Type() string {
	kind, _, _ := strings.Cut(string(r), ":")
	return kind
}

// Hash is what gateways announce and routers filter by: xxHash64 of the name. Two rooms may share one; the gateway compares names.
func (r Room) Hash() uint64 { return xxhash.Sum64String(string(r)) }
