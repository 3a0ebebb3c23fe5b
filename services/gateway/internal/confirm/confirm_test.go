package confirm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	deliveryv1 "github.com/edumatrix/interlink/proto/delivery/v1"
	emitv1 "github.com/edumatrix/interlink/proto/emit/v1"
	presencev1 "github.com/edumatrix/interlink/proto/presence/v1"
	"github.com/edumatrix/interlink/services/gateway/internal/receipts"
)

// others are presence and a router. The clients' other methods are nil: nothing else may be called.
type others struct {
	presencev1.PresenceClient
	emitv1.EmitClient

	mu       sync.Mutex // guards what follows
	away     bool
	partly   bool // the brokers take every second record
	calls    int
	received []string
	pushed   []string
	written  []string
	gaveUp   int
}

func (o *others) enter() error {
	o.calls++
	if o.away {
		return status.Error(codes.Unavailable, "away")
	}
	return nil
}

func (o *others) Receive(_ context.Context, r *presencev1.ReceiveRequest, _ ...grpc.CallOption) (*presencev1.ReceiveResponse, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.enter(); err != nil {
		return nil, err
	}
	if strings.Contains(r.User, "\n") {
		return nil, status.Error(codes.InvalidArgument, "user")
	}
	for _, s := range r.Spans {
		o.received = append(o.received, fmt.Sprintf("%s %s %d/%d-%d", r.Log, r.User, s.Partition, s.From, s.To))
	}
	for _, id := range r.Ids {
		o.received = append(o.received, r.Log+" "+r.User+" "+id)
	}
	return &presencev1.ReceiveResponse{}, nil
}

func (o *others) Push(_ context.Context, r *emitv1.PushRequest, _ ...grpc.CallOption) (*emitv1.PushResponse, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.enter(); err != nil {
		return nil, err
	}
	for _, raw := range r.Records {
		record := &deliveryv1.Record{}
		if err := proto.Unmarshal(raw, record); err != nil {
			return nil, err
		}
		o.pushed = append(o.pushed, fmt.Sprintf("%s %s %s", record.Event, record.Rooms, record.Data))
	}
	return &emitv1.PushResponse{}, nil
}

func (o *others) Publish(_ context.Context, r *emitv1.PublishRequest, _ ...grpc.CallOption) (*emitv1.PublishResponse, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.enter(); err != nil {
		return nil, err
	}
	answer := &emitv1.PublishResponse{}
	for i, e := range r.Entries {
		result := &emitv1.Result{}
		if o.partly && i%2 == 1 {
			result.Error = "no leader"
		} else {
			o.written = append(o.written, fmt.Sprintf("%s %s %s", e.Topic, e.Key, e.Value))
		}
		answer.Results = append(answer.Results, result)
	}
	o.partly = false
	return answer, nil
}

func (o *others) set(f func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f()
}

// play runs a confirmer against others in a bubble of its own time.
func play(t *testing.T, f func(t *testing.T, c *Confirmer, o *others)) {
	synctest.Test(t, func(t *testing.T) {
		o := &others{}
		c := New(Options{
			Presence: o, Emit: o, Log: func() string { return "log" }, GaveUp: func(n int) { o.set(func() { o.gaveUp += n }) },
			Logger: slog.New(slog.DiscardHandler),
		})
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() {
			if err := c.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		f(t, c, o)
		cancel()
		running.Wait()
	})
}

func want(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

func TestWhatArrivesIsToldToWhomItConcerns(t *testing.T) {
	play(t, func(t *testing.T, c *Confirmer, o *others) {
		queued := &receipts.Event{ID: "q", Partition: 3, Offset: 7, Waits: true, Users: []string{"u"}}
		asked := &receipts.Event{ID: "r", From: "s", Confirm: true}
		unsigned := &receipts.Event{ID: "n", Confirm: true}
		c.Arrived("u", queued, receipts.Pong)
		c.Arrived("v", queued, receipts.Pong)
		c.Arrived("u", asked, receipts.Client)
		c.Arrived("u", asked, receipts.Pong) // another tab
		c.Arrived("s", asked, receipts.Pong)
		c.Arrived("u", unsigned, receipts.Pong)
		c.Said("u", []string{"x"})
		synctest.Wait()
		const at = "2000-01-01T00:00:00Z"
		want(t, "inboxes", o.received, "log u 3/7-8", "log u x")
		want(t, "sender", o.pushed, `message:delivered [user:s] {"id":"r","user":"u","time":946684800000}`)
		want(t, "records", o.written,
			`receipts n {"id":"n","user":"u","by":"pong","time":"`+at+`"}`,
			`receipts s {"id":"r","user":"u","by":"client","time":"`+at+`"}`)
	})
}

func TestWhatCannotBeToldIsTriedAgainAndKeepsItsBound(t *testing.T) {
	play(t, func(t *testing.T, c *Confirmer, o *others) {
		o.set(func() { o.away = true })
		for i := range queueMost + 100 {
			c.Said("u", []string{fmt.Sprint(i)})
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if o.calls > 10*60/5+10 {
			t.Errorf("%d calls while nobody was there", o.calls)
		}
		if o.gaveUp != 100 {
			t.Errorf("%d were given up, want the oldest 100", o.gaveUp)
		}
		o.set(func() { o.away = false })
		time.Sleep(lastRetry + time.Second)
		synctest.Wait()
		if len(o.received) != queueMost || slices.Contains(o.received, "log u 99") || !slices.Contains(o.received, fmt.Sprint("log u ", queueMost+99)) {
			t.Errorf("%d were received", len(o.received))
		}
	})
}

func TestOnlyWhatFailedIsToldAgain(t *testing.T) {
	play(t, func(t *testing.T, c *Confirmer, o *others) {
		o.set(func() { o.partly = true })
		for _, id := range []string{"1", "2", "3"} {
			c.Arrived("u", &receipts.Event{ID: id, Confirm: true}, receipts.Pong)
		}
		c.Said("bad\nuser", []string{"x"}) // never taken, and in nobody's way
		c.Said("u", []string{"y"})
		time.Sleep(time.Second)
		synctest.Wait()
		ids := make([]string, 0, len(o.written))
		for _, w := range o.written {
			ids = append(ids, strings.Fields(w)[1])
		}
		want(t, "records", ids, "1", "2", "3")
		want(t, "inboxes", o.received, "log u y")
		if o.gaveUp != 1 {
			t.Errorf("%d given up", o.gaveUp)
		}
	})
}

func TestTheEndTellsWhatWaits(t *testing.T) {
	o := &others{}
	c := New(Options{Presence: o, Emit: o, Log: func() string { return "log" }, Logger: slog.New(slog.DiscardHandler)})
	c.Said("u", []string{"x"})
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("over"))
	if err := c.Run(ctx); err != nil {
		t.Fatal(err)
	}
	want(t, "inboxes", o.received, "log u x")
}
