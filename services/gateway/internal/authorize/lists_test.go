package authorize

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edumatrix/interlink/services/internal/permission"
	"github.com/edumatrix/interlink/services/internal/room"
)

// readRooms reads `room room more`.
func readRooms(_ context.Context, body []byte) (rooms []string, more bool, err error) {
	rooms = strings.Fields(string(body))
	if len(rooms) > 0 && rooms[len(rooms)-1] == "more" {
		return rooms[:len(rooms)-1], true, nil
	}
	return rooms, false, nil
}

// routes answers by path and query.
func routes(s *server, answers map[string]string) func(context.Context, question) (int, string, error) {
	return func(context.Context, question) (int, string, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		body, ok := answers[s.last.URL.RequestURI()]
		if !ok {
			return 404, "", nil
		}
		return 200, body, nil
	}
}

func listing(s *server, t *testing.T, o Options) *Authorizer {
	t.Helper()
	o.Lists = []List{{URL: "http://next.test/mine?page={page}", Read: readRooms}}
	o.Templates = map[string]Template{"conversation": {URL: "http://next.test/c/{id}"}}
	return s.with(t, o)
}

func TestRoomsAreListedPageByPageInTheOrderOfTheApplication(t *testing.T) {
	s := newServer(nil)
	s.will(routes(s, map[string]string{"/mine?page=1": "conversation:9 conversation:1 user:bob more", "/mine?page=2": "conversation:5 nonsense conversation:9"}))
	a := listing(s, t, Options{})
	rooms, err := a.Rooms(t.Context(), ana)
	if err != nil || !slices.Equal(rooms, []room.Room{"conversation:9", "conversation:1", "conversation:5"}) {
		t.Fatalf("got %v, %v", rooms, err)
	}
	asked := s.count()
	wantPermission(t, a, ana, "conversation:5", permission.All) // the list has said so
	if s.count() != asked {
		t.Error("what was listed was asked about again")
	}
	none := ana
	none.Cookie = ""
	if rooms, err := a.Rooms(t.Context(), none); len(rooms) != 0 || err != nil {
		t.Errorf("without a cookie: %v, %v", rooms, err)
	}
}

func TestARoomThatTheUserWasRemovedFromIsAskedAboutThoughItIsListed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(nil)
		s.will(routes(s, map[string]string{"/mine?page=1": "conversation:1 conversation:2", "/c/2": "{}"}))
		a := listing(s, t, Options{})
		a.Remove("conversation:1", []string{ana.User})
		time.Sleep(time.Second)
		if _, err := a.Rooms(t.Context(), ana); err != nil {
			t.Fatal(err)
		}
		wantPermission(t, a, ana, "conversation:1", permission.None) // the application lists it from a cache of its own
		wantPermission(t, a, ana, "conversation:2", permission.All)
	})
}

func TestAListThatCannotBeAskedForIsDoubt(t *testing.T) {
	s := newServer(away)
	a := listing(s, t, Options{})
	if rooms, err := a.Rooms(t.Context(), ana); err == nil {
		t.Errorf("got %v", rooms)
	}
	s.will(always(401, ""))
	if rooms, err := listing(s, t, Options{}).Rooms(t.Context(), ana); err != nil || len(rooms) != 0 {
		t.Errorf("a session that the application does not know: %v, %v", rooms, err)
	}
	s.will(always(500, ""))
	if _, err := listing(s, t, Options{}).Rooms(t.Context(), ana); err == nil {
		t.Error("a failure of the application is a list")
	}
}

func TestTheBodyOfAnAnswerMayDecide(t *testing.T) {
	s := newServer(nil)
	s.will(routes(s, map[string]string{"/g/1": `{"isJoined":true}`, "/g/2": `{"isJoined":false}`, "/g/3": `nonsense`}))
	joined := func(_ context.Context, body []byte) (bool, error) {
		var answer struct{ IsJoined bool }
		err := json.Unmarshal(body, &answer)
		return answer.IsJoined, err
	}
	a := s.with(t, Options{Templates: map[string]Template{"group": {URL: "http://next.test/g/{id}", Admits: joined}}, Open: []string{"post"}})
	wantPermission(t, a, ana, "group:1", permission.All)
	wantPermission(t, a, ana, "group:2", permission.None)
	wantDoubt(t, a, ana, "group:3")
	wantPermission(t, a, ana, "post:1:comments", permission.All)
	wantPermission(t, a, ana, "other:1", permission.None)
}

func TestOpenTypesAreAskedAboutWhereThereIsAnAuthorizer(t *testing.T) {
	s := newServer(always(403, ""))
	a := s.with(t, Options{URL: "http://next.test/api/rooms", Open: []string{"post"}})
	wantPermission(t, a, ana, "post:1", permission.None)
}

func TestBadLists(t *testing.T) {
	for _, l := range []List{{URL: "/mine", Read: readRooms}, {URL: "http://next.test/{user}", Read: readRooms}, {URL: "http://next.test/"}} {
		if _, err := New(Options{Lists: []List{l}}); err == nil {
			t.Errorf("%+v is taken", l)
		}
	}
}
