package authorize

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edumatrix/interlink/services/internal/permission"
	"github.com/edumatrix/interlink/services/internal/room"
)

func TestTheSharedCacheDecidesBeforeAQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(always(200, joinAndType))
		c := newCache()
		c.sets[key{"ana", "conversation:1"}] = permission.Join
		c.sets[key{"ana", "conversation:2"}] = permission.None
		a := s.with(t, Options{Cache: c})
		sets, err := a.Permissions(t.Context(), ana, []room.Room{"conversation:1", "conversation:2", "conversation:3"})
		if err != nil || sets["conversation:1"] != permission.Join || sets["conversation:2"] != permission.None || sets["conversation:3"] == permission.None {
			t.Errorf("%v, %v", sets, err)
		}
		if c.gets != 1 || s.count() != 1 {
			t.Errorf("%d reads of the cache and %d questions, want 1 and 1", c.gets, s.count())
		}
		delete(c.sets, key{"ana", "conversation:1"})
		time.Sleep(sharedTTL)
		wantPermission(t, a, ana, "conversation:1", permission.Join|permission.Type)
	})
}

func TestAFailingCacheIsAnEmptyOne(t *testing.T) {
	s := newServer(always(200, joinAndType))
	c := newCache()
	c.err = errors.New("away")
	c.sets[key{"ana", "conversation:1"}] = permission.None
	a := s.with(t, Options{Cache: c})
	for n := range 20 {
		wantPermission(t, a, ana, room.Room("conversation:"+string(rune('a'+n))), permission.Join|permission.Type)
	}
	if c.gets > failuresToOpen {
		t.Errorf("the cache was asked %d times while away", c.gets)
	}
	if err := a.Drop(t.Context(), "conversation:a", []string{"ana"}); err == nil {
		t.Error("Drop hides that the cache is away")
	}
}

func TestForgetAsksAgain(t *testing.T) {
	s := newServer(always(200, joinAndType))
	a := s.with(t, Options{})
	wantPermission(t, a, ana, "conversation:1", permission.Join|permission.Type)
	s.will(always(403, ""))
	a.Forget("conversation:1", []string{"ben"})
	a.Forget("conversation:2", nil)
	wantPermission(t, a, ana, "conversation:1", permission.Join|permission.Type)
	a.Forget("conversation:1", []string{"ana"})
	wantPermission(t, a, ana, "conversation:1", permission.None)
	s.will(always(200, joinAndType))
	a.Forget("conversation:1", nil)
	wantPermission(t, a, ana, "conversation:1", permission.Join|permission.Type)
}

func TestAnAnswerFromBeforeAChangeCountsForNobody(t *testing.T) {
	for name, users := range map[string][]string{"one user": {"ana"}, "the whole room": nil} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				member := true
				var mu sync.Mutex
				s := newServer(func(context.Context, question) (int, string, error) {
					mu.Lock()
					was := member
					mu.Unlock()
					time.Sleep(time.Second)
					if was {
						return 200, joinAndType, nil
					}
					return 403, "", nil
				})
				c := newCache()
				a := s.with(t, Options{Cache: c})
				var wg sync.WaitGroup
				for range 3 {
					wg.Go(func() { wantPermission(t, a, ana, "conversation:1", permission.None) })
				}
				time.Sleep(500 * time.Millisecond)
				mu.Lock()
				member = false
				mu.Unlock()
				a.Forget("conversation:1", users)
				wg.Wait()
				if set, _ := c.get("ana", "conversation:1"); set != permission.None {
					t.Errorf("the shared cache has %v", set.Names())
				}
				if s.count() != 2 {
					t.Errorf("asked %d times, want twice", s.count())
				}
			})
		})
	}
}

func TestAForgetDuringTheWriteDropsIt(t *testing.T) {
	s := newServer(always(200, joinAndType))
	c := newCache()
	a := s.with(t, Options{Cache: c})
	c.onWrite = func() {
		c.onWrite = nil
		a.Forget("conversation:1", []string{"ana"})
	}
	sets, err := a.Permissions(t.Context(), ana, []room.Room{"conversation:1"})
	if err != nil || sets["conversation:1"] != permission.Join|permission.Type {
		t.Errorf("%v, %v", sets, err)
	}
	if c.drops != 1 {
		t.Errorf("%d drops, want one", c.drops)
	}
}

func TestARemovedUsersGrantsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(always(403, ""))
		a := s.with(t, Options{})
		old := ana
		old.IssuedAt = time.Now()
		old.Grants = map[room.Room]permission.Set{"conversation:1": permission.All, "conversation:2": permission.All}
		time.Sleep(time.Second)
		wantPermission(t, a, old, "conversation:1", permission.All)
		a.Remove("conversation:1", []string{"ana"})
		wantPermission(t, a, old, "conversation:1", permission.None)
		wantPermission(t, a, old, "conversation:2", permission.All)
		time.Sleep(time.Second)
		fresh := old
		fresh.IssuedAt = time.Now()
		wantPermission(t, a, fresh, "conversation:1", permission.All)
	})
}

