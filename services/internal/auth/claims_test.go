package auth

import (
	"context"
	"fmt"
	"strings"
	"testing"
)

func TestClaims(t *testing.T) {
	const ok = ""
	for name, tc := range map[string]struct {
		claims string
		reason string
		user   string
	}{
		"sub and exp":                           {`{"sub":"ana","exp":1764003600}`, ok, "ana"},
		"email without sub":                     {`{"email":"a@x.test","exp":1764003600}`, ok, "a@x.test"},
		"sub before email":                      {`{"email":"a@x.test","sub":"ana","exp":1764003600}`, ok, "ana"},
		"an empty sub":                          {`{"email":"a@x.test","sub":"","exp":1764003600}`, ok, "a@x.test"},
		"a null sub":                            {`{"email":"a@x.test","sub":null,"exp":1764003600}`, ok, "a@x.test"},
		"a fraction of a second":                {`{"sub":"ana","exp":1764003600.5,"iat":1763999999.25}`, ok, "ana"},
		"exp within the leeway":                 {`{"sub":"ana","exp":1763999986}`, ok, "ana"},
		"nbf within the leeway":                 {`{"sub":"ana","exp":1764003600,"nbf":1764000015}`, ok, "ana"},
		"the last second of the year 9999":      {`{"sub":"ana","exp":253402300799}`, ok, "ana"},
		"names in another case are other names": {`{"sub":"ana","SUB":"ben","exp":1764003600,"Exp":1}`, ok, "ana"},
		"white space around":                    {" \n{\"sub\":\"ana\",\"exp\":1764003600}\n", ok, "ana"},
		"no exp":                                {`{"sub":"ana"}`, reasonNoExpiry, ""},
		"exp in another case":                   {`{"sub":"ana","EXP":1764003600}`, reasonNoExpiry, ""},
		"exp null":                              {`{"sub":"ana","exp":null}`, reasonTime, ""},
		"exp as a text":                         {`{"sub":"ana","exp":"1764003600"}`, reasonTime, ""},
		"exp beyond the year 9999":              {`{"sub":"ana","exp":253402300800}`, reasonTime, ""},
		"exp too large for any number":          {`{"sub":"ana","exp":1e999}`, reasonTime, ""},
		"exp before the epoch":                  {`{"sub":"ana","exp":-1}`, reasonTime, ""},
		"iat as a text":                         {`{"sub":"ana","exp":1764003600,"iat":"1"}`, reasonTime, ""},
		"nbf as a list":                         {`{"sub":"ana","exp":1764003600,"nbf":[1]}`, reasonTime, ""},
		"exp at the end of the leeway":          {`{"sub":"ana","exp":1763999985}`, reasonExpired, ""},
		"nbf beyond the leeway":                 {`{"sub":"ana","exp":1764003600,"nbf":1764000016}`, reasonNotYet, ""},
		"nobody":                                {`{"exp":1764003600}`, reasonIdentity, ""},
		"sub as a number":                       {`{"sub":7,"email":"a@x.test","exp":1764003600}`, reasonIdentity, ""},
		"sub as an object":                      {`{"sub":{},"exp":1764003600}`, reasonIdentity, ""},
		"a user with a control character":       {`{"sub":"a\nb","exp":1764003600}`, reasonUser, ""},
		"a user with a terminal escape":         {`{"sub":"a\u001b[2J","exp":1764003600}`, reasonUser, ""},
		"a user too long for a room":            {`{"sub":"` + strings.Repeat("a", 252) + `","exp":1764003600}`, reasonUser, ""},
		"a list":                                {`[]`, reasonClaims, ""},
		"a text":                                {`"x"`, reasonClaims, ""},
		"null":                                  {`null`, reasonClaims, ""},
		"half an object":                        {`{"sub":"ana"`, reasonClaims, ""},
		"two objects":                           {`{"sub":"ana","exp":1764003600}{}`, reasonClaims, ""},
	} {
		t.Run(name, func(t *testing.T) {
			for _, profile := range []string{"v4", "v5", "hs256"} {
				v := newVerifier(t, vector{Profile: profile, Secrets: []string{jwtSecret}, CookieName: "s"}.options())
				p, err := v.Authenticate(context.Background(), Credentials{Token: seal(t, profile, jwtSecret, "s", []byte(tc.claims)), Now: t0})
				reason := ok
				if err != nil {
					r := refusal(t, err)
					reason = r.Reason
					if want := r.Reason == reasonExpired; want != (r.Code == TokenExpired) {
						t.Errorf("%s: code %s for %q", profile, r.Code, r.Reason)
					}
				}
				if profile == "hs256" && tc.reason == reasonClaims && reason == reasonNotReadable {
					reason = reasonClaims // golang-jwt reads the claims as well, and says it in its way
				}
				if reason != tc.reason || p.User != tc.user {
					t.Errorf("%s: user %q, reason %q; want %q, %q", profile, p.User, reason, tc.user, tc.reason)
				}
			}
		})
	}
}

func TestGrants(t *testing.T) {
	for name, tc := range map[string]struct {
		claim string
		want  string
	}{
		"rooms and permissions":            {`{"rooms":{"conversation:42":["join","type"],"post:1":["join"]}}`, "map[conversation:42:[join type] post:1:[join]]"},
		"an unknown permission is nothing": {`{"rooms":{"conversation:42":["join","admin"]}}`, "map[conversation:42:[join]]"},
		"no permission":                    {`{"rooms":{"conversation:42":[]}}`, "map[conversation:42:[]]"},
		"a name that is no room":           {`{"rooms":{"conversation":["join"],"a:b":["join"]}}`, "map[a:b:[join]]"},
		"one malformed room":               {`{"rooms":{"a:b":"join","c:d":["join"]}}`, "map[c:d:[join]]"},
		"rooms as a list":                  {`{"rooms":["a:b"]}`, "map[]"},
		"no object":                        {`"all"`, "map[]"},
		"names in another case":            {`{"Rooms":{"a:b":["join"]}}`, "map[]"},
		"null":                             {`null`, "map[]"},
	} {
		t.Run(name, func(t *testing.T) {
			cl, reason := readClaims([]byte(`{"interlink":` + tc.claim + `}`))
			if reason != "" {
				t.Fatal(reason)
			}
			got := map[string][]string{}
			for r, set := range cl.grants() {
				got[string(r)] = set.Names()
			}
			if fmt.Sprint(got) != tc.want {
				t.Errorf("%v, want %s", got, tc.want)
			}
		})
	}
}
