package breaker_test

import (
	"testing"
	"time"

	"github.com/edumatrix/interlink/services/presence/internal/breaker"
)

func TestBreakerOpensAfterFailuresInARowAndClosesOnTheFirstSuccess(t *testing.T) {
	now := time.Unix(1000, 0)
	b := breaker.New(3, time.Second)
	try := func(outcome breaker.Outcome) {
		t.Helper()
		if !b.Allow(now) {
			t.Fatalf("refused at %v", now)
		}
		b.Done(now, outcome)
	}
	try(breaker.Bad)
	try(breaker.Bad)
	try(breaker.Good)
	try(breaker.Bad)
	try(breaker.Unknown)
	try(breaker.Bad)
	if b.Open() {
		t.Fatal("open after two failures in a row")
	}
	try(breaker.Bad)
	if !b.Open() || b.Allow(now) {
		t.Fatal("not open after three failures in a row")
	}
	now = now.Add(time.Second)
	try(breaker.Bad)
	if b.Allow(now.Add(999 * time.Millisecond)) {
		t.Fatal("a second attempt within the pause")
	}
	now = now.Add(time.Second)
	try(breaker.Good)
	if b.Open() || !b.Closed().Equal(now) || !b.Allow(now) {
		t.Fatal("a success did not close it")
	}
}

func TestAnAttemptThatNeverReportsDoesNotKeepTheBreakerOpen(t *testing.T) {
	now := time.Unix(1000, 0)
	b := breaker.New(1, time.Second)
	b.Done(now, breaker.Bad)
	if !b.Allow(now.Add(time.Second)) || !b.Allow(now.Add(2*time.Second)) {
		t.Fatal("the attempt that hangs blocks the others")
	}
}
