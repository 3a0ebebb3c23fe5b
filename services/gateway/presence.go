package gateway

import (
	"context"
	"time"

	presencev1 "github.com/edumatrix/interlink/proto/presence/v1"
	"github.com/edumatrix/interlink/services/gateway/internal/session"
	"github.com/edumatrix/interlink/services/internal/permission"
	"github.com/edumatrix/interlink/services/internal/room"
)

// store is the presence service as the parts of a gateway ask it. All methods block until ctx ends at most.
type store struct{ client presencev1.PresenceClient }

// Query implements session.Presence.
func (s store) Query(ctx context.Context, users []string) (map[string]session.State, error) {
	answer, err := s.client.Query(ctx, &presencev1.QueryRequest{Users: users})
	if err != nil {
		return nil, err
	}
	out := make(map[string]session.State, len(answer.Users))
	for user, state := range answer.Users {
		out[user] = session.State{Online: state.Online, Status: state.Status, LastSeen: state.LastSeenMs, Sockets: state.Sockets}
	}
	return out, nil
}

// SetStatus implements session.Presence.
func (s store) SetStatus(ctx context.Context, user, status string) error {
	_, err := s.client.SetStatus(ctx, &presencev1.SetStatusRequest{User: user, Status: status})
	return err
}

// Typing implements session.Presence.
func (s store) Typing(ctx context.Context, r room.Room, user, socket, name string, typing bool) error {
	_, err := s.client.Typing(ctx, &presencev1.TypingRequest{Room: string(r), User: user, Socket: socket, Name: name, Typing: typing})
	return err
}

// PutBase implements hub.Bases.
func (s store) PutBase(ctx context.Context, id string, record []byte, ttl time.Duration) error {
	_, err := s.client.PutBase(ctx, &presencev1.PutBaseRequest{Base: id, Vector: record, TtlMs: ttl.Milliseconds()})
	return err
}

// Get implements authorize.Cache.
func (s store) Get(ctx context.Context, user string, rooms []room.Room) (map[room.Room]permission.Set, error) {
	answer, err := s.client.GetPermissions(ctx, &presencev1.GetPermissionsRequest{User: user, Rooms: names(rooms)})
	if err != nil {
		return nil, err
	}
	out := make(map[room.Room]permission.Set, len(answer.Permissions))
	for name, set := range answer.Permissions {
		out[room.Room(name)] = permission.Set(set)
	}
	return out, nil
}

func names(rooms []room.Room) []string {
	out := make([]string, len(rooms))
	for i, r := range rooms {
		out[i] = string(r)
	}
	return out
}

// Put implements authorize.Cache.
func (s store) Put(ctx context.Context, user string, r room.Room, set permission.Set, ttl time.Duration) error {
	_, err := s.client.PutPermission(ctx, &presencev1.PutPermissionRequest{
		User: user, Room: string(r), Permissions: uint32(set), TtlMs: ttl.Milliseconds(),
	})
	return err
}

// Drop implements authorize.Cache.
func (s store) Drop(ctx context.Context, r room.Room, users []string) error {
	_, err := s.client.DropPermissions(ctx, &presencev1.DropPermissionsRequest{Room: string(r), Users: users})
	return err
}
