package auth

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/edumatrix/interlink/services/internal/permission"
	"github.com/edumatrix/interlink/services/internal/room"
)

const jwtSecret = "a-development-secret-of-32-bytes-"

var t0 = time.Unix(1764000000, 0)

func list(values ...string) func() []string { return func() []string { return values } }

func newVerifier(t testing.TB, o Options) *Verifier {
	t.Helper()
	v, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// refusal is the reason of a definite no; "" if there is none, which fails the test.
func refusal(t *testing.T, err error) *Refusal {
	t.Helper()
	var r *Refusal
	if !errors.As(err, &r) {
		t.Fatalf("error %v, want a refusal", err)
	}
	return r
}

func TestATokenDecidesAlone(t *testing.T) {
	v := newVerifier(t, Options{Secrets: list(fuzzSecret), JWTSecrets: list(jwtSecret), Cookies: []string{"s"}})
	token, err := Mint(jwtSecret, Token{User: "ana", Name: "Ana", Now: t0, TTL: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	cookie := "s=" + seal(t, "v5", fuzzSecret, "s", []byte(`{"sub":"ben","exp":1764003600}`))
	for name, tc := range map[string]struct {
		c    Credentials
		user string
	}{
		"the cookie":                            {Credentials{CookieHeader: cookie}, "ben"},
		"the token":                             {Credentials{Token: token}, "ana"},
		"the token, not the cookie":             {Credentials{Token: token, CookieHeader: cookie}, "ana"},
		"a bad token is not helped by a cookie": {Credentials{Token: token + "x", CookieHeader: cookie}, ""},
		"nothing":                               {Credentials{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			tc.c.Now = t0
			p, err := v.Authenticate(context.Background(), tc.c)
			if p.User != tc.user || (err == nil) != (tc.user != "") {
				t.Errorf("user %q, %v; want %q", p.User, err, tc.user)
			}
			if tc.user == "ana" && strings.Contains(p.Cookie, cookie) {
				t.Error("another credential's cookie would be asked with")
			}
		})
	}
}

func TestTheCookieToAskWith(t *testing.T) {
	claims := []byte(`{"sub":"ana","exp":1764003600}`)
	const secure, plain = "__Secure-next-auth.session-token", "next-auth.session-token"
	v4, v5 := seal(t, "v4", fuzzSecret, "", claims), seal(t, "v5", fuzzSecret, plain, claims)
	for name, tc := range map[string]struct {
		version int
		c       Credentials
		want    string
	}{
		"a cookie as it came":                         {5, Credentials{CookieHeader: "x=1; " + plain + "=" + v5}, plain + "=" + v5},
		"a version 5 token under the name of its key": {5, Credentials{Token: v5}, plain + "=" + v5},
		"a version 4 token under each name":           {4, Credentials{Token: v4}, secure + "=" + v4 + "; " + plain + "=" + v4},
	} {
		t.Run(name, func(t *testing.T) {
			tc.c.Now = t0
			p, err := newVerifier(t, Options{NextAuthVersion: tc.version, Secrets: list(fuzzSecret)}).Authenticate(context.Background(), tc.c)
			if err != nil || p.Cookie != tc.want {
				t.Errorf("%q, %v; want %q", p.Cookie, err, tc.want)
			}
		})
	}
}

func TestVersion5KeysByCookieName(t *testing.T) {
	claims := []byte(`{"sub":"ana","exp":1764003600}`)
	v := newVerifier(t, Options{Secrets: list(fuzzSecret)})
	for _, name := range DefaultCookies(5) {
		token := seal(t, "v5", fuzzSecret, name, claims)
		for way, c := range map[string]Credentials{"token": {Token: token}, "cookie": {CookieHeader: name + "=" + token}} {
			c.Now = t0
			if _, err := v.Authenticate(context.Background(), c); err != nil {
				t.Errorf("%s as %s: %v", name, way, err)
			}
		}
		other := "next-auth.session-token"
		if name == other {
			other = "authjs.session-token"
		}
		_, err := v.Authenticate(context.Background(), Credentials{CookieHeader: other + "=" + token, Now: t0})
		if r := refusal(t, err); r.Reason != reasonUnknownKey {
			t.Errorf("%s in the cookie %s: %s", name, other, r.Reason)
		}
	}
}

func TestRotation(t *testing.T) {
	claims := []byte(`{"sub":"ana","exp":1764003600}`)
	secrets, jwts := []string{"old-secret"}, []string{jwtSecret}
	v := newVerifier(t, Options{
		Secrets: func() []string { return secrets }, JWTSecrets: func() []string { return jwts }, Cookies: []string{"s"},
	})
	try := func(token string) error {
		_, err := v.Authenticate(context.Background(), Credentials{Token: token, Now: t0})
		return err
	}
	oldToken, newToken := seal(t, "v5", "old-secret", "s", claims), seal(t, "v5", "new-secret", "s", claims)
	if try(oldToken) != nil || try(newToken) == nil {
		t.Error("before the rotation")
	}
	keys, _ := v.sealed.load()
	again, _ := v.sealed.load()
	if &keys[0] != &again[0] {
		t.Error("keys are derived again without need")
	}
	secrets = []string{"new-secret", "old-secret"}
	if try(oldToken) != nil || try(newToken) != nil {
		t.Error("during the rotation")
	}
	secrets = []string{"new-secret"}
	if refusal(t, try(oldToken)).Reason != reasonUnknownKey || try(newToken) != nil {
		t.Error("after the rotation")
	}
	for _, gone := range [][]string{nil, {""}} {
		secrets, jwts = gone, gone
		for _, token := range []string{newToken, seal(t, "hs256", jwtSecret, "", claims)} {
			if err := try(token); !errors.Is(err, errNoKeys) {
				t.Errorf("with a secret file empty for a moment: %v, want doubt", err)
			}
		}
	}
}

func TestAKindThatWasNeverConfiguredIsRefused(t *testing.T) {
	claims := []byte(`{"sub":"ana","exp":1764003600}`)
	signedOnly := newVerifier(t, Options{Secrets: list(), DerivedKeys: list(""), JWTSecrets: list(jwtSecret)})
	sealedOnly := newVerifier(t, Options{Secrets: list(fuzzSecret), JWTSecrets: list("")})
	for name, tc := range map[string]struct {
		v      *Verifier
		token  string
		reason string
	}{
		"a session without a secret":            {signedOnly, seal(t, "v5", fuzzSecret, "s", claims), reasonNoSealed},
		"a signed token without a secret":       {sealedOnly, seal(t, "hs256", jwtSecret, "", claims), reasonNoSigned},
		"a database session without an address": {sealedOnly, "0f0e8d1c", reasonNoSessions},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := tc.v.Authenticate(context.Background(), Credentials{Token: tc.token, Now: t0})
			if r := refusal(t, err); r.Reason != tc.reason {
				t.Errorf("refused: %s, want %s", r.Reason, tc.reason)
			}
		})
	}
}

func TestDerivedKeysReplaceTheSecret(t *testing.T) {
	claims := []byte(`{"sub":"ana","exp":1764003600}`)
	key4, _ := DeriveKey(4, fuzzSecret, "")
	key5, _ := DeriveKey(5, fuzzSecret, "s")
	other5, _ := DeriveKey(5, fuzzSecret, "t")
	for name, tc := range map[string]struct {
		version int
		keys    []string
	}{
		"version 4 in hex":                      {4, []string{fmt.Sprintf("%x", key4)}},
		"version 4 in base64":                   {4, []string{b64(key4)}},
		"version 5, for every cookie name":      {5, []string{b64(key5)}},
		"version 5, for one cookie name":        {5, []string{"s=" + b64(key5)}},
		"version 5, beside that of another one": {5, []string{"t=" + b64(other5), "s=" + b64(key5)}},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVerifier(t, Options{NextAuthVersion: tc.version, DerivedKeys: list(tc.keys...), Cookies: []string{"s", "t"}})
			token := seal(t, fmt.Sprint("v", tc.version), fuzzSecret, "s", claims)
			for _, c := range []Credentials{{Token: token, Now: t0}, {CookieHeader: "s=" + token, Now: t0}} {
				if p, err := v.Authenticate(context.Background(), c); err != nil || p.User != "ana" {
					t.Errorf("%q, %v", p.User, err)
				}
			}
		})
	}
}

