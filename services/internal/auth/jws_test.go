package auth

import (
	"context"
	"encoding/base64"
	"fmt"
	"testing"
	"time"
)

func b64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

func TestTickets(t *testing.T) {
	v := newVerifier(t, Options{JWTSecrets: list(jwtSecret), Cookies: []string{"s"}})
	ticket, err := MintTicket(jwtSecret, Token{User: "ana", Name: "Ana", Now: t0}, t0.Add(8*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	made := func(claims string, args ...any) string {
		return seal(t, "hs256", jwtSecret, "", fmt.Appendf(nil, `{"sub":"ana",`+claims+`}`, args...))
	}
	at := t0.Unix()
	for name, tc := range map[string]struct {
		token  string
		after  time.Duration
		cookie bool
		reason string
	}{
		"a fresh one":                          {token: ticket},
		"in its last second, clocks differing": {token: ticket, after: 74 * time.Second},
		"after its minute":                     {token: ticket, after: 75 * time.Second, reason: reasonExpired},
		"in a list of audiences":               {token: made(`"aud":["x","interlink"],"iat":%d,"exp":%d,"session_exp":%d`, at, at+60, at+900)},
		"as a cookie":                          {token: ticket, cookie: true, reason: reasonTicketCookie},
		"good for longer than a minute":        {token: made(`"aud":"interlink","iat":%d,"exp":%d,"session_exp":%d`, at, at+61, at+900), reason: reasonTicketAge},
		"that does not say since when":         {token: made(`"aud":"interlink","exp":%d,"session_exp":%d`, at+60, at+900), reason: reasonTicketAge},
		"of tomorrow":                          {token: made(`"aud":"interlink","iat":%d,"exp":%d,"session_exp":%d`, at+86400, at+86460, at+90000), reason: reasonTicketAge},
		"without the session's end":            {token: made(`"aud":"interlink","iat":%d,"exp":%d`, at, at+60), reason: reasonTicketEnd},
		"of a session that has ended":          {token: made(`"aud":"interlink","iat":%d,"exp":%d,"session_exp":%d`, at, at+60, at-15), reason: reasonExpired},
		"with the session's end as a text":     {token: made(`"aud":"interlink","iat":%d,"exp":%d,"session_exp":"%d"`, at, at+60, at+900), reason: reasonTime},
		"a token for another audience":         {token: made(`"aud":"mail","exp":%d`, at+900), reason: reasonAudience},
		"a token for other audiences":          {token: made(`"aud":["mail","web"],"exp":%d`, at+900), reason: reasonAudience},
		"an audience that is a number":         {token: made(`"aud":7,"exp":%d`, at+900), reason: reasonAudience},
		"an audience that is null":             {token: made(`"aud":null,"exp":%d`, at+900), reason: reasonAudience},
		"a part of our audience":               {token: made(`"aud":"inter","exp":%d`, at+900), reason: reasonAudience},
	} {
		t.Run(name, func(t *testing.T) {
			c := Credentials{Token: tc.token, Now: t0.Add(tc.after)}
			if tc.cookie {
				c = Credentials{CookieHeader: "s=" + tc.token, Now: c.Now}
			}
			p, err := v.Authenticate(context.Background(), c)
			if tc.reason != "" {
				if r := refusal(t, err); r.Reason != tc.reason {
					t.Errorf("refused: %s, want %s", r.Reason, tc.reason)
				}
				return
			}
			if err != nil || p.User != "ana" || p.Cookie != "" || p.ExpiresAt.Before(t0.Add(15*time.Minute)) {
				t.Errorf("%+v, %v", p, err)
			}
		})
	}
	p, err := v.Authenticate(context.Background(), Credentials{Now: t0, Token: made(`"aud":"interlink","iat":%d,"exp":%d,"session_exp":%d,"session_iat":%d`, at, at+60, at+900, at-3600)})
	if err != nil || !p.IssuedAt.Equal(t0.Add(-time.Hour)) || !p.ExpiresAt.Equal(t0.Add(15*time.Minute)) {
		t.Errorf("session from %v to %v, %v", p.IssuedAt, p.ExpiresAt, err)
	}
}

func TestGuard(t *testing.T) {
	enc := base64.RawURLEncoding.EncodeToString
	head := func(h string) string { return enc([]byte(h)) + "..AAAAAAAAAAAAAAAA.AAAA.AAAAAAAAAAAAAAAAAAAAAA" }
	for name, tc := range map[string]struct{ token, reason string }{
		"a version 4 token":         {head(`{"alg":"dir","enc":"A256GCM"}`), ""},
		"members in another order":  {head(`{"enc":"A256GCM","typ":"JWT","kid":"x","alg":"dir"}`), ""},
		"a duplicate":               {head(`{"alg":"dir","enc":"A256GCM","alg":"dir"}`), reasonHeader},
		"a duplicate in disguise":   {head(`{"alg":"dir","enc":"A256GCM","\u0061lg":"dir"}`), reasonHeader},
		"a name in another case":    {head(`{"alg":"dir","enc":"A256GCM","KID":"x"}`), reasonHeader},
		"compression":               {head(`{"alg":"dir","enc":"A256GCM","zip":"DEF"}`), reasonHeader},
		"critical members":          {head(`{"alg":"dir","enc":"A256GCM","crit":["exp"]}`), reasonHeader},
		"a key of its own":          {head(`{"alg":"dir","enc":"A256GCM","jwk":{}}`), reasonHeader},
		"a kid that is an object":   {head(`{"alg":"dir","enc":"A256GCM","kid":{}}`), reasonHeader},
		"a kid that is null":        {head(`{"alg":"dir","enc":"A256GCM","kid":null}`), reasonHeader},
		"two objects":               {head(`{"alg":"dir","enc":"A256GCM"}{}`), reasonHeader},
		"a missing comma":           {head(`{"alg":"dir" "enc":"A256GCM"}`), reasonHeader},
		"a comma too many":          {head(`{"alg":"dir","enc":"A256GCM",}`), reasonHeader},
		"no object":                 {head(`["alg"]`), reasonHeader},
		"a token of another type":   {head(`{"alg":"dir","enc":"A256GCM","typ":"at+jwt"}`), reasonHeader},
		"an empty header":           {head(``), reasonHeader},
		"a header of 513 bytes":     {head(fmt.Sprintf(`{"alg":"dir","enc":"A256GCM","kid":"%0475d"}`, 0)), reasonHeader},
		"a header of 512 bytes":     {head(fmt.Sprintf(`{"alg":"dir","enc":"A256GCM","kid":"%0474d"}`, 0)), ""},
		"another algorithm":         {head(`{"alg":"A256KW","enc":"A256GCM"}`), reasonAlgorithm},
		"no algorithm":              {head(`{"enc":"A256GCM"}`), reasonAlgorithm},
		"another encryption":        {head(`{"alg":"dir","enc":"A128GCM"}`), reasonAlgorithm},
		"CBC with GCM's lengths":    {head(`{"alg":"dir","enc":"A256CBC-HS512"}`), reasonPartLength},
		"an encrypted key":          {headerV4 + ".AAAA.AAAAAAAAAAAAAAAA.AAAA.AAAAAAAAAAAAAAAAAAAAAA", reasonKeyPart},
		"a long iv":                 {headerV4 + "..AAAAAAAAAAAAAAAAAAAA.AAAA.AAAAAAAAAAAAAAAAAAAAAA", reasonPartLength},
		"a short tag":               {headerV4 + "..AAAAAAAAAAAAAAAA.AAAA.AAAAAAAAAAAAAAAA", reasonPartLength},
		"no ciphertext":             {headerV4 + "..AAAAAAAAAAAAAAAA..AAAAAAAAAAAAAAAAAAAAAA", reasonPartLength},
		"spare bits":                {headerV4 + "..AAAAAAAAAAAAAAAA.AAAA.AAAAAAAAAAAAAAAAAAAAAB", reasonBase64},
		"one character alone":       {headerV4 + "..AAAAAAAAAAAAAAAA.AAAAA.AAAAAAAAAAAAAAAAAAAAAA", reasonBase64},
		"padding":                   {headerV4 + "..AAAAAAAAAAAAAAAA.AAA=.AAAAAAAAAAAAAAAAAAAAAA", reasonAlphabet},
		"a newline":                 {headerV4 + "..AAAAAAAAAAAAAAAA.AA\nAA.AAAAAAAAAAAAAAAAAAAAAA", reasonAlphabet},
		"the other base64 alphabet": {headerV4 + "..AAAAAAAAAAAAAAAA.AA+/.AAAAAAAAAAAAAAAAAAAAAA", reasonAlphabet},
		"four parts":                {headerV4 + "..AAAAAAAAAAAAAAAA.AAAA", reasonParts},
		"six parts":                 {headerV4 + "..AAAAAAAAAAAAAAAA.AAAA.AAAAAAAAAAAAAAAAAAAAAA.", reasonParts},
		"nothing":                   {"", reasonParts},
	} {
		t.Run(name, func(t *testing.T) {
			if _, reason := guardSealed(tc.token, true, true); reason != tc.reason {
				t.Errorf("%q, want %q", reason, tc.reason)
			}
		})
	}
}

func BenchmarkAuthenticate(b *testing.B) {
	claims := []byte(`{"name":"Ada Lovelace","email":"ada@example.com","picture":"https://example.com/a.png","sub":"user_123","iat":1764000000,"exp":4102444800,"jti":"a3d0e9f2-6f0e-4c5e-9d6b-0c2d8f7a1b3c"}`)
	for _, profile := range []string{"v4", "v5", "hs256"} {
		b.Run(profile, func(b *testing.B) {
			v := newVerifier(b, vector{Profile: profile, Secrets: []string{fuzzSecret}, CookieName: fuzzCookie}.options())
			c := Credentials{CookieHeader: "theme=dark; " + fuzzCookie + "=" + seal(b, profile, fuzzSecret, fuzzCookie, claims), Now: t0}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.Authenticate(context.Background(), c); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkGuardRefuses(b *testing.B) {
	token := headerV4 + "..AAAAAAAAAAAAAAAA.AA+/.AAAAAAAAAAAAAAAAAAAAAA"
	b.ReportAllocs()
	for b.Loop() {
		if _, reason := guardSealed(token, true, true); reason == "" {
			b.Fatal("admitted")
		}
	}
}
