package redisstore_test

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/edumatrix/interlink/services/presence/internal/redisstore"
	"github.com/edumatrix/interlink/services/presence/internal/redistest"
	"github.com/edumatrix/interlink/services/presence/internal/store/storetest"
)

func newStore(t testing.TB, o redisstore.Options) *redisstore.Store {
	t.Helper()
	o.Settings = storetest.Settings()
	if o.Timeout == 0 {
		o.Timeout = 10 * time.Second // a busy machine is no failure here
	}
	s, err := redisstore.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestContractOnMiniredis(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Subject {
		clock, m := storetest.NewClock(), miniredis.RunT(t)
		o := redisstore.Options{Addrs: []string{m.Addr()}, Now: clock.Now}
		return storetest.Subject{
			Store:   newStore(t, o),
			Another: func() storetest.Store { return newStore(t, o) },
			Advance: func(d time.Duration) { clock.Advance(d); m.FastForward(d) },
			Flush:   m.FlushAll,
		}
	})
}

// TestContractOnRedis runs on the server named by INTERLINK_TEST_REDIS, which it flushes, else on a redis-server from
// PATH; where there is neither, the miniredis run stands alone.
func TestContractOnRedis(t *testing.T) {
	addr := os.Getenv("INTERLINK_TEST_REDIS")
	if addr == "" {
		if !redistest.Available() {
			t.Log("no redis-server on PATH")
			return
		}
		addr = redistest.Start(t).Addr
	}
	contract(t, redisstore.Options{Addrs: []string{addr}})
}

// contract runs the suite on real servers. Their TTLs can't be driven by a clock, so time that passes is taken off them.
func contract(t *testing.T, o redisstore.Options) {
	client := redis.NewUniversalClient(&redis.UniversalOptions{Addrs: o.Addrs, MasterName: o.Master, IsClusterMode: o.Mode == redisstore.Cluster})
	t.Cleanup(func() { _ = client.Close() })
	storetest.Run(t, func(t *testing.T) storetest.Subject {
		o, clock := o, storetest.NewClock()
		o.Now = clock.Now
		flush(t, client)
		return storetest.Subject{
			Store:   newStore(t, o),
			Another: func() storetest.Store { return newStore(t, o) },
			Advance: func(d time.Duration) { clock.Advance(d); shorten(t, client, d) },
			Flush:   func() { flush(t, client) },
		}
	})
}

func eachMaster(t *testing.T, client redis.UniversalClient, fn func(ctx context.Context, c *redis.Client) error) {
	t.Helper()
	var err error
	switch c := client.(type) {
	case *redis.ClusterClient:
		err = c.ForEachMaster(t.Context(), fn)
	case *redis.Client:
		err = fn(t.Context(), c)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func flush(t *testing.T, client redis.UniversalClient) {
	eachMaster(t, client, func(ctx context.Context, c *redis.Client) error { return c.FlushAll(ctx).Err() })
}

// shorten takes d off the time to live of every key that has one.
func shorten(t *testing.T, client redis.UniversalClient, d time.Duration) {
	eachMaster(t, client, func(ctx context.Context, c *redis.Client) error {
		keys := c.Scan(ctx, 0, "*", 1000).Iterator()
		for keys.Next(ctx) {
			ttl, err := c.PTTL(ctx, keys.Val()).Result()
			if err != nil {
				return err
			}
			if ttl > 0 {
				if err := c.PExpire(ctx, keys.Val(), max(0, ttl-d)).Err(); err != nil {
					return err
				}
			}
		}
		return keys.Err()
	})
}
