package recovery

import (
	"slices"

	deliveryv1 "github.com/edumatrix/interlink/proto/delivery/v1"
)

// Controls is what the log says about a user's memberships in what was fetched for him.
type Controls struct {
	Removed []string // rooms that he was removed from at some time, also if he was added again
	Added   []string // rooms that he was added to, and not removed from later
	Ended   bool     // his sessions were ended
}

// ReadControls reads the control records of a fetch, in the order of each partition.
func ReadControls(parts [][]*deliveryv1.Record, user string) Controls {
	var c Controls
	for _, records := range parts {
		for _, record := range records {
			switch control := record.Control; {
			case control == nil:
			case control.Kind == deliveryv1.Control_USER_DISCONNECT && control.User == user:
				c.Ended = true
			case control.Kind == deliveryv1.Control_MEMBERSHIP_CHANGED:
				c.member(control, user)
			}
		}
	}
	return c
}

func (c *Controls) member(control *deliveryv1.Control, user string) {
	if slices.Contains(control.Remove, user) {
		c.Added = slices.DeleteFunc(c.Added, func(room string) bool { return room == control.Room })
		if !slices.Contains(c.Removed, control.Room) {
			c.Removed = append(c.Removed, control.Room)
		}
	}
	if slices.Contains(control.Add, user) && !slices.Contains(c.Added, control.Room) {
		c.Added = append(c.Added, control.Room)
	}
}
