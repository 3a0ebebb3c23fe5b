package partitionlog

import (
	"fmt"
	"testing"
	"time"
)

func TestIDsForgottenEarlyAreCounted(t *testing.T) {
	for name, tc := range map[string]struct {
		ids  int
		want uint64
	}{
		"as many as fit":                     {ids: 30, want: 0},
		"one more: the oldest are forgotten": {ids: 31, want: 1},
		"three generations more":             {ids: 60, want: 3},
	} {
		t.Run(name, func(t *testing.T) {
			l := New(Options{Window: time.Minute, MaxBytes: 1 << 20, MaxIDs: 10}, 0, 0, at(0))
			for i := range tc.ids {
				l.Append([]Entry{entry(int64(i), 1, fmt.Sprint(i))}, int64(i+1), 0)
			}
			if got := l.ForgotEarly(); got != tc.want {
				t.Errorf("%d times, want %d", got, tc.want)
			}
			_, known := l.Known("0")
			if known != (tc.want == 0) {
				t.Errorf("the first id is known: %v", known)
			}
		})
	}
}

func TestIDsThatAgeAreNotForgottenEarly(t *testing.T) {
	l := New(Options{Window: time.Minute, MaxBytes: 1 << 20, MaxIDs: 10}, 0, 0, at(0))
	for i := range 100 {
		l.Tick(at(i * 10))
		l.Append([]Entry{entry(int64(i), 1, fmt.Sprint(i))}, int64(i+1), 0)
	}
	if got := l.ForgotEarly(); got != 0 {
		t.Errorf("%d times", got)
	}
}
