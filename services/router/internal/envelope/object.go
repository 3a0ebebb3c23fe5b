package envelope

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"unicode/utf8"
)

// fields are an object's members, each still in JSON. Members that are null are left out, but for data.
//
// They are split by hand: an envelope is read for every record of a partition, and again at each start, and
// encoding/json takes five times as long. Only what json.Valid has passed is split.
type fields []field

type field struct {
	name string
	raw  []byte
}

func (f fields) get(name string) ([]byte, bool) {
	for i := range f {
		if f[i].name == name {
			return f[i].raw, true
		}
	}
	return nil, false
}

func (f fields) has(name string) bool {
	_, ok := f.get(name)
	return ok
}

// readObject checks that b is one JSON object in UTF-8 and splits it. The fields share b's memory.
func readObject(b []byte) (fields, error) {
	trimmed := bytes.TrimSpace(b)
	switch {
	case len(trimmed) == 0:
		return nil, &Error{Reason: Empty, Detail: "the value is empty"}
	case !utf8.Valid(b):
		return nil, &Error{Reason: NotUTF8, Detail: "the value is not UTF-8"}
	case trimmed[0] != '{':
		return nil, &Error{Reason: NotJSON, Detail: "the value is not a JSON object"}
	case !json.Valid(b):
		return nil, broken(b)
	}
	return split(trimmed)
}

// broken says where JSON breaks.
func broken(b []byte) *Error {
	var syntax *json.SyntaxError
	if err := json.Unmarshal(b, new(json.RawMessage)); errors.As(err, &syntax) {
		return &Error{Reason: NotJSON, Detail: "broken JSON: " + clip(syntax.Error())}
	}
	return &Error{Reason: NotJSON, Detail: "broken JSON"}
}

// split lists the members of an object that is known to be valid JSON, without space around it.
func split(b []byte) (fields, error) {
	if len(b) == 0 || b[0] != '{' {
		return nil, &Error{Reason: NotJSON, Detail: "not a JSON object"}
	}
	f := make(fields, 0, 12)
	for i := skipSpace(b, 1); b[i] != '}'; {
		end := skipString(b, i)
		name := text(b[i:end])
		i = skipSpace(b, skipSpace(b, end)+1) // over the colon
		end = skipValue(b, i)
		raw := b[i:end]
		if f.has(name) {
			return nil, invalid(clip(name), "is given twice")
		}
		f = append(f, field{name, raw})
		if i = skipSpace(b, end); b[i] == ',' {
			i = skipSpace(b, i+1)
		}
	}
	kept := f[:0]
	for _, m := range f {
		if m.name == "data" || string(m.raw) != "null" {
			kept = append(kept, m)
		}
	}
	return kept, nil
}

// elements lists the strings of an array that is known to be valid JSON; ok is false if it is none, or holds something else.
func elements(b []byte) (out []string, ok bool) {
	if len(b) == 0 || b[0] != '[' {
		return nil, false
	}
	for i := skipSpace(b, 1); b[i] != ']'; {
		if b[i] != '"' {
			return nil, false
		}
		end := skipString(b, i)
		out = append(out, text(b[i:end]))
		if i = skipSpace(b, end); b[i] == ',' {
			i = skipSpace(b, i+1)
		}
	}
	return out, true
}

// text is the string that a valid JSON string stands for.
func text(quoted []byte) string {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return string(quoted[1 : len(quoted)-1])
	}
	var s string
	if json.Unmarshal(quoted, &s) != nil {
		return ""
	}
	return s
}

func skipSpace(b []byte, i int) int {
	for b[i] == ' ' || b[i] == '\t' || b[i] == '\n' || b[i] == '\r' {
		i++
	}
	return i
}

// skipString returns the index behind the string that begins at i.
func skipString(b []byte, i int) int {
	for i++; b[i] != '"'; i++ {
		if b[i] == '\\' {
			i++
		}
	}
	return i + 1
}

// skipValue returns the index behind the value that begins at i, inside an object or array.
func skipValue(b []byte, i int) int {
	switch b[i] {
	case '"':
		return skipString(b, i)
	case '{', '[':
	default:
		return i + bytes.IndexAny(b[i:], " \t\r\n,]}")
	}
	for depth := 0; ; {
		switch b[i] {
		case '"':
			i = skipString(b, i)
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
		i++
	}
}

// clip bounds what is quoted of foreign bytes in an error.
func clip(s string) string {
	const most = 64
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
