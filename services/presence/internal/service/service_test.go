package service_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	presencev1 "github.com/edumatrix/interlink/proto/presence/v1"
)

// settled is past the rest that deadlines take after a start.
const settled = 10 * time.Second

func TestUsersAreToldByNetChanges(t *testing.T) {
	tests := map[string]func(w *world, a, b *gateway){
		"a user with tabs and a phone is told once each way": func(w *world, a, b *gateway) {
			a.tell("+u1/s1", "+u1/s2")
			b.tell("+u1/s3")
			w.expect("on", "user:online u1 online")
			a.tell("-u1/s1", "-u1/s2")
			w.expect("tabs closed")
			b.tell("-u1/s3")
			w.expect("off", "user:offline u1 offline")
		},
		"a leave is immediate": func(w *world, a, _ *gateway) {
			a.tell("+u1/s1", "-u1/s1")
			w.expect("both", "user:online u1 online", "user:offline u1 offline")
		},
		"a loss waits the grace": func(w *world, a, _ *gateway) {
			a.tell("+u1/s1")
			w.ears.take()
			a.tell("?u1/s1")
			time.Sleep(14 * time.Second)
			w.expect("in the grace")
			if !w.online("u1") {
				w.t.Error("offline in the grace")
			}
			time.Sleep(3 * time.Second)
			w.expect("after it", "user:offline u1 offline")
		},
		"back within the grace at another gateway is no change": func(w *world, a, b *gateway) {
			a.tell("+u1/s1")
			w.ears.take()
			a.tell("?u1/s1")
			time.Sleep(10 * time.Second)
			b.tell("+u1/s2")
			time.Sleep(time.Minute)
			w.expect("all the time")
			if !w.online("u1") {
				w.t.Error("offline after all")
			}
		},
		"a status is told, and no lifecycle record with it": func(w *world, a, _ *gateway) {
			a.tell("+u1/s1")
			for range 2 {
				if _, err := w.pods[0].SetStatus(w.t.Context(), &presencev1.SetStatusRequest{User: "u1", Status: "busy"}); err != nil {
					w.t.Fatal(err)
				}
			}
			w.expect("status", "user:online u1 online", "user:online u1 busy")
			if n := len(w.ears.lifecycle()); n != 1 {
				w.t.Errorf("%d lifecycle records", n)
			}
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 2)
				a, b := w.gateway("gw-a", "1"), w.gateway("gw-b", "1")
				time.Sleep(settled)
				test(w, a, b)
			})
		})
	}
}

func TestWhatIsToldLooksAsAgreed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		a := w.gateway("gw-a", "1")
		now := time.Now()
		a.tell("+u1/s1")
		rec := w.ears.all()[0].rec
		if rec.GetEvent() != "user:online" || strings.Join(rec.GetRooms(), " ") != "presence:u1" || rec.GetTimeMs() != now.UnixMilli() ||
			rec.GetId() == "" || rec.GetReplace() != "presence:u1" {
			t.Errorf("record %+v", rec)
		}
		want := fmt.Sprintf(`{"userId":"u1","isOnline":true,"status":"online","lastSeen":%d}`, now.UnixMilli())
		if got := string(rec.GetData()); got != want {
			t.Errorf("data %s, want %s", got, want)
		}
		want = `lifecycle u1 {"user":"u1","state":"online","sockets":1,"time":"` + now.UTC().Format(time.RFC3339Nano) + `"}`
		if got := w.ears.lifecycle()[0]; got != want {
			t.Errorf("lifecycle %s, want %s", got, want)
		}
		w.ears.take()
		w.typing("conversation:1", "u1", "s1", true)
		rec = w.ears.all()[0].rec
		if rec.GetEvent() != "typing:start" || strings.Join(rec.GetRooms(), " ") != "conversation:1" || rec.GetReplace() != "typing:conversation:1u1" ||
			strings.Join(rec.GetExceptUsers(), " ") != "u1" || string(rec.GetData()) != `{"room":"conversation:1","userId":"u1","name":"Ann"}` {
			t.Errorf("record %+v", rec)
		}
	})
}

