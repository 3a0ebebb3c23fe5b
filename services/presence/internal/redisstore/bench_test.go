package redisstore_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/edumatrix/interlink/services/presence/internal/redisstore"
	"github.com/edumatrix/interlink/services/presence/internal/redistest"
	"github.com/edumatrix/interlink/services/presence/internal/store"
)

// benchStore is a store on a server of its own, with one gateway that holds n sockets.
func benchStore(b *testing.B, n int) (*redisstore.Store, store.Life, []store.Change) {
	if !redistest.Available() {
		b.Fatal("benchmarks need redis-server on PATH")
	}
	s := newStore(b, redisstore.Options{Addrs: []string{redistest.Start(b).Addr}})
	life := store.Life{Gateway: "g", Incarnation: "i"}
	if _, err := s.Renew(b.Context(), store.Lease{Life: life}, time.Hour); err != nil {
		b.Fatal(err)
	}
	changes := make([]store.Change, n)
	for i := range changes {
		changes[i] = store.Change{Kind: store.Online, User: fmt.Sprintf("user-%d", i), Socket: fmt.Sprintf("socket-%d", i)}
	}
	if _, err := s.Sync(b.Context(), life, true, changes); err != nil {
		b.Fatal(err)
	}
	return s, life, changes
}

func BenchmarkFullSyncOf50000Sockets(b *testing.B) {
	s, life, changes := benchStore(b, 50000)
	for b.Loop() {
		if _, err := s.Sync(b.Context(), life, true, changes); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSyncOf100Changes(b *testing.B) {
	s, life, changes := benchStore(b, 50000)
	for b.Loop() {
		if _, err := s.Sync(b.Context(), life, false, changes[:100]); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkTickWithNothingDue(b *testing.B) {
	s, life, _ := benchStore(b, 50000)
	for b.Loop() {
		if _, err := s.Tick(b.Context(), []store.Life{life}, 200); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRenew(b *testing.B) {
	s, life, _ := benchStore(b, 1)
	for b.Loop() {
		if _, err := s.Renew(b.Context(), store.Lease{Life: life}, time.Hour); err != nil {
			b.Fatal(err)
		}
	}
}
