package attach

import (
	"context"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	deliveryv1 "github.com/edumatrix/interlink/proto/delivery/v1"
	"github.com/edumatrix/interlink/services/gateway/internal/hub"
	"github.com/edumatrix/interlink/services/gateway/internal/trail"
	"github.com/edumatrix/interlink/services/internal/room"
)

// Closed remembers sockets that went.
type Closed interface {
	Of(users map[string]bool, since time.Time, limit int) []trail.Closed
}

const (
	maxOutcome = 1000             // sockets, rooms and users of one question
	remembered = 15 * time.Minute // how long ago a socket may have gone to be named
)

// Outcome tells where this gateway stands with one event, and who of those asked about is here.
func (s *Server) Outcome(ctx context.Context, r *deliveryv1.OutcomeRequest) (*deliveryv1.OutcomeResponse, error) {
	if len(r.GetRooms()) > 2*maxOutcome || len(r.GetUsers()) > maxOutcome {
		return nil, status.Errorf(codes.InvalidArgument, "at most %d rooms and %d users", 2*maxOutcome, maxOutcome)
	}
	limit := int(min(r.GetLimit(), maxOutcome))
	if limit == 0 {
		limit = maxOutcome
	}
	epoch, position, err := s.options.Hub.Standing(ctx, r.GetPartition())
	if err != nil {
		return nil, status.FromContextError(err).Err()
	}
	rooms := make([]room.Room, len(r.GetRooms()))
	for i, name := range r.GetRooms() {
		rooms[i] = room.Room(name)
	}
	found, err := s.options.Hub.Find(ctx, hub.Asked{Rooms: rooms, Users: r.GetUsers(), Limit: limit})
	if err != nil {
		return nil, status.FromContextError(err).Err()
	}
	out := &deliveryv1.OutcomeResponse{Gateway: s.options.Gateway, TopicEpoch: epoch, Position: position, Members: uint32(found.Members), More: found.More}
	for _, i := range found.Sockets {
		out.Sockets = append(out.Sockets, &deliveryv1.SocketOutcome{Socket: i.Socket, User: i.User, SinceMs: i.Since.UnixMilli(), Member: i.Member})
	}
	if s.options.Closed != nil && len(r.GetUsers()) > 0 {
		users := make(map[string]bool, len(r.GetUsers()))
		for _, u := range r.GetUsers() {
			users[u] = true
		}
		for _, c := range s.options.Closed.Of(users, time.Now().Add(-remembered), limit) {
			out.Closed = append(out.Closed, &deliveryv1.ClosedSocket{Socket: c.Socket, User: c.User, AtMs: c.At.UnixMilli(), Reason: c.Reason})
		}
	}
	return out, nil
}

// Routers lists the attached routers.
func (s *Server) Routers(context.Context, *deliveryv1.RoutersRequest) (*deliveryv1.RoutersResponse, error) {
	addrs := s.options.Hub.Routers()
	slices.Sort(addrs)
	return &deliveryv1.RoutersResponse{Addrs: addrs}, nil
}
