package apikey

import (
	"net/http"
	"testing"
)

func TestAllowed(t *testing.T) {
	set := New(func() [][]byte {
		return [][]byte{[]byte("first-key"), []byte("second-key"), nil, []byte("dev-key"), []byte("internal-server-token")}
	})
	for name, tc := range map[string]struct {
		candidate string
		want      bool
	}{
		"the first key":                       {"first-key", true},
		"the second key, for rotation":        {"second-key", true},
		"a wrong key":                         {"third-key", false},
		"a prefix of a key":                   {"first-ke", false},
		"a key and more":                      {"first-key ", false},
		"nothing, though an empty key is set": {"", false},
		"the built-in word of the emit route": {"dev-key", false},
		"the built-in word of group posts":    {"internal-server-token", false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := set.Allowed(tc.candidate); got != tc.want {
				t.Errorf("Allowed(%q) = %v, want %v", tc.candidate, got, tc.want)
			}
			if tc.want && !Usable(tc.candidate) {
				t.Errorf("Usable(%q) = false", tc.candidate)
			}
		})
	}
	if (Set{}).Allowed("") || New(func() [][]byte { return nil }).Allowed("x") {
		t.Error("a set without keys admits")
	}
	for _, key := range []string{"", "dev-key", "internal-server-token"} {
		if Usable(key) {
			t.Errorf("Usable(%q) = true", key)
		}
	}
}

func TestAllowedRequest(t *testing.T) {
	set := New(func() [][]byte { return [][]byte{[]byte("k1")} })
	for name, tc := range map[string]struct {
		header http.Header
		want   bool
	}{
		"a bearer":                               {http.Header{"Authorization": {"Bearer k1"}}, true},
		"the scheme in another case":             {http.Header{"Authorization": {"bearer k1"}}, true},
		"x-api-key":                              {http.Header{"X-Api-Key": {"k1"}}, true},
		"x-api-key beside a proxy's basic login": {http.Header{"Authorization": {"Basic eDp5"}, "X-Api-Key": {"k1"}}, true},
		"no header":                              {http.Header{}, false},
		"a wrong bearer":                         {http.Header{"Authorization": {"Bearer k2"}}, false},
		"a wrong bearer beside a right key":      {http.Header{"Authorization": {"Bearer k2"}, "X-Api-Key": {"k1"}}, false},
		"an empty bearer":                        {http.Header{"Authorization": {"Bearer "}}, false},
		"the key without a scheme":               {http.Header{"Authorization": {"k1"}}, false},
		"two Authorization headers":              {http.Header{"Authorization": {"Bearer k1", "Bearer k1"}}, false},
		"two x-api-key headers":                  {http.Header{"X-Api-Key": {"k1", "k2"}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := set.AllowedRequest(&http.Request{Header: tc.header}); got != tc.want {
				t.Errorf("AllowedRequest = %v, want %v", got, tc.want)
			}
		})
	}
}

func TestUseIsTold(t *testing.T) {
	var used []string
	set := New(func() [][]byte { return [][]byte{[]byte("first-key")} }).Telling(func(key []byte) { used = append(used, string(key)) })
	set.Allowed("other-key")
	set.Allowed("first-key")
	if len(used) != 1 || used[0] != "first-key" {
		t.Errorf("told of %q", used)
	}
}
