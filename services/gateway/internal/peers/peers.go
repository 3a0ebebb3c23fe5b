// Package peers owns the gRPC connections from a gateway to single processes: other gateways and the routers that own
// a partition. gRPC redials by itself; a connection is kept until it is pushed out by too many others.
package peers

import (
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/keepalive"
)

// most is far above the number of processes of a kind that are alive at once.
const most = 1024

// How soon a connection notices that its peer is frozen or gone without a word, and how soon it is back when the peer
// is: who asks through it waits for a replay or a poll.
const (
	keepaliveTime    = 10 * time.Second
	keepaliveTimeout = 3 * time.Second
	firstRedial      = 100 * time.Millisecond
	lastRedial       = time.Second
	connectWithin    = 3 * time.Second
)

// Conns is safe for use by many goroutines. The zero value has no credentials and can't dial.
type Conns struct {
	Dial []grpc.DialOption

	mu    sync.Mutex // guards conns
	conns map[string]*grpc.ClientConn
}

// Get returns the connection to an address, host:port. It does not block: calls on it do.
func (c *Conns) Get(addr string) (*grpc.ClientConn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if conn := c.conns[addr]; conn != nil {
		return conn, nil
	}
	conn, err := grpc.NewClient("passthrough:///"+addr, append([]grpc.DialOption{
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: keepaliveTime, Timeout: keepaliveTimeout}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: firstRedial, Multiplier: 1.6, Jitter: 0.2, MaxDelay: lastRedial},
			MinConnectTimeout: connectWithin,
		}),
	}, c.Dial...)...)
	if err != nil {
		return nil, fmt.Errorf("peer %s: %w", addr, err)
	}
	if c.conns == nil {
		c.conns = make(map[string]*grpc.ClientConn)
	}
	for other, old := range c.conns {
		if len(c.conns) < most {
			break
		}
		_ = old.Close() // calls on it fail and are made again
		delete(c.conns, other)
	}
	c.conns[addr] = conn
	return conn, nil
}

// Close closes all connections.
func (c *Conns) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for addr, conn := range c.conns {
		_ = conn.Close() // nothing more is asked
		delete(c.conns, addr)
	}
}
