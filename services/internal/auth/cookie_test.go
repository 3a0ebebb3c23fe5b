package auth

import (
	"strings"
	"testing"
)

func TestSessionCookie(t *testing.T) {
	names := []string{"__Secure-s", "s"}
	for name, tc := range map[string]struct {
		header     string
		want       string // token
		wantHeader string // default: as the header
		reason     string
	}{
		"one cookie":                                           {header: "s=abc", want: "abc"},
		"among others":                                         {header: "a=1; s=abc; b=2", want: "abc", wantHeader: "s=abc"},
		"without spaces":                                       {header: "a=1;s=abc;b=2", want: "abc", wantHeader: "s=abc"},
		"a value with an equals sign":                          {header: "s=abc=", want: "abc="},
		"the first configured name decides":                    {header: "s=plain; __Secure-s=safe", want: "safe", wantHeader: "__Secure-s=safe"},
		"a longer name is another cookie":                      {header: "xs=1; s2=2; s.x=3; s=abc", want: "abc", wantHeader: "s=abc"},
		"chunks in any order":                                  {header: "s.1=b; s.0=a; s.2=c", want: "abc", wantHeader: "s.0=a; s.1=b; s.2=c"},
		"the same cookie twice":                                {header: "s=abc; s=abc", want: "abc", wantHeader: "s=abc"},
		"an emptied cookie beside chunks":                      {header: "s=; s.0=a", want: "a", wantHeader: "s.0=a"},
		"an emptied cookie of the first name":                  {header: "__Secure-s=; s=abc", want: "abc", wantHeader: "s=abc"},
		"no cookie":                                            {header: "", reason: reasonNoCredential},
		"other cookies":                                        {header: "theme=s; t=__Secure-s", reason: reasonNoCredential},
		"a name in another case":                               {header: "S=abc", reason: reasonNoCredential},
		"two values":                                           {header: "s=abc; s=def", reason: reasonCookieTwice},
		"two values of a chunk":                                {header: "s.0=a; s.1=b; s.0=c", reason: reasonCookieTwice},
		"whole and chunks":                                     {header: "s=abc; s.0=a", reason: reasonCookieMixed},
		"a chunk missing":                                      {header: "s.0=a; s.2=c", reason: reasonCookieGap},
		"the first chunk missing":                              {header: "s.1=b", reason: reasonCookieGap},
		"a chunk number with a zero in front":                  {header: "s.0=a; s.01=b", reason: reasonCookieChunkName},
		"a chunk number beyond all that are written":           {header: "s.0=a; s.16=b", reason: reasonCookieChunkName},
		"a chunk number that overflows":                        {header: "s.99999999999999999999=b", reason: reasonCookieChunkName},
		"a broken cookie of the first name falls back to none": {header: "__Secure-s.1=b; s=abc", reason: reasonCookieGap},
		"a header of more than 64 KiB":                         {header: "s=" + strings.Repeat("a", maxCookieHeader), reason: reasonCookieHeader},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := sessionCookie(tc.header, names)
			if tc.reason != "" {
				if r := refusal(t, err); r.Reason != tc.reason {
					t.Errorf("refused: %s, want %s", r.Reason, tc.reason)
				}
				return
			}
			wantHeader := tc.wantHeader
			if wantHeader == "" {
				wantHeader = tc.header
			}
			if err != nil || c.token != tc.want || c.header != wantHeader {
				t.Errorf("token %q header %q, %v; want %q %q", c.token, c.header, err, tc.want, wantHeader)
			}
		})
	}
}
