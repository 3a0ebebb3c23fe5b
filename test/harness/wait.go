package harness

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"time"
)

// pollEvery is how often a condition is looked at.
const pollEvery = 50 * time.Millisecond

// final is an error that no further try can mend.
type final struct{ error }

func (f final) Unwrap() error { return f.error }

// Eventually polls condition until it answers nil. It returns the last error when ctx ends.
func Eventually(ctx context.Context, condition func(context.Context) error) error {
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for {
		err := condition(ctx)
		if err == nil {
			return nil
		}
		var f final
		if errors.As(err, &f) {
			return f.error
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w (%w)", err, ctx.Err())
		case <-ticker.C:
		}
	}
}

// HTTPStatus returns a probe that wants a status from a URL.
func HTTPStatus(url string, want int) func(context.Context) error {
	return func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		if body, _ := io.ReadAll(io.LimitReader(res.Body, 500)); res.StatusCode != want {
			return fmt.Errorf("%s answers %d %s", url, res.StatusCode, body)
		}
		return nil
	}
}

// Ports below the range that the kernel gives to outgoing connections, so that none takes a port between here and the
// process that will listen on it.
const firstPort, lastPort = 20000, 32000

// FreePorts returns the first of n ports in a row on which nobody listens.
func FreePorts(n int) (int, error) {
	for range 200 {
		first := firstPort + rand.IntN(lastPort-firstPort-n)
		if allFree(first, n) {
			return first, nil
		}
	}
	return 0, fmt.Errorf("no %d free ports in a row", n)
}

func allFree(first, n int) bool {
	for port := first; port < first+n; port++ {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			return false
		}
		l.Close()
	}
	return true
}

// FreeAddr returns a free port as 127.0.0.1:port.
func FreeAddr() (string, error) {
	port, err := FreePorts(1)
	return fmt.Sprintf("127.0.0.1:%d", port), err
}