func TestAKilledGatewaysUsersGoAtABoundedRateAndOnlyTheNetChangesAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const users, back = 5000, 2000
		w := newWorld(t, 2)
		a, b := w.gateway("gw-a", "1"), w.gateway("gw-b", "1")
		time.Sleep(settled)
		var all, returned []string
		for i := range users {
			all = append(all, fmt.Sprintf("+u%d/s%d", i, i))
			if i < back {
				returned = append(returned, fmt.Sprintf("+u%d/r%d", i, i))
			}
		}
		a.tell(all...)
		if n := len(w.ears.take()); n != users {
			t.Fatalf("%d online", n)
		}
		a.kill()
		time.Sleep(lease + 5*time.Second)
		b.tell(returned...)
		time.Sleep(9 * time.Second) // at the latest here, lease and grace are about to end
		w.expect("before lease and grace are over")
		began := time.Now()
		time.Sleep(12 * time.Second)
		told := map[string]int{}
		for _, h := range w.ears.all() {
			var data struct{ UserID string }
			if err := json.Unmarshal(h.rec.GetData(), &data); err != nil {
				t.Fatal(err)
			}
			told[h.rec.GetEvent()+" "+data.UserID]++
			if h.at.Sub(began) > 11*time.Second {
				t.Fatalf("%s only after %v", data.UserID, h.at.Sub(began))
			}
		}
		if len(told) != users-back {
			t.Errorf("%d changes told, want %d", len(told), users-back)
		}
		for what, n := range told {
			if n != 1 || !strings.HasPrefix(what, "user:offline ") {
				t.Errorf("%s told %d times", what, n)
			}
		}
		if w.online("u4999") || !w.online("u0") {
			t.Error("the wrong users are online")
		}
	})
}

func TestFiftyThousandReconnectsCauseNoFlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const users, steps = 50000, 30
		w := newWorld(t, 2)
		a, b := w.gateway("gw-a", "1"), w.gateway("gw-b", "1")
		time.Sleep(settled)
		changes := func(mark, socket string, from, to int) []string {
			var out []string
			for i := from; i < to; i++ {
				out = append(out, fmt.Sprintf("%su%d/%s%d", mark, i, socket, i))
			}
			return out
		}
		a.tell(changes("+", "s", 0, users)...)
		w.ears.take()
		for n := range steps { // one second each: a part is lost, the part lost ten seconds ago comes back elsewhere
			a.tell(changes("?", "s", n*users/steps, (n+1)*users/steps)...)
			if n >= 10 {
				b.tell(changes("+", "r", (n-10)*users/steps, (n-9)*users/steps)...)
			}
			time.Sleep(time.Second)
		}
		for n := steps - 10; n < steps; n++ {
			b.tell(changes("+", "r", n*users/steps, (n+1)*users/steps)...)
			time.Sleep(time.Second)
		}
		time.Sleep(time.Minute)
		w.expect("all the time")
	})
}

func TestAnOldLifeOfAGatewayRemovesNothingOfTheNewOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 2)
		old := w.gateway("gw-a", "1")
		time.Sleep(settled)
		old.tell("+u1/s1", "+u2/s2")
		old.kill()
		w.ears.take()
		next := w.gateway("gw-a", "2")
		next.tell("+u1/s1")
		old.tell("-u1/s1") // arrives late
		time.Sleep(time.Minute)
		w.expect("in the end", "user:offline u2 offline")
		if !w.online("u1") {
			t.Error("u1 is offline")
		}
	})
}

func TestAForgetfulStoreIsToldEverythingAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 2)
		a := w.gateway("gw-a", "1")
		time.Sleep(settled)
		a.tell("+u1/s1")
		w.store.Flush()
		w.ears.take()
		if !a.sync(false, parse([]string{"+u2/s2"})...).GetForgotten() {
			t.Fatal("not forgotten after a flush")
		}
		a.renew()
		a.sync(true, parse([]string{"+u1/s1", "+u2/s2"})...)
		w.expect("full", "user:online u1 online", "user:online u2 online")
		time.Sleep(time.Minute)
		w.expect("later")
	})
}

