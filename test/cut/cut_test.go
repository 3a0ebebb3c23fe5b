package cut

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"
)

// pair is a client and the server's side of its connection, with the proxy between.
type pair struct{ client, server net.Conn }

func start(t *testing.T) (*Proxy, func() pair) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p, err := New(Options{Targets: []string{listener.Addr().String()}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- p.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		listener.Close()
	})
	return p, func() pair {
		client, err := net.Dial("tcp", p.Addr())
		if err != nil {
			t.Fatal(err)
		}
		server, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			client.Close()
			server.Close()
		})
		c := pair{client, server}
		c.says(t, c.client, c.server, "hello") // the proxy knows it from here on
		return c
	}
}

func (pair) says(t *testing.T, from, to net.Conn, text string) {
	t.Helper()
	if _, err := from.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	hears(t, to, text)
}

func hears(t *testing.T, c net.Conn, want string) {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != want {
		t.Fatalf("heard %q, %v; want %q", got, err, want)
	}
}

// hearsNothing looks for a moment only: what must not arrive was written to loopback before.
func hearsNothing(t *testing.T, c net.Conn) {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	n, err := c.Read(make([]byte, 1))
	if n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("heard %d bytes, %v; want silence", n, err)
	}
}

func TestOneDirectionIsHeldAndTheOtherFlows(t *testing.T) {
	p, open := start(t)
	c := open()
	release := p.Hold(ToServer, nil)
	if _, err := c.client.Write([]byte("lost?")); err != nil {
		t.Fatal(err)
	}
	c.says(t, c.server, c.client, "down")
	hearsNothing(t, c.server)
	release()
	hears(t, c.server, "lost?")
}

func TestARuleHoldsConnectionsThatComeLater(t *testing.T) {
	p, open := start(t)
	old := open()
	release := p.Hold(ToClient, func(c Conn) bool { return c.ID > 1 })
	later := open()
	old.says(t, old.server, old.client, "x")
	if _, err := later.server.Write([]byte("y")); err != nil {
		t.Fatal(err)
	}
	hearsNothing(t, later.client)
	release()
	hears(t, later.client, "y")
}

func TestTheEndOfASilentClientIsNotPassedOn(t *testing.T) {
	p, open := start(t)
	c, other := open(), open()
	if n := p.Silence(func(c Conn) bool { return c.ID == 1 }); n != 1 {
		t.Fatalf("silenced %d", n)
	}
	c.client.Close()
	hearsNothing(t, c.server)
	other.says(t, other.client, other.server, "still here")
	if got := len(p.Conns()); got != 1 {
		t.Fatalf("%d connections speak, want 1", got)
	}
	c.server.Close()
}

func TestAResetReachesBothEnds(t *testing.T) {
	p, open := start(t)
	c := open()
	if n := p.Reset(nil); n != 1 {
		t.Fatalf("reset %d", n)
	}
	for _, end := range []net.Conn{c.client, c.server} {
		_ = end.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := end.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Fatalf("read: %v, want a reset", err)
		}
	}
}

func TestAnEndIsPassedOn(t *testing.T) {
	_, open := start(t)
	c := open()
	c.client.Close()
	_ = c.server.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := c.server.Read(make([]byte, 1)); err != io.EOF {
		t.Fatalf("read: %v, want the end", err)
	}
}
