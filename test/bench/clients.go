package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// clients are thousands of Socket.IO connections on one epoll descriptor: what they cost must not hide what the server
// costs. One goroutine reads all of them.
type clients struct {
	addr   unix.SockaddrInet4
	sealer sealer
	epoll  int
	conns  []*conn
	byFD   map[int]*conn

	delivered, bytes, lost atomic.Int64
	connected              atomic.Int64 // in their rooms

	mu      sync.Mutex // guards what follows
	changed *sync.Cond // broadcast when one of the counters moved
	err     error
	buckets [20_000]int64 // deliveries by latency in milliseconds
	stopped chan struct{}
}

func newClients(addr string) (*clients, error) {
	tcp, err := net.ResolveTCPAddr("tcp4", addr)
	if err != nil {
		return nil, err
	}
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	c := &clients{epoll: epoll, byFD: map[int]*conn{}, stopped: make(chan struct{})}
	c.addr.Port = tcp.Port
	copy(c.addr.Addr[:], tcp.IP.To4())
	c.changed = sync.NewCond(&c.mu)
	c.sealer, err = newSealer()
	return c, err
}

// onTheirWay bounds the connects that are under way at once.
const onTheirWay = 100

// open connects n sockets and returns when each is in its rooms.
func (c *clients) open(ctx context.Context, n int, rooms func(i int) []string) error {
	for i := range n {
		list := rooms(i)
		token, err := c.sealer.token(fmt.Sprintf("u%d", i), list)
		if err != nil {
			return err
		}
		c.conns = append(c.conns, &conn{index: i, token: token, rooms: list})
	}
	started := make(chan struct{})
	go c.dial(ctx, started)
	go c.read()
	<-started
	return c.until(ctx, func() bool { return c.connected.Load() == int64(n) })
}

// dial opens the sockets in order, never more at once than onTheirWay. Source addresses differ, so that ports suffice.
func (c *clients) dial(ctx context.Context, started chan<- struct{}) {
	close(started)
	for i, k := range c.conns {
		if c.until(ctx, func() bool { return int64(i)-c.connected.Load() < onTheirWay }) != nil {
			return
		}
		if err := c.dialOne(k); err != nil {
			c.fail(fmt.Errorf("socket %d: %w", i, err))
			return
		}
	}
}

func (c *clients) dialOne(k *conn) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	k.fd = fd
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, byte(2 + k.index%8)}}); err != nil {
		return err
	}
	if err := unix.Connect(fd, &c.addr); err != nil {
		return err
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return err
	}
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	if err := k.write(handshake); err != nil {
		return err
	}
	c.mu.Lock()
	c.byFD[fd] = k
	c.mu.Unlock()
	return unix.EpollCtl(c.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)})
}

// read is the one goroutine that reads.
func (c *clients) read() {
	defer close(c.stopped)
	events := make([]unix.EpollEvent, 1024)
	buffer := make([]byte, 256<<10)
	table := map[int]*conn{}
	for {
		n, err := unix.EpollWait(c.epoll, events, 1000)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return // closed
		}
		before := c.delivered.Load() + c.connected.Load()
		for _, e := range events[:n] {
			k := table[int(e.Fd)]
			if k == nil {
				c.mu.Lock()
				k = c.byFD[int(e.Fd)]
				c.mu.Unlock()
				table[int(e.Fd)] = k
			}
			if err := c.readOne(k, buffer); err != nil {
				_ = unix.EpollCtl(c.epoll, unix.EPOLL_CTL_DEL, k.fd, nil)
				c.lost.Add(1)
				c.fail(fmt.Errorf("socket %d: %w", k.index, err))
			}
		}
		if c.delivered.Load()+c.connected.Load() != before {
			c.changed.Broadcast()
		}
	}
}

func (c *clients) readOne(k *conn, buffer []byte) error {
	n, err := unix.Read(k.fd, buffer)
	switch {
	case errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR):
		return nil
	case err != nil:
		return err
	case n == 0:
		return errors.New("closed by the server")
	}
	wasReady := k.state == ready
	now := time.Now().UnixMicro()
	err = k.take(buffer[:n], func(frame []byte) {
		c.delivered.Add(1)
		c.bytes.Add(int64(len(frame)))
		if sent := stamp(frame); sent > 0 {
			c.buckets[min(max((now-sent)/1000, 0), int64(len(c.buckets)-1))]++
		}
	})
	if !wasReady && k.state == ready {
		c.connected.Add(1)
	}
	return err
}

func (c *clients) fail(err error) {
	c.mu.Lock()
	c.err = errors.Join(c.err, err)
	c.mu.Unlock()
	c.changed.Broadcast()
}

// wait returns when so many events were delivered in all.
func (c *clients) wait(ctx context.Context, deliveries int64) error {
	return c.until(ctx, func() bool { return c.delivered.Load() >= deliveries })
}

const patience = 2 * time.Minute

func (c *clients) until(ctx context.Context, condition func() bool) error {
	if condition() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	stop := context.AfterFunc(ctx, c.changed.Broadcast)
	defer stop()
	c.mu.Lock()
	defer c.mu.Unlock()
	for !condition() {
		if c.err != nil {
			return c.err
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%d connected, %d delivered: %w", c.connected.Load(), c.delivered.Load(), ctx.Err())
		}
		c.changed.Wait()
	}
	return nil
}

// resetLatency and latency are called while nothing is delivered.
func (c *clients) resetLatency() { clear(c.buckets[:]) }

func (c *clients) latency(percentile int64) time.Duration {
	var all, sum int64
	for _, n := range c.buckets {
		all += n
	}
	for ms, n := range c.buckets {
		if sum += n; sum*100 >= all*percentile {
			return time.Duration(ms) * time.Millisecond
		}
	}
	return 0
}

func (c *clients) close() {
	for _, k := range c.conns {
		if k.fd > 0 {
			unix.Close(k.fd)
		}
	}
	unix.Close(c.epoll)
	if len(c.conns) > 0 {
		<-c.stopped
	}
}