func TestARemovalOfWhichThisGatewayWasNotToldEndsGrants(t *testing.T) {
	for name, tc := range map[string]struct {
		issued    time.Duration // of the token, after the removal
		away      bool
		nobody    bool // is there to be asked
		authority int
		want      permission.Set
	}{
		"the authorizer is asked, and refuses":            {issued: -time.Minute, authority: 403},
		"the authorizer is asked, and admits":             {issued: -time.Minute, authority: 200, want: permission.Join | permission.Type},
		"with nobody to ask it is a refusal":              {issued: -time.Minute, nobody: true},
		"a token of the same moment is not newer":         {issued: 0, authority: 403},
		"a token issued since is good":                    {issued: time.Second, authority: 403, want: permission.All},
		"with the cache away the grant counts":            {issued: -time.Minute, away: true, authority: 403, want: permission.All},
		"with the cache away and nobody to ask it counts": {issued: -time.Minute, away: true, nobody: true, want: permission.All},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(always(tc.authority, joinAndType))
			c := newCache()
			removed := time.Unix(5000, 0)
			c.removed[key{"ana", "conversation:1"}] = removed
			if tc.away {
				c.err = errors.New("away")
			}
			o := Options{Cache: c}
			if tc.nobody {
				o.Templates = map[string]Template{}
			}
			a := s.with(t, o)
			p := ana
			p.IssuedAt = removed.Add(tc.issued)
			p.Grants = map[room.Room]permission.Set{"conversation:1": permission.All, "conversation:2": permission.All}
			if got := a.Known(t.Context(), p, []room.Room{"conversation:1"}); tc.want == permission.All && got["conversation:1"] != permission.All {
				t.Errorf("Known says %v", got)
			} else if tc.want != permission.All && got["conversation:1"] != permission.None {
				t.Errorf("Known says %v", got)
			}
			wantPermission(t, a, p, "conversation:1", tc.want)
			wantPermission(t, a, p, "conversation:2", permission.All)
		})
	}
}

func TestRooms(t *testing.T) {
	s := newServer(func(_ context.Context, q question) (int, string, error) {
		if !q.List || q.Room != "" || q.User != "ana" {
			t.Errorf("question %+v", q)
		}
		return 200, `{"rooms":{"conversation:2":["join","type"],"conversation:1":["join"],"conversation:3":["type"],"user:ben":["join"],"presence:x":["join"],"nonsense":["join"]}}`, nil
	})
	a := s.with(t, Options{})
	rooms, err := a.Rooms(t.Context(), ana)
	if err != nil || !slices.Equal(rooms, []room.Room{"conversation:1", "conversation:2"}) {
		t.Fatalf("Rooms = %v, %v", rooms, err)
	}
	wantPermission(t, a, ana, "conversation:2", permission.Join|permission.Type)
	if s.count() != 1 {
		t.Errorf("asked %d times: permissions of the list were not remembered", s.count())
	}
}

func TestListsThatAreNotGiven(t *testing.T) {
	for name, tc := range map[string]struct {
		status    int
		body      string
		wantErr   bool
		wantAsked int // by two calls
	}{
		"bad request":                            {400, "", false, 1},
		"not found":                              {404, "", false, 1},
		"method not allowed":                     {405, "", false, 1},
		"forbidden is an empty list":             {403, "", false, 2},
		"an answer that knows no lists":          {200, `{"join":true}`, false, 1},
		"an empty list":                          {200, `{"rooms":{}}`, false, 2},
		"unauthorized is doubt":                  {401, "", true, 2},
		"a failure is doubt":                     {500, "", true, 2},
		"a page is doubt":                        {200, "<html>", true, 2},
		"rooms in another shape are doubt":       {200, `{"rooms":["conversation:1"]}`, true, 2},
		"permissions in another shape are doubt": {200, `{"rooms":{"conversation:1":true}}`, true, 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(always(tc.status, tc.body))
				a := s.with(t, Options{})
				for range 2 {
					rooms, err := a.Rooms(t.Context(), ana)
					if len(rooms) > 0 || (err != nil) != tc.wantErr {
						t.Errorf("Rooms = %v, %v", rooms, err)
					}
				}
				if s.count() != tc.wantAsked {
					t.Errorf("asked %d times, want %d", s.count(), tc.wantAsked)
				}
				time.Sleep(noListHold)
				_, _ = a.Rooms(t.Context(), ana)
				if s.count() != tc.wantAsked+1 {
					t.Error("never asked again")
				}
			})
		})
	}
}

func TestAListFromBeforeAChangeIsNotRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(func(_ context.Context, q question) (int, string, error) {
			if !q.List {
				return 403, "", nil
			}
			time.Sleep(time.Second)
			return 200, `{"rooms":{"conversation:1":["join"],"conversation:2":["join"],"conversation:3":["join"]}}`, nil
		})
		a := s.with(t, Options{})
		var wg sync.WaitGroup
		wg.Go(func() {
			if rooms, err := a.Rooms(t.Context(), ana); len(rooms) != 3 || err != nil {
				t.Errorf("Rooms = %v, %v", rooms, err)
			}
		})
		synctest.Wait()
		a.Forget("conversation:1", []string{"ana"})
		a.Forget("conversation:3", nil)
		wg.Wait()
		wantPermission(t, a, ana, "conversation:1", permission.None)
		wantPermission(t, a, ana, "conversation:2", permission.Join)
		wantPermission(t, a, ana, "conversation:3", permission.None)
	})
}
