//go:build chaos

package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edumatrix/interlink/test/client"
	"github.com/edumatrix/interlink/test/harness"
)

// listener is a connection that keeps what it heard.
type listener struct {
	*client.Client
	mu     sync.Mutex // guards events
	events []client.Event
}

func listen(ctx context.Context, url, user string, rooms ...string) (*listener, error) {
	l := &listener{}
	c, err := client.Dial(ctx, client.Options{URL: url, Auth: map[string]any{"token": harness.Token(user)}, Handle: func(e client.Event) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.events = append(l.events, e)
	}})
	if err != nil {
		return nil, err
	}
	l.Client = c
	for _, room := range rooms {
		if answer, err := c.Ask(ctx, "room:join", room); err != nil || !answer.OK {
			c.Close()
			return nil, fmt.Errorf("join %s: %w %v", room, err, answer)
		}
	}
	return l, nil
}

// heard tells whether an event of that name, about that user, arrived.
func (l *listener) heard(name, user string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.events {
		if e.Name == name && len(e.Args) > 0 && strings.Contains(string(e.Args[0]), `"`+user+`"`) {
			return true
		}
	}
	return false
}

// peopleAreBack waits until typing and presence work between two gateways, 60 s at most.
func peopleAreBack(t *testing.T, s *harness.System) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	const room = harness.OpenRooms + "people"
	begun := time.Now()
	watcher, err := listen(ctx, "http://"+s.Gateways[0].Public, "watcher", room)
	if err != nil {
		t.Fatal(err)
	}
	defer watcher.Close()
	try := 0
	err = harness.Eventually(ctx, func(ctx context.Context) error {
		try++
		user := fmt.Sprint("person-", try)
		if answer, err := watcher.Ask(ctx, "presence:subscribe", map[string]any{"users": []string{user}}); err != nil || !answer.OK {
			return fmt.Errorf("subscribe: %w %v", err, answer)
		}
		person, err := listen(ctx, "http://"+s.Gateways[1].Public, user, room)
		if err != nil {
			return err
		}
		defer person.Close()
		if answer, err := person.Ask(ctx, "typing:start", map[string]string{"room": room}); err != nil || !answer.OK {
			return fmt.Errorf("typing: %w %v", err, answer)
		}
		short, cancel := context.WithTimeout(ctx, 3*time.Second)
		defer cancel()
		return harness.Eventually(short, func(context.Context) error {
			if !watcher.heard("typing:start", user) || !watcher.heard("user:online", user) {
				return errors.New("typing or presence is not heard")
			}
			return nil
		})
	})
	if err != nil {
		t.Errorf("typing and presence do not come back: %v", err)
		return
	}
	t.Logf("typing and presence work %v after the load, at try %d", time.Since(begun).Round(time.Millisecond), try)
}

func emit(ctx context.Context, s *harness.System, record map[string]any) error {
	body, err := json.Marshal(record)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.Routers[0].HTTP+"/v1/emit", strings.NewReader(string(body)))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+harness.APIKey)
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusAccepted {
		said, _ := io.ReadAll(io.LimitReader(res.Body, 300))
		return fmt.Errorf("emit: status %d %s", res.StatusCode, said)
	}
	return nil
}

// Show 8 of the main job: who is removed hears nothing later than a second, under load, on every gateway.
func TestRemovedMembersHearNothingMore(t *testing.T) {
	authorizer := harness.NewAuthorizer()
	defer authorizer.Close()
	s := harness.Run(t, harness.Config{Name: "chaos-members", Gateways: 2, Routers: 2, Presence: 1, AuthorizeURL: authorizer.URL()})
	run := start(t, s, "members")
	background := make(chan error, 1)
	go func() {
		_, err := run.Publish(t.Context(), 45*time.Second)
		background <- err
	}()
	t.Run("an eviction takes effect within a second", func(t *testing.T) { evictions(t, s, authorizer) })
	t.Run("with the authorizer away nobody is refused for good", func(t *testing.T) { authorizerAway(t, s, authorizer) })
	if err := <-background; err != nil {
		t.Error(err)
	}
	if v, err := run.Settle(t.Context()); err != nil || !v.OK() {
		t.Errorf("the load beside it: %v %v", v.Report, err)
	}
}

