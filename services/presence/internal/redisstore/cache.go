package redisstore

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/edumatrix/interlink/services/internal/permission"
	"github.com/edumatrix/interlink/services/presence/internal/store"
)

// PutBase stores a cursor base.
func (s *Store) PutBase(ctx context.Context, base string, vector []byte, ttl time.Duration) error {
	limited, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	return s.failed(ctx, "put base", s.client.Set(limited, s.baseKey(base), vector, ttl).Err())
}

// GetBase reads a cursor base, store.ErrNotFound if it is gone.
func (s *Store) GetBase(ctx context.Context, base string) ([]byte, error) {
	limited, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	vector, err := s.client.Get(limited, s.baseKey(base)).Bytes()
	if errors.Is(err, redis.Nil) {
		return nil, store.ErrNotFound
	}
	return vector, s.failed(ctx, "get base", err)
}

// GetPermissions reads cached permissions; rooms without an entry are absent.
func (s *Store) GetPermissions(ctx context.Context, user string, rooms []string) (map[string]permission.Set, error) {
	out := make(map[string]permission.Set, len(rooms))
	for part := range slices.Chunk(rooms, 1000) {
		if err := s.readPermissions(ctx, user, part, out); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (s *Store) readPermissions(ctx context.Context, user string, rooms []string, out map[string]permission.Set) error {
	limited, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	keys := make([]string, len(rooms))
	for i, room := range rooms {
		keys[i] = s.permissionKey(user, room)
	}
	values, err := s.client.MGet(limited, keys...).Result()
	if err != nil {
		return s.failed(ctx, "get permissions", err)
	}
	for i, v := range values {
		text, _ := v.(string)
		if set, err := strconv.ParseUint(text, 10, 32); err == nil {
			out[rooms[i]] = permission.Set(set)
		}
	}
	return nil
}

// PutPermission caches one answer, unless it was dropped less than store.PermissionQuiet ago.
func (s *Store) PutPermission(ctx context.Context, user, room string, set permission.Set, ttl time.Duration) error {
	_, err := s.runOne(ctx, call{"permit", []string{s.permissionKey(user, room)}, []any{uint32(set), max(1, ttl.Milliseconds())}})
	return err
}

// DropPermissions forgets what is cached for users in one room.
func (s *Store) DropPermissions(ctx context.Context, room string, users []string) error {
	for part := range slices.Chunk(users, 1000) {
		limited, cancel := context.WithTimeout(ctx, s.timeout)
		_, err := s.client.Pipelined(limited, func(p redis.Pipeliner) error {
			for _, user := range part {
				p.Set(limited, s.permissionKey(user, room), "x", store.PermissionQuiet)
			}
			return nil
		})
		cancel()
		if err != nil {
			return s.failed(ctx, "drop permissions", err)
		}
	}
	return nil
}
