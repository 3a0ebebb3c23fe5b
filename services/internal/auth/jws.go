package auth

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	reasonNoSigned     = "the token is signed, for which no JWT secret is configured"
	reasonSignature    = "no configured JWT secret verifies the token's signature"
	reasonTicketCookie = "a ticket is good as auth.token only"
)

// minSecretBytes is RFC 7518, 3.2: a key as long as the hash.
const minSecretBytes = 32

// signedKeys are the keys of JWTSecrets, each with the one algorithm that it is for.
type signedKeys struct {
	secrets func() []string
	current atomic.Pointer[signedSet]
	had     atomic.Bool // there were keys at some time
}

type signedSet struct {
	secrets []string // what the keys were made of
	hmac    jwt.VerificationKeySet
	rsa     jwt.VerificationKeySet
	err     error
}

func (s *signedKeys) load() (*signedSet, error) {
	secrets := s.secrets()
	if c := s.current.Load(); c != nil && slices.Equal(c.secrets, secrets) {
		return c, c.err
	}
	set := &signedSet{secrets: slices.Clone(secrets)}
	if set.err = set.make(); set.err == nil {
		s.had.Store(true)
	}
	s.current.Store(set)
	return set, set.err
}

func (s *signedSet) make() error {
	n := 0
	for i, secret := range s.secrets {
		if secret == "" {
			continue
		}
		if n++; n > maxSecrets {
			return fmt.Errorf("JWT: more than %d secrets", maxSecrets)
		}
		switch {
		case strings.Contains(secret, "-----BEGIN"): // never an HMAC key: everybody knows the public one
			key, err := jwt.ParseRSAPublicKeyFromPEM([]byte(secret))
			if err != nil || strings.Contains(secret, "PRIVATE") {
				return fmt.Errorf("JWT secret %d: a PEM block that is not an RSA public key", i+1)
			}
			if key.N.BitLen() < 2048 {
				return fmt.Errorf("JWT secret %d: an RSA key of %d bits, want 2048 or more", i+1, key.N.BitLen())
			}
			s.rsa.Keys = append(s.rsa.Keys, key)
		case len(secret) < minSecretBytes:
			return fmt.Errorf("JWT secret %d: %d bytes, want %d or more", i+1, len(secret), minSecretBytes)
		default:
			s.hmac.Keys = append(s.hmac.Keys, []byte(secret))
		}
	}
	if n == 0 {
		return fmt.Errorf("JWT: %w", errNoKeys)
	}
	return nil
}

// checkSigned verifies a signed token and checks its claims, those of a ticket if its audience is ours.
func (v *Verifier) checkSigned(c credential, now time.Time) (Principal, error) {
	if v.signed == nil {
		return Principal{}, refuse(reasonNoSigned)
	}
	keys, err := v.signed.load()
	switch {
	case err != nil && errors.Is(err, errNoKeys) && !v.signed.had.Load():
		return Principal{}, refuse(reasonNoSigned)
	case err != nil:
		return Principal{}, err
	}
	raw, reason := keys.verify(c.token)
	if reason != "" {
		return Principal{}, refuse(reason)
	}
	cl, reason := readClaims(raw)
	if reason != "" {
		return Principal{}, refuse(reason)
	}
	audience, ok := cl.audience()
	switch {
	case ok && len(audience) == 0:
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
	case !ok || !slices.Contains(audience, ticketAudience):
		return Principal{}, refuse(reasonAudience)
	case c.cookie != "":
		return Principal{}, refuse(reasonTicketCookie)
	}
	return cl.ticket(now, v.leeway)
}

// verify returns the payload of a token with a good signature, or why there is none.
func (s *signedSet) verify(token string) (json.RawMessage, string) {
	h, reason := guardSigned(token)
	if reason != "" {
		return nil, reason
	}
	var keys jwt.VerificationKeySet
	switch h.alg {
	case jwt.SigningMethodHS256.Alg():
		keys = s.hmac
	case jwt.SigningMethodRS256.Alg():
		keys = s.rsa
	}
	if len(keys.Keys) == 0 {
		return nil, reasonAlgorithm
	}
	// The claims are checked with those of all other tokens, in claims.principal.
	parser := jwt.NewParser(jwt.WithValidMethods([]string{h.alg}), jwt.WithStrictDecoding(), jwt.WithoutClaimsValidation())
	var p payload
	_, err := parser.ParseWithClaims(token, &p, func(t *jwt.Token) (any, error) {
		switch t.Method.(type) { // the method decides how a key is used, so it is asked again here
		case *jwt.SigningMethodHMAC:
			return s.hmac, nil
		case *jwt.SigningMethodRSA:
			return s.rsa, nil
		}
		return nil, errors.New("no key for this method")
	})
	switch {
	case errors.Is(err, jwt.ErrTokenSignatureInvalid):
		return nil, reasonSignature
	case err != nil:
		return nil, reasonNotReadable
	}
	return p.raw, ""
}

// ticket checks the claims of a ticket: exp is the end of its 60 s, session_exp the end of the session that it was
// made for, and session_iat, if there, the beginning of that, which revocations are compared with.
func (c claims) ticket(now time.Time, leeway time.Duration) (Principal, error) {
	p, err := c.principal(now, leeway)
	if err != nil {
		return Principal{}, err
	}
	if p.IssuedAt.IsZero() || p.ExpiresAt.Sub(p.IssuedAt) > ticketLife || p.IssuedAt.After(now.Add(leeway)) {
		return Principal{}, refuse(reasonTicketAge)
	}
	end, there, ok := c.when("session_exp")
	began, hasBegan, ok2 := c.when("session_iat")
	switch {
	case !ok || !ok2:
		return Principal{}, refuse(reasonTime)
	case !there:
		return Principal{}, refuse(reasonTicketEnd)
	case !now.Before(end.Add(leeway)):
		return Principal{}, &Refusal{Code: TokenExpired, Reason: reasonExpired}
	}
	p.ExpiresAt = end
	if hasBegan {
		p.IssuedAt = began
	}
	return p, nil
}

// payload takes the claims of a signed token as they are.
type payload struct {
	raw json.RawMessage
	jwt.MapClaims
}

// UnmarshalJSON implements json.Unmarshaler.
func (p *payload) UnmarshalJSON(b []byte) error {
	p.raw = slices.Clone(b)
	return nil
}
