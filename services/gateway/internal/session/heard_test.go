package session

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/edumatrix/interlink/services/internal/sessionrecord"
)

type oneAnswer struct {
	Store
	err error
}

func (o oneAnswer) Read(context.Context, string) (r sessionrecord.Record, run string, err error) {
	return r, run, o.err
}

func TestAStoreThatAnswersOthersIsSlowAndNotAway(t *testing.T) {
	now := time.UnixMilli(1_700_000_000_000)
	for name, test := range map[string]struct {
		answer error
		ago    time.Duration
		waited time.Duration
		want   bool
	}{
		"it has answered somebody lately":              {nil, time.Second, 6 * time.Second, false},
		"that there is nothing is an answer":           {ErrNotStored, time.Second, 6 * time.Second, false},
		"a time-out is none":                           {context.DeadlineExceeded, time.Second, 6 * time.Second, true},
		"an answer of long ago is none":                {nil, storePatience, 6 * time.Second, true},
		"nobody is impatient":                          {errors.New("away"), time.Hour, 4 * time.Second, false},
		"patience with one that is slow has its bound": {nil, time.Second, slowPatience, true},
	} {
		t.Run(name, func(t *testing.T) {
			at := now.Add(-test.ago)
			s := &heard{Store: oneAnswer{err: test.answer}, now: func() time.Time { return at }}
			_, _, _ = s.Read(t.Context(), "s")
			at = now
			if got := s.gone(&s.reads, test.waited); got != test.want {
				t.Errorf("gone: %v", got)
			}
		})
	}
}
