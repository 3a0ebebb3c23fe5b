package service_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	presencev1 "github.com/edumatrix/interlink/proto/presence/v1"
	"github.com/edumatrix/interlink/services/presence/internal/memstore"
	"github.com/edumatrix/interlink/services/presence/internal/service"
)

func (w *world) typing(room, user, socket string, typing bool) bool {
	w.t.Helper()
	r, err := w.pods[0].Typing(w.t.Context(), &presencev1.TypingRequest{Room: room, User: user, Socket: socket, Name: "Ann", Typing: typing})
	if err != nil {
		w.t.Fatal(err)
	}
	return r.GetTold()
}

func TestTypingEndsByItself(t *testing.T) {
	const room = "conversation:1"
	start, stop := "typing:start conversation:1u1", "typing:stop conversation:1u1"
	tests := map[string]func(w *world, a *gateway){
		"on expiry, told once by several pods": func(w *world, _ *gateway) {
			w.typing(room, "u1", "s1", true)
			time.Sleep(5 * time.Second)
			w.expect("meanwhile", start)
			time.Sleep(1501 * time.Millisecond)
			w.expect("expired", stop)
			time.Sleep(time.Minute)
			w.expect("later")
		},
		"by a message": func(w *world, _ *gateway) {
			w.typing(room, "u1", "s1", true)
			if !w.typing(room, "u1", "s1", false) || w.typing(room, "u1", "s1", false) {
				w.t.Error("a stop is not told once")
			}
			time.Sleep(time.Minute)
			w.expect("all", start, stop)
		},
		"by a leave of its socket": func(w *world, a *gateway) {
			a.tell("+u1/s1", "+u1/s2")
			w.ears.take()
			w.typing(room, "u1", "s1", true)
			a.tell("-u1/s2")
			w.expect("the other tab", start)
			a.tell("-u1/s1")
			w.expect("its own", stop, "user:offline u1 offline")
		},
		"by the loss of its socket": func(w *world, a *gateway) {
			a.tell("+u1/s1")
			w.ears.take()
			w.typing(room, "u1", "s1", true)
			a.tell("?u1/s1")
			w.expect("at once", start, stop)
		},
		"not while keystrokes come": func(w *world, _ *gateway) {
			for range 100 {
				w.typing(room, "u1", "s1", true)
				time.Sleep(200 * time.Millisecond)
			}
			got := w.ears.take()
			if len(got) < 2 || len(got) > 11 {
				w.t.Errorf("20 s of typing told %d times", len(got))
			}
			for _, e := range got {
				if e != start {
					w.t.Error(e)
				}
			}
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 3)
				test(w, w.gateway("gw-a", "1"))
			})
		})
	}
}

// slow is a store that never answers before it has to.
type slow struct{ *memstore.Store }

func (slow) GetBase(ctx context.Context, _ string) ([]byte, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// slowPod is a pod over a slow store that lets few calls wait for it.
func (w *world) slowPod(calls int) *service.Service {
	return service.New(service.Options{Store: slow{w.store}, Tell: w.ears, Calls: calls})
}

func TestTwoPodsTellEachExpiryOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 2)
		var typists sync.WaitGroup
		for _, user := range []string{"u1", "u2", "u3", "u4", "u5", "u6", "u7", "u8"} {
			typists.Go(func() { w.typing("conversation:1", user, "s", true) })
		}
		typists.Wait()
		if n := len(w.ears.take()); n != 8 {
			t.Fatalf("%d starts", n)
		}
		time.Sleep(10 * time.Second)
		if got := w.ears.take(); len(got) != 8 {
			t.Errorf("told %q", got)
		}
	})
}
