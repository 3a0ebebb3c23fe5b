package replay

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"

	deliveryv1 "github.com/edumatrix/interlink/proto/delivery/v1"
	replayv1 "github.com/edumatrix/interlink/proto/replay/v1"
	"github.com/edumatrix/interlink/services/gateway/internal/peers"
	"github.com/edumatrix/interlink/services/gateway/internal/recovery"
)

// router answers fetches by partition.
type router struct {
	replayv1.UnimplementedReplayServer
	mu    sync.Mutex // guards calls
	calls int
	fetch func(call int, r *replayv1.FetchRequest, stream grpc.ServerStreamingServer[replayv1.FetchResponse]) error
}

func (r *router) Fetch(in *replayv1.FetchRequest, stream grpc.ServerStreamingServer[replayv1.FetchResponse]) error {
	r.mu.Lock()
	r.calls++
	call := r.calls
	r.mu.Unlock()
	return r.fetch(call, in, stream)
}

// serve makes routers reachable by their names.
func serve(t *testing.T, routers map[string]*router) *peers.Conns {
	t.Helper()
	listeners := map[string]*bufconn.Listener{}
	for name, r := range routers {
		l := bufconn.Listen(1 << 20)
		listeners[name] = l
		s := grpc.NewServer()
		replayv1.RegisterReplayServer(s, r)
		var serving sync.WaitGroup
		serving.Go(func() {
			if err := s.Serve(l); err != nil {
				t.Error(err)
			}
		})
		t.Cleanup(func() { s.Stop(); serving.Wait() })
	}
	conns := &peers.Conns{Dial: []grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
			if l := listeners[addr]; l != nil {
				return l.DialContext(ctx)
			}
			return nil, errors.New("nobody there")
		}),
	}}
	t.Cleanup(conns.Close)
	return conns
}

// records answers with as many records of a few bytes as the span is long, in two messages.
func records(_ int, r *replayv1.FetchRequest, stream grpc.ServerStreamingServer[replayv1.FetchResponse]) error {
	m := &replayv1.FetchResponse{}
	for o := r.From; o < r.To; o++ {
		raw, err := proto.Marshal(&deliveryv1.Record{Offset: o, Id: fmt.Sprint(r.Partition)})
		if err != nil {
			return err
		}
		m.Records = append(m.Records, raw)
	}
	if err := stream.Send(m); err != nil {
		return err
	}
	return stream.Send(&replayv1.FetchResponse{Complete: true})
}

func routes(addrs ...string) func(uint32) []string { return func(uint32) []string { return addrs } }

func TestAllSpansAreReadWhole(t *testing.T) {
	r := New(Options{Routes: routes("a"), Conns: serve(t, map[string]*router{"a": {fetch: records}})})
	parts, err := r.Fetch(context.Background(), []recovery.Span{{Partition: 0, From: 5, To: 8}, {Partition: 2, From: 1, To: 2}}, []uint64{1}, 3)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for p, part := range parts {
		for _, record := range part {
			got = append(got, fmt.Sprint(p, record.Id, "/", record.Offset))
		}
	}
	if want := []string{"00/5", "00/6", "00/7", "22/1"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestAnotherRouterIsAskedIfOneCannot(t *testing.T) {
	tests := map[string]func(call int, r *replayv1.FetchRequest, stream grpc.ServerStreamingServer[replayv1.FetchResponse]) error{
		"it does not serve the partition": func(int, *replayv1.FetchRequest, grpc.ServerStreamingServer[replayv1.FetchResponse]) error {
			return status.Error(codes.FailedPrecondition, "not mine")
		},
		"it ends before all was sent": func(_ int, r *replayv1.FetchRequest, stream grpc.ServerStreamingServer[replayv1.FetchResponse]) error {
			return stream.Send(&replayv1.FetchResponse{Records: [][]byte{{}}})
		},
	}
	for name, broken := range tests {
		t.Run(name, func(t *testing.T) {
			conns := serve(t, map[string]*router{"a": {fetch: broken}, "b": {fetch: records}})
			r := New(Options{Routes: routes("a", "gone", "b"), Conns: conns, MaxEvents: 3})
			parts, err := r.Fetch(context.Background(), []recovery.Span{{From: 0, To: 3}}, nil, 1)
			if err != nil || len(parts[0]) != 3 {
				t.Errorf("got %v, %v: what a broken router sent must not count", parts, err)
			}
		})
	}
}

func TestAPartitionWithoutARouterIsWaitedFor(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	asked := 0
	r := New(Options{Conns: serve(t, map[string]*router{"a": {fetch: records}}), Routes: func(uint32) []string {
		if asked++; asked < 3 {
			return nil
		}
		return []string{"a"}
	}})
	if parts, err := r.Fetch(ctx, []recovery.Span{{From: 0, To: 2}}, nil, 1); err != nil || len(parts[0]) != 2 {
		t.Errorf("got %v, %v", parts, err)
	}
	soon, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	none := New(Options{Conns: &peers.Conns{}, Routes: routes()})
	if _, err := none.Fetch(soon, []recovery.Span{{From: 0, To: 2}}, nil, 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestTheBoundsHoldOverAllPartitions(t *testing.T) {
	conns := serve(t, map[string]*router{"a": {fetch: records}, "old": {fetch: func(int, *replayv1.FetchRequest, grpc.ServerStreamingServer[replayv1.FetchResponse]) error {
		return status.Error(codes.OutOfRange, "gone")
	}}, "much": {fetch: func(int, *replayv1.FetchRequest, grpc.ServerStreamingServer[replayv1.FetchResponse]) error {
		return status.Error(codes.ResourceExhausted, "too much")
	}}})
	spans := []recovery.Span{{Partition: 0, From: 0, To: 3}, {Partition: 1, From: 0, To: 3}}
	tests := map[string]struct {
		options Options
		want    error
	}{
		"within":           {Options{Routes: routes("a"), MaxEvents: 6}, nil},
		"too many events":  {Options{Routes: routes("a"), MaxEvents: 5}, ErrBounds},
		"too many bytes":   {Options{Routes: routes("a"), MaxBytes: 20}, ErrBounds},
		"the router says":  {Options{Routes: routes("much")}, ErrBounds},
		"no longer kept":   {Options{Routes: routes("old")}, ErrWindow},
		"one at a time":    {Options{Routes: routes("a"), Fetches: 1}, nil},
		"gone before that": {Options{Routes: routes("nobody", "old")}, ErrWindow},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			test.options.Conns = conns
			if _, err := New(test.options).Fetch(context.Background(), spans, nil, 2); !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
}
