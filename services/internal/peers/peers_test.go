package peers_test

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/edumatrix/interlink/services/internal/peers"
)

// begin starts a server that counts its calls.
func begin(t *testing.T) (addr string, calls *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	calls = new(atomic.Int64)
	server := grpc.NewServer(grpc.UnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
		calls.Add(1)
		return handle(ctx, req)
	}))
	healthv1.RegisterHealthServer(server, health.NewServer())
	go func() { _ = server.Serve(l) }()
	t.Cleanup(server.Stop)
	return l.Addr().String(), calls
}

func TestCallsGoToAllPeersInTurn(t *testing.T) {
	one, callsOne := begin(t)
	two, callsTwo := begin(t)
	conn, err := peers.Dial([]string{one, two}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for callsOne.Load() == 0 || callsTwo.Load() == 0 {
		if _, err := healthv1.NewHealthClient(conn).Check(ctx, &healthv1.HealthCheckRequest{}, grpc.WaitForReady(true)); err != nil {
			t.Fatalf("calls so far %d and %d: %v", callsOne.Load(), callsTwo.Load(), err)
		}
	}
}

func TestNoAddressIsAnError(t *testing.T) {
	if _, err := peers.Dial(nil, nil); err == nil {
		t.Error("no error")
	}
}
