package calls_test

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	presencev1 "github.com/edumatrix/interlink/proto/presence/v1"
	"github.com/edumatrix/interlink/services/internal/calls"
)

// server answers GetPermissions with the user's name as a room, once begin is closed.
type server struct {
	presencev1.UnimplementedPresenceServer
	begin chan struct{}
	old   bool // knows no Calls

	mu       sync.Mutex // guards requests
	requests []int      // calls in each
}

func (s *server) GetPermissions(ctx context.Context, r *presencev1.GetPermissionsRequest) (*presencev1.GetPermissionsResponse, error) {
	select {
	case <-s.begin:
	case <-ctx.Done():
		return nil, status.FromContextError(ctx.Err()).Err()
	}
	if r.User == "bad" {
		return nil, status.Error(codes.InvalidArgument, "what a name")
	}
	return &presencev1.GetPermissionsResponse{Permissions: map[string]uint32{"user:" + r.User: 1}}, nil
}

func (s *server) Calls(ctx context.Context, r *presencev1.CallsRequest) (*presencev1.CallsResponse, error) {
	if s.old {
		return s.UnimplementedPresenceServer.Calls(ctx, r)
	}
	s.mu.Lock()
	s.requests = append(s.requests, len(r.Calls))
	s.mu.Unlock()
	return calls.Serve(ctx, s, r)
}

func begin(t *testing.T, s *server) presencev1.PresenceClient {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer()
	presencev1.RegisterPresenceServer(g, s)
	go func() { _ = g.Serve(l) }()
	t.Cleanup(g.Stop)
	conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return presencev1.NewPresenceClient(calls.New(conn))
}

// ask makes n calls at once and wants each to get its own answer.
func ask(t *testing.T, c presencev1.PresenceClient, s *server, n int) {
	t.Helper()
	var each sync.WaitGroup
	for i := range n {
		each.Go(func() {
			user := fmt.Sprint(i)
			got, err := c.GetPermissions(t.Context(), &presencev1.GetPermissionsRequest{User: user})
			if err != nil || got.Permissions["user:"+user] != 1 {
				t.Errorf("call %d got %v, %v", i, got, err)
			}
		})
	}
	close(s.begin)
	each.Wait()
}

func TestManyCallsGetTheirOwnAnswersInFewRequests(t *testing.T) {
	s := &server{begin: make(chan struct{})}
	ask(t, begin(t, s), s, 1000)
	most, sum := 0, 0
	for _, n := range s.requests {
		most, sum = max(most, n), sum+n
	}
	if sum != 1000 || most > 64 || len(s.requests) > 500 {
		t.Errorf("%d calls in %d requests, %d in one", sum, len(s.requests), most)
	}
}

func TestAnOlderServiceIsAskedOneByOne(t *testing.T) {
	s := &server{begin: make(chan struct{}), old: true}
	ask(t, begin(t, s), s, 100)
}

func TestEachCallHasItsOwnError(t *testing.T) {
	s := &server{begin: make(chan struct{})}
	close(s.begin)
	c := begin(t, s)
	if _, err := c.GetPermissions(t.Context(), &presencev1.GetPermissionsRequest{User: "bad"}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("got %v", err)
	}
	if _, err := c.PutSession(t.Context(), &presencev1.PutSessionRequest{}); status.Code(err) != codes.Unimplemented {
		t.Errorf("got %v of what the server does not know", err)
	}
	if _, err := c.Renew(t.Context(), &presencev1.RenewRequest{}); status.Code(err) != codes.Unimplemented {
		t.Errorf("got %v of what goes alone", err)
	}
}

func TestACallerWhoseTimeIsOverIsNotKept(t *testing.T) {
	s := &server{begin: make(chan struct{})}
	c := begin(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.GetPermissions(ctx, &presencev1.GetPermissionsRequest{User: "u"}); status.Code(err) != codes.Canceled {
		t.Errorf("got %v", err)
	}
	close(s.begin)
}

func TestCallsOfWhoHasGoneAreNotMade(t *testing.T) {
	s := &server{begin: make(chan struct{})}
	c := begin(t, s)
	ctx, leave := context.WithCancel(t.Context())
	var each sync.WaitGroup
	for range 20_000 { // more than may wait: they make room for each other as they go
		each.Go(func() {
			if _, err := c.GetPermissions(ctx, &presencev1.GetPermissionsRequest{User: "u"}); err == nil {
				t.Error("answered, and the service hangs")
			}
		})
	}
	leave()
	each.Wait()
	ask(t, c, s, 100)
	made := 0
	for _, n := range s.requests {
		made += n
	}
	if made > 100+4*64 {
		t.Errorf("%d calls were made", made)
	}
}

func TestRequestsOfStrangersAreRefused(t *testing.T) {
	s := &server{begin: make(chan struct{})}
	if _, err := calls.Serve(t.Context(), s, &presencev1.CallsRequest{Calls: make([]*presencev1.Call, 65)}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("65 calls: %v", err)
	}
	got, err := calls.Serve(t.Context(), s, &presencev1.CallsRequest{Calls: []*presencev1.Call{
		{Method: "Calls"}, {Method: ""}, {Method: "PutSession", Request: []byte{0xff}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []codes.Code{codes.Unimplemented, codes.Unimplemented, codes.InvalidArgument} {
		if got.Results[i].Code != uint32(want) {
			t.Errorf("result %d is %v, want %v", i, got.Results[i], want)
		}
	}
}
