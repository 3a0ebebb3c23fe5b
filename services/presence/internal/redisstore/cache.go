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

// GetPermissions reads what is known of a user; rooms without an entry are absent.
func (s *Store) GetPermissions(ctx context.Context, user string, rooms []string) (store.Permissions, error) {
	out := store.Permissions{Sets: make(map[string]permission.Set, len(rooms)), Removed: map[string]time.Time{}}
	for part := range slices.Chunk(rooms, 1000) {
		if err := s.readPermissions(ctx, user, part, out); err != nil {
			return store.Permissions{}, err
		}
	}
	return out, nil
}

func (s *Store) readPermissions(ctx context.Context, user string, rooms []string, out store.Permissions) error {
	limited, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	n := len(rooms)
	keys := make([]string, 2*n)
	for i, room := range rooms {
		keys[i], keys[n+i] = s.permissionKey(user, room), s.removalKey(user, room)
	}
	values, err := s.client.MGet(limited, keys...).Result()
	if err != nil {
		return s.failed(ctx, "get permissions", err)
	}
	for i, room := range rooms {
		text, _ := values[i].(string)
		if set, err := strconv.ParseUint(text, 10, 32); err == nil {
			out.Sets[room] = permission.Set(set)
		}
		text, _ = values[n+i].(string)
		if ms, err := strconv.ParseInt(text, 10, 64); err == nil {
			out.Removed[room] = time.UnixMilli(ms)
		}
	}
	return nil
}

// PutPermission caches one answer, unless it was dropped less than store.PermissionQuiet ago. One that admits ends the
// mark of a removal.
func (s *Store) PutPermission(ctx context.Context, user, room string, set permission.Set, ttl time.Duration) error {
	admits := 0
	if set.Has(permission.Join) {
		admits = 1
	}
	_, err := s.runOne(ctx, call{"permit", []string{s.permissionKey(user, room), s.removalKey(user, room)},
		[]any{uint32(set), max(1, ttl.Milliseconds()), admits}})
	return err
}

// DropPermissions forgets what is cached for users in one room, and marks those who were removed from it.
func (s *Store) DropPermissions(ctx context.Context, d store.Drop) error {
	calls := make([]call, 0, len(d.Users)+len(d.Removed))
	drop := func(users []string, at int64) {
		for _, user := range users {
			calls = append(calls, call{"drop", []string{s.permissionKey(user, d.Room), s.removalKey(user, d.Room)},
				[]any{store.PermissionQuiet.Milliseconds(), at, store.RemovedTTL.Milliseconds()}})
		}
	}
	drop(d.Users, 0)
	drop(d.Removed, d.At.UnixMilli())
	_, err := s.runAll(ctx, calls)
	return err
}
