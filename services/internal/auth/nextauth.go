package auth

import (
	"errors"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	reasonNoSealed    = "the token is a NextAuth session, for which nothing is configured"
	reasonSealedKey   = "no configured secret opens the token"
	reasonUnknownKey  = "the token's kid is of no configured secret and cookie name"
	reasonNotReadable = "the token cannot be parsed"
)

// openSealed decrypts a NextAuth session and checks its claims.
//
// Version 4 has no key ids: each secret is tried. Version 5 names its key by kid; without one its own library tries the
// first secret only, and so do we. A cookie is opened only by keys of its own name, a bare token by those of every name.
func (v *Verifier) openSealed(c credential, now time.Time) (Principal, error) {
	if v.sealed == nil {
		return Principal{}, refuse(reasonNoSealed)
	}
	keys, err := v.sealed.load()
	switch {
	case err != nil && errors.Is(err, errNoKeys) && !v.sealed.had.Load():
		return Principal{}, refuse(reasonNoSealed)
	case err != nil:
		return Principal{}, err
	}
	plain, cookie, reason := v.decrypt(keys, c)
	if reason != "" {
		return Principal{}, refuse(reason)
	}
	if c.cookie == "" {
		c.cookie = cookie
	}
	cl, reason := readClaims(plain)
	if reason != "" {
		return Principal{}, refuse(reason)
	}
	p, err := cl.principal(now, v.leeway)
	if err != nil {
		return Principal{}, err
	}
	names := v.cookies
	if c.cookie != "" {
		names = []string{c.cookie}
	}
	p.Cookie = c.cookieHeader(names)
	return p, nil
}

// decrypt returns the claims and the cookie name of the key that opened them, or why there are none.
func (v *Verifier) decrypt(keys []sealingKey, c credential) (plain []byte, cookie, reason string) {
	s, reason := guardSealed(c.token, v.version == 4 || v.legacy, v.version == 5)
	if reason != "" {
		return nil, "", reason
	}
	object, err := parseSealed(s)
	if err != nil {
		return nil, "", reasonNotReadable
	}
	reason = reasonUnknownKey
	for _, k := range keys {
		if v.version == 5 {
			if c.cookie != "" && k.cookie != "" && k.cookie != c.cookie {
				continue
			}
			if s.header.hasKid && k.kid != s.header.kid || !s.header.hasKid && !k.first {
				continue
			}
		}
		key := k.key
		if v.version == 5 && s.header.enc == encGCM {
			key = k.gcm
		}
		reason = reasonSealedKey
		if key == nil {
			continue
		}
		if plain, err := object.Decrypt(key); err == nil {
			return plain, k.cookie, ""
		}
	}
	return nil, "", reason
}

// parseSealed hands a guarded token to go-jose, with the one algorithm that the guard found.
func parseSealed(s sealed) (*jose.JSONWebEncryption, error) {
	return jose.ParseEncryptedCompact(s.token, []jose.KeyAlgorithm{jose.DIRECT}, []jose.ContentEncryption{jose.ContentEncryption(s.header.enc)})
}

// knownCookies are names that NextAuth sessions have by default, in either version.
func knownCookies(configured []string) []string {
	all := slices.Clone(configured)
	for _, name := range DefaultCookies(5) {
		if !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	return all
}
