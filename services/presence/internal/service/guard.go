package service

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/edumatrix/interlink/services/presence/internal/breaker"
	"github.com/edumatrix/interlink/services/presence/internal/store"
)

// guard stands before the store: it bounds how long and how many at a time wait for it, and stops asking one that
// does not answer.
type guard struct {
	breaker *breaker.Breaker
	slots   chan struct{}
	failed  func() // counts
}

var (
	errPaused = fmt.Errorf("%w: it failed several times in a row, asking again soon", store.ErrUnavailable)
	errBusy   = fmt.Errorf("%w: too many calls wait for it", store.ErrUnavailable)
)

// do runs fn with a time limit, or refuses at once.
func (g *guard) do(ctx context.Context, limit time.Duration, fn func(context.Context) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case g.slots <- struct{}{}:
		defer func() { <-g.slots }()
	default:
		return errBusy
	}
	if !g.breaker.Allow(time.Now()) {
		return errPaused
	}
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := fn(limited)
	outcome := breaker.Good
	switch {
	case errors.Is(err, store.ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
		outcome = breaker.Bad
		g.failed()
	case err != nil && ctx.Err() != nil:
		outcome = breaker.Unknown
	}
	g.breaker.Done(time.Now(), outcome)
	return err
}
