package envelope

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
)

func FuzzObject(f *testing.F) {
	for _, s := range []string{`{}`, `{"a":1,"b":[1,{"c":"}"}],"d":"\"\\","e":null}`, " {\n\t\"a\" : -1e5 , \"b\":true}\r\n", `{"\u0061":["x","\ud83d\ude00","\ud800"]}`,
		`{"a":{"b":"]}"}}`, `{"a":[ "x" , "y" ]}`, `{"a":[]}`, `{"a":["x",1]}`, `{"a":1}x`, "\u00a0{}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := readObject([]byte(s))
		var want map[string]json.RawMessage
		wantErr := json.Unmarshal([]byte(s), &want)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("%v", err)
			}
			twice := strings.Contains(e.Detail, "twice")
			if wantErr == nil && want != nil && e.Reason != NotUTF8 && !twice {
				t.Fatalf("refused what encoding/json reads: %v", err)
			}
			return
		}
		if wantErr != nil {
			t.Fatalf("read what encoding/json refuses: %v", wantErr)
		}
		for name, raw := range want {
			if string(raw) == "null" && name != "data" {
				delete(want, name)
				continue
			}
			mine, ok := got.get(name)
			if !ok || !bytes.Equal(bytes.TrimSpace(raw), mine) {
				t.Fatalf("%q: %q, want %q", name, mine, raw)
			}
			same(t, mine)
		}
		if len(got) != len(want) {
			t.Fatalf("%d members, want %d", len(got), len(want))
		}
	})
}

// same compares how strings and lists of strings are read.
func same(t *testing.T, raw []byte) {
	t.Helper()
	var s string
	if raw[0] == '"' && (json.Unmarshal(raw, &s) != nil || s != text(raw)) {
		t.Fatalf("text of %q: %q, want %q", raw, text(raw), s)
	}
	all, ok := elements(raw)
	var want []*string
	if wantOK := json.Unmarshal(raw, &want) == nil && raw[0] == '[' && !slices.Contains(want, nil); ok != wantOK {
		t.Fatalf("elements of %q: %v, want %v", raw, ok, wantOK)
	}
	for i := range all {
		if all[i] != *want[i] {
			t.Fatalf("element %d of %q: %q, want %q", i, raw, all[i], *want[i])
		}
	}
}
