//go:build chaos || soak

package recovery

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/edumatrix/interlink/test/client"
	"github.com/edumatrix/interlink/test/harness"
)

const undeliveredAfter = 8 * time.Second

// TestShows are the cases that a suite at random does not single out: one person each, all at once.
func TestShows(t *testing.T) {
	t.Parallel()
	authorizer := harness.NewAuthorizer()
	defer authorizer.Close()
	s := NewStage(t, harness.Config{
		Name: "recovery-shows", Gateways: 2, Routers: 1, Presence: 1, AuthorizeURL: authorizer.URL(),
		Env: []string{"INTERLINK_UNDELIVERED_AFTER=" + undeliveredAfter.String(), "INTERLINK_CLIENT_EVENTS=reaction:add"},
	}, resumeWindow)
	all := []string{s.Gateways[0].Public, s.Gateways[1].Public}
	cases := map[string]func(*testing.T, *Stage, []string){
		"a client that received nothing but session:ready resumes":            nothingReceived,
		"a client that was cut before session:ready resumes":                  cutBeforeReady,
		"a second resume without traffic replays nothing twice":               resumedTwice,
		"a resume before the old connection's end is noticed":                 resumedEarly,
		"a client in a silent room recovers after more than the window":       silentRoom,
		"a room joined before the cut is in the replay":                       roomsComeBack,
		"beyond the window the client is told, and nothing partial comes":     beyondTheWindow,
		"an offline user gets queued events in order, and none once received": offline,
		"killed while the inbox is given, the rest comes next time":           killedDuringInbox,
		"what nobody received is told once, what came back never":             undelivered,
		"who was removed meanwhile gets nothing from a replay":                func(t *testing.T, s *Stage, all []string) { removed(t, s, all, authorizer) },
		"who was revoked meanwhile is refused and gets nothing":               revoked,
		"a browser's event is published once however often it is sent":        sentAgain,
		"forged and foreign cursors are refused, with a reason that counts":   forged,
		"message:delivered reaches the sender within a round trip":            delivered,
		"room:join since replays what a rendered page misses":                 joinedSince,
	}
	t.Run("all", func(t *testing.T) {
		for name, test := range cases {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				test(t, s, all)
			})
		}
	})
}

func room(t *testing.T) string { return harness.OpenRooms + slug(t) }

func slug(t *testing.T) string {
	base := t.Name()[strings.LastIndexByte(t.Name(), '/')+1:]
	return strings.NewReplacer(":", "", "'", "", ",", "").Replace(base)
}

func nothingReceived(t *testing.T, s *Stage, all []string) {
	p := newPerson(t, s, slug(t), all...)
	p.connect()
	p.cut()
	want := say(t, s, "user:"+p.user, slug(t)+"-1")
	p.resume()
	p.heardExactly("message:new", want)
}

func cutBeforeReady(t *testing.T, s *Stage, all []string) {
	p := newPerson(t, s, slug(t), all...)
	c := p.dial()
	pid := c.PID()
	p.cut()
	p.session.Set(pid, "") // as if session:ready and its cursor had never come
	want := say(t, s, "user:"+p.user, slug(t)+"-1")
	p.resume()
	p.heardExactly("message:new", want)
}

func resumedTwice(t *testing.T, s *Stage, all []string) {
	p := newPerson(t, s, slug(t), all...)
	p.connect()
	p.join(room(t))
	ids := []string{say(t, s, room(t), slug(t)+"-1")}
	p.await("message:new", 1)
	p.cut()
	ids = append(ids, say(t, s, room(t), slug(t)+"-2"))
	for range 3 {
		p.resume()
		p.await("message:new", 2)
		p.cut()
	}
	p.resume()
	ids = append(ids, say(t, s, room(t), slug(t)+"-3"))
	p.heardExactly("message:new", ids...)
}

func resumedEarly(t *testing.T, s *Stage, all []string) {
	p := newPerson(t, s, slug(t), all...)
	p.connect()
	p.join(room(t))
	first := p.conn
	ids := []string{say(t, s, room(t), slug(t)+"-1")}
	p.await("message:new", 1)
	p.path.Silence(nil)
	ids = append(ids, say(t, s, room(t), slug(t)+"-2"))
	first.Cut() // the page gives up; nobody tells the server
	first.Wait()
	p.resume()
	ids = append(ids, say(t, s, room(t), slug(t)+"-3"))
	p.heardExactly("message:new", ids...)
}

func silentRoom(t *testing.T, s *Stage, all []string) {
	p := newPerson(t, s, slug(t), all...)
	p.connect()
	p.join(room(t))
	pause(t.Context(), resumeWindow+3*time.Second)
	p.cut()
	want := say(t, s, room(t), slug(t)+"-1")
	p.resume()
	p.heardExactly("message:new", want)
}

