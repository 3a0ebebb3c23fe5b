package auth

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Explanation is what `interlink whoami` tells an operator. It is made for whoever holds the secrets: never send it to
// a client.
type Explanation struct {
	Source    string    // "token" or the name of the cookie; empty if there was neither
	Kind      string    // what the credential looks like
	Principal Principal // if Err is nil
	Err       error     // what Authenticate says: a *Refusal, or doubt
	Hints     []string  // what is probably wrong, the likeliest first; they contain no secret and no token
}

// Explain authenticates and, if that fails, looks for the mistake: another version, cookie name or secret than the
// configured ones, white space in the secret, an end that has passed. It tries many keys: not for the serve path.
func (v *Verifier) Explain(ctx context.Context, c Credentials) Explanation {
	if c.Now.IsZero() {
		c.Now = time.Now()
	}
	var e Explanation
	e.Principal, e.Err = v.Authenticate(ctx, c)
	cred := credential{token: c.Token}
	e.Source = "token"
	if c.Token == "" {
		e.Source = ""
		found, err := sessionCookie(c.CookieHeader, v.cookies)
		if err == nil {
			cred, e.Source = found, found.cookie
		}
	}
	switch strings.Count(cred.token, ".") {
	case 4:
		e.Kind = "NextAuth session (JWE)"
	case 2:
		e.Kind = "signed token (JWS)"
	case 0:
		e.Kind = "id of a database session"
	default:
		e.Kind = "not a token"
	}
	if cred.token == "" {
		e.Kind = "nothing"
		e.Hints = v.hintCookies(c.CookieHeader)
		return e
	}
	if e.Err == nil {
		return e
	}
	var refusal *Refusal
	if !errors.As(e.Err, &refusal) {
		e.Hints = append(e.Hints, "This is doubt, not a refusal: the client would be kept waiting. The error says what to look at.")
		return e
	}
	switch strings.Count(cred.token, ".") {
	case 4:
		e.Hints = append(e.Hints, v.hintSealed(cred, c.Now)...)
	case 2:
		e.Hints = append(e.Hints, v.hintSigned(cred, c.Now)...)
	case 0:
		if v.session == nil {
			e.Hints = append(e.Hints, "If the application keeps its sessions in the database, set the session URL to its /api/auth/session.")
		}
	}
	return e
}

// hintCookies names the cookies that look like a session but are not configured.
func (v *Verifier) hintCookies(header string) []string {
	if header == "" {
		return []string{"No Cookie header came. The session cookie is host-only: another host than the application's does not get it."}
	}
	var hints []string
	for pair := range strings.SplitSeq(header, ";") {
		name, _, _ := strings.Cut(strings.TrimSpace(pair), "=")
		if i := strings.LastIndexByte(name, '.'); i > 0 && digits(name[i+1:]) {
			name = name[:i]
		}
		hint := fmt.Sprintf("The cookie %q looks like a session; configured are %s.", name, strings.Join(v.cookies, ", "))
		if strings.HasSuffix(name, "session-token") && !slices.Contains(v.cookies, name) && !slices.Contains(hints, hint) {
			hints = append(hints, hint)
		}
	}
	if len(hints) == 0 {
		hints = []string{"None of the cookies is a session cookie; configured are " + strings.Join(v.cookies, ", ") + "."}
	}
	return hints
}

// hintSealed looks for the key that opens a NextAuth session.
func (v *Verifier) hintSealed(c credential, now time.Time) []string {
	s, reason := guardSealed(c.token, true, true)
	if reason != "" {
		return []string{"NextAuth does not issue such a token: it was cut, changed or made by something else."}
	}
	var hints []string
	if s.header.enc == encCBC && v.version == 4 {
		hints = append(hints, "The token is sealed as version 5 does; the NextAuth version is set to 4.")
	}
	if s.header.enc == encGCM && v.version == 5 && !v.legacy {
		hints = append(hints, "The token is sealed as version 4 does; the NextAuth version is set to 5.")
	}
	if v.sealed == nil || !v.sealed.had.Load() {
		return append(hints, "No NextAuth secret is configured.")
	}
	object, err := parseSealed(s)
	if err != nil {
		return hints
	}
	for _, secret := range v.sealed.secrets() {
		for _, variant := range variants(secret) {
			for _, name := range knownCookies(append([]string{c.cookie}, v.cookies...)) {
				plain, err := object.Decrypt(keyFor(s.header.enc, variant.secret, name))
				if err != nil {
					continue
				}
				if variant.what != "" {
					hints = append(hints, "The token opens with the secret "+variant.what+".")
				}
				if s.header.enc == encCBC && (c.cookie != "" && c.cookie != name || !slices.Contains(v.cookies, name)) {
					hints = append(hints, fmt.Sprintf("The token opens with a configured secret, but was sealed for the cookie name %q.", name))
				}
				return append(hints, hintClaims(plain, now)...)
			}
		}
	}
	return append(hints, "No configured secret opens the token under any known cookie name: it was sealed with another secret, or changed.")
}

