package redisstore_test

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/edumatrix/interlink/services/presence/internal/redisstore"
	"github.com/edumatrix/interlink/services/presence/internal/redistest"
	"github.com/edumatrix/interlink/services/presence/internal/store"
)

// TestContractOnCluster finds every operation whose keys do not share a slot.
func TestContractOnCluster(t *testing.T) {
	if !redistest.Available() {
		t.Log("no redis-server on PATH")
		return
	}
	contract(t, redisstore.Options{Mode: redisstore.Cluster, Addrs: startCluster(t, 3)})
}

// startCluster makes a cluster of n masters and returns when every one of them sees all slots served.
func startCluster(t *testing.T, n int) []string {
	t.Helper()
	const slots = 16384
	var addrs []string
	var nodes []*redis.Client
	for i := range n {
		addr := redistest.Start(t, "--cluster-enabled", "yes", "--cluster-node-timeout", "30000").Addr
		node := redis.NewClient(&redis.Options{Addr: addr})
		t.Cleanup(func() { _ = node.Close() })
		if err := node.ClusterAddSlotsRange(t.Context(), i*slots/n, (i+1)*slots/n-1).Err(); err != nil {
			t.Fatal(err)
		}
		if i > 0 {
			host, port, _ := net.SplitHostPort(addrs[0])
			if err := node.ClusterMeet(t.Context(), host, port).Err(); err != nil {
				t.Fatal(err)
			}
		}
		addrs, nodes = append(addrs, addr), append(nodes, node)
	}
	for _, node := range nodes {
		await(t, "the cluster to form", func(ctx context.Context) bool {
			ranges, err := node.ClusterShards(ctx).Result()
			info, ierr := node.ClusterInfo(ctx).Result()
			return err == nil && ierr == nil && len(ranges) == n && len(info) > 16 && info[:16] == "cluster_state:ok"
		})
	}
	return addrs
}

// await polls another process, which has no channel to wait on, until it is as wanted.
func await(t *testing.T, what string, done func(ctx context.Context) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !done(ctx) {
		select {
		case <-ctx.Done():
			t.Fatalf("waited too long for %s", what)
		case <-tick.C:
		}
	}
}

func TestSentinelFollowsTheMaster(t *testing.T) {
	if !redistest.Available() {
		t.Log("no redis-server on PATH")
		return
	}
	master := redistest.Start(t)
	host, port, _ := net.SplitHostPort(master.Addr)
	replica := redistest.Start(t, "--replicaof", host+" "+port)
	sentinel := redistest.StartSentinel(t, fmt.Sprintf(
		"sentinel monitor main %s %s 1\nsentinel down-after-milliseconds main 500\nsentinel failover-timeout main 3000\n", host, port))
	s := newStore(t, redisstore.Options{Addrs: []string{sentinel.Addr}, Master: "main", Timeout: time.Second})

	watch := redis.NewSentinelClient(&redis.Options{Addr: sentinel.Addr})
	t.Cleanup(func() { _ = watch.Close() })
	await(t, "the sentinel to find the replica", func(ctx context.Context) bool {
		list, err := watch.Replicas(ctx, "main").Result()
		return err == nil && len(list) == 1 && list[0]["master-link-status"] == "ok"
	})
	life := store.Life{Gateway: "g", Incarnation: "i"}
	renew := func(ctx context.Context) (store.Renewal, error) {
		return s.Renew(ctx, store.Lease{Life: life}, time.Minute)
	}
	before, err := renew(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Sync(t.Context(), life, true, nil); err != nil {
		t.Fatal(err)
	}
	master.Kill()
	var after store.Renewal
	await(t, "the fail-over to "+replica.Addr, func(ctx context.Context) bool {
		after, err = renew(ctx)
		return err == nil
	})
	if !after.Forgotten || after.Run == before.Run {
		t.Errorf("a fail-over shows neither in the lease nor in the run: before %+v, after %+v", before, after)
	}
}

func TestServersSayWhyTheyRefuse(t *testing.T) {
	if !redistest.Available() {
		t.Log("no redis-server on PATH")
		return
	}
	addr := redistest.Start(t, "--requirepass", "right", "--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru").Addr
	admin := redis.NewClient(&redis.Options{Addr: addr, Password: "right"})
	t.Cleanup(func() { _ = admin.Close() })
	for user, keys := range map[string]string{"app": "~interlink:*", "other": "~other:*"} {
		rules := []string{"on", ">secret", keys, "+@read", "+@write", "+@scripting", "+@connection", "+time", "+info"}
		if err := admin.ACLSetUser(t.Context(), user, rules...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	tests := map[string]struct {
		user, password string
		wantRefused    bool
	}{
		"the right password":        {password: "right"},
		"a wrong password":          {password: "wrong", wantRefused: true},
		"no password":               {wantRefused: true},
		"a user of the access list": {user: "app", password: "secret"},
		"a user without our keys":   {user: "other", password: "secret", wantRefused: true},
		"a user who does not exist": {user: "nobody", password: "secret", wantRefused: true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := newStore(t, redisstore.Options{Addrs: []string{addr}, Username: tt.user, Password: tt.password})
			err := s.Check(t.Context())
			if got := redisstore.IsRefused(err); got != tt.wantRefused || (err != nil) != tt.wantRefused {
				t.Fatalf("Check: %v", err)
			}
			if err != nil {
				return
			}
			if policy, err := s.EvictionPolicy(t.Context()); err != nil || policy != "allkeys-lru" {
				t.Errorf("policy %q, %v", policy, err)
			}
			if _, err := s.Renew(t.Context(), store.Lease{Life: store.Life{Gateway: "g", Incarnation: "i"}}, time.Second); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestARotatedPasswordIsTakenAtTheNextConnection(t *testing.T) {
	if !redistest.Available() {
		t.Log("no redis-server on PATH")
		return
	}
	server := redistest.Start(t, "--requirepass", "new")
	password := "old"
	s := newStore(t, redisstore.Options{Addrs: []string{server.Addr}, Credentials: func() (string, string) { return "", password }})
	if err := s.Check(t.Context()); !redisstore.IsRefused(err) {
		t.Fatalf("the old password: %v", err)
	}
	password = "new"
	if err := s.Check(t.Context()); err != nil {
		t.Fatalf("the new password: %v", err)
	}
}
