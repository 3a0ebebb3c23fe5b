package memstore

import (
	"bytes"
	"context"
	"slices"
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

// GetPermissions reads what is known of a user; rooms without an entry are absent.
func (s *Store) GetPermissions(ctx context.Context, user string, rooms []string) (store.Permissions, error) {
	now, leave, err := s.enter(ctx)
	if err != nil {
		return store.Permissions{}, err
	}
	defer leave()
	out := store.Permissions{Sets: make(map[string]permission.Set, len(rooms)), Removed: map[string]time.Time{}}
	for _, room := range rooms {
		if p, ok := s.permissions[permit{user, room}]; ok && !p.value.dropped && p.ends.After(now) {
			out.Sets[room] = p.value.set
		}
		if r, ok := s.removals[permit{user, room}]; ok && r.ends.After(now) {
			out.Removed[room] = r.value
		}
	}
	return out, nil
}

// PutPermission caches one answer, unless it was dropped less than store.PermissionQuiet ago. One that admits ends the
// mark of a removal.
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
	if set.Has(permission.Join) {
		delete(s.removals, k)
	}
	return nil
}

// DropPermissions forgets what is cached for users in one room, and marks those who were removed from it.
func (s *Store) DropPermissions(ctx context.Context, d store.Drop) error {
	now, leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	for _, user := range slices.Concat(d.Users, d.Removed) {
		s.permissions[permit{user, d.Room}] = expiring[cached]{cached{dropped: true}, now.Add(store.PermissionQuiet)}
	}
	at := d.At.Truncate(time.Millisecond)
	for _, user := range d.Removed {
		k := permit{user, d.Room}
		if r, ok := s.removals[k]; !ok || !r.ends.After(now) || at.After(r.value) {
			s.removals[k] = expiring[time.Time]{at, now.Add(store.RemovedTTL)}
		}
	}
	return nil
}
