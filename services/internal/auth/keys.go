package auth

import (
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
)

// errNoKeys is doubt: a secret that is being replaced right now must not end every client that comes by.
var errNoKeys = errors.New("no secret at present")

// DeriveKey makes the key that a NextAuth version seals the session cookie of this name with: 32 bytes for version 4,
// 64 for version 5. Version 4 gives every name the same key.
func DeriveKey(version int, secret, cookie string) ([]byte, error) {
	if version == 4 {
		return derive(secret, "", "NextAuth.js Generated Encryption Key", 32)
	}
	return derive(secret, cookie, "Auth.js Generated Encryption Key ("+cookie+")", 64)
}

func derive(secret, salt, info string, size int) ([]byte, error) {
	if secret == "" {
		return nil, errors.New("the secret is empty")
	}
	key, err := hkdf.Key(sha256.New, []byte(secret), []byte(salt), info, size)
	if err != nil {
		return nil, fmt.Errorf("derive the session key: %w", err)
	}
	return key, nil
}

// keyID is the `kid` of a version 5 key: the SHA-512 thumbprint of its JWK (RFC 7638).
func keyID(key []byte) string {
	sum := sha512.Sum512([]byte(`{"k":"` + base64.RawURLEncoding.EncodeToString(key) + `","kty":"oct"}`))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// sealingKey opens sessions of one cookie name.
type sealingKey struct {
	cookie string // empty: of every name
	key    []byte // 32 or 64 bytes
	gcm    []byte // version 5, LegacyGCM: the 32-byte key of the same secret
	kid    string // version 5
	first  bool   // the first of its cookie name: what a version 5 token without kid is tried with
}

// sealedKeys derives the keys of NextAuth sessions and keeps them until the secrets change.
type sealedKeys struct {
	version int
	cookies []string
	legacy  bool
	secrets func() []string
	derived func() []string
	current atomic.Pointer[sealedSet]
	had     atomic.Bool // there were keys at some time
}

type sealedSet struct {
	secrets, derived []string // what the keys were made of
	keys             []sealingKey
	err              error
}

func newSealedKeys(version int, cookies []string, legacy bool, secrets, derived func() []string) *sealedKeys {
	none := func() []string { return nil }
	if secrets == nil {
		secrets = none
	}
	if derived == nil {
		derived = none
	}
	return &sealedKeys{version: version, cookies: cookies, legacy: legacy, secrets: secrets, derived: derived}
}

// load returns the keys of the present secrets; errNoKeys if there are none.
func (s *sealedKeys) load() ([]sealingKey, error) {
	secrets, derived := s.secrets(), s.derived()
	if c := s.current.Load(); c != nil && slices.Equal(c.secrets, secrets) && slices.Equal(c.derived, derived) {
		return c.keys, c.err
	}
	set := &sealedSet{secrets: slices.Clone(secrets), derived: slices.Clone(derived)}
	set.keys, set.err = s.make(secrets, derived)
	if set.err == nil {
		s.had.Store(true)
	}
	s.current.Store(set)
	return set.keys, set.err
}

func (s *sealedKeys) make(secrets, derived []string) ([]sealingKey, error) {
	var keys []sealingKey
	secrets = slices.DeleteFunc(slices.Clone(secrets), func(v string) bool { return v == "" })
	derived = slices.DeleteFunc(slices.Clone(derived), func(v string) bool { return v == "" })
	switch n := len(secrets) + len(derived); {
	case n == 0:
		return nil, fmt.Errorf("NextAuth: %w", errNoKeys)
	case n > maxSecrets:
		return nil, fmt.Errorf("NextAuth: %d secrets, at most %d can be good at a time", n, maxSecrets)
	}
	cookies := s.cookies
	if s.version == 4 {
		cookies = []string{""}
	}
	for i, secret := range secrets {
		for _, cookie := range cookies {
			k := sealingKey{cookie: cookie, first: i == 0}
			var err error
			if k.key, err = DeriveKey(s.version, secret, cookie); err != nil {
				return nil, err
			}
			if s.version == 5 {
				k.kid = keyID(k.key)
			}
			if s.version == 5 && s.legacy {
				if k.gcm, err = derive(secret, cookie, "Auth.js Generated Encryption Key ("+cookie+")", 32); err != nil {
					return nil, err
				}
			}
			keys = append(keys, k)
		}
	}
	for i, text := range derived {
		k, err := s.parse(text)
		if err != nil {
			return nil, fmt.Errorf("NextAuth key %d: %w", i+1, err)
		}
		k.first = len(secrets) == 0 && !slices.ContainsFunc(keys, func(o sealingKey) bool { return o.cookie == k.cookie })
		keys = append(keys, k)
	}
	return keys, nil
}

// parse reads KEY or NAME=KEY. Its errors don't cite the key.
func (s *sealedKeys) parse(text string) (sealingKey, error) {
	var k sealingKey
	if name, rest, ok := strings.Cut(text, "="); ok && strings.Trim(rest, "=") != "" {
		k.cookie, text = name, rest
		if !slices.Contains(s.cookies, name) {
			return k, fmt.Errorf("it is for the cookie %q, which is not configured", name)
		}
	}
	size := 64
	if s.version == 4 {
		k.cookie, size = "", 32
	}
	key, err := decodeKey(text, size)
	if err != nil {
		return k, err
	}
	k.key = key
	if s.version == 5 {
		k.kid = keyID(key)
	}
	return k, nil
}

func decodeKey(text string, size int) ([]byte, error) {
	text = strings.TrimSpace(text)
	if key, err := hex.DecodeString(text); err == nil && len(key) == size {
		return key, nil
	}
	text = strings.NewReplacer("+", "-", "/", "_").Replace(strings.TrimRight(text, "="))
	key, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return nil, errors.New("neither base64 nor hex")
	}
	if len(key) != size {
		return nil, fmt.Errorf("%d bytes, want %d for this NextAuth version", len(key), size)
	}
	return key, nil
}
