//go:build chaos || soak

package recovery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/edumatrix/interlink/test/client"
	"github.com/edumatrix/interlink/test/cut"
	"github.com/edumatrix/interlink/test/harness"
)

// town is people who use what is beside plain delivery while things break: inboxes, receipts, events of their own, and
// pages that join with `since`. Everybody comes back by himself.
type town struct {
	t      *testing.T
	stage  *Stage
	ctx    context.Context // ends their day
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu       sync.Mutex          // guards what follows
	queued   map[string][]string // ids by user, in the order of their publishing
	confirm  []string            // ids of records with a receipt that the brokers have
	acked    []string            // ids of client events that were acked
	pages    int                 // joins with `since` that were judged
	notWhole int                 // joins that said that their replay is incomplete, or were cut
}

// tries calls until it succeeds or the day is over, as a careful caller does.
func (w *town) tries(ctx context.Context, what string, call func(context.Context) error) bool {
	for ctx.Err() == nil {
		within, cancel := context.WithTimeout(ctx, 5*time.Second)
		err := call(within)
		cancel()
		if err == nil {
			return true
		}
		pause(ctx, 200*time.Millisecond)
	}
	w.t.Logf("%s: the day was over", what)
	return false
}

// publish gives a record to any router until one has taken it.
func (w *town) publish(ctx context.Context, n int, record map[string]any) bool {
	return w.tries(ctx, "publish", func(ctx context.Context) error {
		n++
		_, err := emitTo(ctx, w.stage.Routers[n%len(w.stage.Routers)].HTTP, record)
		return err
	})
}

// everySome calls do with 0, 1, 2 … until the day is over.
func (w *town) everySome(every time.Duration, do func(n int)) {
	w.wg.Go(func() {
		for n := 0; w.ctx.Err() == nil; n++ {
			do(n)
			pause(w.ctx, every)
		}
	})
}

// live keeps a person connected until ctx ends; a page that began anew joins the rooms again.
func (w *town) live(ctx context.Context, p *person, rooms ...string) {
	for ctx.Err() == nil {
		c, err := client.Dial(ctx, p.options())
		if err != nil {
			pause(ctx, 300*time.Millisecond)
			continue
		}
		p.mu.Lock()
		p.conn = c
		p.mu.Unlock()
		for _, room := range rooms {
			w.tries(ctx, "join", func(ctx context.Context) error {
				answer, err := c.Ask(ctx, "room:join", room)
				if c.Err() != nil || answer.OK {
					return nil // over, or in
				}
				return err
			})
		}
		select {
		case <-c.Done():
		case <-ctx.Done():
			c.Close()
		}
		c.Wait()
		p.mu.Lock()
		p.ended = append(p.ended, time.Now())
		p.mu.Unlock()
	}
}

// person makes somebody, and lives for him in the background if he is to be there all day.
func (w *town) person(name string, rooms ...string) *person {
	p := newPerson(w.t, w.stage, name, w.stage.Gateways[0].Public, w.stage.Gateways[1].Public)
	w.wg.Go(func() { w.live(w.ctx, p, rooms...) })
	return p
}

// comeAndGo has a user with an inbox come with a fresh page, stay long enough to prove what he has, and leave.
func (w *town) comeAndGo(p *person) {
	w.wg.Go(func() {
		for w.ctx.Err() == nil {
			visit, leave := context.WithTimeout(w.ctx, 6*time.Second)
			p.session.Set("", "")
			w.live(visit, p)
			leave()
			pause(w.ctx, 2*time.Second)
		}
	})
}

// queueFor queues for the users in turn.
func (w *town) queueFor(users []*person) {
	w.everySome(150*time.Millisecond, func(n int) {
		user := users[n%len(users)].user
		id := fmt.Sprintf("queued-%d", n)
		if w.publish(w.ctx, n, map[string]any{"id": id, "event": "note", "queue": true, "to": map[string]any{"users": []string{user}}, "data": n}) {
			w.mu.Lock()
			w.queued[user] = append(w.queued[user], id)
			w.mu.Unlock()
		}
	})
}

// writeTo sends records that want a receipt.
func (w *town) writeTo(sender, recipient *person) {
	w.everySome(300*time.Millisecond, func(n int) {
		id := fmt.Sprintf("confirm-%d", n)
		if w.publish(w.ctx, n, map[string]any{
			"id": id, "event": "message:new", "from": sender.user, "receipt": true, "to": map[string]any{"users": []string{recipient.user}}, "data": n,
		}) {
			w.mu.Lock()
			w.confirm = append(w.confirm, id)
			w.mu.Unlock()
		}
	})
}

// react sends events from a browser, each again with the same id until it is acked.
func (w *town) react(p *person, room string) {
	w.everySome(200*time.Millisecond, func(n int) {
		id := fmt.Sprintf("reaction-%d", n)
		if w.tries(w.ctx, "react", func(ctx context.Context) error {
			c := p.current()
			if c == nil {
				return client.ErrClosed
			}
			answer, err := c.Ask(ctx, "reaction:add", map[string]any{"id": id, "room": room, "data": n})
			if err == nil && !answer.OK {
				err = errors.New(answer.Error.Code)
			}
			return err
		}) {
			w.mu.Lock()
			w.acked = append(w.acked, id)
			w.mu.Unlock()
		}
	})
}

