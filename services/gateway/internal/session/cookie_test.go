package session

import "testing"

func TestCookiesComeOutAsTheyWentIn(t *testing.T) {
	for name, tt := range map[string]struct {
		header string
		kept   int // bytes of a socket's own
	}{
		"none":                           {"", 0},
		"one":                            {"next-auth.session-token=abc", 3},
		"a token under several names":    {"a=abc.def=; __Secure-a=abc.def=; b=abc.def=", 8},
		"chunks":                         {"a.0=abc; a.1=def", 16},
		"a name without a value":         {"a=; b=", 0},
		"something that is not a header": {"nonsense", 8},
	} {
		t.Run(name, func(t *testing.T) {
			c := packCookie(tt.header)
			want := tt.header
			if tt.kept == 0 { // as good as none
				if !c.empty() {
					t.Errorf("%q is kept", c.value)
				}
				return
			}
			if got := c.header(); got != want || len(c.value) != tt.kept {
				t.Errorf("got %q and %d bytes, want %q and %d", got, len(c.value), want, tt.kept)
			}
		})
	}
}
