// Package cut is a TCP proxy that breaks connections in the ways in which networks do: it holds one direction or both,
// so that the ends see nothing but silence; it resets; it does so for one connection, for some or for all, and for those
// that come later.
//
// What is held is late, not gone: as with a real TCP connection over a broken path, it arrives when the path is whole
// again, unless an end has given up. While a direction is held, the end of its sender is not passed on either: a server
// behind a dead network does not learn that its client has gone.
package cut

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Direction is a set of the two ways of a connection.
type Direction uint8

// The directions.
const (
	ToServer Direction = 1 << iota
	ToClient
	Both = ToServer | ToClient
)

// Options configure a Proxy.
type Options struct {
	Targets     []string      // host:port, taken in turn; one that does not answer is passed over
	DialTimeout time.Duration // per target, 0 for 1 s
	Ordered     bool          // not in turn: always the first that answers
}

// Conn describes a connection to whoever chooses among them.
type Conn struct {
	ID     uint64 // counts the connections of a proxy
	Target string
	Opened time.Time
}

// Which chooses connections; nil chooses all. It must not call the proxy.
type Which func(Conn) bool

// To chooses the connections to a target.
func To(target string) Which { return func(c Conn) bool { return c.Target == target } }

func (w Which) takes(c Conn) bool { return w == nil || w(c) }

// Proxy passes connections on until Run's context ends.
type Proxy struct {
	opts     Options
	listener net.Listener
	next     atomic.Uint64

	mu    sync.Mutex // guards what follows
	ids   uint64
	conns map[*link]struct{}
	rules map[*rule]struct{}
}

// rule holds what it chooses, also connections that come later.
type rule struct {
	direction Direction
	which     Which
}

// New listens at a free loopback port.
func New(opts Options) (*Proxy, error) {
	if len(opts.Targets) == 0 {
		return nil, errors.New("cut: no targets")
	}
	if opts.DialTimeout == 0 {
		opts.DialTimeout = time.Second
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("cut: %w", err)
	}
	return &Proxy{opts: opts, listener: l, conns: map[*link]struct{}{}, rules: map[*rule]struct{}{}}, nil
}

// Addr returns host:port.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Run serves until ctx ends, then resets what is open.
func (p *Proxy) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	stop := context.AfterFunc(ctx, func() {
		p.listener.Close()
		p.Reset(nil)
	})
	defer stop()
	for {
		conn, err := p.listener.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			p.Reset(nil)
			return fmt.Errorf("cut: %w", err)
		}
		wg.Go(func() { p.serve(ctx, conn.(*net.TCPConn)) })
	}
}

// Hold stops the chosen connections' directions, now and those that are opened later, until release is called.
func (p *Proxy) Hold(d Direction, which Which) (release func()) {
	r := &rule{direction: d, which: which}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rules[r] = struct{}{}
	p.apply()
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.rules, r)
		p.apply()
	}
}

// apply lets every link know what the rules say of it. p.mu is held.
func (p *Proxy) apply() {
	for l := range p.conns {
		var held Direction
		for r := range p.rules {
			if r.which.takes(l.conn) {
				held |= r.direction
			}
		}
		l.hold(held)
	}
}

// Silence makes the chosen connections that are open now silent for good, both ways, and returns how many those are.
func (p *Proxy) Silence(which Which) int { return p.each(which, (*link).silence) }

// Reset ends the chosen connections with RST on both sides and returns how many those are.
func (p *Proxy) Reset(which Which) int { return p.each(which, (*link).reset) }

func (p *Proxy) each(which Which, do func(*link)) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for l := range p.conns {
		if which.takes(l.conn) {
			do(l)
			n++
		}
	}
	return n
}

// Conns returns the connections that are open and have not been made silent for good.
func (p *Proxy) Conns() []Conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	var list []Conn
	for l := range p.conns {
		if !l.silent() {
			list = append(list, l.conn)
		}
	}
	return list
}

func (p *Proxy) serve(ctx context.Context, client *net.TCPConn) {
	server, target := p.dial(ctx)
	if server == nil {
		client.Close()
		return
	}
	l := newLink(Conn{Target: target, Opened: time.Now()}, client, server)
	p.mu.Lock()
	p.ids++
	l.conn.ID = p.ids
	p.conns[l] = struct{}{}
	p.apply()
	p.mu.Unlock()
	if ctx.Err() != nil {
		l.reset()
	}
	l.run()
	p.mu.Lock()
	delete(p.conns, l)
	p.mu.Unlock()
}

func (p *Proxy) dial(ctx context.Context) (*net.TCPConn, string) {
	dialer := net.Dialer{Timeout: p.opts.DialTimeout}
	for i := range p.opts.Targets {
		target := p.opts.Targets[i]
		if !p.opts.Ordered {
			target = p.opts.Targets[p.next.Add(1)%uint64(len(p.opts.Targets))]
		}
		if conn, err := dialer.DialContext(ctx, "tcp", target); err == nil {
			return conn.(*net.TCPConn), target
		}
	}
	return nil, ""
}
