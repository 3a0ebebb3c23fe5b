package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// socketLink is an Engine.IO session on a WebSocket.
type socketLink struct {
	conn *websocket.Conn
	mu   sync.Mutex // guards writes
}

const writeWithin = 30 * time.Second

func (l *socketLink) send(packets ...string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range packets {
		_ = l.conn.SetWriteDeadline(time.Now().Add(writeWithin))
		if err := l.conn.WriteMessage(websocket.TextMessage, []byte(p)); err != nil {
			return err
		}
	}
	return nil
}

func (l *socketLink) close() { l.conn.Close() }

func (c *Client) openWebSocket(ctx context.Context, sid string) (*socketLink, error) {
	url := "ws" + strings.TrimPrefix(c.opts.URL, "http") + "/socket.io/?EIO=4&transport=websocket"
	if sid != "" {
		url += "&sid=" + sid
	}
	dialer := websocket.Dialer{
		HandshakeTimeout: 30 * time.Second,
		NetDialContext:   (&net.Dialer{}).DialContext,
		ReadBufferSize:   1024, WriteBufferSize: 1024,
	}
	conn, res, err := dialer.DialContext(ctx, url, c.opts.Header)
	if err != nil {
		if res != nil {
			return nil, &StatusError{Method: http.MethodGet, Status: res.StatusCode}
		}
		return nil, err
	}
	return &socketLink{conn: conn}, nil
}

func (c *Client) dialWebSocket(ctx context.Context) error {
	l, err := c.openWebSocket(ctx, "")
	if err != nil {
		return err
	}
	c.link = l
	_ = l.conn.SetReadDeadline(time.Now().Add(c.opts.OpenTimeout))
	_, first, err := l.conn.ReadMessage()
	if err != nil {
		l.close()
		return err
	}
	if len(first) == 0 || first[0] != '0' || json.Unmarshal(first[1:], &c.open) != nil {
		l.close()
		return fmt.Errorf("not an open packet: %.100q", first)
	}
	c.reading.Go(func() { c.readWebSocket(l) })
	return nil
}

// readWebSocket ends the client when it returns.
func (c *Client) readWebSocket(l *socketLink) {
	for {
		_ = l.conn.SetReadDeadline(time.Now().Add(c.open.patience()))
		kind, message, err := l.conn.ReadMessage()
		if err != nil {
			c.end(fmt.Errorf("read: %w", err))
			return
		}
		var answer string
		if kind == websocket.BinaryMessage {
			err = c.attach(message)
		} else {
			answer, err = c.receive(string(message))
		}
		if err == nil && answer != "" {
			err = l.send(answer)
		}
		if err != nil {
			c.end(err)
			return
		}
	}
}
