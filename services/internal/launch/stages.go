package launch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
)

// stages are the parts of a process. What is started later rests on what was started before, so they end in the
// opposite order, each waited for.
type stages struct {
	log     *slog.Logger
	started []*stage
	ended   chan *stage // stages that ended, whether asked to or not; never blocks
}

type stage struct {
	name   string
	cancel context.CancelFunc
	done   chan struct{}
	err    error // valid when done is closed
	told   bool  // wait has returned err
}

const maxStages = 32

func newStages(log *slog.Logger) *stages {
	return &stages{log: log, ended: make(chan *stage, maxStages)}
}

// start runs a part in a goroutine of its own. Its context ends when it is its turn to stop, not with ctx.
func (s *stages) start(ctx context.Context, name string, run func(context.Context) error) {
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	st := &stage{name: name, cancel: cancel, done: make(chan struct{})}
	s.started = append(s.started, st)
	go func() {
		defer cancel()
		st.err = run(own)
		close(st.done)
		s.ended <- st
	}()
}

// wait blocks until ctx ends or a part ends by itself, which is an error. It stops nothing.
func (s *stages) wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case st := <-s.ended:
		if ctx.Err() != nil {
			return nil // both at once: stop reports st's error
		}
		if st.err != nil {
			st.told = true
			return named(st.name, st.err)
		}
		return fmt.Errorf("%s ended by itself", st.name)
	}
}

// stop ends all parts, the last started first, and returns what they had to complain of, but for what wait has told.
// More calls do nothing.
func (s *stages) stop() error {
	var errs []error
	for i := len(s.started) - 1; i >= 0; i-- {
		st := s.started[i]
		st.cancel()
		<-st.done
		if st.err != nil && !st.told && !errors.Is(st.err, context.Canceled) {
			errs = append(errs, named(st.name, st.err))
		}
		s.log.Debug("stopped", "part", st.name)
	}
	s.started = nil
	return errors.Join(errs...)
}

// named says which part an error is of, unless it says so itself.
func named(part string, err error) error {
	if strings.HasPrefix(err.Error(), part+": ") {
		return err
	}
	return fmt.Errorf("%s: %w", part, err)
}
