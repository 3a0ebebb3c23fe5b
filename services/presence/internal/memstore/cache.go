package memstore

import (
	"bytes"
	"context"
	"time"

	"github.com/edumatrix/interlink/services/internal/permission"
	"github.com/edumatrix/interlink/services/presence/internal/store"
)

// PutBase stores a cursor base.
func (s *Store) PutBase(ctx context.Context, base string, vector []byte, ttl time.Duration) error {
	now, leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	s.bases[base] = expiring[[]byte]{bytes.Clone(vector), now.Add(ttl)}
	return nil
}

// GetBase reads a cursor base, store.ErrNotFound if it is gone.
func (s *Store) GetBase(ctx context.Context, base string) ([]byte, error) {
	now, leave, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	b, ok := s.bases[base]
	if !ok || !b.ends.After(now) {
		return nil, store.ErrNotFound
	}
	return bytes.Clone(b.value), nil
}

// GetPermissions reads cached permissions; rooms without an entry are absent.
func (s *Store) GetPermissions(ctx context.Context, user string, rooms []string) (map[string]permission.Set, error) {
	now, leave, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	out := make(map[string]permission.Set, len(rooms))
	for _, room := range rooms {
		if p, ok := s.permissions[permit{user, room}]; ok && !p.value.dropped && p.ends.After(now) {
			out[room] = p.value.set
		}
	}
	return out, nil
}

// PutPermission caches one answer, unless it was dropped less than store.PermissionQuiet ago.
func (s *Store) PutPermission(ctx context.Context, user, room string, set permission.Set, ttl time.Duration) error {
	now, leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	k := permit{user, room}
	if p, ok := s.permissions[k]; ok && p.value.dropped && p.ends.After(now) {
		return nil
	}
	s.permissions[k] = expiring[cached]{cached{set: set}, now.Add(ttl)}
	return nil
}

// DropPermissions forgets what is cached for users in one room.
func (s *Store) DropPermissions(ctx context.Context, room string, users []string) error {
	now, leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	for _, user := range users {
		s.permissions[permit{user, room}] = expiring[cached]{cached{dropped: true}, now.Add(store.PermissionQuiet)}
	}
	return nil
}