// keyFor derives the key of one version 4 or 5 session; a key of length zero, which opens nothing, if it cannot.
func keyFor(enc, secret, cookie string) []byte {
	version := 5
	if enc == encGCM {
		version = 4
	}
	key, err := DeriveKey(version, secret, cookie)
	if err != nil {
		return []byte{}
	}
	return key
}

// hintSigned looks for the key that verifies a signed token.
func (v *Verifier) hintSigned(c credential, now time.Time) []string {
	h, reason := guardSigned(c.token)
	switch {
	case reason != "":
		return []string{"The token's form is not one that is issued: it was cut, changed or made by something else."}
	case h.alg != "HS256" && h.alg != "RS256":
		return []string{fmt.Sprintf("The token is signed with %q; taken are HS256 with a secret and RS256 with a public key.", h.alg)}
	case v.signed == nil || !v.signed.had.Load():
		return []string{"No JWT secret is configured."}
	}
	keys, err := v.signed.load()
	if err != nil {
		return nil
	}
	raw, reason := keys.verify(c.token)
	if reason == "" {
		return hintClaims(raw, now)
	}
	for _, secret := range v.signed.secrets() {
		for _, variant := range variants(secret) {
			if hmacVerifies(c.token, variant.secret) {
				return []string{"The signature is good with the JWT secret " + variant.what + "."}
			}
		}
	}
	if v.sealed != nil {
		for _, secret := range v.sealed.secrets() {
			if hmacVerifies(c.token, secret) {
				return []string{"The token is signed with the NextAuth secret: give the JWT secret the same value."}
			}
		}
	}
	return []string{"No configured secret verifies the signature: it was signed with another secret, or changed."}
}

func hmacVerifies(token, secret string) bool {
	i := strings.LastIndexByte(token, '.')
	signature, err := base64.RawURLEncoding.DecodeString(token[i+1:])
	return err == nil && secret != "" && jwt.SigningMethodHS256.Verify(token[:i], signature, []byte(secret)) == nil
}

// hintClaims says what the claims of a token that opens are refused for.
func hintClaims(raw []byte, now time.Time) []string {
	cl, reason := readClaims(raw)
	if reason != "" {
		return []string{"It opens, but " + reason + "."}
	}
	hints := []string{}
	for _, name := range []string{"exp", "session_exp"} {
		if t, there, ok := cl.when(name); there && ok && !t.After(now) {
			hints = append(hints, fmt.Sprintf("Its %s was %s, %s ago.", name, t.UTC().Format(time.RFC3339), now.Sub(t).Round(time.Second)))
		}
	}
	if t, there, ok := cl.when("nbf"); there && ok && t.After(now) {
		hints = append(hints, fmt.Sprintf("It is good from %s, in %s: do the clocks agree?", t.UTC().Format(time.RFC3339), t.Sub(now).Round(time.Second)))
	}
	if user, reason := cl.identity(); reason != "" {
		hints = append(hints, "It opens, but "+reason+".")
	} else {
		hints = append(hints, fmt.Sprintf("It is the token of user %q.", user))
	}
	return hints
}

// variant is a secret as it may have reached one side by mistake.
type variant struct {
	secret string
	what   string
}

func variants(secret string) []variant {
	list := []variant{{secret, ""}, {secret + "\n", "with a newline at its end"}}
	add := func(s, what string) {
		if s != "" && s != secret {
			list = append(list, variant{s, what})
		}
	}
	add(strings.TrimSpace(secret), "without the white space around it")
	add(strings.Trim(strings.TrimSpace(secret), `"'`), "without the quotes around it")
	add(`"`+secret+`"`, "with quotes around it")
	if raw, err := base64.StdEncoding.DecodeString(secret); err == nil {
		add(string(raw), "decoded from base64")
	}
	return list
}
