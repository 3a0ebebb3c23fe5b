package session

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edumatrix/interlink/services/internal/room"
)

func TestTheBucketLetsABurstThroughAndThenTheRate(t *testing.T) {
	var b bucket
	now := time.Unix(1_800_000_000, 0)
	for i := range 100 {
		if wait := b.take(now, 50, 100); wait != 0 {
			t.Fatalf("event %d of the burst has to wait %v", i, wait)
		}
	}
	wait := b.take(now, 50, 100)
	if wait < 19*time.Millisecond || wait > 21*time.Millisecond {
		t.Errorf("wait %v, want about 20 ms", wait)
	}
	passed := 0
	for range 1000 { // ten seconds, a hundred tries each
		now = now.Add(10 * time.Millisecond)
		if b.take(now, 50, 100) == 0 {
			passed++
		}
	}
	if passed < 495 || passed > 505 {
		t.Errorf("%d passed in ten seconds, want 500", passed)
	}
}

func TestThePoolIsBoundedAndKeepsOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(2)
		var mu sync.Mutex
		var order []int
		most, now := 0, 0
		for i := range 10 {
			p.do(func(context.Context) { // before start: waits
				mu.Lock()
				order = append(order, i)
				now++
				most = max(most, now)
				mu.Unlock()
				time.Sleep(time.Second)
				mu.Lock()
				now--
				mu.Unlock()
			})
		}
		ctx, cancel := context.WithCancel(t.Context())
		p.start(ctx)
		time.Sleep(4500 * time.Millisecond)
		cancel()
		p.wait()
		p.do(func(context.Context) { t.Error("work was done after the end") })
		if most != 2 || len(order) != 10 || !slices.IsSortedFunc(order, func(a, b int) int { return (a - b) / 2 }) {
			t.Errorf("at most %d at once, order %v", most, order)
		}
	})
}

func TestLanesKeepOrderPerKeyAndDropWhatIsTooMuch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		got := map[string][]bool{}
		block := make(chan struct{})
		l := newLanes(func(_ context.Context, told typed) {
			<-block
			mu.Lock()
			defer mu.Unlock()
			got[told.socket] = append(got[told.socket], told.typing)
		})
		ctx, cancel := context.WithCancel(t.Context())
		l.start(ctx)
		for i := range 3 * laneDepth {
			l.put("s", typed{socket: "s", typing: i%2 == 0})
			if i == 0 {
				synctest.Wait()
			}
		}
		close(block)
		synctest.Wait()
		cancel()
		l.wait()
		if n := len(got["s"]); n != laneDepth+1 {
			t.Errorf("%d told, want the lane's depth and the one under way", n)
		}
		for i, typing := range got["s"] {
			if typing != (i%2 == 0) {
				t.Fatalf("call %d out of order", i)
			}
		}
	})
}

func TestWhatClientsNameAsRooms(t *testing.T) {
	tests := map[string]struct {
		arg   string
		rooms []room.Room
		list  bool
		since int64
		code  code
	}{
		"a name":              {arg: `"r:1"`, rooms: []room.Room{"r:1"}},
		"names":               {arg: `["r:1","r:2","r:1"]`, rooms: []room.Room{"r:1", "r:2"}, list: true},
		"an object":           {arg: `{"room":"r:1"}`, rooms: []room.Room{"r:1"}},
		"an object and since": {arg: `{"room":"r:1","since":1700000000000}`, rooms: []room.Room{"r:1"}, since: 1700000000000},
		"nothing":             {code: badRequest},
		"null":                {arg: `null`, code: badRequest},
		"a number":            {arg: `1`, code: badRequest},
		"a nested list":       {arg: `[["r:1"]]`, code: badRequest},
		"an empty list":       {arg: `[]`, code: tooLarge},
		"too many":            {arg: `["r:1","r:2","r:3","r:4"]`, code: tooLarge},
		"no room's name":      {arg: `"room"`, code: badRequest},
		"since a date":        {arg: `{"room":"r:1","since":"yesterday"}`, code: badRequest},
		"since before all":    {arg: `{"room":"r:1","since":-1}`, code: badRequest},
		"since true":          {arg: `{"room":"r:1","since":true}`, code: badRequest},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var r request
			f := r.parse([]byte(test.arg), 3)
			if f != nil {
				if f.Code != test.code {
					t.Errorf("got %v, want %q", f, test.code)
				}
				return
			}
			if test.code != "" || !slices.Equal(r.rooms, test.rooms) || r.list != test.list || r.since != test.since {
				t.Errorf("got %+v", r)
			}
		})
	}
}
