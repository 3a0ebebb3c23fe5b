package launch

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/edumatrix/interlink/services/internal/embedded/broker"
	"github.com/edumatrix/interlink/services/internal/embedded/store"
)

// embed starts a broker and a store where the settings name none, and puts their addresses into the settings.
func (p *process) embed(ctx context.Context) error {
	if len(p.c.Kafka.Brokers) == 0 {
		dir, err := p.dataDir()
		if err != nil {
			return err
		}
		b, err := broker.New(broker.Options{Dir: dir, Logger: p.component("broker")})
		if err != nil {
			return err
		}
		p.stages.start(ctx, "embedded broker", b.Run)
		p.c.Kafka.Brokers = []string{b.Addr()}
		p.embedded.broker = dir
		p.log.Info("an embedded broker serves, for development", "addr", b.Addr(), "dir", dir)
	}
	if len(p.c.Redis.Addrs) == 0 {
		s, err := store.New(ctx, store.Options{Logger: p.component("store")})
		if err != nil {
			return err
		}
		p.stages.start(ctx, "embedded store", s.Run)
		p.c.Redis.Addrs, p.c.Redis.Password, p.c.Redis.Mode, p.c.Redis.TLS = []string{s.Addr}, s.Password, "single", false
		p.c.Redis.Username, p.c.Redis.DB = "", 0
		p.embedded.store = s.Kind
		p.log.Info("an embedded store serves, for development", "addr", s.Addr, "kind", s.Kind)
	}
	return nil
}

// dataDir is INTERLINK_DATA_DIR, else a directory for caches of this user.
func (p *process) dataDir() (string, error) {
	if p.c.DataDir != "" {
		return p.c.DataDir, nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("INTERLINK_DATA_DIR: expected a directory for the embedded broker, since this user has none for caches (with KAFKA_BROKERS none is needed): %w", err)
	}
	return filepath.Join(cache, "interlink"), nil
}
