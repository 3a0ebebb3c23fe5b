package session

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/edumatrix/interlink/services/internal/sessionrecord"
)

// heard is a store whose answers are noted, to tell one that is slow, as in a storm of resumes, from one that is away.
// It is safe for use by many goroutines.
type heard struct {
	Store
	now           func() time.Time
	reads, writes atomic.Int64 // when the last one was answered, epoch milliseconds
}

// slowPatience bounds what a resume waits for a store that answers others.
const slowPatience = 3 * storePatience

// Write implements Store.
func (s *heard) Write(ctx context.Context, w sessionrecord.Write, ttl time.Duration) (Stored, error) {
	stored, err := s.Store.Write(ctx, w, ttl)
	if err == nil || errors.Is(err, ErrRefused) {
		s.writes.Store(s.now().UnixMilli())
	}
	return stored, err
}

// Read implements Store.
func (s *heard) Read(ctx context.Context, session string) (r sessionrecord.Record, run string, err error) {
	r, run, err = s.Store.Read(ctx, session)
	if err == nil || errors.Is(err, ErrNotStored) {
		s.reads.Store(s.now().UnixMilli())
	}
	return r, run, err
}

// gone tells whether one who has waited that long need not wait on: the store has answered nobody for as long as a resume
// is patient.
func (s *heard) gone(last *atomic.Int64, waited time.Duration) bool {
	silent := s.now().UnixMilli() - last.Load()
	return waited >= slowPatience || waited >= storePatience && silent >= storePatience.Milliseconds()
}
