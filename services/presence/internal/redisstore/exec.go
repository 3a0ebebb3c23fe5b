package redisstore

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/edumatrix/interlink/services/presence/internal/store"
)

//go:embed lua/*.lua
var sources embed.FS

// The most that one pipeline carries; more is sent in several, one after the other.
const (
	pipelineCalls = 128
	pipelineArgs  = 6000
)

// operations maps each script to its preludes.
var operations = map[string][]string{
	"sync": {"prelude"}, "tick": {"prelude"}, "sweep": {"prelude"}, "query": {"prelude"}, "status": {"prelude"},
	"renew": {"prelude"}, "held": {"prelude"}, "leases": {"prelude"},
	"type": {"prelude", "typing_prelude"}, "typed": {"prelude", "typing_prelude"},
	"permit": {}, "drop": {},
	"session_read": {"session_prelude"}, "session_write": {"prelude", "session_prelude"}, "session_end": {},
	"inbox_append": {"prelude", "inbox_prelude"}, "inbox_connect": {"prelude", "inbox_prelude"},
	"inbox_read": {"prelude", "inbox_prelude"}, "inbox_receive": {"prelude", "inbox_prelude"},
	"inbox_look":    {"prelude", "inbox_prelude"},
	"inbox_overdue": {"prelude", "inbox_prelude"}, "inbox_told": {"prelude", "inbox_prelude"},
}

func loadScripts() (map[string]*redis.Script, error) {
	out := make(map[string]*redis.Script, len(operations))
	for name, preludes := range operations {
		var b strings.Builder
		for _, part := range append(preludes[:len(preludes):len(preludes)], name) {
			src, err := sources.ReadFile("lua/" + part + ".lua")
			if err != nil {
				return nil, fmt.Errorf("embedded script %s: %w", part, err)
			}
			b.Write(src)
			b.WriteByte('\n')
		}
		out[name] = redis.NewScript(b.String())
	}
	return out, nil
}

// call is one run of a script. Its keys share a slot.
type call struct {
	script string
	keys   []string
	args   []any
}

// run executes one script.
func (s *Store) runOne(ctx context.Context, c call) (any, error) {
	replies, err := s.runAll(ctx, []call{c})
	if err != nil {
		return nil, err
	}
	return replies[0], nil
}

// runAll executes scripts in bounded pipelines. After an error the replies of what was done are still there, nil for
// the others: what a script has changed must not be forgotten because another one failed.
func (s *Store) runAll(ctx context.Context, calls []call) ([]any, error) {
	replies := make([]any, len(calls))
	for from := 0; from < len(calls); {
		to, args := from, 0
		for to < len(calls) && to-from < pipelineCalls && (to == from || args+len(calls[to].args) <= pipelineArgs) {
			args += len(calls[to].args)
			to++
		}
		if err := s.pipeline(ctx, calls[from:to], replies[from:to]); err != nil {
			return replies, err
		}
		from = to
	}
	return replies, nil
}

func (s *Store) pipeline(ctx context.Context, calls []call, replies []any) error {
	todo := make([]int, len(calls))
	for i := range calls {
		todo[i] = i
	}
	missing, err := s.attempt(ctx, calls, todo, replies)
	if len(missing) > 0 { // a server that was restarted or flushed its scripts has not run them: safe to ask again
		if lerr := s.loadMissing(ctx, calls, missing); lerr != nil {
			return s.failed(ctx, "load scripts", lerr)
		}
		var again error
		missing, again = s.attempt(ctx, calls, missing, replies)
		if len(missing) > 0 {
			again = errors.New("NOSCRIPT after loading")
		}
		err = errors.Join(err, again)
	}
	return s.failed(ctx, calls[0].script, err)
}

// attempt sends some of the calls once and returns those whose script the server does not have.
func (s *Store) attempt(ctx context.Context, calls []call, todo []int, replies []any) (missing []int, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	pipe := s.client.Pipeline()
	cmds := make([]*redis.Cmd, len(todo))
	for n, i := range todo {
		c := calls[i]
		cmds[n] = pipe.EvalSha(ctx, s.scripts[c.script].Hash(), c.keys, c.args...)
	}
	if _, xerr := pipe.Exec(ctx); xerr != nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	for n, i := range todo {
		reply, cerr := cmds[n].Result()
		switch {
		case cerr == nil:
			replies[i] = reply
		case redis.HasErrorPrefix(cerr, "NOSCRIPT"):
			missing = append(missing, i)
		case err == nil:
			err = cerr
		}
	}
	return missing, err
}

func (s *Store) loadMissing(ctx context.Context, calls []call, missing []int) error {
	names := map[string]bool{}
	for _, i := range missing {
		names[calls[i].script] = true
	}
	return s.masters(ctx, func(ctx context.Context, c redis.Cmdable) error {
		for name := range names {
			if err := s.scripts[name].Load(ctx, c.(redis.Scripter)).Err(); err != nil {
				return err
			}
		}
		return nil
	})
}

// failed turns a driver's error into ours. The caller's own cancellation is passed on as it is.
func (s *Store) failed(ctx context.Context, what string, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil && errors.Is(ctx.Err(), context.Canceled):
		return ctx.Err()
	}
	return fmt.Errorf("redis %s: %w: %w", what, store.ErrUnavailable, err)
}

func refused(err error) bool {
	for _, prefix := range []string{"WRONGPASS", "NOAUTH", "NOPERM", "ERR AUTH", "ERR invalid password"} {
		if redis.HasErrorPrefix(err, prefix) || strings.Contains(err.Error(), prefix) {
			return true
		}
	}
	return false
}
