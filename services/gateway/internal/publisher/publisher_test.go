package publisher

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc"

	emitv1 "github.com/edumatrix/interlink/proto/emit/v1"
)

// router takes calls one at a time, when it is let.
type router struct {
	emitv1.EmitClient
	let   chan struct{}
	calls [][]string
	err   error
}

func (r *router) Publish(ctx context.Context, in *emitv1.PublishRequest, _ ...grpc.CallOption) (*emitv1.PublishResponse, error) {
	select {
	case <-r.let:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	answer := &emitv1.PublishResponse{}
	var call []string
	for _, e := range in.Entries {
		call = append(call, string(e.Key)+"="+string(e.Value))
		result := &emitv1.Result{}
		if string(e.Value) == "bad" {
			result.Error = "too large"
		}
		answer.Results = append(answer.Results, result)
	}
	r.calls = append(r.calls, call)
	return answer, r.err
}

func withPublisher(t *testing.T, test func(p *Publisher, r *router, results *[]string)) {
	synctest.Test(t, func(t *testing.T) {
		r := &router{let: make(chan struct{}, 100)}
		p := New(r)
		ctx, cancel := context.WithCancel(context.Background())
		var run sync.WaitGroup
		run.Go(func() {
			if err := p.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		var results []string
		test(p, r, &results)
		cancel()
		run.Wait()
		p.Publish("k", nil, func(err error) {
			if !errors.Is(err, ErrStopped) {
				t.Errorf("after the end: %v", err)
			}
		})
	})
}

func TestEventsGoInOrderWithOneCallUnderWay(t *testing.T) {
	withPublisher(t, func(p *Publisher, r *router, results *[]string) {
		for i, value := range []string{"a", "b", "bad", "c"} {
			p.Publish("k", []byte(value), func(err error) { *results = append(*results, fmt.Sprint(i, " ", err)) })
			synctest.Wait() // the first is under way before the second comes
		}
		r.let <- struct{}{}
		r.let <- struct{}{}
		synctest.Wait()
		if len(r.calls) != 2 || !slices.Equal(r.calls[0], []string{"k=a"}) || !slices.Equal(r.calls[1], []string{"k=b", "k=bad", "k=c"}) {
			t.Errorf("calls %v", r.calls)
		}
		want := []string{"0 <nil>", "1 <nil>", "2 publisher: too large", "3 <nil>"}
		if !slices.Equal(*results, want) {
			t.Errorf("results %v, want %v", *results, want)
		}
	})
}

func TestWhatIsTooMuchIsRefusedAtOnce(t *testing.T) {
	withPublisher(t, func(p *Publisher, r *router, _ *[]string) {
		full, other := 0, 0
		for range 20 {
			p.Publish("k", make([]byte, 1<<20), func(err error) {
				if errors.Is(err, ErrFull) {
					full++
				} else {
					other++
				}
			})
			synctest.Wait()
		}
		if full != 11 || other != 0 { // one is under way, eight wait
			t.Errorf("%d refused, %d answered", full, other)
		}
	})
}

func TestARouterThatFailsFailsTheEvents(t *testing.T) {
	withPublisher(t, func(p *Publisher, r *router, results *[]string) {
		r.err = errors.New("away")
		r.let <- struct{}{}
		p.Publish("k", []byte("a"), func(err error) { *results = append(*results, fmt.Sprint(err)) })
		synctest.Wait()
		p.Publish("k", []byte("b"), func(err error) { *results = append(*results, fmt.Sprint(err)) }) // never answered in time
		synctest.Wait()
		if !slices.Equal(*results, []string{"away"}) {
			t.Errorf("results %v", *results)
		}
	})
}
