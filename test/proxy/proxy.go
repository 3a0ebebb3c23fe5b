// Package proxy is a TCP proxy that gives each new connection to the next of several servers, as a Service without
// sticky sessions does: polling requests of one client and its upgrade reach different gateways.
package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Options configure a Proxy.
type Options struct {
	Targets     []string      // host:port, taken in turn
	DialTimeout time.Duration // per target, 0 for 1 s
}

// Proxy passes connections on until Run's context ends.
type Proxy struct {
	opts     Options
	listener net.Listener
	next     atomic.Uint64

	mu    sync.Mutex // guards conns
	conns map[net.Conn]struct{}
}

// New listens at a free loopback port.
func New(opts Options) (*Proxy, error) {
	if len(opts.Targets) == 0 {
		return nil, errors.New("proxy: no targets")
	}
	if opts.DialTimeout == 0 {
		opts.DialTimeout = time.Second
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	return &Proxy{opts: opts, listener: l, conns: map[net.Conn]struct{}{}}, nil
}

// Addr returns host:port.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Run serves until ctx ends, then cuts what is open.
func (p *Proxy) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { p.listener.Close() })
	defer stop()
	var wg sync.WaitGroup
	defer wg.Wait()
	defer p.CutAll()
	for {
		conn, err := p.listener.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("proxy: %w", err)
		}
		wg.Go(func() { p.serve(ctx, conn) })
	}
}

// CutAll closes every connection.
func (p *Proxy) CutAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.Close()
	}
}

func (p *Proxy) serve(ctx context.Context, client net.Conn) {
	defer client.Close()
	server := p.dial(ctx)
	if server == nil {
		return
	}
	defer server.Close()
	if !p.add(ctx, client, server) {
		return
	}
	defer p.remove(client, server)
	var wg sync.WaitGroup
	wg.Go(func() { pipe(server, client) })
	wg.Go(func() { pipe(client, server) })
	wg.Wait()
}

// dial takes the next target that answers: one that is gone is passed over, as a Service does once it has noticed.
func (p *Proxy) dial(ctx context.Context) net.Conn {
	dialer := net.Dialer{Timeout: p.opts.DialTimeout}
	for range p.opts.Targets {
		target := p.opts.Targets[p.next.Add(1)%uint64(len(p.opts.Targets))]
		if conn, err := dialer.DialContext(ctx, "tcp", target); err == nil {
			return conn
		}
	}
	return nil
}

func (p *Proxy) add(ctx context.Context, conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if ctx.Err() != nil {
		return false
	}
	for _, c := range conns {
		p.conns[c] = struct{}{}
	}
	return true
}

func (p *Proxy) remove(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		delete(p.conns, c)
	}
}

// pipe copies one direction and passes its end on. A failure ends both directions.
func pipe(to, from net.Conn) {
	_, err := io.Copy(to, from)
	if half, ok := to.(*net.TCPConn); ok && err == nil {
		_ = half.CloseWrite()
		return
	}
	to.Close()
	from.Close()
}