func TestAnAbsentStoreAnswersUnavailableAndDeadlinesRestAfterwards(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 2)
		a, b := w.gateway("gw-a", "1"), w.gateway("gw-b", "1")
		time.Sleep(settled)
		a.tell("+u1/s1", "+u2/s2")
		a.tell("?u1/s1", "?u2/s2")
		w.ears.take()
		w.store.Fail(errors.New("connection refused"))
		for range 20 {
			_, err := w.pods[0].Query(t.Context(), &presencev1.QueryRequest{Users: []string{"u1"}})
			if status.Code(err) != codes.Unavailable {
				t.Fatalf("got %v", err)
			}
		}
		time.Sleep(30 * time.Second) // u1 reconnects to b, which cannot say so
		if !w.pods[0].StoreAway() {
			t.Error("the store does not count as away")
		}
		w.store.Fail(nil)
		time.Sleep(3 * time.Second)
		w.expect("while nobody can know better")
		for _, g := range []*gateway{a, b} {
			g.renew()
		}
		a.sync(true)
		b.sync(true, parse([]string{"+u1/s9"})...)
		time.Sleep(30 * time.Second)
		w.expect("afterwards", "user:offline u2 offline")
	})
}

func TestASlowStoreDoesNotPileUpCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		slow := w.slowPod(4)
		began := time.Now()
		codesSeen := make(chan codes.Code, 100)
		for range 100 {
			go func() {
				_, err := slow.GetBase(t.Context(), &presencev1.GetBaseRequest{Base: "b"})
				codesSeen <- status.Code(err)
			}()
		}
		for range 100 {
			if code := <-codesSeen; code != codes.Unavailable {
				t.Fatalf("got %v", code)
			}
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("took %v", took)
		}
	})
}

func TestBadRequestsSayWhichFieldIsBad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		s, ctx := w.pods[0], t.Context()
		long := strings.Repeat("x", 300)
		tests := map[string]struct {
			call func(context.Context) error
			want string
		}{
			"a lease without a gateway": {func(ctx context.Context) error {
				_, err := s.Renew(ctx, &presencev1.RenewRequest{Incarnation: "i"})
				return err
			}, "gateway"},
			"a lease without incarnation": {func(ctx context.Context) error {
				_, err := s.Renew(ctx, &presencev1.RenewRequest{Gateway: "g"})
				return err
			}, "incarnation"},
			"a sync of nobody": {func(ctx context.Context) error { _, err := s.Sync(ctx, &presencev1.SyncRequest{}); return err }, "gateway"},
			"typing in no room": {func(ctx context.Context) error {
				_, err := s.Typing(ctx, &presencev1.TypingRequest{Room: "x", User: "u"})
				return err
			}, "room"},
			"typing by a control character": {func(ctx context.Context) error {
				_, err := s.Typing(ctx, &presencev1.TypingRequest{Room: "x:y", User: "a\nb"})
				return err
			}, "user"},
			"a long status": {func(ctx context.Context) error {
				_, err := s.SetStatus(ctx, &presencev1.SetStatusRequest{User: "u", Status: long})
				return err
			}, "status"},
			"status offline": {func(ctx context.Context) error {
				_, err := s.SetStatus(ctx, &presencev1.SetStatusRequest{User: "u", Status: "offline"})
				return err
			}, "status"},
			"too many users": {func(ctx context.Context) error {
				_, err := s.Query(ctx, &presencev1.QueryRequest{Users: make([]string, 1001)})
				return err
			}, "users"},
			"a base with no id": {func(ctx context.Context) error { _, err := s.PutBase(ctx, &presencev1.PutBaseRequest{}); return err }, "base"},
			"a permission in a long room": {func(ctx context.Context) error {
				_, err := s.PutPermission(ctx, &presencev1.PutPermissionRequest{User: "u", Room: long})
				return err
			}, "room"},
		}
		for name, tt := range tests {
			err := tt.call(ctx)
			if status.Code(err) != codes.InvalidArgument || !strings.HasPrefix(status.Convert(err).Message(), tt.want) {
				t.Errorf("%s: %v, want InvalidArgument about %s", name, err, tt.want)
			}
		}
	})
}

func TestAChangeThatNamesNothingUsableIsSkipped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		a := w.gateway("gw-a", "1")
		a.sync(false, &presencev1.Change{User: "u0", Socket: "s"}, &presencev1.Change{Kind: presencev1.Change_ONLINE, User: "a\x00b", Socket: "s"},
			&presencev1.Change{Kind: presencev1.Change_ONLINE, User: "u1", Socket: "s1"})
		w.expect("the good one", "user:online u1 online")
	})
}
