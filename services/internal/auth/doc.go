// Package auth owns who a client is: it turns the token or the cookies of a handshake into a Principal.
//
// What a token looks like chooses how it is read, and nothing else of it chooses anything: five segments are a NextAuth
// session sealed in the configured version (JWE, RFC 7516), three are a signed token (JWS, RFC 7515) by JWT_SECRET, and
// a cookie without a dot is the id of a session in the platform's database, which only Next.js can answer for.
//
// Every credential passes a guard before any key touches it (guard.go): size, alphabet, number and lengths of the
// parts, canonical base64, a short header with known members. Then the libraries decide (go-jose, golang-jwt) with one
// algorithm per key, then the claims are checked, in one place for all kinds (claims.go).
//
// Two outcomes must not be mixed up. A *Refusal is definite: the client is told and does not come back by itself. Any
// other error is doubt (Next.js away, a secret file empty for a moment): the caller waits or closes the transport.
package auth
