package doctor

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/edumatrix/interlink/services/internal/tlsfiles"
)

// leastSkew is how far clocks may be apart before somebody notices.
const leastSkew = 2 * time.Second

func redisFindings(ctx context.Context, p Patient) []Finding {
	r := p.Settings.Redis
	if len(r.Addrs) == 0 {
		return []Finding{note("REDIS_URL", "not set, nor REDIS_HOST: `interlink serve` brings a store of its own, which forgets at its end")}
	}
	o := &redis.UniversalOptions{
		Addrs: r.Addrs, MasterName: r.Master, Username: r.Username, Password: r.Password, DB: r.DB,
		IsClusterMode: r.Mode == "cluster", DialTimeout: patience, ReadTimeout: patience, MaxRetries: -1,
	}
	if r.TLS {
		roots, err := tlsfiles.Roots("INTERLINK_REDIS_CA", r.CAFile)
		if err != nil {
			return []Finding{bad("Redis", "%v", err)}
		}
		o.TLSConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
	where := strings.Join(r.Addrs, ",")
	if err := reach(ctx, r.Addrs); err != nil {
		return []Finding{bad("Redis", "%s is not reached: %v", where, err)}
	}
	client := redis.NewUniversalClient(o)
	defer func() { _ = client.Close() }()
	sent := p.Now()
	there, err := client.Time(ctx).Result()
	if err != nil {
		return []Finding{bad("Redis", "%s: %v%s", where, err, redisHint(err))}
	}
	found := []Finding{fine("Redis", "%s answers", where)}
	if skew := there.Sub(sent.Add(p.Now().Sub(sent) / 2)).Abs(); skew > leastSkew {
		found = append(found, bad("clock", "Redis' clock and this one are %s apart: sessions and leases would end too early or too late; run an NTP client on both", skew.Round(time.Second)))
	}
	return append(found, redisInfo(ctx, client, r.Mode)...)
}

// reach is nil if one of addrs takes connections.
func reach(ctx context.Context, addrs []string) error {
	var errs []error
	for _, addr := range addrs {
		conn, err := (&net.Dialer{Timeout: patience}).DialContext(ctx, "tcp", addr)
		if err == nil {
			return conn.Close()
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func redisHint(err error) string {
	switch text := err.Error(); {
	case strings.HasPrefix(text, "WRONGPASS"), strings.HasPrefix(text, "NOAUTH"), strings.Contains(text, "AUTH"):
		return " (REDIS_PASSWORD, INTERLINK_REDIS_USERNAME)"
	case strings.HasPrefix(text, "NOPERM"):
		return " (the user's ACL: all commands on the keys of INTERLINK_REDIS_PREFIX are needed)"
	case strings.HasPrefix(text, "MOVED"), strings.Contains(text, "cluster support disabled"):
		return " (INTERLINK_REDIS_MODE)"
	}
	return ""
}

// redisInfo reads INFO, which users with an ACL may be refused: then nothing is said.
func redisInfo(ctx context.Context, client redis.UniversalClient, mode string) []Finding {
	text, err := client.Info(ctx, "memory", "cluster").Result()
	if err != nil {
		return []Finding{note("Redis", "INFO is refused, so the eviction policy cannot be seen; it should be noeviction")}
	}
	values := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			values[name] = value
		}
	}
	var found []Finding
	switch policy := values["maxmemory_policy"]; policy {
	case "", "noeviction":
	default:
		found = append(found, bad("Redis", "maxmemory-policy is %s: when it is full, Redis throws away sessions, leases and inboxes; set noeviction, or give Interlink a Redis of its own", policy))
	}
	if values["cluster_enabled"] == "1" && mode != "cluster" {
		found = append(found, bad("INTERLINK_REDIS_MODE", "is %s, but this Redis is part of a cluster; set cluster, and INTERLINK_REDIS_ADDRS", mode))
	}
	return found
}
