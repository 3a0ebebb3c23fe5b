// Package apikey owns the comparison of internal API keys, those by which Next.js and other services of the house
// speak to Interlink.
package apikey

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"
)

// builtIn are the literals that callers of the platform fall back to when they have no key. Everybody can read them,
// so they are refused even where someone configured them.
var builtIn = [...]string{"dev-key", "internal-server-token"}

// Set is the keys that are good at present. Safe for use by many goroutines.
type Set struct {
	keys func() [][]byte
	used func(key []byte) // nil: nobody wants to know
}

// New makes a Set of what keys returns at each question, so that keys change without a restart. keys must be safe for
// use by many goroutines and its answer is not changed here. No key at all refuses everybody.
func New(keys func() [][]byte) Set { return Set{keys: keys} }

// Telling is s, which tells used of each candidate that was allowed, on the goroutine of the question.
func (s Set) Telling(used func(key []byte)) Set {
	s.used = used
	return s
}

// Allowed reports whether candidate is one of the keys. The time it takes does not depend on which key comes near, nor
// on how near: digests are compared, and all of them.
func (s Set) Allowed(candidate string) bool {
	if s.keys == nil {
		return false
	}
	got := sha256.Sum256([]byte(candidate))
	found := 0
	for _, key := range s.keys() {
		want := sha256.Sum256(key)
		found |= subtle.ConstantTimeCompare(got[:], want[:]) & bit(len(key) > 0)
	}
	for _, word := range builtIn {
		refused := sha256.Sum256([]byte(word))
		found &^= subtle.ConstantTimeCompare(got[:], refused[:])
	}
	if found == 1 && s.used != nil {
		s.used([]byte(candidate))
	}
	return found == 1
}

// AllowedRequest reports whether the request carries one of the keys, see Of.
func (s Set) AllowedRequest(r *http.Request) bool {
	candidate, ok := Of(r)
	return ok && s.Allowed(candidate)
}

// Usable reports whether a key may be configured at all: not empty, and none of the built-in words.
func Usable(key string) bool {
	for _, word := range builtIn {
		if key == word {
			return false
		}
	}
	return key != ""
}

// Of reads the key from `Authorization: Bearer KEY`, else from `x-api-key: KEY`. A request that gives one of the two
// headers twice gives none.
func Of(r *http.Request) (string, bool) {
	switch values := r.Header.Values("Authorization"); len(values) {
	case 0:
	case 1:
		scheme, key, ok := strings.Cut(values[0], " ")
		if ok && strings.EqualFold(scheme, "Bearer") {
			key = strings.TrimSpace(key)
			return key, key != ""
		}
	default:
		return "", false
	}
	values := r.Header.Values("X-Api-Key")
	if len(values) != 1 || values[0] == "" {
		return "", false
	}
	return values[0], true
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}
