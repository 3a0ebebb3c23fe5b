package authorize

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edumatrix/interlink/services/internal/auth"
	"github.com/edumatrix/interlink/services/internal/permission"
	"github.com/edumatrix/interlink/services/internal/room"
)

func TestOrderOfTheDecision(t *testing.T) {
	granted := ana
	granted.Grants = map[room.Room]permission.Set{
		"conversation:1": permission.Join, "user:ben": permission.All, "presence:ben": permission.All, "conversation:2": permission.None,
	}
	for name, tc := range map[string]struct {
		principal auth.Principal
		room      room.Room
		allowAll  bool
		want      permission.Set
		wantAsked int
	}{
		"the own room is the user's":                          {ana, "user:ana", false, permission.All, 0},
		"another's own room is refused without a question":    {ana, "user:ben", false, permission.None, 0},
		"another's own room is refused though granted":        {granted, "user:ben", false, permission.None, 0},
		"another's own room is refused in development":        {ana, "user:ben", true, permission.None, 0},
		"presence rooms are refused though granted":           {granted, "presence:ben", false, permission.None, 0},
		"presence rooms are refused in development":           {ana, "presence:ana", true, permission.None, 0},
		"a grant decides without a question":                  {granted, "conversation:1", false, permission.Join, 0},
		"a grant of nothing decides too":                      {granted, "conversation:2", false, permission.None, 0},
		"without a grant the authorizer is asked":             {granted, "conversation:3", false, permission.Join | permission.Type, 1},
		"development admits to every other room":              {ana, "conversation:3", true, permission.All, 0},
		"a principal without a user is in no room, not even":  {auth.Principal{}, "user:", true, permission.None, 0},
		"a principal without a user is nowhere in production": {auth.Principal{}, "conversation:3", false, permission.None, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(always(200, joinAndType))
			a := s.with(t, Options{AllowAll: tc.allowAll})
			wantPermission(t, a, tc.principal, tc.room, tc.want)
			if s.count() != tc.wantAsked {
				t.Errorf("asked %d times, want %d", s.count(), tc.wantAsked)
			}
		})
	}
}

func TestNobodyToAskIsNo(t *testing.T) {
	c := newCache()
	c.sets[key{"ana", "conversation:1"}] = permission.All
	a, err := New(Options{Cache: c})
	if err != nil {
		t.Fatal(err)
	}
	wantPermission(t, a, ana, "conversation:1", permission.None)
	wantPermission(t, a, ana, "user:ana", permission.All)
	if rooms, err := a.Rooms(t.Context(), ana); rooms != nil || err != nil {
		t.Errorf("Rooms = %v, %v", rooms, err)
	}
}

func TestOneQuestionForAllWhoWantToKnow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(func(context.Context, question) (int, string, error) {
			time.Sleep(time.Second)
			return 200, joinAndType, nil
		})
		a := s.with(t, Options{})
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() { wantPermission(t, a, ana, "conversation:1", permission.Join|permission.Type) })
		}
		wg.Wait()
		if s.count() != 1 {
			t.Errorf("asked %d times, want once", s.count())
		}
	})
}

func TestALeaderWhoLeavesTakesNobodyAlong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(func(context.Context, question) (int, string, error) {
			time.Sleep(time.Second)
			return 200, joinAndType, nil
		})
		a := s.with(t, Options{MaxAsks: 1})
		go func() { // holds the only slot
			_, _ = a.Permissions(t.Context(), auth.Principal{User: "ben"}, []room.Room{"conversation:9"})
		}()
		synctest.Wait()
		ctx, leave := context.WithCancel(t.Context())
		left := make(chan error, 1)
		go func() {
			_, err := a.Permissions(ctx, ana, []room.Room{"conversation:1"})
			left <- err
		}()
		synctest.Wait()
		var wg sync.WaitGroup
		wg.Go(func() { wantPermission(t, a, ana, "conversation:1", permission.Join|permission.Type) })
		synctest.Wait()
		leave()
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Errorf("the leader's error is %v", err)
		}
		wg.Wait()
	})
}

func TestHowLongAnswersHold(t *testing.T) {
	for name, tc := range map[string]struct {
		status int
		body   string
		want   permission.Set
		holds  time.Duration
	}{
		"an answer that admits, a minute":          {200, `{"join":true}`, permission.Join, time.Minute},
		"a refusal by status, ten seconds":         {404, "", permission.None, 10 * time.Second},
		"a refusal by body, ten seconds":           {200, `{"join":false,"presence":true}`, permission.Presence, 10 * time.Second},
		"its own time":                             {200, `{"join":true,"ttlSeconds":5}`, permission.Join, 5 * time.Second},
		"its own time, at most an hour":            {200, `{"join":true,"ttlSeconds":1e12}`, permission.Join, time.Hour},
		"a refusal's own time":                     {200, `{"join":false,"ttlSeconds":300}`, permission.None, 5 * time.Minute},
		"not at all with a time of nought":         {200, `{"join":true,"ttlSeconds":0}`, permission.Join, 0},
		"not at all with a time of less than that": {200, `{"join":true,"ttlSeconds":-1}`, permission.Join, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(always(tc.status, tc.body))
				c := newCache()
				a := s.with(t, Options{Cache: c})
				wantPermission(t, a, ana, "conversation:1", tc.want)
				if ttl := c.ttls[key{"ana", "conversation:1"}]; ttl != tc.holds {
					t.Errorf("written to the shared cache for %v, want %v", ttl, tc.holds)
				}
				c.sets = map[key]permission.Set{}
				if tc.holds > 0 {
					time.Sleep(tc.holds - time.Nanosecond)
					wantPermission(t, a, ana, "conversation:1", tc.want)
					if s.count() != 1 {
						t.Errorf("asked again before %v", tc.holds)
					}
					time.Sleep(time.Nanosecond)
				}
				wantPermission(t, a, ana, "conversation:1", tc.want)
				if s.count() != 2 {
					t.Errorf("asked %d times after %v, want twice", s.count(), tc.holds)
				}
			})
		})
	}
}

func TestAnAuthorizerThatIsAwayRefusesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(away)
		a := s.with(t, Options{})
		back := time.Now().Add(20 * time.Second)
		const users = 50
		var wg sync.WaitGroup
		for n := range users {
			wg.Go(func() {
				p := auth.Principal{User: fmt.Sprint("u", n)}
				for {
					set, err := permissionOf(t, a, p, "conversation:1")
					if err == nil {
						if set != permission.Join|permission.Type || time.Now().Before(back) {
							t.Errorf("%s got %v after %v", p.User, set.Names(), time.Until(back))
						}
						if late := time.Since(back); late > longestPause+time.Second {
							t.Errorf("%s was let in %v late", p.User, late)
						}
						return
					}
					var doubt *DoubtError
					if !errors.As(err, &doubt) {
						t.Errorf("%s: %v", p.User, err)
					}
					time.Sleep(200 * time.Millisecond)
				}
			})
		}
		time.Sleep(time.Until(back))
		if n := s.count(); n > users+20 {
			t.Errorf("asked %d times in 20 s, want the breaker to hold back", n)
		}
		s.will(always(200, joinAndType))
		wg.Wait()
	})
}

func TestAHangingAuthorizerHoldsNobodyForever(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(func(ctx context.Context, _ question) (int, string, error) {
			<-ctx.Done()
			return 0, "", ctx.Err()
		})
		a := s.with(t, Options{})
		start := time.Now()
		wantDoubt(t, a, ana, "conversation:1")
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("doubt after %v, want 3 s", took)
		}
	})
}

func TestOneRoomThatFailsKeepsNobodyFromAsking(t *testing.T) {
	s := newServer(func(_ context.Context, q question) (int, string, error) {
		if q.Room == "conversation:broken" {
			return 500, "", nil
		}
		return 200, joinAndType, nil
	})
	a := s.with(t, Options{})
	for range 3 * failuresToOpen {
		wantDoubt(t, a, ana, "conversation:broken")
	}
	wantPermission(t, a, ana, "conversation:1", permission.Join|permission.Type)
}

func TestOneUserDoesNotTakeAllSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(func(ctx context.Context, q question) (int, string, error) {
			if q.User == "ana" {
				time.Sleep(2 * time.Second)
			}
			return 200, joinAndType, nil
		})
		a := s.with(t, Options{MaxAsks: 20})
		var wg sync.WaitGroup
		for n := range 40 {
			wg.Go(func() {
				_, _ = a.Permissions(t.Context(), ana, []room.Room{room.Room(fmt.Sprint("conversation:a", n)), room.Room(fmt.Sprint("conversation:b", n))})
			})
		}
		synctest.Wait()
		start := time.Now()
		wantPermission(t, a, auth.Principal{User: "ben"}, "conversation:1", permission.Join|permission.Type)
		if took := time.Since(start); took > 0 {
			t.Errorf("another user waited %v", took)
		}
		wg.Wait()
	})
}

func TestManyRoomsAreAskedAFewAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(func(context.Context, question) (int, string, error) {
			time.Sleep(100 * time.Millisecond)
			return 200, joinAndType, nil
		})
		a := s.with(t, Options{})
		var rooms []room.Room
		for n := range 80 {
			rooms = append(rooms, room.Room(fmt.Sprint("conversation:", n%40))) // each twice
		}
		start := time.Now()
		sets, err := a.Permissions(t.Context(), ana, rooms)
		if err != nil || len(sets) != 40 || s.count() != 40 {
			t.Errorf("%d rooms, %d questions, %v", len(sets), s.count(), err)
		}
		if took := time.Since(start); took != 500*time.Millisecond {
			t.Errorf("took %v, want five rounds of eight", took)
		}
		if len(a.flights) != 0 || len(a.users) != 0 || a.underway != 0 {
			t.Errorf("left behind: %d flights, %d users, %d under way", len(a.flights), len(a.users), a.underway)
		}
	})
}

func TestNewNamesAllThatIsWrong(t *testing.T) {
	_, err := New(Options{URL: "next.test/x", Templates: map[string]Template{
		"a": {URL: "http://{id}.test/x"}, "b": {URL: "http://next.test/{nobody}"}, "c": {URL: "ftp://next.test/"},
		"d": {Method: "DELETE", URL: "http://next.test/{id}"}, "e": {URL: "http://next.test"}, "f": {URL: "http://u:p@next.test/{id}"},
	}})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"authorizer URL", `"a"`, `"b"`, `"c"`, `"d"`, `"e"`, `"f"`} {
		if !containsText(err, want) {
			t.Errorf("the error does not name %s: %v", want, err)
		}
	}
	if _, err := New(Options{URL: "http://next.test/x"}); err == nil {
		t.Error("a URL without a key to ask with is taken")
	}
}