func roomsComeBack(t *testing.T, s *Stage, all []string) {
	p := newPerson(t, s, slug(t), all...)
	p.connect()
	var ids []string
	for i := range 5 {
		p.join(fmt.Sprint(room(t), i))
	}
	p.cut()
	for i := range 5 {
		ids = append(ids, say(t, s, fmt.Sprint(room(t), i), fmt.Sprint(slug(t), i)))
	}
	p.resume()
	got := map[string]int{}
	for _, e := range p.await("message:new", 5) {
		got[e.id]++
	}
	for _, id := range ids {
		if got[id] != 1 {
			t.Fatalf("%s came %d times: %v", id, got[id], got)
		}
	}
}

func beyondTheWindow(t *testing.T, s *Stage, all []string) {
	p := newPerson(t, s, slug(t), all...)
	p.connect()
	p.join(room(t))
	p.cut()
	say(t, s, room(t), slug(t)+"-1")
	pause(t.Context(), resumeWindow+2*time.Second)
	if r := p.connect(); r.Recovered || r.Reason != window {
		t.Fatalf("session:ready says recovered %v, %q", r.Recovered, r.Reason)
	}
	p.join(room(t))
	want := say(t, s, room(t), slug(t)+"-2")
	p.heardExactly("message:new", want)
}

func removed(t *testing.T, s *Stage, all []string, authorizer *harness.Authorizer) {
	const closed = "conversation:members-only"
	p := newPerson(t, s, slug(t), all...)
	authorizer.Admit(closed, p.user)
	p.connect()
	p.join(closed)
	seen := say(t, s, closed, slug(t)+"-before")
	p.heardExactly("message:new", seen)
	p.cut()
	authorizer.Remove(closed, p.user)
	emit(t, s, map[string]any{"control": "membership.changed", "room": closed, "remove": []string{p.user}})
	say(t, s, closed, slug(t)+"-secret")
	own := say(t, s, "user:"+p.user, slug(t)+"-own")
	p.resume()
	p.heardExactly("message:new", seen, own)
	say(t, s, closed, slug(t)+"-secret-live")
	last := say(t, s, "user:"+p.user, slug(t)+"-last")
	p.heardExactly("message:new", seen, own, last)
}

func forged(t *testing.T, s *Stage, all []string) {
	victim, p := newPerson(t, s, slug(t)+"-victim", all...), newPerson(t, s, slug(t), all...)
	victim.connect()
	p.connect()
	say(t, s, "user:"+p.user, slug(t)+"-1")
	p.await("message:new", 1)
	pid, cursor := p.session.PID(), p.session.Offset()
	flipped := []byte(cursor)
	flipped[len(flipped)/2] ^= 1
	for name, test := range map[string]struct {
		pid, offset string
		reasons     string
	}{
		"a cursor with one bit changed": {pid, string(flipped), "bad_cursor"},
		"half a cursor":                 {pid, cursor[:len(cursor)/2], "bad_cursor"},
		"words":                         {pid, "give me everything", "bad_cursor"},
		"another base64":                {pid, base64.RawURLEncoding.EncodeToString(bytes.Repeat([]byte{7}, 60)), "bad_cursor"},
		"another user's session":        {victim.session.PID(), cursor, "other_user"},
		"a session that never was":      {"AAAAAAAAAAAAAAAAAAAAAA", cursor, "no_session bad_cursor"},
	} {
		thief := newPerson(t, s, p.user, all...)
		thief.session.Set(test.pid, test.offset)
		before := 0.0
		for _, reason := range strings.Fields(test.reasons) {
			before += resumes(t, s, reason)
		}
		r := thief.connect()
		if r.Recovered || !strings.Contains(test.reasons, r.Reason) || thief.conn.Recovered() {
			t.Errorf("%s: recovered %v, %q; want %s", name, r.Recovered, r.Reason, test.reasons)
		}
		after := 0.0
		for _, reason := range strings.Fields(test.reasons) {
			after += resumes(t, s, reason)
		}
		if after <= before {
			t.Errorf("%s: interlink_gateway_resumes_total does not count it: %v, %v before", name, after, before)
		}
		if n := thief.count("message:new"); n != 0 {
			t.Errorf("%s: %d events came", name, n)
		}
		thief.conn.Close()
	}
}

