package gateway

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	emitv1 "github.com/edumatrix/interlink/proto/emit/v1"
	presencev1 "github.com/edumatrix/interlink/proto/presence/v1"
	replayv1 "github.com/edumatrix/interlink/proto/replay/v1"
	"github.com/edumatrix/interlink/services/internal/room"
)

// backend is a presence service and the Emit and Replay of a router, in memory.
type backend struct {
	presencev1.UnimplementedPresenceServer
	emitv1.UnimplementedEmitServer
	replayv1.UnimplementedReplayServer
	feed *feed
	addr string
	conn *grpc.ClientConn

	mu       sync.Mutex // guards what follows
	away     bool
	gateways map[string]string
	sockets  map[string]string // user by socket
	left     []string
	typing   []string
	statuses map[string]string
	bases    map[string][]byte
	entries  []*emitv1.Entry
	ready    []*emitv1.ReadyEvent
	fetches  int
	records  sessionStore
	earliest int64 // of every partition, for Fetch
	frozen   bool  // Fetch says nothing
}

var errAway = status.Error(codes.Unavailable, "away")

func newBackend(t *testing.T, f *feed) *backend {
	b := &backend{feed: f, gateways: map[string]string{}, sockets: map[string]string{}, statuses: map[string]string{}, bases: map[string][]byte{}, records: newSessionStore()}
	l := listen(t)
	b.addr = l.Addr().String()
	server := grpc.NewServer()
	presencev1.RegisterPresenceServer(server, b)
	emitv1.RegisterEmitServer(server, b)
	replayv1.RegisterReplayServer(server, b)
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := server.Serve(l); err != nil && !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	})
	var err error
	if b.conn, err = grpc.NewClient("passthrough:///"+b.addr, grpc.WithTransportCredentials(insecure.NewCredentials())); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = b.conn.Close()
		server.Stop()
		serving.Wait()
	})
	return b
}

// use lets a gateway use the backend.
func (b *backend) use(o *Options) {
	o.Presence, o.Routers = b.conn, b.conn
	o.Dial = []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())}
}

func (b *backend) do(f func()) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.away {
		return errAway
	}
	f()
	return nil
}

func (b *backend) setAway(away bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.away = away
}

// setFrozen has no replay answered.
func (b *backend) setFrozen(frozen bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.frozen = frozen
}

func (b *backend) Renew(_ context.Context, r *presencev1.RenewRequest) (*presencev1.RenewResponse, error) {
	answer := &presencev1.RenewResponse{}
	return answer, b.do(func() {
		b.gateways[r.Gateway] = r.Addr
		answer.Run, answer.Forgotten = b.records.renew(r.Gateway)
	})
}

func (b *backend) Release(_ context.Context, r *presencev1.ReleaseRequest) (*presencev1.ReleaseResponse, error) {
	return &presencev1.ReleaseResponse{}, b.do(func() { delete(b.gateways, r.Gateway) })
}

func (b *backend) Gateways(context.Context, *presencev1.GatewaysRequest) (*presencev1.GatewaysResponse, error) {
	answer := &presencev1.GatewaysResponse{}
	return answer, b.do(func() {
		for id, addr := range b.gateways {
			answer.Gateways = append(answer.Gateways, &presencev1.Gateway{Gateway: id, Addr: addr})
		}
	})
}

func (b *backend) Sync(_ context.Context, r *presencev1.SyncRequest) (*presencev1.SyncResponse, error) {
	answer := &presencev1.SyncResponse{}
	return answer, b.do(func() {
		if answer.Forgotten = b.records.synced(r.Gateway, r.Full); answer.Forgotten {
			return
		}
		for _, c := range r.Changes {
			switch c.Kind {
			case presencev1.Change_ONLINE:
				b.sockets[c.Socket] = c.User
			case presencev1.Change_LEFT:
				b.left = append(b.left, c.User)
				delete(b.sockets, c.Socket)
			default:
				delete(b.sockets, c.Socket)
			}
		}
	})
}

