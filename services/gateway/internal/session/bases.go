package session

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/edumatrix/interlink/services/gateway/internal/cursor"
	"github.com/edumatrix/interlink/services/internal/lru"
)

const (
	basesKept = 1024
	basesFor  = time.Minute
)

// bases reads cursor bases. Many clients of one gateway cite the same, so each is read once.
type bases struct {
	store Store
	asks  singleflight.Group

	mu    sync.Mutex // guards known
	known *lru.Map[uint64, cursor.Base]
}

func newBases(s Store) *bases {
	return &bases{store: s, known: lru.New[uint64, cursor.Base](basesKept)}
}

// get blocks. Errors: ErrNotStored, else the store is away.
func (b *bases) get(ctx context.Context, id uint64) (cursor.Base, error) {
	now := time.Now()
	b.mu.Lock()
	base, known := b.known.Get(id, now)
	b.mu.Unlock()
	if known {
		return base, nil
	}
	var name [8]byte
	for i := range name {
		name[i] = byte(id >> (8 * i))
	}
	answer := b.asks.DoChan(string(name[:]), func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
		defer cancel()
		base, err := b.store.Base(ctx, id)
		if err == nil {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.known.Put(id, base, now.Add(basesFor))
		}
		return base, err
	})
	select {
	case got := <-answer:
		base, _ := got.Val.(cursor.Base)
		return base, got.Err
	case <-ctx.Done():
		return cursor.Base{}, ctx.Err()
	}
}

// Peers are the other gateways.
type Peers interface {
	// CloseSocket has a gateway close a socket whose session goes on here. Version is
	// that of its record here. It does not block, and may come to nothing.
	CloseSocket(gateway, user, socket string, version uint64)
}