// What docs/guides/authentication.md tells people to run in Node, with the secret of the vectors.
func TestKeysAndTicketsMadeByTheGuide(t *testing.T) {
	for _, vec := range loadVectors(t) {
		var o Options
		switch vec.Name {
		case "v4-secure-cookie":
			o = Options{NextAuthVersion: 4, DerivedKeys: list("7N1clYDmgT4b9--oC7IjANaaJI72YEFQLDJ0Ru7Wj2w")}
		case "v5-basic":
			o = Options{DerivedKeys: list("authjs.session-token=OKjID5Jz4lGGvp-qBjvy8Uo8RVPNDMr7JSbg_Nr_XaLW0jhkVijbXVo9Cosu2ikrJQmdGqu7zpTXi0viaZ7aww")}
		default:
			continue
		}
		if _, err := newVerifier(t, o).Authenticate(context.Background(), Credentials{Token: *vec.Token, Now: t0}); err != nil {
			t.Errorf("%s: %v", vec.Name, err)
		}
	}
	const ticket = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJuYW1lIjoiQW5hIiwic2Vzc2lvbl9leHAiOjE3OTU1MjE5MzEsInN1YiI6ImFuYSIsImF1ZCI6ImludGVybGluayIsImlhdCI6MTc5NTUyMTAzMSwiZXhwIjoxNzk1NTIxMDkxfQ.4CEvCD0PKyKmrOHm0BMTiHQBQS1IzDr2rpgQzAp8CSE"
	p, err := newVerifier(t, Options{JWTSecrets: list(jwtSecret)}).Authenticate(context.Background(), Credentials{Token: ticket, Now: time.Unix(1795521031, 0)})
	if err != nil || p.User != "ana" || p.Name != "Ana" || p.ExpiresAt.Unix() != 1795521931 {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestNewNamesAllThatIsWrong(t *testing.T) {
	for name, tc := range map[string]struct {
		o    Options
		want []string
	}{
		"nothing to authenticate with": {Options{}, []string{"nobody could sign in"}},
		"an unknown version":           {Options{NextAuthVersion: 3, Secrets: list("x")}, []string{"4 or 5"}},
		"a cookie name with a space":   {Options{Secrets: list("x"), Cookies: []string{"a b", "ok", "c;d"}}, []string{`"a b"`, `"c;d"`}},
		"no secret":                    {Options{Secrets: list(), JWTSecrets: list("")}, []string{"nobody could sign in"}},
		"too many secrets":             {Options{Secrets: list("a", "b", "c", "d", "e"), JWTSecrets: list(jwtSecret, jwtSecret+"1", jwtSecret+"2", jwtSecret+"3", jwtSecret+"4")}, []string{"5 secrets", "more than 4"}},
		"a JWT secret that is short":   {Options{JWTSecrets: list("short")}, []string{"5 bytes, want 32"}},
		"a JWT secret that is a key":   {Options{JWTSecrets: list("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----")}, []string{"not an RSA public key"}},
		"a key of the other version":   {Options{NextAuthVersion: 5, DerivedKeys: list(b64(make([]byte, 32)))}, []string{"32 bytes, want 64"}},
		"a key that is no key":         {Options{DerivedKeys: list("?")}, []string{"neither base64 nor hex"}},
		"a key of an unknown cookie":   {Options{DerivedKeys: list("zz=" + b64(make([]byte, 64)))}, []string{`"zz"`}},
		"a session URL with a user":    {Options{SessionURL: "http://u:p@next.test/api"}, []string{"session URL"}},
		"a session URL of a file":      {Options{SessionURL: "file:///etc/passwd"}, []string{"session URL"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := New(tc.o)
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %v, want it to say %s", err, want)
				}
			}
		})
	}
}