func (b *backend) SetStatus(_ context.Context, r *presencev1.SetStatusRequest) (*presencev1.SetStatusResponse, error) {
	return &presencev1.SetStatusResponse{}, b.do(func() { b.statuses[r.User] = r.Status })
}

func (b *backend) Query(_ context.Context, r *presencev1.QueryRequest) (*presencev1.QueryResponse, error) {
	answer := &presencev1.QueryResponse{Users: map[string]*presencev1.State{}}
	return answer, b.do(func() {
		for _, user := range r.Users {
			answer.Users[user] = &presencev1.State{Status: "offline"}
			for _, other := range b.sockets {
				if other == user {
					answer.Users[user] = &presencev1.State{Online: true, Status: "online", Sockets: 1}
				}
			}
		}
	})
}

func (b *backend) Typing(_ context.Context, r *presencev1.TypingRequest) (*presencev1.TypingResponse, error) {
	return &presencev1.TypingResponse{Told: true}, b.do(func() {
		what := "stop "
		if r.Typing {
			what = "start "
		}
		b.typing = append(b.typing, what+r.Room+" "+r.User+" "+r.Name)
	})
}

// typed returns what was told of typing so far.
func (b *backend) typed() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.typing)
}

func (b *backend) PutBase(_ context.Context, r *presencev1.PutBaseRequest) (*presencev1.PutBaseResponse, error) {
	return &presencev1.PutBaseResponse{}, b.do(func() { b.bases[r.Base] = r.Vector })
}

func (b *backend) GetPermissions(context.Context, *presencev1.GetPermissionsRequest) (*presencev1.GetPermissionsResponse, error) {
	return &presencev1.GetPermissionsResponse{}, b.do(func() {})
}

func (b *backend) PutPermission(context.Context, *presencev1.PutPermissionRequest) (*presencev1.PutPermissionResponse, error) {
	return &presencev1.PutPermissionResponse{}, b.do(func() {})
}

func (b *backend) DropPermissions(context.Context, *presencev1.DropPermissionsRequest) (*presencev1.DropPermissionsResponse, error) {
	return &presencev1.DropPermissionsResponse{}, b.do(func() {})
}

func (b *backend) Publish(_ context.Context, r *emitv1.PublishRequest) (*emitv1.PublishResponse, error) {
	answer := &emitv1.PublishResponse{}
	return answer, b.do(func() {
		for _, e := range r.Entries {
			b.entries = append(b.entries, e)
			answer.Results = append(answer.Results, &emitv1.Result{})
		}
	})
}

func (b *backend) Fetch(r *replayv1.FetchRequest, stream grpc.ServerStreamingServer[replayv1.FetchResponse]) error {
	frozen, earliest := false, int64(0)
	if err := b.do(func() { b.fetches++; frozen, earliest = b.frozen, b.earliest }); err != nil {
		return err
	}
	switch {
	case frozen:
		return status.Error(codes.Unavailable, "frozen")
	case r.From < earliest:
		return status.Error(codes.OutOfRange, "expired")
	}
	b.feed.mu.Lock()
	answer := &replayv1.FetchResponse{Complete: true}
	from := r.From
	if r.SinceMs > 0 {
		for from = 0; from < r.To && b.feed.log[r.Partition][from].TimeMs < r.SinceMs; from++ {
		}
	}
	for _, record := range b.feed.log[r.Partition][from:r.To] {
		wanted := record.Control != nil || slices.ContainsFunc(record.Rooms, func(name string) bool {
			return slices.Contains(r.Rooms, room.Room(name).Hash())
		})
		if wanted {
			raw, err := proto.Marshal(record)
			if err != nil {
				b.feed.mu.Unlock()
				return err
			}
			answer.Records = append(answer.Records, raw)
		}
	}
	b.feed.mu.Unlock()
	return stream.Send(answer)
}
