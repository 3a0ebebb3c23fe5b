// Package client is a small Socket.IO client (Engine.IO 4, Socket.IO 5, namespace `/`) for load and for faults: hundreds
// in one process, over WebSocket, polling, or polling and an upgrade. It handles events where it reads them, in order,
// and never comes back by itself: whoever uses it decides when to connect again and with which session.
//
// It trusts the server: what does not follow the protocol ends the connection with an error.
package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// Transport says how the bytes travel.
type Transport uint8

// The transports of Options.
const (
	WebSocket Transport = iota
	Polling
	Upgrade // begins with polling and moves to a WebSocket, as browsers do by default
)

// Options say where and how to connect.
type Options struct {
	URL       string         // http://host:port
	Auth      map[string]any // of the CONNECT packet: token, pid, offset
	Header    http.Header    // of every request: Cookie, Origin
	Transport Transport
	Connected func(recovered bool) // runs once, on the reading goroutine, when CONNECT is answered; may be nil
	Handle    func(Event)          // runs on the reading goroutine; must not block
	Session   *Session             // nil for a client that begins anew each time

	OpenTimeout time.Duration // until the open packet is there, 0 for 20 s; the answer to CONNECT may take for ever
}

// Event is what the server emitted.
type Event struct {
	Name   string
	Args   []json.RawMessage
	Binary [][]byte // attachments, in order
}

// Refused is the server's CONNECT_ERROR.
type Refused struct {
	Message string
	Data    json.RawMessage
}

func (r *Refused) Error() string { return "connect refused: " + r.Message }

// ErrClosed is how Call ends when the connection does.
var ErrClosed = errors.New("connection closed")

// link moves Engine.IO packets.
type link interface {
	send(packets ...string) error
	close()
}

// Client is one connection, from CONNECT to its end.
type Client struct {
	opts Options
	open openPacket
	link link

	sid, pid  string
	recovered bool
	answered  chan error // of CONNECT, buffered
	reading   sync.WaitGroup
	done      chan struct{}

	mu      sync.Mutex // guards what follows
	err     error
	ended   bool
	nextAck int
	acks    map[int]func([]json.RawMessage)

	partial *packet // waits for its attachments; the reading goroutine's
}

type openPacket struct {
	SID          string   `json:"sid"`
	Upgrades     []string `json:"upgrades"`
	PingInterval int      `json:"pingInterval"`
	PingTimeout  int      `json:"pingTimeout"`
	MaxPayload   int      `json:"maxPayload"`
}

// patience is how long the server may be silent: it pings each interval.
func (o openPacket) patience() time.Duration {
	return time.Duration(o.PingInterval+o.PingTimeout) * time.Millisecond
}

// Dial connects and waits until the server has answered CONNECT; a refusal is a *Refused.
func Dial(ctx context.Context, opts Options) (*Client, error) {
	if opts.Handle == nil {
		opts.Handle = func(Event) {}
	}
	c := &Client{opts: opts, answered: make(chan error, 1), done: make(chan struct{}), acks: map[int]func([]json.RawMessage){}}
	if opts.OpenTimeout == 0 {
		c.opts.OpenTimeout = 20 * time.Second
	}
	err := c.openTransport(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", opts.URL, err)
	}
	if err = c.connect(ctx); err != nil {
		c.end(err)
		c.Wait()
		return nil, fmt.Errorf("connect to %s: %w", opts.URL, err)
	}
	return c, nil
}

func (c *Client) openTransport(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.opts.OpenTimeout)
	defer cancel()
	if c.opts.Transport == WebSocket {
		return c.dialWebSocket(ctx)
	}
	return c.dialPolling(ctx)
}

