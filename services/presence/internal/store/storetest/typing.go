package storetest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/edumatrix/interlink/services/presence/internal/store"
)

var typing = map[string]func(*testing.T, *bench){
	"a start is told once, keystrokes keep it": func(_ *testing.T, b *bench) {
		b.want("first", b.types("u1", "s1", true), "+conversation:1/u1(Ann)")
		for range 10 {
			b.Advance(100 * time.Millisecond)
			b.want("keystroke", b.types("u1", "s1", true), "")
		}
		b.Advance(time.Second)
		b.want("after the throttle", b.types("u1", "s1", true), "+conversation:1/u1(Ann)")
		b.Advance(5999 * time.Millisecond)
		b.want("kept", b.typed(), "")
		b.Advance(time.Millisecond)
		b.want("expired", b.typed(), "-conversation:1/u1(Ann)")
		b.want("once", b.typed(), "")
	},
	"a stop is told once": func(_ *testing.T, b *bench) {
		b.want("nothing to stop", b.types("u1", "s1", false), "")
		b.types("u1", "s1", true)
		b.want("stop", b.types("u1", "s1", false), "-conversation:1/u1(Ann)")
		b.want("again", b.types("u1", "s1", false), "")
		b.Advance(time.Minute)
		b.want("nothing left", b.typed(), "")
		b.want("start", b.types("u1", "s1", true), "+conversation:1/u1(Ann)")
		b.Advance(3 * time.Second)
		b.want("late stop", b.types("u1", "s1", false), "-conversation:1/u1(Ann)")
	},
	"starts and stops in turn are throttled, the last word is told": func(_ *testing.T, b *bench) {
		b.types("u1", "s1", true)
		b.want("stop", b.types("u1", "s1", false), "-conversation:1/u1(Ann)")
		for range 5 {
			b.Advance(100 * time.Millisecond)
			b.want("start", b.types("u1", "s1", true), "")
			b.want("stop", b.types("u1", "s1", false), "")
		}
		b.want("start", b.types("u1", "s1", true), "")
		b.Advance(1499 * time.Millisecond)
		b.want("throttled", b.typed(), "")
		b.Advance(time.Millisecond)
		b.want("told late", b.typed(), "+conversation:1/u1(Ann)")
		b.Advance(4500 * time.Millisecond)
		b.want("expired", b.typed(), "-conversation:1/u1(Ann)")
	},
	"people and rooms are apart": func(_ *testing.T, b *bench) {
		b.types("u1", "s1", true)
		b.want("another user", b.types("u2", "s2", true), "+conversation:1/u2(Ann)")
		told, err := b.Store.Type(b.ctx(), store.Typist{Room: "conversation:2", User: "u1", Socket: "s1"}, true)
		b.ok(err)
		b.want("another room", steps(told), "+conversation:2/u1()")
		b.want("stop", b.types("u1", "s1", false), "-conversation:1/u1(Ann)")
		b.Advance(6 * time.Second)
		b.want("the others expire", b.typed(), "-conversation:1/u2(Ann) -conversation:2/u1()")
	},
	"another tab does not stop the one that types": func(_ *testing.T, b *bench) {
		b.types("u1", "s1", true)
		b.want("other tab", b.types("u1", "s2", false), "")
		b.want("no tab named", b.types("u1", "", false), "-conversation:1/u1(Ann)")
	},
	"a socket that goes is found where it types": func(t *testing.T, b *bench) {
		b.live(gw1)
		b.change(gw1, on("u1", "s1"), on("u1", "s2"), on("u2", "s3"))
		b.types("u1", "s1", true)
		b.types("u2", "s3", true)
		if got := b.sync(gw1, false, left("u1", "s2")).Typing; len(got) != 0 {
			t.Errorf("the other tab: %+v", got)
		}
		got := b.sync(gw1, false, left("u1", "s1"), lost("u2", "s3")).Typing
		if len(got) != 2 {
			t.Fatalf("got %+v", got)
		}
		for _, typist := range got {
			told, err := b.Store.Type(b.ctx(), typist, false)
			b.ok(err)
			b.want("stop", steps(told), fmt.Sprintf("-conversation:1/%s(Ann)", typist.User))
		}
		if got := b.sync(gw1, false, on("u1", "s1"), left("u1", "s1")).Typing; len(got) != 0 {
			t.Errorf("found again: %+v", got)
		}
	},
	"several pods tell each expiry once": func(t *testing.T, b *bench) {
		for i := range 200 {
			_, err := b.Store.Type(b.ctx(), store.Typist{Room: fmt.Sprintf("conversation:%d", i%40), User: fmt.Sprintf("u%d", i)}, true)
			b.ok(err)
		}
		b.Advance(6 * time.Second)
		var mu sync.Mutex
		count := map[string]int{}
		var pods sync.WaitGroup
		for range 3 {
			pod := b.Another()
			pods.Go(func() {
				for more := true; more; {
					var told []store.Told
					var err error
					if told, more, err = pod.TypingTick(b.ctx(), 5); err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					for _, s := range told {
						count[s.User]++
					}
					mu.Unlock()
				}
			})
		}
		pods.Wait()
		for u, n := range count {
			if n != 1 {
				t.Errorf("%s told %d times", u, n)
			}
		}
		if len(count) != 200 {
			t.Errorf("%d of 200 told", len(count))
		}
	},
}

func (b *bench) types(user, socket string, typing bool) string {
	b.Helper()
	told, err := b.Store.Type(b.ctx(), store.Typist{Room: "conversation:1", User: user, Socket: socket, Name: "Ann"}, typing)
	b.ok(err)
	return steps(told)
}

func (b *bench) typed() string {
	b.Helper()
	told, more, err := b.Store.TypingTick(b.ctx(), 100)
	b.ok(err)
	if more {
		b.Error("more than the limit")
	}
	return steps(told)
}