// render publishes to a room without a pause, and has page after page that was rendered two seconds ago join it with
// `since`: what a page hears must have no hole from its rendering on.
func (w *town) render(room string) {
	var mu sync.Mutex
	published := map[int]time.Time{} // when its publishing began
	w.everySome(40*time.Millisecond, func(n int) {
		mu.Lock()
		published[n] = time.Now()
		mu.Unlock()
		w.publish(w.ctx, n, map[string]any{"id": fmt.Sprintf("page-%d", n), "event": "message:new", "to": map[string]any{"rooms": []string{room}}, "data": n})
	})
	w.everySome(700*time.Millisecond, func(page int) {
		rendered := time.Now().Add(-2 * time.Second)
		p := newPerson(w.t, w.stage, fmt.Sprint("page-", page), w.stage.Gateways[page%2].Public)
		heard, whole := w.open(p, room, rendered)
		w.mu.Lock()
		defer w.mu.Unlock()
		if !whole || len(heard) == 0 {
			w.notWhole++
			return
		}
		w.pages++
		mu.Lock()
		first, before := published[heard[0]], published[heard[0]-1]
		mu.Unlock()
		// The room's history holds what was published before the rendering; the rest must come.
		if !before.IsZero() && before.After(rendered.Add(100*time.Millisecond)) {
			w.t.Errorf("page %d, rendered at %v, hears from %d on, of %v: the one before is of %v", page, rendered, heard[0], first, before)
		}
		for i := 1; i < len(heard); i++ {
			if heard[i] != heard[i-1]+1 {
				w.t.Errorf("page %d heard %d after %d", page, heard[i], heard[i-1])
			}
		}
	})
}

// open is a page that joins and listens for a second. whole is false if it was told that something is missing, or cut.
func (w *town) open(p *person, room string, rendered time.Time) (heard []int, whole bool) {
	ctx, cancel := context.WithTimeout(w.ctx, 10*time.Second)
	defer cancel()
	c, err := client.Dial(ctx, p.options())
	if err != nil {
		return nil, false
	}
	defer c.Wait()
	defer c.Close()
	got, err := c.Call(ctx, "room:join", map[string]any{"room": room, "since": rendered.UnixMilli()})
	var answer struct {
		OK       bool
		Replayed *int
	}
	if err != nil || json.Unmarshal(got[0], &answer) != nil || !answer.OK || answer.Replayed == nil {
		return nil, false
	}
	pause(ctx, time.Second)
	for _, e := range p.events("message:new") {
		var n int
		if json.Unmarshal(e.data, &n) != nil {
			continue
		}
		heard = append(heard, n)
	}
	return heard, c.Err() == nil && ctx.Err() == nil
}

// TestPeopleUnderFaults has inboxes, receipts, events of browsers and joins with `since` go on while gateways, routers
// and presence are killed, frozen and cut off. What the store holds is not taken away here: an inbox is kept nowhere else.
func TestPeopleUnderFaults(t *testing.T) {
	t.Parallel()
	authorizer := harness.NewAuthorizer()
	defer authorizer.Close()
	s := NewStage(t, harness.Config{
		Name: "recovery-people", Gateways: 2, Routers: 3, Presence: 2, AuthorizeURL: authorizer.URL(),
		Env: []string{"INTERLINK_CLIENT_EVENTS=reaction:add"},
	}, resumeWindow)
	const room = harness.OpenRooms + "town"
	w := &town{t: t, stage: s, queued: map[string][]string{}}
	w.ctx, w.cancel = context.WithCancel(t.Context())
	defer w.wg.Wait()
	defer w.cancel()
	var users []*person
	for i := range 8 {
		p := newPerson(t, s, fmt.Sprint("queued-for-", i), s.Gateways[i%2].Public, s.Gateways[(i+1)%2].Public)
		users = append(users, p)
		w.comeAndGo(p)
	}
	sender, recipient, browser := w.person("sender"), w.person("recipient"), w.person("browser", room)
	pause(t.Context(), time.Second)
	w.queueFor(users)
	w.writeTo(sender, recipient)
	w.react(browser, room)
	w.render(harness.OpenRooms + "rendered")
	for i, f := range w.faults() {
		pause(t.Context(), 3*time.Second)
		mend, err := f.Begin(s, i)
		if err != nil {
			t.Fatalf("%s: %v", f.Name, err)
		}
		pause(t.Context(), f.Holds)
		if err := mend(); err != nil {
			t.Fatalf("%s: %v", f.Name, err)
		}
		if err := s.WaitReady(t.Context()); err != nil {
			t.Fatalf("%s: %v", f.Name, err)
		}
	}
	pause(t.Context(), 3*time.Second)
	w.cancel()
	w.wg.Wait()
	w.judge(users, sender, recipient)
}

func (w *town) faults() []Fault {
	return []Fault{
		{Name: "gateway killed", Holds: 3 * time.Second, Begin: killGateway},
		{Name: "router killed", Holds: 4 * time.Second, Begin: killRouter},
		{Name: "presence killed", Holds: 4 * time.Second, Begin: func(s *Stage, n int) (func() error, error) {
			p := s.Presence[n%len(s.Presence)]
			return p.Restart, p.Kill()
		}},
		{Name: "clients cut", Begin: func(s *Stage, _ int) (func() error, error) {
			for _, p := range s.paths() {
				p.Reset(nil)
			}
			return nothingToMend, nil
		}},
		{Name: "gateway frozen", Holds: 6 * time.Second, Begin: freezeGateway},
		{Name: "one-way cut", Holds: 6 * time.Second, Begin: func(s *Stage, _ int) (func() error, error) {
			var mend []func()
			for _, p := range s.paths() {
				mend = append(mend, p.Hold(cut.ToServer, nil))
			}
			return func() error {
				for _, release := range mend {
					release()
				}
				return nil
			}, nil
		}},
		{Name: "routers one by one", Begin: func(s *Stage, _ int) (func() error, error) {
			for _, r := range s.Routers {
				if err := errors.Join(r.Terminate(30*time.Second), r.Restart(), s.WaitReady(s.ctx)); err != nil {
					return nil, err
				}
			}
			return nothingToMend, nil
		}},
	}
}
