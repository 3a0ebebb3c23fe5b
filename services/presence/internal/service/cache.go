package service

import (
	"context"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	presencev1 "github.com/edumatrix/interlink/proto/presence/v1"
	"github.com/edumatrix/interlink/services/internal/permission"
	"github.com/edumatrix/interlink/services/presence/internal/store"
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
	var cached store.Permissions
	err := s.call(ctx, func(ctx context.Context) (err error) {
		cached, err = s.o.Store.GetPermissions(ctx, in.GetUser(), in.GetRooms())
		return err
	})
	out := &presencev1.GetPermissionsResponse{Permissions: make(map[string]uint32, len(cached.Sets)), RemovedMs: make(map[string]int64, len(cached.Removed))}
	for room, set := range cached.Sets {
		out.Permissions[room] = uint32(set)
	}
	for room, at := range cached.Removed {
		out.RemovedMs[room] = at.UnixMilli()
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

// DropPermissions forgets cached answers of users in one room, and keeps who was removed from it.
func (s *Service) DropPermissions(ctx context.Context, in *presencev1.DropPermissionsRequest) (*presencev1.DropPermissionsResponse, error) {
	if err := named("room", in.GetRoom()); err != nil {
		return nil, err
	}
	if len(in.GetUsers())+len(in.GetRemoved()) > maxRooms {
		return nil, status.Errorf(codes.InvalidArgument, "users: at most %d at a time", maxRooms)
	}
	d := store.Drop{Room: in.GetRoom(), Users: onlyNamed(in.GetUsers()), Removed: onlyNamed(in.GetRemoved()), At: time.Now()}
	if at := time.UnixMilli(in.GetRemovedMs()); in.GetRemovedMs() > 0 && at.Before(d.At) {
		d.At = at
	}
	err := s.call(ctx, func(ctx context.Context) error { return s.o.Store.DropPermissions(ctx, d) })
	return &presencev1.DropPermissionsResponse{}, err
}

// onlyNamed leaves out what can't be a user's id: nothing is cached for it.
func onlyNamed(users []string) []string {
	return slices.DeleteFunc(slices.Clone(users), func(user string) bool { return named("users", user) != nil })
}
