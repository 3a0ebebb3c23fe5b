// Package permission owns what a user may do in a room.
package permission

// Set is a bit set of permissions in one room. The zero value admits to nothing.
type Set uint32

// What a user may do in a room. The numbers are stored and sent: never reuse one.
const (
	Join     Set = 1 << iota // receive the room's events
	Type                     // tell the room that he types
	Publish                  // send client events to the room
	Presence                 // see who of the room is online

	None Set = 0
	All      = Join | Type | Publish | Presence
)

var names = []struct {
	set  Set
	name string
}{{Join, "join"}, {Type, "type"}, {Publish, "publish"}, {Presence, "presence"}}

// Has reports whether every permission of p is in s.
func (s Set) Has(p Set) bool { return s&p == p }

// Names lists the permissions as they stand in tokens, answers and acks, in a fixed order.
func (s Set) Names() []string {
	out := make([]string, 0, len(names))
	for _, n := range names {
		if s.Has(n.set) {
			out = append(out, n.name)
		}
	}
	return out
}

// Parse reads names; an unknown name grants nothing.
func Parse(list []string) Set {
	var s Set
	for _, name := range list {
		for _, n := range names {
			if n.name == name {
				s |= n.set
			}
		}
	}
	return s
}