func evictions(t *testing.T, s *harness.System, authorizer *harness.Authorizer) {
	ctx := t.Context()
	const room, others = "conversation:members", 10
	var members []*listener
	for i := range others {
		user := fmt.Sprint("member-", i)
		authorizer.Admit(room, user)
		m, err := listen(ctx, "http://"+s.Gateways[i%2].Public, user, room)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		members = append(members, m)
	}
	stop := every(20*time.Millisecond, func(ctx context.Context) {
		if err := emit(ctx, s, map[string]any{"event": "beat", "to": map[string]any{"rooms": []string{room}}, "data": map[string]int64{"t": time.Now().UnixMilli()}}); err != nil && ctx.Err() == nil {
			t.Error(err)
		}
	})
	wait(ctx, 2*time.Second)
	removed := time.Now()
	for i := range others / 2 {
		authorizer.Remove(room, fmt.Sprint("member-", i))
	}
	remove := []string{"member-0", "member-1", "member-2", "member-3", "member-4"}
	if err := emit(ctx, s, map[string]any{"control": "membership.changed", "room": room, "remove": remove}); err != nil {
		t.Fatal(err)
	}
	wait(ctx, 4*time.Second)
	stop()
	latest := func(l *listener) (last int64) {
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, e := range l.events {
			var data struct{ T int64 }
			if e.Name == "beat" && json.Unmarshal(e.Args[0], &data) == nil {
				last = max(last, data.T)
			}
		}
		return last - removed.UnixMilli()
	}
	for i, m := range members {
		switch last := latest(m); {
		case i < others/2 && last > 1000:
			t.Errorf("member-%d heard what was published %d ms after it was removed", i, last)
		case i >= others/2 && last < 2000:
			t.Errorf("member-%d, who stays, heard nothing after %d ms", i, last)
		case i < others/2:
			t.Logf("member-%d heard nothing that was published later than %d ms after", i, last)
			if answer, err := m.Ask(ctx, "room:join", room); err != nil || answer.Error.Code != "forbidden" {
				t.Errorf("member-%d asks to come back: %v %v, want forbidden", i, answer, err)
			}
		}
	}
}

func authorizerAway(t *testing.T, s *harness.System, authorizer *harness.Authorizer) {
	const people, away = 40, 20 * time.Second
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	authorizer.SetAway(true)
	var wg sync.WaitGroup
	var in, doubts atomic.Int64
	for i := range people {
		wg.Go(func() {
			room := fmt.Sprintf("conversation:away-%d", i%8)
			user := fmt.Sprint("away-", i)
			authorizer.Admit(room, user)
			l, err := listen(ctx, "http://"+s.Gateways[i%2].Public, user)
			if err != nil {
				t.Errorf("%s: %v", user, err)
				return
			}
			defer l.Close()
			for ctx.Err() == nil {
				answer, err := l.Ask(ctx, "room:join", room)
				switch {
				case err != nil:
					t.Errorf("%s: %v", user, err)
					return
				case answer.OK:
					in.Add(1)
					return
				case answer.Error.Code != "unavailable":
					t.Errorf("%s is refused: %s", user, answer.Error.Code)
					return
				}
				doubts.Add(1)
				wait(ctx, time.Second)
			}
		})
	}
	wait(ctx, away)
	early := in.Load()
	authorizer.SetAway(false)
	back := time.Now()
	wg.Wait()
	t.Logf("%d in while it was away, %d in %v after it was back; %d times unavailable", early, in.Load(), time.Since(back).Round(time.Millisecond), doubts.Load())
	if early > 0 {
		t.Errorf("%d were admitted by nobody", early)
	}
	if in.Load() != people {
		t.Errorf("%d of %d are in", in.Load(), people)
	}
}
