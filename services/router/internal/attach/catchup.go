package attach

import (
	"context"
	"errors"
	"time"

	"github.com/edumatrix/interlink/services/router/internal/history"
)

const catchUpRetry = time.Second

// catchUp reads one partition from Kafka for one gateway that is behind the log, a chunk ahead of what is sent.
type catchUp struct {
	cancel context.CancelFunc
	done   chan struct{}
	out    chan found
	at     int64 // the sender's: where the next chunk begins
}

type found struct {
	chunk   history.Chunk
	expired *history.Expired
}

// read starts a catchUp at an offset. Each read of Kafka waits for one of the fleet's slots, and holds none while its
// gateway is slow.
func (l *link) read(ctx context.Context, partition int, from int64) *catchUp {
	ctx, cancel := context.WithCancel(ctx)
	c := &catchUp{cancel: cancel, done: make(chan struct{}), out: make(chan found, 1), at: from}
	go func() {
		defer close(c.done)
		defer cancel()
		for ctx.Err() == nil {
			err := l.readOn(ctx, c, partition, &from)
			if ctx.Err() != nil {
				return
			}
			var expired *history.Expired
			if errors.As(err, &expired) {
				l.hand(ctx, c, found{expired: expired})
				return
			}
			l.fleet.opts.Logger.WarnContext(ctx, "cannot read kafka for a gateway that is behind, trying again",
				"gateway", l.addr, "partition", partition, "offset", from, "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(catchUpRetry):
			}
		}
	}()
	return c
}

func (l *link) readOn(ctx context.Context, c *catchUp, partition int, from *int64) error {
	var cursor Cursor
	err := l.slot(ctx, func() (err error) {
		cursor, err = l.fleet.opts.History.Open(ctx, partition, *from)
		return err
	})
	if err != nil {
		return err
	}
	defer cursor.Close()
	for {
		var chunk history.Chunk
		err := l.slot(ctx, func() (err error) {
			chunk, err = cursor.Next()
			return err
		})
		if err != nil {
			return err
		}
		if chunk.To <= *from {
			continue
		}
		if !l.hand(ctx, c, found{chunk: chunk}) {
			return ctx.Err()
		}
		*from = chunk.To
	}
}

func (l *link) slot(ctx context.Context, f func() error) error {
	select {
	case l.fleet.reads <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-l.fleet.reads }()
	return f()
}

func (l *link) hand(ctx context.Context, c *catchUp, f found) bool {
	select {
	case c.out <- f:
		l.watcher.Wake()
		return true
	case <-ctx.Done():
		return false
	}
}

// catchUps are those of one stream. One goroutine uses them.
type catchUps map[int]*catchUp

// serve starts what the session needs, gives it what was read, and ends what it no longer needs. It reports whether the session got something.
func (c catchUps) serve(ctx context.Context, l *link, s *session) (got bool) {
	hungry := s.hungry()
	for id, run := range c {
		if p := s.parts[id]; p == nil || !p.behind {
			run.end()
			delete(c, id)
		}
	}
	for id, from := range hungry {
		run, running := c[id]
		if running && run.at != from { // the gateway asked for another place
			run.end()
			running = false
		}
		if !running {
			c[id] = l.read(ctx, id, from)
			continue
		}
		select {
		case f := <-run.out:
			got = true
			run.at = f.chunk.To
			if f.expired != nil {
				s.expired(id, f.expired.Earliest)
			}
			if f.expired != nil || !s.feed(id, f.chunk) {
				run.end()
				delete(c, id)
			}
		default:
		}
	}
	return got
}

func (c catchUps) endAll() {
	for _, run := range c {
		run.end()
	}
}

func (c *catchUp) end() {
	c.cancel()
	<-c.done
}