func delivered(t *testing.T, s *Stage, all []string) {
	sender, recipient := newPerson(t, s, slug(t)+"-sender", all[0]), newPerson(t, s, slug(t)+"-recipient", all[1])
	sender.connect()
	recipient.connect()
	begun := time.Now()
	id := emit(t, s, map[string]any{
		"id": slug(t), "event": "message:new", "from": sender.user, "receipt": true, "to": map[string]any{"users": []string{recipient.user}}, "data": 1,
	})
	recipient.heardExactly("message:new", id)
	there := time.Since(begun)
	got := sender.await("message:delivered", 1)[0]
	back := time.Since(begun)
	var data struct{ ID, User string }
	if err := json.Unmarshal(got.data, &data); err != nil || data.ID != id || data.User != recipient.user {
		t.Fatalf("message:delivered %s", got.data)
	}
	if back > there+pingInterval/2 {
		t.Errorf("the event came after %v, message:delivered after %v: a ping of its own would have been sooner", there, back)
	}
	t.Logf("handled after %v, message:delivered after %v", there.Round(time.Millisecond), back.Round(time.Millisecond))
	reader := kafkaReader(t, s, "interlink.receipts")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		m, err := reader.ReadMessage(ctx)
		if err != nil {
			t.Fatalf("no receipt of %s: %v", id, err)
		}
		if strings.Contains(string(m.Value), id) {
			return
		}
	}
}

func joinedSince(t *testing.T, s *Stage, all []string) {
	p := newPerson(t, s, slug(t), all...)
	rendered := time.Now().Add(-time.Second)
	var ids []string
	for i := range 4 {
		ids = append(ids, say(t, s, room(t), fmt.Sprint(slug(t), i)))
		pause(t.Context(), 300*time.Millisecond)
	}
	p.connect()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	got, err := p.conn.Call(ctx, "room:join", map[string]any{"room": room(t), "since": rendered.UnixMilli()})
	if err != nil {
		t.Fatal(err)
	}
	var answer struct {
		OK       bool
		Replayed *int
	}
	if err := json.Unmarshal(got[0], &answer); err != nil || !answer.OK || answer.Replayed == nil || *answer.Replayed != len(ids) {
		t.Fatalf("ack %s", got[0])
	}
	ids = append(ids, say(t, s, room(t), slug(t)+"-live"))
	p.heardExactly("message:new", ids...)
}

func revoked(t *testing.T, s *Stage, all []string) {
	p := newPerson(t, s, slug(t), all...)
	p.connect()
	seen := say(t, s, "user:"+p.user, slug(t)+"-1")
	p.heardExactly("message:new", seen)
	p.cut()
	emit(t, s, map[string]any{"control": "session.revoked", "user": p.user, "before": time.Now().Add(time.Second).UnixMilli()})
	begun := time.Now()
	for _, gateway := range all { // it is there within a second, on a machine that has nothing else to do
		other := newPerson(t, s, p.user, gateway)
		other.token = p.token
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		err := harness.Eventually(ctx, func(ctx context.Context) error {
			c, err := client.Dial(ctx, other.options())
			if err == nil {
				c.Close()
				c.Wait()
				return errors.New("a new session is admitted")
			}
			return isRefusal(err)
		})
		cancel()
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("new sessions are refused after %v", time.Since(begun).Round(time.Millisecond))
	say(t, s, "user:"+p.user, slug(t)+"-secret")
	c, err := client.Dial(t.Context(), p.options())
	if err == nil {
		c.Close()
		t.Error("the revoked session is resumed")
	} else if err := isRefusal(err); err != nil {
		t.Error(err)
	}
	if n := p.count("message:new"); n != 1 {
		t.Errorf("%d events came after the revocation", n-1)
	}
}

// isRefusal is nil for the refusal of a session that has to sign in again.
func isRefusal(err error) error {
	var refused *client.Refused
	if errors.As(err, &refused) && strings.Contains(string(refused.Data), "unauthenticated") {
		return nil
	}
	return fmt.Errorf("answered %w", err)
}

// sentAgain does what the option retries does when an ack is lost: the same event again, with the page's id.
func sentAgain(t *testing.T, s *Stage, all []string) {
	p := newPerson(t, s, slug(t), all[0])
	p.connect()
	p.join(room(t))
	event := map[string]any{"id": slug(t), "room": room(t), "data": "again"}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for i := range 4 {
		if i == 2 {
			p.cut()
			p.resume()
		}
		if answer, err := p.conn.Ask(ctx, "reaction:add", event); err != nil || !answer.OK {
			t.Fatalf("ack %d: %v %v", i, answer, err)
		}
	}
	reader := kafkaReader(t, s, "interlink.client-events")
	n := 0
	for reading, stop := context.WithTimeout(t.Context(), 8*time.Second); ; {
		m, err := reader.ReadMessage(reading)
		if err != nil {
			stop()
			break
		}
		var e struct{ ID, Event, User, Socket, Room string }
		if err := json.Unmarshal(m.Value, &e); err != nil || e.ID != slug(t) {
			continue
		}
		n++
		if e.User != p.user || e.Room != room(t) || e.Event != "reaction:add" || e.Socket == "" || string(m.Key) != e.Room {
			t.Errorf("record %s, key %s", m.Value, m.Key)
		}
	}
	if n != 1 {
		t.Errorf("it was published %d times", n)
	}
}
