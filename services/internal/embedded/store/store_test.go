package store_test

import (
	"context"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/edumatrix/interlink/services/internal/embedded/store"
)

// begin starts a store and ends it with the test.
func begin(t *testing.T, programs []string) (*store.Store, context.CancelFunc, chan error) {
	t.Helper()
	s, err := store.New(t.Context(), store.Options{Programs: programs})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(cancel)
	return s, cancel, done
}

func client(t *testing.T, s *store.Store, password string) *redis.Client {
	c := redis.NewClient(&redis.Options{Addr: s.Addr, Password: password, MaxRetries: -1})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// kinds are the stores that this machine has.
func kinds() map[string][]string {
	out := map[string][]string{"in-process": {}}
	if _, err := exec.LookPath("redis-server"); err == nil {
		out["redis-server"] = []string{"redis-server"}
	}
	return out
}

func TestStore(t *testing.T) {
	for kind, programs := range kinds() {
		t.Run(kind, func(t *testing.T) {
			s, cancel, done := begin(t, programs)
			if s.Kind != kind {
				t.Fatalf("kind %q", s.Kind)
			}
			c := client(t, s, s.Password)
			if err := c.Set(t.Context(), "k", "v", 300*time.Millisecond).Err(); err != nil {
				t.Fatal(err)
			}
			deadline := time.Now().Add(10 * time.Second)
			for c.Exists(t.Context(), "k").Val() == 1 { // ends only if keys grow older by themselves
				if time.Now().After(deadline) {
					t.Fatal("the key does not expire")
				}
			}
			if err := client(t, s, "wrong").Ping(t.Context()).Err(); err == nil {
				t.Error("a wrong password is taken")
			}
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
			if conn, err := net.Dial("tcp", s.Addr); err == nil {
				_ = conn.Close()
				t.Error("the store still listens after its end")
			}
		})
	}
}

func TestAProgramThatIsNoStoreIsNotUsed(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/redis-server", []byte("#!/bin/sh\nexit 1\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
	s, _, _ := begin(t, nil)
	if s.Kind != "in-process" {
		t.Errorf("kind %q", s.Kind)
	}
}

func TestAStoreThatEndsByItselfIsAnError(t *testing.T) {
	programs, ok := kinds()["redis-server"]
	if !ok {
		return
	}
	s, _, done := begin(t, programs)
	_ = client(t, s, s.Password).ShutdownNoSave(t.Context()).Err()
	if err := <-done; err == nil || !strings.Contains(err.Error(), "ended by itself") {
		t.Errorf("Run: %v", err)
	}
}
