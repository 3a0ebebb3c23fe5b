package auth

import (
	"context"
	"encoding/base64"
	"strings"
	"testing"
	"time"
)

const (
	fuzzSecret = "v3ryS3cretNextAuthSecret-0123456789abcdef"
	fuzzCookie = "authjs.session-token"
)

var fuzzNow = time.Unix(1764000060, 0)

// FuzzGuard holds the guard to what it promises: what it admits has one spelling, exact lengths and a short, known
// header. Nothing that it is given may make it panic.
func FuzzGuard(f *testing.F) {
	for _, vec := range loadVectors(f) {
		if vec.Token != nil {
			f.Add(*vec.Token)
		}
	}
	f.Add("eyJhbGciOiJkaXIiLCJhbGciOiJkaXIifQ....")
	f.Fuzz(func(t *testing.T, token string) {
		if s, reason := guardSealed(token, true, true); reason == "" {
			checkGuarded(t, token, 5)
			parts := strings.Split(token, ".")
			iv, tag := 12, 16
			if s.header.enc == encCBC {
				iv, tag = 16, 32
			}
			if s.header.alg != "dir" || parts[1] != "" || decoded(parts[2]) != iv || decoded(parts[4]) != tag || parts[3] == "" {
				t.Errorf("admitted %q", token)
			}
		}
		if _, reason := guardSigned(token); reason == "" {
			checkGuarded(t, token, 3)
		}
	})
}

func decoded(part string) int { return base64.RawURLEncoding.DecodedLen(len(part)) }

func checkGuarded(t *testing.T, token string, parts int) {
	t.Helper()
	if len(token) > 16<<10 {
		t.Errorf("admitted %d bytes", len(token))
	}
	list := strings.Split(token, ".")
	if len(list) != parts {
		t.Fatalf("admitted %d parts", len(list))
	}
	for _, part := range list {
		raw, err := base64.RawURLEncoding.Strict().DecodeString(part)
		if err != nil || base64.RawURLEncoding.EncodeToString(raw) != part {
			t.Errorf("admitted another spelling: %q", part)
		}
	}
	head, _ := base64.RawURLEncoding.DecodeString(list[0])
	if _, ok := oracleHeader(head); !ok || len(head) > 512 {
		t.Errorf("admitted the header %q", head)
	}
}

// FuzzVerify compares the verifier with the oracle, in each profile. Payloads that the fuzzer makes are also sealed
// with the right key, so that it gets behind the cryptography.
func FuzzVerify(f *testing.F) {
	for _, vec := range loadVectors(f) {
		if vec.Token != nil && len(*vec.Token) < 2000 {
			f.Add(*vec.Token, []byte(vec.Claims))
		}
	}
	for _, claims := range []string{
		`{"SUB":"x","exp":4102444800}`, `{"sub":7,"exp":4102444800}`, `{"sub":"x","exp":1e3}`, `{"sub":"x","exp":4102444800.5,"nbf":1764000075}`,
		`{"sub":"x","exp":"4102444800"}`, `{"sub":"x","exp":null}`, `{"sub":"a","sub":"b","exp":4102444800}`, ` {"email":"x","exp":4102444800} `, `null`, `{`,
	} {
		f.Add("", []byte(claims))
	}
	secrets := func() []string { return []string{fuzzSecret} }
	type pair struct {
		verifier *Verifier
		oracle   oracle
	}
	var pairs []pair
	for profile, o := range map[string]Options{
		"v4":    {NextAuthVersion: 4, Secrets: secrets},
		"v5":    {NextAuthVersion: 5, Secrets: secrets},
		"hs256": {JWTSecrets: secrets},
	} {
		o.Cookies = []string{fuzzCookie}
		v, err := New(o)
		if err != nil {
			f.Fatal(err)
		}
		pairs = append(pairs, pair{v, oracle{profile: profile, secret: fuzzSecret, cookie: fuzzCookie}})
	}
	f.Fuzz(func(t *testing.T, token string, claims []byte) {
		for _, p := range pairs {
			sealedHere := seal(t, p.oracle.profile, fuzzSecret, fuzzCookie, claims)
			for _, tok := range []string{token, sealedHere} {
				if tok == "" {
					continue
				}
				got, err := p.verifier.Authenticate(context.Background(), Credentials{Token: tok, Now: fuzzNow})
				want, oracleErr := p.oracle.user(tok, fuzzNow)
				if oracleErr == nil && checkUser(want) != "" {
					oracleErr = errOracle // a name that cannot be a room; the oracle knows no rooms
				}
				if oracleErr == errTicket {
					continue
				}
				if (err == nil) != (oracleErr == nil) || got.User != want && oracleErr == nil {
					t.Errorf("%s: verifier says %q, %v; oracle %q, %v: token %q claims %q", p.oracle.profile, got.User, err, want, oracleErr, tok, claims)
				}
			}
		}
	})
}
