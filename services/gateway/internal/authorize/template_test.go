package authorize

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edumatrix/interlink/services/internal/auth"
	"github.com/edumatrix/interlink/services/internal/permission"
	"github.com/edumatrix/interlink/services/internal/room"
)

func TestTemplateAddress(t *testing.T) {
	for name, tc := range map[string]struct {
		template string
		user     string
		room     room.Room
		want     string // the request's target; empty: not asked, refused
	}{
		"an id in the path":            {"/api/messages/conversations/{id}/participants", "u1", "conversation:c1", "/api/messages/conversations/c1/participants"},
		"a user in the query":          {"/m?user={user}&room={id}", "a+b@x.test", "conversation:c1", "/m?user=a%2Bb%40x.test&room=c1"},
		"an id with a colon":           {"/c/{id}", "u1", "conversation:a:b", "/c/a:b"},
		"an id with a space and an ü":  {"/c/{id}", "u1", "conversation:a ü", "/c/a%20%C3%BC"},
		"an ampersand in the query":    {"/c?id={id}", "u1", "conversation:a&admin=1", "/c?id=a%26admin%3D1"},
		"a slash":                      {"/c/{id}/p", "u1", "conversation:c1/../../admin", ""},
		"a slash, escaped":             {"/c/{id}/p", "u1", "conversation:c1%2F..", ""},
		"a backslash":                  {"/c/{id}/p", "u1", `conversation:..\x`, ""},
		"one dot":                      {"/c/{id}/p", "u1", "conversation:.", ""},
		"two dots":                     {"/c/{id}/p", "u1", "conversation:..", ""},
		"a query":                      {"/c/{id}/p", "u1", "conversation:c1?x", ""},
		"a fragment":                   {"/c/{id}/p", "u1", "conversation:c1#x", ""},
		"a path parameter":             {"/c/{id}/p", "u1", "conversation:..;x", ""},
		"a user that leads elsewhere":  {"/u/{user}/c/{id}", "../admin", "conversation:c1", ""},
		"a placeholder in the room":    {"/c/{id}/{user}", "u1", "conversation:{user}", "/c/%7Buser%7D/u1"},
		"a room of a type without one": {"/c/{id}", "u1", "post:1", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var got *http.Request
			srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r }))
			defer srv.Close()
			a, err := New(Options{Templates: map[string]Template{"conversation": {URL: srv.URL + tc.template}}})
			if err != nil {
				t.Fatal(err)
			}
			p := auth.Principal{User: tc.user, Cookie: "__Secure-next-auth.session-token=abc", Claims: []byte(`{"x":1}`)}
			want := permission.All
			if tc.want == "" {
				want = permission.None
			}
			wantPermission(t, a, p, tc.room, want)
			switch {
			case got == nil && tc.want != "":
				t.Error("not asked")
			case got != nil && got.RequestURI != tc.want:
				t.Errorf("asked %s, want %q", got.RequestURI, tc.want)
			case got != nil && (got.Method != "GET" || got.Header.Get("Cookie") != p.Cookie || got.Header.Get("Authorization") != ""):
				t.Errorf("%s %v", got.Method, got.Header)
			}
		})
	}
}

func TestACookieThatIsRefusedSpeaksForItselfOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(nil)
		s.will(func(context.Context, question) (int, string, error) {
			s.mu.Lock()
			cookie := s.last.Header.Get("Cookie")
			s.mu.Unlock()
			time.Sleep(time.Second)
			if cookie == "session=stale" {
				return 401, "", nil
			}
			return 200, "", nil
		})
		c := newCache()
		a := s.with(t, Options{Cache: c, Templates: map[string]Template{"conversation": {URL: "http://next.test/{id}"}}})
		stale, good, none := ana, ana, ana
		stale.Cookie, good.Cookie, none.Cookie = "session=stale", "session=good", ""
		var wg sync.WaitGroup
		wg.Go(func() { wantPermission(t, a, stale, "conversation:1", permission.None) })
		synctest.Wait()
		wg.Go(func() { wantPermission(t, a, good, "conversation:1", permission.All) })
		wg.Wait()
		if _, known := c.get("ana", "conversation:1"); !known {
			t.Error("the answer for the good cookie was not remembered")
		}
		wantPermission(t, a, none, "conversation:2", permission.None)
		wantPermission(t, a, good, "conversation:2", permission.All)
	})
}
