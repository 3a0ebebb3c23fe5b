package engine

import (
	"errors"
	"io"
	"net"
	"time"
)

// stream is the portable path: a net.Conn with a goroutine that reads and one that writes, seen from the shard as a descriptor that takes
// bytes or does not. The writer's buffer stands for the kernel's send buffer and is as large.
type stream struct {
	conn net.Conn
	out  chan []byte // to the writer: one buffer under way and the last one
	next chan struct{}
	room int

	// Of the shard's goroutine.
	spare []byte
	busy  bool
}

// lastWrite bounds how long a closed connection may take to write what it was given.
const lastWrite = 2 * time.Second

const (
	streamRead  = 16 << 10
	streamSpare = 4 << 10 // a larger write buffer is not kept
)

func newStream(nc net.Conn, sendBuffer int) *stream {
	below := nc
	if over, ok := nc.(interface{ NetConn() net.Conn }); ok { // TLS
		below = over.NetConn()
	}
	if tcp, ok := below.(*net.TCPConn); ok {
		_ = tcp.SetWriteBuffer(sendBuffer) // a connection that is broken shows when it is used
	}
	return &stream{conn: nc, out: make(chan []byte, 2), next: make(chan struct{}, 1), room: sendBuffer}
}

// start runs the two goroutines; they end with the connection, and Run waits for them.
func (s *stream) start(c *conn) {
	e := c.shard.engine
	e.streams.Go(func() { s.read(c) })
	e.streams.Go(func() { s.writeOut(c) })
}

func (s *stream) read(c *conn) {
	buf := make([]byte, restRoom+streamRead)
	for {
		n, err := s.conn.Read(buf[restRoom:])
		data := buf[restRoom : restRoom+n]
		taken := c.shard.post(func() {
			defer func() { s.next <- struct{}{} }()
			if c.closed {
				return
			}
			if n > 0 {
				c.feed(append(c.rest, data...), n)
			}
			if err != nil {
				c.fail(0, readReason(err))
			}
		})
		if !taken {
			_ = s.conn.Close()
			return
		}
		<-s.next // the shard runs every post that it takes
		if err != nil {
			return
		}
	}
}

func readReason(err error) Reason {
	if errors.Is(err, io.EOF) {
		return TransportClose
	}
	return TransportError
}

// writeOut writes what the shard hands over, and closes the connection when the shard has closed out.
func (s *stream) writeOut(c *conn) {
	for b := range s.out {
		_, err := s.conn.Write(b) // after a failure the next one fails as well
		c.shard.post(func() {
			if s.busy = false; cap(b) <= streamSpare {
				s.spare = b[:0]
			}
			if err != nil {
				c.fail(0, TransportError)
				return
			}
			c.writable()
		})
	}
	_ = s.conn.Close()
}

// write copies bytes for the writer, unless it has some.
func (s *stream) write(b []byte) (int, error) {
	if s.busy {
		return 0, errAgain
	}
	b = b[:min(len(b), s.room)]
	s.busy = true
	s.out <- append(s.spare, b...) // never blocks: not busy means that the channel is empty
	s.spare = nil
	return len(b), nil
}

// close lets the writer finish and then close the connection.
func (s *stream) close(last []byte) {
	_ = s.conn.SetWriteDeadline(time.Now().Add(lastWrite))
	if len(last) > 0 {
		s.out <- append([]byte(nil), last...)
	}
	close(s.out)
}