func TestWhatAClientIsTold(t *testing.T) {
	v := newVerifier(t, Options{JWTSecrets: list(jwtSecret), Cookies: []string{"s"}})
	for name, tc := range map[string]struct {
		token string
		code  Code
		want  string
	}{
		"nothing":                  {"", Unauthenticated, "Authentication required. Please sign in."},
		"an expired token":         {seal(t, "hs256", jwtSecret, "", []byte(`{"sub":"ana","exp":1}`)), TokenExpired, "Authentication expired. Please sign in again."},
		"a wrong secret":           {seal(t, "hs256", jwtSecret+"x", "", []byte(`{"sub":"ana","exp":1764003600}`)), Unauthenticated, "Authentication failed"},
		"an expired, wrong secret": {seal(t, "hs256", jwtSecret+"x", "", []byte(`{"sub":"ana","exp":1}`)), Unauthenticated, "Authentication failed"},
		"an unknown kind of token": {seal(t, "v5", jwtSecret, "s", []byte(`{"sub":"ana","exp":1764003600}`)), Unauthenticated, "Authentication failed"},
		"a token of 17 KiB":        {strings.Repeat("a", 17<<10), Unauthenticated, "Authentication failed"},
		"a database session's id":  {"d3b07384", Unauthenticated, "Authentication failed"},
		"four parts":               {"a.b.c.d", Unauthenticated, "Authentication failed"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := v.Authenticate(context.Background(), Credentials{Token: tc.token, Now: t0})
			r := refusal(t, err)
			if r.Message() != tc.want || r.Code != tc.code {
				t.Errorf("%s %q, want %s %q", r.Code, r.Message(), tc.code, tc.want)
			}
			for _, word := range []string{"websocket", "transport", "timeout"} {
				if strings.Contains(strings.ToLower(r.Message()), word) {
					t.Errorf("%q makes the platform's page open one more socket", r.Message())
				}
			}
		})
	}
}

