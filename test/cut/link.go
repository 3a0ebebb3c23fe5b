package cut

import (
	"net"
	"sync"
)

// link is one connection through the proxy.
type link struct {
	conn           Conn
	client, server *net.TCPConn

	mu      sync.Mutex // guards what follows
	changed *sync.Cond
	held    Direction // by the rules
	mute    bool      // for good
	ended   Direction // directions whose sender has closed
	dead    bool
}

func newLink(c Conn, client, server *net.TCPConn) *link {
	l := &link{conn: c, client: client, server: server}
	l.changed = sync.NewCond(&l.mu)
	return l
}

// run copies both ways until both ends are closed.
func (l *link) run() {
	var wg sync.WaitGroup
	wg.Go(func() { l.pipe(l.server, l.client, ToServer) })
	wg.Go(func() { l.pipe(l.client, l.server, ToClient) })
	wg.Wait()
	l.client.Close()
	l.server.Close()
}

// pipe copies one direction. What it has read waits while the direction is held, and so does the sender's end.
func (l *link) pipe(to, from *net.TCPConn, d Direction) {
	buf := make([]byte, 4<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			l.end(d)
		}
		if !l.pass(d) {
			return
		}
		if n > 0 {
			if _, failed := to.Write(buf[:n]); failed != nil {
				l.reset()
				return
			}
		}
		if err != nil {
			_ = to.CloseWrite()
			return
		}
	}
}

// pass waits while a direction is held. It answers false when the link is over.
func (l *link) pass(d Direction) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for !l.dead && (l.mute || l.held&d != 0) {
		l.changed.Wait()
	}
	return !l.dead
}

// end notes that a direction's sender has closed. A silent link whose ends have both given up is over.
func (l *link) end(d Direction) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended |= d
	if l.ended == Both && (l.mute || l.held != 0) {
		l.kill()
	}
}

func (l *link) hold(d Direction) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held = d
	l.changed.Broadcast()
}

func (l *link) silence() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mute = true
	if l.ended == Both {
		l.kill()
	}
}

func (l *link) silent() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mute
}

func (l *link) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kill()
}

// kill ends both sides with RST. l.mu is held.
func (l *link) kill() {
	if l.dead {
		return
	}
	l.dead = true
	for _, c := range []*net.TCPConn{l.client, l.server} {
		_ = c.SetLinger(0)
		c.Close()
	}
	l.changed.Broadcast()
}
