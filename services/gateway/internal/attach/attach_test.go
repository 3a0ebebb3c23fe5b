package attach

import (
	"context"
	"log/slog"
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

	deliveryv1 "github.com/edumatrix/interlink/proto/delivery/v1"
	"github.com/edumatrix/interlink/services/gateway/internal/hub"
)

type shard struct{ mu sync.Mutex }

func (s *shard) Post(fn func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fn()
}

// dial starts a server with a hub behind it and returns a client.
func dial(t *testing.T, o Options) deliveryv1.DeliveryClient {
	t.Helper()
	logger := slog.New(slog.DiscardHandler)
	h, err := hub.New(hub.Options{Shards: []hub.Shard{&shard{}}, Keys: [][]byte{[]byte("key")}, Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := h.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	o.Hub, o.Gateway, o.Incarnation, o.Logger = h, "g", "i", logger
	server, l := New(o), bufconn.Listen(1<<16)
	g := grpc.NewServer()
	deliveryv1.RegisterDeliveryServer(g, server)
	running.Go(func() {
		if err := g.Serve(l); err != nil {
			t.Error(err)
		}
	})
	conn, err := grpc.NewClient("passthrough:///g", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close()
		server.Stop()
		g.Stop()
		cancel()
		running.Wait()
	})
	return deliveryv1.NewDeliveryClient(conn)
}

func hello(epoch string) *deliveryv1.AttachRequest {
	return &deliveryv1.AttachRequest{Kind: &deliveryv1.AttachRequest_Hello{Hello: &deliveryv1.Hello{
		TopicEpoch: epoch, Partitions: 2, Owned: []*deliveryv1.Ownership{{Partition: 0, Head: 7}},
	}}}
}

func attach(t *testing.T, client deliveryv1.DeliveryClient, first *deliveryv1.AttachRequest) deliveryv1.Delivery_AttachClient {
	t.Helper()
	stream, err := client.Attach(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(first); err != nil {
		t.Fatal(err)
	}
	return stream
}

func TestHelloIsAnsweredByTheSnapshotAndOwnershipByAPosition(t *testing.T) {
	stream := attach(t, dial(t, Options{}), hello("e"))
	m, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	s := m.GetSnapshot()
	if s == nil || s.Gateway != "g" || s.Incarnation != "i" || len(s.Positions) != 1 || s.Positions[0].Offset != 7 {
		t.Fatalf("got %v", m)
	}
	owned := &deliveryv1.Owned{Owned: []*deliveryv1.Ownership{{Partition: 0, Head: 7}, {Partition: 1, Head: 9}}}
	if err := stream.Send(&deliveryv1.AttachRequest{Kind: &deliveryv1.AttachRequest_Owned{Owned: owned}}); err != nil {
		t.Fatal(err)
	}
	if m, err = stream.Recv(); err != nil || m.GetPosition().GetPartition() != 1 || m.GetPosition().GetOffset() != 9 {
		t.Fatalf("got %v, %v", m, err)
	}
	ranges := &deliveryv1.Ranges{Ranges: []*deliveryv1.Range{{Partition: 1, From: 11, To: 12, Records: [][]byte{make([]byte, 40)}}}}
	if err := stream.Send(&deliveryv1.AttachRequest{Kind: &deliveryv1.AttachRequest_Ranges{Ranges: ranges}}); err != nil {
		t.Fatal(err)
	}
	var seek *deliveryv1.Seek
	var credit int64
	for seek == nil || credit == 0 {
		if m, err = stream.Recv(); err != nil {
			t.Fatal(err)
		}
		if m.GetSeek() != nil {
			seek = m.GetSeek()
		}
		credit += m.GetCredit().GetBytes()
	}
	if seek.Partition != 1 || seek.Offset != 9 || seek.Number != 1 || credit != 40 {
		t.Errorf("seek %v, credit %d", seek, credit)
	}
}

func TestNonsenseEndsTheStream(t *testing.T) {
	client := dial(t, Options{})
	first := attach(t, client, hello("e"))
	if _, err := first.Recv(); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		first *deliveryv1.AttachRequest
		want  codes.Code
	}{
		"no Hello":      {&deliveryv1.AttachRequest{Kind: &deliveryv1.AttachRequest_Push{Push: &deliveryv1.Push{}}}, codes.InvalidArgument},
		"no partitions": {&deliveryv1.AttachRequest{Kind: &deliveryv1.AttachRequest_Hello{Hello: &deliveryv1.Hello{}}}, codes.InvalidArgument},
		"another topic": {hello("f"), codes.FailedPrecondition},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := attach(t, client, test.first).Recv(); status.Code(err) != test.want {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
}

func TestASilentRouterIsGivenUp(t *testing.T) {
	stream := attach(t, dial(t, Options{Silence: 40 * time.Millisecond}), hello("e"))
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("got %v", err)
	}
}

func TestSocketsOfNobody(t *testing.T) {
	client := dial(t, Options{})
	for _, r := range []*deliveryv1.SocketsRequest{{Of: &deliveryv1.SocketsRequest_Room{Room: "r:1"}}, {Of: &deliveryv1.SocketsRequest_User{User: "u"}}} {
		answer, err := client.Sockets(t.Context(), r)
		if err != nil || len(answer.Sockets) != 0 {
			t.Errorf("got %v, %v", answer, err)
		}
	}
}

func TestTheOutboxAddsCreditUp(t *testing.T) {
	o := newOutbox("g", "i")
	o.Credit(5)
	o.Credit(7)
	m := o.take()
	if len(m) != 1 || m[0].GetCredit().GetBytes() != 12 || o.take() != nil {
		t.Errorf("got %v", m)
	}
	if !slices.Equal([]int{len(o.wake)}, []int{1}) {
		t.Error("the writer was not woken")
	}
}
