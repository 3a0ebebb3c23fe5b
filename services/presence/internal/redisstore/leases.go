package redisstore

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/redis/go-redis/v9"

	"github.com/edumatrix/interlink/services/presence/internal/store"
)

// Renew claims or renews a lease.
func (s *Store) Renew(ctx context.Context, lease store.Lease, ttl time.Duration) (store.Renewal, error) {
	run, err := s.Run(ctx)
	if err != nil {
		return store.Renewal{}, err
	}
	reply, err := s.runOne(ctx, call{"renew", []string{s.leasesKey()},
		[]any{s.stamp(), lifeName(lease.Life), lease.Addr, ttl.Milliseconds(), run}})
	if err != nil {
		return store.Renewal{}, err
	}
	return store.Renewal{Forgotten: row{reply}.number(0) == 0, Run: run}, nil
}

// Release ends a lease. What its sockets are due is the same as if it had run out.
func (s *Store) Release(ctx context.Context, life store.Life) error {
	limited, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	return s.failed(ctx, "release", s.client.HDel(limited, s.leasesKey(), lifeName(life)).Err())
}

// Gateways lists the live leases, ordered by gateway and incarnation.
func (s *Store) Gateways(ctx context.Context) ([]store.Lease, error) {
	reply, err := s.runOne(ctx, call{"leases", []string{s.leasesKey()}, []any{s.stamp()}})
	if err != nil {
		return nil, err
	}
	var out []store.Lease
	for _, r := range (row{reply}).rows(0) {
		out = append(out, store.Lease{Life: parseLife(r.text(0)), Addr: r.text(1)})
	}
	slices.SortFunc(out, func(a, b store.Lease) int {
		return cmp.Or(cmp.Compare(a.Gateway, b.Gateway), cmp.Compare(a.Incarnation, b.Incarnation))
	})
	return out, nil
}

func (s *Store) held(ctx context.Context, life store.Life, mark bool) (int64, error) {
	flag := 0
	if mark {
		flag = 1
	}
	reply, err := s.runOne(ctx, call{"held", []string{s.leasesKey()}, []any{s.stamp(), lifeName(life), flag}})
	return row{reply}.number(0), err
}

var runID = regexp.MustCompile(`run_id:(\w+)`)

// runFresh is how long the run that was read last is taken for the present one.
const runFresh = 500 * time.Millisecond

// Run identifies this run of the store: Redis' run id, in a cluster a digest of those of all masters. A restart or a
// fail-over changes it. It may be up to half a second old: whoever must be exact has his script ask the server.
func (s *Store) Run(ctx context.Context) (string, error) {
	s.runMu.Lock()
	run, at := s.run, s.runAt
	s.runMu.Unlock()
	if run != "" && time.Since(at) < runFresh {
		return run, nil
	}
	run, err := s.readRun(ctx)
	if err != nil {
		return "", s.failed(ctx, "run id", err)
	}
	s.runMu.Lock()
	s.run, s.runAt = run, time.Now()
	s.runMu.Unlock()
	return run, nil
}

func (s *Store) readRun(ctx context.Context) (string, error) {
	var mu sync.Mutex // guards ids
	var ids []string
	err := s.masters(ctx, func(ctx context.Context, c redis.Cmdable) error {
		info, err := c.Info(ctx, "server").Result()
		if err != nil && !unsupported(err) {
			return err
		}
		if m := runID.FindStringSubmatch(info); m != nil {
			mu.Lock()
			ids = append(ids, m[1])
			mu.Unlock()
		}
		return nil
	})
	switch {
	case err != nil:
		return "", err
	case len(ids) == 0:
		return s.ownRun(ctx)
	case len(ids) == 1:
		return ids[0], nil
	}
	slices.Sort(ids)
	return fmt.Sprintf("%016x", xxhash.Sum64String(strings.Join(ids, " "))), nil
}

// ownRun marks a server that has no run id (an embedded one) with one of ours. Such a server keeps nothing over a
// restart and has no replica, so the mark lives exactly as long as the run.
func (s *Store) ownRun(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	id := make([]byte, 16)
	if _, err := rand.Read(id); err != nil {
		return "", err
	}
	key := s.prefix + "run"
	if err := s.client.SetNX(ctx, key, hex.EncodeToString(id), 0).Err(); err != nil {
		return "", err
	}
	return s.client.Get(ctx, key).Result()
}

// unsupported tells an answer from a failure to answer.
func unsupported(err error) bool {
	var answer redis.Error
	return errors.As(err, &answer) && (strings.Contains(err.Error(), "not supported") || strings.Contains(err.Error(), "unknown"))
}

var policyLine = regexp.MustCompile(`maxmemory_policy:(\S+)`)

// EvictionPolicy returns what a full server does, empty if it does not say. In a cluster, the first policy that may
// drop keys, else that of the last node.
func (s *Store) EvictionPolicy(ctx context.Context) (string, error) {
	var mu sync.Mutex // guards policy
	policy := ""
	err := s.masters(ctx, func(ctx context.Context, c redis.Cmdable) error {
		info, err := c.Info(ctx, "memory").Result()
		if err != nil && !unsupported(err) {
			return err
		}
		if m := policyLine.FindStringSubmatch(info); m != nil {
			mu.Lock()
			defer mu.Unlock()
			if policy == "" || policy == "noeviction" {
				policy = m[1]
			}
		}
		return nil
	})
	return policy, s.failed(ctx, "eviction policy", err)
}
