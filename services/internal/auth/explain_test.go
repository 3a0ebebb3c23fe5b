package auth

import (
	"strings"
	"testing"
)

func TestExplain(t *testing.T) {
	claims := []byte(`{"sub":"ana","exp":1764003600}`)
	const name, other = "next-auth.session-token", "__Secure-next-auth.session-token"
	v5 := Options{Secrets: list(fuzzSecret), JWTSecrets: list(jwtSecret), Cookies: []string{name}}
	v4 := v5
	v4.NextAuthVersion = 4
	for what, tc := range map[string]struct {
		options Options
		c       Credentials
		want    string // in one of the hints; empty: accepted
	}{
		"nothing is wrong":                {v5, Credentials{Token: seal(t, "v5", fuzzSecret, name, claims)}, ""},
		"another secret":                  {v5, Credentials{Token: seal(t, "v5", "another", name, claims)}, "sealed with another secret"},
		"another cookie name":             {v5, Credentials{CookieHeader: name + "=" + seal(t, "v5", fuzzSecret, other, claims)}, `sealed for the cookie name "` + other + `"`},
		"a cookie that is not configured": {v5, Credentials{CookieHeader: "x=1; " + other + ".0=a; " + other + ".1=b"}, `The cookie "` + other + `" looks like a session`},
		"no session cookie":               {v5, Credentials{CookieHeader: "x=1"}, "None of the cookies"},
		"no cookie at all":                {v5, Credentials{}, "host-only"},
		"version 4 where 5 is configured": {v5, Credentials{Token: seal(t, "v4", fuzzSecret, "", claims)}, "sealed as version 4"},
		"version 5 where 4 is configured": {v4, Credentials{Token: seal(t, "v5", fuzzSecret, name, claims)}, "sealed as version 5"},
		"a newline in the other secret":   {v5, Credentials{Token: seal(t, "v5", fuzzSecret+"\n", name, claims)}, "with a newline at its end"},
		"quotes in the other secret":      {v4, Credentials{Token: seal(t, "v4", `"`+fuzzSecret+`"`, "", claims)}, "with quotes around it"},
		"an end that has passed":          {v5, Credentials{Token: seal(t, "v5", fuzzSecret, name, []byte(`{"sub":"ana","exp":1763996400}`))}, "1h0m0s ago"},
		"a beginning that has not come":   {v4, Credentials{Token: seal(t, "v4", fuzzSecret, "", []byte(`{"sub":"ana","exp":1764003600,"nbf":1764000060}`))}, "in 1m0s: do the clocks agree?"},
		"nobody":                          {v4, Credentials{Token: seal(t, "v4", fuzzSecret, "", []byte(`{"exp":1764003600}`))}, "neither sub nor email"},
		"a cut token":                     {v4, Credentials{Token: "a..b.c.d"}, "was cut"},
		"signed with the NextAuth secret": {v5, Credentials{Token: seal(t, "hs256", fuzzSecret, "", claims)}, "signed with the NextAuth secret"},
		"signed with white space":         {v5, Credentials{Token: seal(t, "hs256", jwtSecret+"\n", "", claims)}, "with a newline at its end"},
		"signed with another secret":      {v5, Credentials{Token: seal(t, "hs256", "another", "", claims)}, "signed with another secret"},
		"an expired signed token":         {v5, Credentials{Token: seal(t, "hs256", jwtSecret, "", []byte(`{"sub":"ana","exp":1763996400}`))}, "1h0m0s ago"},
		"another algorithm":               {v5, Credentials{Token: "eyJhbGciOiJub25lIn0.e30.AAAA"}, `signed with "none"`},
		"a session of the database":       {v5, Credentials{Token: "0f0e8d1c"}, "set the session URL"},
	} {
		t.Run(what, func(t *testing.T) {
			tc.c.Now = t0
			e := newVerifier(t, tc.options).Explain(t.Context(), tc.c)
			hints := strings.Join(e.Hints, " ")
			if tc.want == "" {
				if e.Err != nil || hints != "" || e.Principal.User != "ana" || e.Source != "token" {
					t.Errorf("%+v", e)
				}
				return
			}
			if e.Err == nil || !strings.Contains(hints, tc.want) {
				t.Errorf("error %v, hints %q; want %q", e.Err, hints, tc.want)
			}
			for _, secret := range []string{fuzzSecret, jwtSecret} {
				if strings.Contains(hints, secret) {
					t.Errorf("a hint cites a secret: %q", hints)
				}
			}
		})
	}
}
