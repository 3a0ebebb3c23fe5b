package harness

import (
	"os"
	"strconv"
	"testing"
	"time"
)

// Run starts a System for a test and closes it with the test.
func Run(t testing.TB, config Config) *System {
	t.Helper()
	s, err := NewSystem(t.Context(), config)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Seconds reads a number of seconds from the environment.
func Seconds(t testing.TB, name string, without time.Duration) time.Duration {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return without
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return time.Duration(n) * time.Second
}
