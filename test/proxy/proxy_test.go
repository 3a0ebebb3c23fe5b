package proxy

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"testing"
)

// greeter answers each line with its name.
func greeter(t *testing.T, name string) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for lines := bufio.NewScanner(c); lines.Scan(); {
					fmt.Fprintln(c, name)
				}
			}()
		}
	}()
	return l.Addr().String()
}

func TestProxy(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone := closed.Addr().String()
	closed.Close()
	p, err := New(Options{Targets: []string{greeter(t, "a"), gone, greeter(t, "b")}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()

	got := map[string]int{}
	var last net.Conn
	for range 12 {
		c, err := net.Dial("tcp", p.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		last = c
		fmt.Fprintln(c, "hello")
		answer, err := bufio.NewReader(c).ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		got[answer]++
	}
	if got["a\n"] == 0 || got["b\n"] == 0 {
		t.Errorf("answers came from %v, want both servers", got)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	_, _ = io.ReadAll(last) // returns only when the connection has ended
}
