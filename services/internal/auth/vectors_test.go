package auth

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// vector is one credential made by the real packages (next-auth 4 and 5, jose, jsonwebtoken) or by hand, with what
// they make of it (reference) and what we must (expect). Where they differ, expect is stricter on purpose.
type vector struct {
	Name       string            `json:"name"`
	Profile    string            `json:"profile"` // v4, v5, v5-gcm, hs256, rs256
	Secrets    []string          `json:"secrets"`
	CookieName string            `json:"cookie_name"`
	Token      *string           `json:"token"`
	Cookies    map[string]string `json:"cookies"`
	Now        int64             `json:"now"`
	Expect     string            `json:"expect"`
	Claims     json.RawMessage   `json:"claims"`
	Why        string            `json:"why"`
}

func loadVectors(tb testing.TB) []vector {
	tb.Helper()
	raw, err := os.ReadFile("testdata/nextauth-vectors.json")
	if err != nil {
		tb.Fatal(err)
	}
	var list []vector
	if err := json.Unmarshal(raw, &list); err != nil {
		tb.Fatal(err)
	}
	return list
}

func (vec vector) options() Options {
	o := Options{Cookies: []string{vec.CookieName}}
	secrets := func() []string { return vec.Secrets }
	switch vec.Profile {
	case "v4":
		o.NextAuthVersion, o.Secrets = 4, secrets
	case "v5":
		o.NextAuthVersion, o.Secrets = 5, secrets
	case "v5-gcm":
		o.NextAuthVersion, o.Secrets, o.LegacyGCM = 5, secrets, true
	case "hs256", "rs256":
		o.JWTSecrets = secrets
	}
	return o
}

// credentials returns the ways in which the vector may arrive: a token as auth.token and as a cookie.
func (vec vector) credentials() map[string]Credentials {
	now := time.Unix(vec.Now, 0)
	if vec.Token == nil {
		pairs := []string{"theme=dark"}
		for name, value := range vec.Cookies {
			pairs = append(pairs, name+"="+value)
		}
		return map[string]Credentials{"cookies": {CookieHeader: strings.Join(pairs, "; "), Now: now}}
	}
	return map[string]Credentials{
		"auth.token": {Token: *vec.Token, Now: now},
		"cookie":     {CookieHeader: "theme=dark; " + vec.CookieName + "=" + *vec.Token, Now: now},
	}
}

func TestNextAuthVectors(t *testing.T) {
	vectors := loadVectors(t)
	passed := 0
	for _, vec := range vectors {
		if ok := t.Run(vec.Name, func(t *testing.T) {
			v, err := New(vec.options())
			if err != nil {
				t.Fatalf("New: %v", err)
			}
			for way, c := range vec.credentials() {
				p, err := v.Authenticate(context.Background(), c)
				if got := verdictOf(t, err); got != vec.Expect {
					t.Errorf("as %s: %s (%v), want %s: %s", way, got, err, vec.Expect, vec.Why)
				}
				if vec.Expect == "accept" {
					checkPrincipal(t, p, vec)
				}
			}
		}); ok {
			passed++
		}
	}
	t.Logf("%d of %d token vectors", passed, len(vectors))
	if passed != 112 || len(vectors) != 112 {
		t.Errorf("%d of %d token vectors, want 112 of 112", passed, len(vectors))
	}
}

func verdictOf(t *testing.T, err error) string {
	t.Helper()
	if err == nil {
		return "accept"
	}
	if _, ok := err.(*Refusal); !ok {
		t.Errorf("doubt instead of a refusal: %v", err)
	}
	return "reject"
}

// checkPrincipal compares what was read with the claims that were sealed.
func checkPrincipal(t *testing.T, p Principal, vec vector) {
	t.Helper()
	var want, got map[string]any
	if err := json.Unmarshal(vec.Claims, &want); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(p.Claims, &got); err != nil {
		t.Fatal(err)
	}
	for name, value := range want {
		if fmt.Sprint(got[name]) != fmt.Sprint(value) {
			t.Errorf("claim %s is %v, want %v", name, got[name], value)
		}
	}
	user, _ := want["sub"].(string)
	if user == "" {
		user, _ = want["email"].(string)
	}
	if p.User != user || p.Name != want["name"] || p.Email != want["email"] {
		t.Errorf("principal %q %q %q of claims %v", p.User, p.Name, p.Email, want)
	}
	if p.ExpiresAt.Unix() != int64(want["exp"].(float64)) || p.IssuedAt.Unix() != int64(want["iat"].(float64)) {
		t.Errorf("times %v to %v of claims %v", p.IssuedAt, p.ExpiresAt, want)
	}
	if !strings.HasPrefix(p.Cookie, vec.CookieName) {
		t.Errorf("the cookie to ask with is %.40q, want one of %q", p.Cookie, vec.CookieName)
	}
}
