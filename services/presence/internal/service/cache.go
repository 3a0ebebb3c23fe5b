package service

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	presencev1 "github.com/edumatrix/interlink/proto/presence/v1"
	"github.com/edumatrix/interlink/services/internal/permission"
)

// Times to live of what comes without one.
const (
	baseTTL       = 5 * time.Minute
	permissionTTL = time.Minute
)

// PutBase stores a cursor base.
func (s *Service) PutBase(ctx context.Context, in *presencev1.PutBaseRequest) (*presencev1.PutBaseResponse, error) {
	if err := named("base", in.GetBase()); err != nil {
		return nil, err
	}
	if len(in.GetVector()) > maxVector {
		return nil, status.Errorf(codes.InvalidArgument, "vector: at most %d bytes", maxVector)
	}
	err := s.call(ctx, func(ctx context.Context) error {
		return s.o.Store.PutBase(ctx, in.GetBase(), in.GetVector(), ttlOf(in.GetTtlMs(), baseTTL))
	})
	return &presencev1.PutBaseResponse{}, err
}

// GetBase reads a cursor base.
func (s *Service) GetBase(ctx context.Context, in *presencev1.GetBaseRequest) (*presencev1.GetBaseResponse, error) {
	if err := named("base", in.GetBase()); err != nil {
		return nil, err
	}
	var vector []byte
	err := s.call(ctx, func(ctx context.Context) (err error) {
		vector, err = s.o.Store.GetBase(ctx, in.GetBase())
		return err
	})
	return &presencev1.GetBaseResponse{Vector: vector}, err
}

// GetPermissions reads cached permissions of one user.
func (s *Service) GetPermissions(ctx context.Context, in *presencev1.GetPermissionsRequest) (*presencev1.GetPermissionsResponse, error) {
	if err := named("user", in.GetUser()); err != nil {
		return nil, err
	}
	if len(in.GetRooms()) > maxRooms {
		return nil, status.Errorf(codes.InvalidArgument, "rooms: at most %d at a time", maxRooms)
	}
	for _, room := range in.GetRooms() {
		if err := named("rooms", room); err != nil {
			return nil, err
		}
	}
	var cached map[string]permission.Set
	err := s.call(ctx, func(ctx context.Context) (err error) {
		cached, err = s.o.Store.GetPermissions(ctx, in.GetUser(), in.GetRooms())
		return err
	})
	out := &presencev1.GetPermissionsResponse{Permissions: make(map[string]uint32, len(cached))}
	for room, set := range cached {
		out.Permissions[room] = uint32(set)
	}
	return out, err
}

// PutPermission caches an authorizer's answer.
func (s *Service) PutPermission(ctx context.Context, in *presencev1.PutPermissionRequest) (*presencev1.PutPermissionResponse, error) {
	if err := named("user", in.GetUser()); err != nil {
		return nil, err
	}
	if err := named("room", in.GetRoom()); err != nil {
		return nil, err
	}
	err := s.call(ctx, func(ctx context.Context) error {
		return s.o.Store.PutPermission(ctx, in.GetUser(), in.GetRoom(), permission.Set(in.GetPermissions()), ttlOf(in.GetTtlMs(), permissionTTL))
	})
	return &presencev1.PutPermissionResponse{}, err
}

// DropPermissions forgets cached answers of users in one room.
func (s *Service) DropPermissions(ctx context.Context, in *presencev1.DropPermissionsRequest) (*presencev1.DropPermissionsResponse, error) {
	if err := named("room", in.GetRoom()); err != nil {
		return nil, err
	}
	if len(in.GetUsers()) > maxRooms {
		return nil, status.Errorf(codes.InvalidArgument, "users: at most %d at a time", maxRooms)
	}
	users := make([]string, 0, len(in.GetUsers()))
	for _, user := range in.GetUsers() {
		if named("users", user) == nil {
			users = append(users, user)
		}
	}
	err := s.call(ctx, func(ctx context.Context) error { return s.o.Store.DropPermissions(ctx, in.GetRoom(), users) })
	return &presencev1.DropPermissionsResponse{}, err
}
