package launch

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
)

func TestPartsEndInTheOppositeOrder(t *testing.T) {
	s := newStages(slog.New(slog.DiscardHandler))
	var order []string // written by one part after the other
	for _, name := range []string{"broker", "router", "gateway"} {
		s.start(t.Context(), name, func(ctx context.Context) error {
			<-ctx.Done()
			order = append(order, name)
			return nil
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.wait(ctx); err != nil {
		t.Error(err)
	}
	if err := errors.Join(s.stop(), s.stop()); err != nil {
		t.Error(err)
	}
	if want := []string{"gateway", "router", "broker"}; !slices.Equal(order, want) {
		t.Errorf("order %v, want %v", order, want)
	}
}

func TestAPartThatEndsByItselfEndsTheProcess(t *testing.T) {
	lost := errors.New("the disk is full")
	for name, tc := range map[string]struct {
		err  error
		want string
	}{
		"with an error": {lost, "broker: the disk is full"},
		"without one":   {nil, "broker ended by itself"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStages(slog.New(slog.DiscardHandler))
			s.start(t.Context(), "broker", func(context.Context) error { return tc.err })
			if err := s.wait(t.Context()); err == nil || err.Error() != tc.want {
				t.Errorf("wait: %v, want %q", err, tc.want)
			}
			if err := s.stop(); err != nil {
				t.Errorf("stop tells it again: %v", err)
			}
		})
	}
}
