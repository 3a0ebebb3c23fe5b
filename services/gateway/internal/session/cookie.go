package session

import (
	"strings"
	"unique"
)

// cookie is a Cookie header as it is kept for each socket: one token under several names is kept once, the names are
// shared by all.
type cookie struct {
	names unique.Handle[string] // joined by ";"; zero: value is the header
	value string
}

func packCookie(header string) cookie {
	var names []string
	var value string
	for part := range strings.SplitSeq(header, "; ") {
		name, v, ok := strings.Cut(part, "=")
		if !ok || len(names) > 0 && v != value {
			return cookie{value: header}
		}
		names, value = append(names, name), v
	}
	return cookie{names: unique.Make(strings.Join(names, ";")), value: strings.Clone(value)}
}

func (c cookie) empty() bool { return c.value == "" }

// header is what was packed.
func (c cookie) header() string {
	if c.names == (unique.Handle[string]{}) {
		return c.value
	}
	return strings.ReplaceAll(c.names.Value(), ";", "="+c.value+"; ") + "=" + c.value
}
