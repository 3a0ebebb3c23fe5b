package resume

import (
	"strconv"
	"strings"

	"github.com/edumatrix/interlink/services/internal/permission"
	"github.com/edumatrix/interlink/services/internal/room"
)

// Entry is one room as a session record keeps it: with what the user might do there when he was last asked about, so
// that a resume needs no answer of Next.js, whose doubt is not a refusal.
type Entry struct {
	Room        room.Room
	Permissions permission.Set
	Internal    bool // joined by the gateway for its own ends
}

// EntryBytes bounds the text of an entry.
const EntryBytes = room.MaxBytes + 16

// String is `permissions room`, in hexadecimal, or `- room` if it is internal.
func (e Entry) String() string {
	if e.Internal {
		return "- " + string(e.Room)
	}
	return strconv.FormatUint(uint64(e.Permissions), 16) + " " + string(e.Room)
}

// ParseEntry reads what String made; ok is false for anything else.
func ParseEntry(text string) (e Entry, ok bool) {
	set, name, ok := strings.Cut(text, " ")
	if !ok || name == "" {
		return Entry{}, false
	}
	e.Room = room.Room(name)
	if set == "-" {
		e.Internal = true
		return e, true
	}
	n, err := strconv.ParseUint(set, 16, 32)
	e.Permissions = permission.Set(n)
	return e, err == nil
}
