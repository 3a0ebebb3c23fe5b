// Package peers owns the gRPC connections from a gateway to single processes: other gateways and the routers that own
// a partition. gRPC redials by itself; a connection is kept until it is pushed out by too many others.
package peers

import (
	"fmt"
	"sync"

	"google.golang.org/grpc"
)

// most is far above the number of processes of a kind that are alive at once.
const most = 1024

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
	conn, err := grpc.NewClient("passthrough:///"+addr, c.Dial...)
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
