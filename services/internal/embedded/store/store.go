// Package store owns the Redis of the one binary, for development: a redis-server (or valkey-server) of this machine,
// run on loopback with a password of its own and nothing on disk, or else one inside this process. What it holds ends
// with the process; everything that is built on it copes with that.
package store

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"time"

	"github.com/alicebob/miniredis/v2"
)

// Options of the store.
type Options struct {
	// Programs are looked for on PATH in this order; nil: redis-server, valkey-server. Empty: none, so the store is
	// inside this process.
	Programs []string
	Logger   *slog.Logger // default: discards
}

// Store is a running store. Make it with New, end it with Run's context.
type Store struct {
	Kind     string // the program, or "in-process"
	Addr     string // host:port
	Password string
	backend  backend
}

type backend interface {
	run(ctx context.Context) error
}

// New starts a store and returns when it answers.
func New(ctx context.Context, o Options) (*Store, error) {
	if o.Programs == nil {
		o.Programs = []string{"redis-server", "valkey-server"}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	password := make([]byte, 16)
	_, _ = rand.Read(password) // never fails
	s := &Store{Password: hex.EncodeToString(password)}
	for _, program := range o.Programs {
		p, err := startProcess(ctx, program, s.Password)
		if err == nil {
			s.Kind, s.Addr, s.backend = program, p.addr, p
			return s, nil
		}
		o.Logger.Debug("this program cannot be the embedded store", "program", program, "error", err)
	}
	m := miniredis.NewMiniRedis()
	m.RequireAuth(s.Password)
	if err := m.StartAddr("127.0.0.1:0"); err != nil {
		return nil, fmt.Errorf("embedded store: %w", err)
	}
	s.Kind, s.Addr, s.backend = "in-process", m.Addr(), &inProcess{m}
	return s, nil
}

// Run keeps the store until ctx ends. It returns an error if the store ends by itself.
func (s *Store) Run(ctx context.Context) error { return s.backend.run(ctx) }

// inProcess is miniredis, whose keys only grow older when it is told to.
type inProcess struct{ m *miniredis.Miniredis }

const clockTick = 200 * time.Millisecond

func (s *inProcess) run(ctx context.Context) error {
	defer s.m.Close()
	tick := time.NewTicker(clockTick)
	defer tick.Stop()
	last := time.Now()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			now := time.Now()
			s.m.FastForward(now.Sub(last))
			last = now
		}
	}
}
