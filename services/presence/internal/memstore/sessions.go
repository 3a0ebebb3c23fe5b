package memstore

import (
	"bytes"
	"context"
	"slices"
	"time"

	"github.com/edumatrix/interlink/services/internal/sessionrecord"
	"github.com/edumatrix/interlink/services/presence/internal/store"
)

// WriteSession decides and does one write of a session record; see redisstore.
func (s *Store) WriteSession(ctx context.Context, w sessionrecord.Write, ttl time.Duration) (store.SessionWritten, error) {
	now, leave, err := s.enter(ctx)
	if err != nil {
		return store.SessionWritten{}, err
	}
	defer leave()
	w.Record.Start, w.Record.Extra = bytes.Clone(w.Record.Start), bytes.Clone(w.Record.Extra)
	next, outcome := sessionrecord.Apply(s.session(w.Record.Session, now), w, s.run)
	out := store.SessionWritten{Outcome: outcome, Run: s.run}
	if outcome == sessionrecord.Written {
		s.sessions[w.Record.Session] = expiring[*sessionrecord.Record]{next, now.Add(ttl)}
		out.Version = next.Version
	}
	return out, nil
}

// session is nil if there is none.
func (s *Store) session(id string, now time.Time) *sessionrecord.Record {
	kept, ok := s.sessions[id]
	if !ok || !kept.ends.After(now) {
		return nil
	}
	return kept.value
}

// ReadSession reads a session record; see redisstore.
func (s *Store) ReadSession(ctx context.Context, id string) (store.SessionRead, error) {
	now, leave, err := s.enter(ctx)
	if err != nil {
		return store.SessionRead{}, err
	}
	defer leave()
	r := s.session(id, now)
	if r == nil {
		return store.SessionRead{}, store.ErrNotFound
	}
	out := *r
	out.Rooms, out.Before = slices.Clone(r.Rooms), slices.Clone(r.Before)
	return store.SessionRead{Record: out, Run: s.run}, nil
}

// EndSession keeps a record for ttl more or removes it; see redisstore.
func (s *Store) EndSession(ctx context.Context, id string, life sessionrecord.Life, version uint64, ttl time.Duration) (bool, error) {
	now, leave, err := s.enter(ctx)
	if err != nil {
		return false, err
	}
	defer leave()
	r := s.session(id, now)
	if r == nil || r.Life != life || r.Version > version {
		return false, nil
	}
	s.sessions[id] = expiring[*sessionrecord.Record]{r, now.Add(ttl)}
	return true, nil
}
