package engine

import (
	"crypto/rand"
	"encoding/base64"
	"hash/maphash"
	"strings"
)

// A sid is `prefix.random`, or `random` without a prefix: 120 random bits in characters that need no escaping in JSON or a query.
const (
	idBytes   = 15
	maxPrefix = 64
	idJoint   = "."
)

func prefixChar(c rune) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-'
}

// SplitID returns the prefix of a sid: the IDPrefix of the engine that gave it out; empty if it has none.
func SplitID(sid string) (prefix string) {
	prefix, _, found := strings.Cut(sid, idJoint)
	if !found {
		return ""
	}
	return prefix
}

func newID(prefix string) string {
	var random [idBytes]byte
	_, _ = rand.Read(random[:]) // never fails: it ends the process if the system has no randomness
	id := make([]byte, 0, maxPrefix+len(idJoint)+20)
	if prefix != "" {
		id = append(append(id, prefix...), idJoint...)
	}
	return string(base64.RawURLEncoding.AppendEncode(id, random[:]))
}

// stray reports whether a sid was given out by another engine.
func (e *Engine) stray(sid string) bool {
	prefix := SplitID(sid)
	return e.options.Stray != nil && prefix != "" && prefix != e.options.IDPrefix
}

// shardOf is where a session of that id lives, if it does.
func (e *Engine) shardOf(sid string) *Shard {
	return e.shards[maphash.String(e.seed, sid)%uint64(len(e.shards))]
}