func TestNothingSecretGetsIntoLogs(t *testing.T) {
	var b bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&b, nil))
	log.Info("x", "principal", Principal{User: "ana", Cookie: "s=SECRET", Claims: json.RawMessage(`"SECRET"`)},
		"credentials", Credentials{Token: "SECRET", CookieHeader: "s=SECRET"})
	if strings.Contains(b.String(), "SECRET") || !strings.Contains(b.String(), "ana") {
		t.Error(b.String())
	}
}

func TestMint(t *testing.T) {
	v := newVerifier(t, Options{JWTSecrets: list(jwtSecret)})
	token, err := Mint(jwtSecret, Token{
		User: "ana", Name: "Ana", Email: "ana@x.test", Now: t0, TTL: time.Hour,
		Grants: map[room.Room]permission.Set{"conversation:42": permission.Join | permission.Type},
	})
	if err != nil {
		t.Fatal(err)
	}
	p, err := v.Authenticate(context.Background(), Credentials{Token: token, Now: t0})
	if err != nil {
		t.Fatal(err)
	}
	if p.User != "ana" || p.Name != "Ana" || p.Email != "ana@x.test" || !p.IssuedAt.Equal(t0) || !p.ExpiresAt.Equal(t0.Add(time.Hour)) || p.Grants["conversation:42"] != permission.Join|permission.Type {
		t.Errorf("%+v", p)
	}
	for name, tc := range map[string]struct {
		secret string
		token  Token
	}{
		"no user":        {jwtSecret, Token{Now: t0, TTL: 1}},
		"a bad user":     {jwtSecret, Token{User: "a\x00", Now: t0, TTL: 1}},
		"no life":        {jwtSecret, Token{User: "ana", Now: t0}},
		"no time":        {jwtSecret, Token{User: "ana", TTL: 1}},
		"a short secret": {"short", Token{User: "ana", Now: t0, TTL: 1}},
		"a public key":   {"-----BEGIN PUBLIC KEY-----xxxxxxxxxxxxx", Token{User: "ana", Now: t0, TTL: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Mint(tc.secret, tc.token); err == nil {
				t.Error("no error")
			}
		})
	}
}
