package receipts

// Once remembers which events were reported for which user, so that each is reported once, whatever the number of his
// sockets. It remembers at least the last half of its bound; beyond that an event may be reported again. It is not safe
// for concurrent use.
type Once struct {
	max        int
	young, old map[pair]struct{}
}

type pair struct{ event, user string }

// NewOnce remembers at most max pairs.
func NewOnce(max int) *Once {
	return &Once{max: max, young: make(map[pair]struct{})}
}

// First reports whether this is the first time that it is asked about the pair.
func (o *Once) First(event, user string) bool {
	p := pair{event, user}
	if _, known := o.young[p]; known {
		return false
	}
	if _, known := o.old[p]; known {
		return false
	}
	if 2*(len(o.young)+1) > o.max {
		o.old, o.young = o.young, make(map[pair]struct{})
	}
	o.young[p] = struct{}{}
	return true
}

// Len is how many pairs are remembered.
func (o *Once) Len() int { return len(o.young) + len(o.old) }