func (c *Client) connect(ctx context.Context) error {
	given := c.opts.Auth
	if c.opts.Session != nil {
		given = c.opts.Session.auth(given)
	}
	auth, err := json.Marshal(given)
	if err != nil {
		return err
	}
	if given == nil {
		auth = nil
	}
	if err := c.link.send("40" + string(auth)); err != nil {
		return err
	}
	select {
	case err := <-c.answered:
		return err
	case <-c.done:
		return c.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// SID returns the socket's id, PID the session's, "" if the server gave none.
func (c *Client) SID() string { return c.sid }

// PID returns the session's id, "" if the server gave none.
func (c *Client) PID() string { return c.pid }

// Recovered tells whether this connection goes on where the Session's last one ended.
func (c *Client) Recovered() bool { return c.recovered }

// EngineSID returns the id of the Engine.IO session.
func (c *Client) EngineSID() string { return c.open.SID }

// Done is closed when the connection has ended.
func (c *Client) Done() <-chan struct{} { return c.done }

// Wait returns when the connection has ended and nothing of it will be handled any more.
func (c *Client) Wait() {
	<-c.done
	c.reading.Wait()
}

// Err tells how it ended; nil while it lasts and after Close.
func (c *Client) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Emit sends an event. Arguments are marshalled as JSON.
func (c *Client) Emit(name string, args ...any) error {
	raw, err := json.Marshal(append([]any{name}, args...))
	if err != nil {
		return fmt.Errorf("emit %s: %w", name, err)
	}
	return c.link.send("42" + string(raw))
}

// Acked sends an event. then gets the arguments of its ack on the reading goroutine, in order with the events, and must
// not block.
func (c *Client) Acked(then func([]json.RawMessage), name string, args ...any) error {
	raw, err := json.Marshal(append([]any{name}, args...))
	if err != nil {
		return fmt.Errorf("call %s: %w", name, err)
	}
	c.mu.Lock()
	id := c.nextAck
	c.nextAck++
	c.acks[id] = then
	c.mu.Unlock()
	if err := c.link.send(fmt.Sprintf("42%d%s", id, raw)); err != nil {
		return fmt.Errorf("call %s: %w", name, err)
	}
	return nil
}

// Call sends an event and waits for the arguments of its ack.
func (c *Client) Call(ctx context.Context, name string, args ...any) ([]json.RawMessage, error) {
	answer := make(chan []json.RawMessage, 1)
	if err := c.Acked(func(got []json.RawMessage) { answer <- got }, name, args...); err != nil {
		return nil, err
	}
	select {
	case got := <-answer:
		return got, nil
	case <-c.done:
		return nil, fmt.Errorf("call %s: %w", name, ErrClosed)
	case <-ctx.Done():
		return nil, fmt.Errorf("call %s: %w", name, ctx.Err())
	}
}

// Answer is what every ack of Interlink holds.
type Answer struct {
	OK    bool `json:"ok"`
	Error struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
}

// ReadAnswer reads an ack of exactly one object.
func ReadAnswer(args []json.RawMessage) (Answer, error) {
	var a Answer
	if len(args) != 1 {
		return a, fmt.Errorf("the ack has %d arguments, want 1", len(args))
	}
	return a, json.Unmarshal(args[0], &a)
}

// Ask is Call for an ack of exactly one object.
func (c *Client) Ask(ctx context.Context, name string, args ...any) (Answer, error) {
	got, err := c.Call(ctx, name, args...)
	if err != nil {
		return Answer{}, err
	}
	a, err := ReadAnswer(got)
	if err != nil {
		return a, fmt.Errorf("call %s: %w", name, err)
	}
	return a, nil
}

// Close leaves: the server is told (DISCONNECT), then the transport is closed.
func (c *Client) Close() {
	_ = c.link.send("41")
	c.end(nil)
}

// Cut ends the transport without a word, as a lost network does.
func (c *Client) Cut() { c.end(ErrClosed) }

func (c *Client) end(err error) {
	c.mu.Lock()
	if c.ended {
		c.mu.Unlock()
		return
	}
	c.ended, c.err = true, err
	c.mu.Unlock()
	if c.link != nil {
		c.link.close()
	}
	close(c.done)
}
