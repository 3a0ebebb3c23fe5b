package service

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/edumatrix/interlink/services/presence/internal/store"
)

const (
	tickLimit  = 200 // deadlines of one shard at a look
	sweepBatch = 200 // sockets of a dead gateway in one call: a millisecond or two of the store
)

// Run looks at the deadlines until ctx ends. Several pods may: each change is told by one of them.
//
// It rests for a lease after its start and after every trouble with the store. While that was away gateways could
// neither renew nor tell who came back, so deadlines that passed meanwhile prove nothing: when unsure, stay online.
func (s *Service) Run(ctx context.Context) error {
	started := time.Now()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		return every(ctx, s.o.Tick, func() {
			now := time.Now()
			if rest := s.o.Lease; now.Sub(started) >= rest && now.Sub(s.guard.breaker.Closed()) >= rest {
				s.lookAtUsers(ctx)
			}
		})
	})
	group.Go(func() error {
		return every(ctx, s.o.TypingTick, func() { s.lookAtTyping(ctx) })
	})
	group.Go(func() error {
		return every(ctx, s.o.InboxTick, func() { s.lookAtInboxes(ctx) })
	})
	return group.Wait()
}

func every(ctx context.Context, d time.Duration, fn func()) error {
	tick := time.NewTicker(d)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			fn()
		}
	}
}

// lookAtUsers ends graces and removes dead gateways' sockets, no more than the rate allows for one tick. What fails
// is seen again at the next one.
func (s *Service) lookAtUsers(ctx context.Context) {
	var tick store.Tick
	err := s.guard.do(ctx, s.o.CallTimeout, func(ctx context.Context) error {
		leases, err := s.o.Store.Gateways(ctx)
		if err != nil {
			return err
		}
		alive := make([]store.Life, 0, len(leases))
		for _, l := range leases {
			alive = append(alive, l.Life)
		}
		tick, err = s.o.Store.Tick(ctx, alive, tickLimit)
		return err
	})
	s.tellPresence(tick.Transitions)
	s.o.Metrics.expired.Add(float64(tick.Expired))
	if err != nil {
		s.o.Logger.Debug("deadlines were not looked at", "error", err)
		return
	}
	s.o.Metrics.users.Set(float64(tick.Users))
	s.sweep(ctx, tick.Dead, int(float64(s.o.SweepRate)*s.o.Tick.Seconds()))
}

// sweep removes up to budget sockets of dead lives.
func (s *Service) sweep(ctx context.Context, dead []store.Dead, budget int) {
	for _, d := range dead {
		for left := 1; left > 0; {
			if budget <= 0 {
				return
			}
			var swept store.Swept
			err := s.guard.do(ctx, s.o.CallTimeout, func(ctx context.Context) (err error) {
				swept, err = s.o.Store.Sweep(ctx, d, min(budget, sweepBatch))
				return err
			})
			s.tellPresence(swept.Transitions)
			s.o.Metrics.expired.Add(float64(swept.Sockets))
			if err != nil {
				s.o.Logger.Debug("sockets of a dead gateway were not removed", "gateway", d.Life.Gateway, "error", err)
				return
			}
			budget -= swept.Sockets
			left = swept.Left
		}
	}
}

// lookAtTyping takes what is due, in several calls if there is much.
func (s *Service) lookAtTyping(ctx context.Context) {
	const rounds = 10
	for range rounds {
		var more bool
		err := s.guard.do(ctx, s.o.CallTimeout, func(ctx context.Context) error {
			told, again, err := s.o.Store.TypingTick(ctx, tickLimit)
			s.tellTyping(told)
			more = again
			return err
		})
		if err != nil || !more {
			return
		}
	}
}
