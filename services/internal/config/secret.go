package config

import (
	"context"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"
)

// Secret is one or several secrets, the newest first. Those that came from files change with the files while Follow
// runs. Safe for use by many goroutines; the zero Secret has no values.
type Secret struct {
	sources []source
	current *atomic.Pointer[[]string]
}

// with is s and what another name of the environment holds. Earlier sources come first.
func (s Secret) with(from source) Secret {
	out := Secret{sources: append(slices.Clone(s.sources), from), current: new(atomic.Pointer[[]string])}
	values := out.values()
	out.current.Store(&values)
	return out
}

// Set reports whether there was a value at start.
func (s Secret) Set() bool { return len(s.sources) > 0 }

// Values are the secrets at present. The caller doesn't change the slice.
func (s Secret) Values() []string {
	if s.current == nil {
		return nil
	}
	return *s.current.Load()
}

// Bytes is Values for those who compare bytes.
func (s Secret) Bytes() [][]byte {
	values := s.Values()
	out := make([][]byte, len(values))
	for i, v := range values {
		out[i] = []byte(v)
	}
	return out
}

// String keeps secrets out of logs.
func (s Secret) String() string { return "[secret]" }

// LogValue keeps secrets out of logs.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

func (s Secret) values() []string {
	var out []string
	for _, from := range s.sources {
		for _, v := range split(from.text) {
			if !slices.Contains(out, v) {
				out = append(out, v)
			}
		}
	}
	return out
}

// reload reads the files again and reports whether something is different. A file that can't be read or is empty, as
// it may be for a moment while it is replaced, leaves everything as it is and is an error.
func (s Secret) reload() (bool, error) {
	fresh := Secret{sources: slices.Clone(s.sources)}
	for i := range fresh.sources {
		if fresh.sources[i].path == "" {
			continue
		}
		if err := fresh.sources[i].load(); err != nil {
			return false, err
		}
	}
	values := fresh.values()
	if len(values) == 0 || slices.Equal(values, s.Values()) {
		return false, nil
	}
	s.current.Store(&values)
	return true, nil
}

func (s Secret) fromFile() bool {
	return slices.ContainsFunc(s.sources, func(from source) bool { return from.path != "" })
}

// Follow reads the files of all secrets again each interval until ctx ends, and returns nil then. changed is told the
// name of each that is another now.
func (c Config) Follow(ctx context.Context, interval time.Duration, log *slog.Logger, changed func(name string)) error {
	followed := map[string]Secret{}
	for name, s := range map[string]Secret{
		"AUTH_SECRET": c.Auth.Secrets, "INTERLINK_NEXTAUTH_KEY": c.Auth.DerivedKeys, "JWT_SECRET": c.Auth.JWTSecrets, "INTERNAL_API_KEY": c.Keys.API,
		"INTERLINK_CURSOR_KEY": c.Keys.Cursor,
	} {
		if s.fromFile() {
			followed[name] = s
		}
	}
	if len(followed) == 0 {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		for name, s := range followed {
			switch another, err := s.reload(); {
			case err != nil:
				log.Warn("a secret's file cannot be read, the old value stays", "name", name, "error", err)
			case another:
				log.Info("a secret changed with its file", "name", name)
				changed(name)
			}
		}
	}
}
