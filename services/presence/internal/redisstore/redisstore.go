// Package redisstore keeps presence in Redis 7 or compatible: one server, Sentinel or Cluster.
//
// Every operation is one Lua script (lua/*.lua) over keys that share a slot by their hash tag: `{lease}` for leases,
// `{p00}`…`{p63}` for users, `{t00}`…`{t15}` for rooms where someone types. Work on many users is grouped by shard and
// sent in bounded pipelines. Nothing is retried here: a command that failed may have been done, the caller decides.
// Driver types do not leave the package.
package redisstore

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/edumatrix/interlink/services/presence/internal/store"
)

// Mode is how the servers are organised.
type Mode string

// How the servers are organised. Empty means Single, or Sentinel when a master is named.
const (
	Single   Mode = "single"
	Sentinel Mode = "sentinel"
	Cluster  Mode = "cluster"
)

// Options say where Redis is and how it is used.
type Options struct {
	Mode             Mode
	Addrs            []string // host:port: the server, the sentinels, or some nodes of the cluster
	Master           string   // name of the master, Sentinel only
	Username         string
	Password         string
	SentinelUsername string
	SentinelPassword string
	// Credentials, if set, is asked at each new connection instead of Username and Password, so that a rotated
	// password is taken without a restart.
	Credentials func() (username, password string)
	DB          int
	TLS         *tls.Config
	Prefix      string        // of every key, default `interlink:`
	Timeout     time.Duration // of one round trip, default 800 ms
	PoolSize    int           // connections per node, default 16
	Settings    store.Settings
	// Now gives the time instead of the server's clock, which all pods share. For tests.
	Now    func() time.Time
	Logger *slog.Logger // default: discards
}

// Store keeps presence in Redis. Its methods may be called from any goroutine, block for at most a few round trips and
// fail with store.ErrUnavailable.
type Store struct {
	client   redis.UniversalClient
	prefix   string
	timeout  time.Duration
	settings store.Settings
	now      func() time.Time
	log      *slog.Logger
	scripts  map[string]*redis.Script

	runMu sync.Mutex // guards the two below
	run   string
	runAt time.Time
}

// New prepares a store; it does not connect. Close it after use.
func New(o Options) (*Store, error) {
	if len(o.Addrs) == 0 {
		return nil, errors.New("redis: no address given")
	}
	if o.Mode == "" && o.Master != "" {
		o.Mode = Sentinel
	}
	if o.Prefix == "" {
		o.Prefix = "interlink:"
	}
	if o.Timeout <= 0 {
		o.Timeout = 800 * time.Millisecond
	}
	if o.PoolSize <= 0 {
		o.PoolSize = 16
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	scripts, err := loadScripts()
	if err != nil {
		return nil, err
	}
	client, err := connect(o)
	if err != nil {
		return nil, err
	}
	return &Store{
		client: client, prefix: o.Prefix, timeout: o.Timeout, settings: o.Settings.WithDefaults(),
		now: o.Now, log: o.Logger, scripts: scripts,
	}, nil
}

func connect(o Options) (redis.UniversalClient, error) {
	u := &redis.UniversalOptions{
		Addrs: o.Addrs, DB: o.DB, TLSConfig: o.TLS, ClientName: "interlink-presence",
		Username: o.Username, Password: o.Password,
		SentinelUsername: o.SentinelUsername, SentinelPassword: o.SentinelPassword,
		DialTimeout: min(o.Timeout, 500*time.Millisecond), ReadTimeout: o.Timeout, WriteTimeout: o.Timeout,
		PoolTimeout: o.Timeout / 2, PoolSize: o.PoolSize, ContextTimeoutEnabled: true, MaxRetries: -1,
		MinRetryBackoff: -1, MaxRetryBackoff: -1, DialerRetries: 1,
		// What is not in Redis 7.0 is not asked for.
		DisableIdentity: true, Protocol: 2,
	}
	if o.Credentials != nil {
		u.CredentialsProvider = o.Credentials
	}
	switch o.Mode {
	case "", Single:
		return redis.NewClient(u.Simple()), nil
	case Sentinel:
		if o.Master == "" {
			return nil, errors.New("redis: sentinel needs the name of the master")
		}
		u.MasterName = o.Master
		return redis.NewFailoverClient(u.Failover()), nil
	case Cluster:
		if o.DB != 0 {
			return nil, errors.New("redis: a cluster has database 0 only")
		}
		return redis.NewClusterClient(u.Cluster()), nil
	}
	return nil, fmt.Errorf("redis: unknown mode %q: single, sentinel or cluster", o.Mode)
}

// Close releases the connections.
func (s *Store) Close() error { return s.client.Close() }

// stamp is the time argument of every script, in epoch milliseconds; 0 means the server's own clock.
func (s *Store) stamp() int64 {
	if s.now == nil {
		return 0
	}
	return s.now().UnixMilli()
}

// ErrRefused says that Redis is there and does not let us in; waiting does not help.
var ErrRefused = errors.New("redis refuses the credentials")

// IsRefused reports whether waiting for Redis is in vain.
func IsRefused(err error) bool { return errors.Is(err, ErrRefused) }

// Check reaches every master once, so that a wrong address or password shows at start.
func (s *Store) Check(ctx context.Context) error {
	err := s.masters(ctx, func(ctx context.Context, c redis.Cmdable) error {
		// A read of a key of ours: PING is allowed to everyone who has signed in, our keys may not be.
		return c.Exists(ctx, s.prefix+"check").Err()
	})
	if err != nil && refused(err) {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return s.failed(ctx, "check", err)
}

// masters runs fn against every server that takes writes.
func (s *Store) masters(ctx context.Context, fn func(context.Context, redis.Cmdable) error) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	if c, ok := s.client.(*redis.ClusterClient); ok {
		return c.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error { return fn(ctx, node) })
	}
	return fn(ctx, s.client)
}
