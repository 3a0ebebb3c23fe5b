package storetest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/edumatrix/interlink/services/presence/internal/store"
)

// words writes transitions as "+u1(1,online) -u2", ordered by user; a user's own stay in their order.
func words(transitions []store.Transition) string {
	list := slices.Clone(transitions)
	slices.SortStableFunc(list, func(a, b store.Transition) int { return strings.Compare(a.User, b.User) })
	out := make([]string, 0, len(list))
	for _, t := range list {
		if t.Online {
			out = append(out, fmt.Sprintf("+%s(%d,%s)", t.User, t.Sockets, t.Status))
		} else {
			out = append(out, "-"+t.User)
		}
	}
	return strings.Join(out, " ")
}

// steps writes what rooms are told as "+room/user(name) -room/user", ordered.
func steps(told []store.Told) string {
	out := make([]string, 0, len(told))
	for _, t := range told {
		if t.Typing {
			out = append(out, fmt.Sprintf("+%s/%s(%s)", t.Room, t.User, t.Name))
		} else {
			out = append(out, fmt.Sprintf("-%s/%s(%s)", t.Room, t.User, t.Name))
		}
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}
