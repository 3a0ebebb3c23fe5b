package engine

import (
	"time"

	"github.com/edumatrix/interlink/services/gateway/internal/wsframe"
)

// consumer is what a connection's messages are for: a session, the probe of an upgrade, or a pending session of another gateway.
type consumer interface {
	message(c *conn, op wsframe.Opcode, data []byte) // data is valid during the call
	gone(c *conn, reason Reason)                     // the connection is closed; called once, unless close was called by the consumer
	ready(c *conn)                                   // more can be written
	reply(c *conn, f *Frame)                         // writes a frame of the WebSocket protocol itself
}

// conn is one WebSocket on the shard that owns it: a polled descriptor, or a net.Conn with its goroutines.
type conn struct {
	shard    *Shard
	consumer consumer
	stream   *stream // nil for a descriptor
	fd       int
	token    uint64
	reader   wsframe.Reader
	rest     []byte // what the last read left of an unfinished header or control frame
	deadline *timer // of writing, made when first needed
	blocked  bool   // the kernel takes no more: wait for it
	closed   bool
}

// attach makes the connection the shard's. c.fd or c.stream is set. It returns false, with the connection closed, if it can't be polled.
func (sh *Shard) attach(c *conn) bool {
	c.shard = sh
	sh.enter(c)
	if c.stream != nil {
		c.stream.start(c)
		return true
	}
	if err := sh.epoll.Add(c.fd, c.token); err != nil {
		c.close(0)
		return false
	}
	return true
}

// readable reads once, at most readRoom bytes; what is left makes the descriptor ready again.
func (c *conn) readable() {
	in := c.shard.in
	kept := copy(in, c.rest)
	n, err := readFD(c.fd, in[kept:])
	switch {
	case err == errAgain:
		return
	case err != nil:
		c.fail(0, TransportError)
	case n == 0:
		c.fail(0, TransportClose)
	default:
		c.feed(in[:kept+n], n)
	}
}

// feed parses buf, whose last n bytes are new, and hands out messages. It keeps what is left over.
func (c *conn) feed(buf []byte, n int) {
	if s, ok := c.consumer.(*Session); ok && !s.charge(n) {
		c.fail(wsframe.ClosePolicy, Unauthorized)
		return
	}
	for {
		m, used, ok, err := c.reader.Next(buf, c.limit())
		if err != nil {
			c.refuse(err)
			return
		}
		buf = buf[used:]
		if !ok {
			break
		}
		c.handle(m)
		if c.closed {
			return
		}
	}
	if len(buf) == 0 {
		c.rest = nil
	} else {
		c.rest = append([]byte(nil), buf...)
	}
}

// limit is the message size that may come now.
func (c *conn) limit() int {
	if c.early() {
		return int(min(c.shard.engine.options.ConnectBytes, c.shard.engine.options.MaxPayload))
	}
	return int(c.shard.engine.options.MaxPayload)
}

// early reports whether nothing has been trusted yet. Before a change of transport there is no more to say than a few bytes, whoever it is.
func (c *conn) early() bool {
	switch of := c.consumer.(type) {
	case *Session:
		return !of.trusted.Load()
	case *Pending:
		return !isClosed(of.switched)
	default:
		return true
	}
}

func (c *conn) handle(m wsframe.Message) {
	switch m.Op {
	case wsframe.Text, wsframe.Binary:
		c.consumer.message(c, m.Op, m.Data)
	case wsframe.Ping:
		c.consumer.reply(c, rawFrame(wsframe.AppendFrame(nil, wsframe.Pong, m.Data)))
	case wsframe.Close:
		code := m.Code
		if code == wsframe.CloseNoStatus {
			code = wsframe.CloseNormal
		}
		c.fail(code, TransportClose)
	}
}

// refuse closes the connection for bytes that are no WebSocket frames, or too many.
func (c *conn) refuse(err error) {
	reason, code := Malformed, uint16(wsframe.CloseProtocol)
	if e, ok := err.(wsframe.Error); ok {
		code = e.Code()
		if e == wsframe.ErrTooBig {
			reason = TooLarge
			if c.early() {
				reason = Unauthorized
			}
		}
	}
	c.fail(code, reason)
}

// fail closes the connection and tells its consumer.
func (c *conn) fail(code uint16, reason Reason) {
	if c.closed {
		return
	}
	consumer := c.consumer
	c.close(code)
	consumer.gone(c, reason)
}

// close ends the connection, with a close frame of that code unless it is 0 or does not fit. The consumer is not told.
func (c *conn) close(code uint16) {
	var last []byte
	if code != 0 && !c.blocked {
		last = wsframe.AppendClose(nil, code, "")
	}
	c.closeBehind(last)
}

// closeBehind ends the connection behind the given bytes, as far as the transport takes them at once. The consumer is not told.
func (c *conn) closeBehind(last []byte) {
	if c.closed {
		return
	}
	c.closed = true
	if c.deadline != nil {
		c.shard.wheel.disarm(c.deadline)
	}
	c.shard.leave(c)
	if c.stream != nil {
		c.stream.close(last)
	} else {
		if len(last) > 0 {
			_, _ = writeFD(c.fd, last) // the peer may be gone
		}
		closeFD(c.fd)
	}
	c.rest, c.reader = nil, wsframe.Reader{}
}

// write hands bytes to the kernel and returns how many it took. When it took fewer, the connection is blocked until ready. It reports false
// if the connection is closed, the consumer told.
func (c *conn) write(b []byte) (int, bool) {
	if c.closed {
		return 0, false
	}
	var n int
	var err error
	if c.stream != nil {
		n, err = c.stream.write(b)
	} else {
		n, err = writeFD(c.fd, b)
	}
	if err != nil && err != errAgain {
		c.fail(0, TransportError)
		return n, false
	}
	if n < len(b) && !c.block(n) {
		return n, false
	}
	return n, true
}

// block waits for the kernel to take more, at most the write deadline since it last took something.
func (c *conn) block(n int) bool {
	if !c.blocked {
		c.blocked = true
		if c.stream == nil {
			if err := c.shard.epoll.Interest(c.fd, c.token, true); err != nil {
				c.fail(0, TransportError)
				return false
			}
		}
	}
	if c.deadline == nil {
		c.deadline = &timer{fire: func() { c.fail(0, Slow) }}
	}
	if n > 0 || !c.deadline.armed {
		c.arm(c.shard.engine.options.WriteTimeout)
	}
	return true
}

func (c *conn) arm(d time.Duration) { c.shard.wheel.arm(c.deadline, c.shard.now+int64(d)) }

// writable lets the consumer write on.
func (c *conn) writable() {
	if c.closed || !c.blocked {
		return
	}
	c.blocked = false
	c.consumer.ready(c)
	if c.closed || c.blocked {
		return
	}
	c.shard.wheel.disarm(c.deadline)
	if c.stream == nil {
		if err := c.shard.epoll.Interest(c.fd, c.token, false); err != nil {
			c.fail(0, TransportError)
		}
	}
}
