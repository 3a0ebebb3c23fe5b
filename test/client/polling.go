package client

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// separator stands between the packets of a payload (Engine.IO protocol 4, "HTTP long-polling").
const separator = "\x1e"

// StatusError is an HTTP status other than 200.
type StatusError struct {
	Method string
	Status int
	Body   string
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("%s: status %d %s", e.Method, e.Status, e.Body)
}

// pollingLink is an Engine.IO session that polls until it is upgraded. Every request has a connection of its own, so
// that a balancer sends each to another server.
type pollingLink struct {
	client *Client
	http   http.Client
	url    string
	ctx    context.Context // of the link's life: requests belong to it, not to a caller
	cancel context.CancelFunc
	polled chan struct{} // closed when the polling loop has ended

	mu       sync.Mutex // guards what follows; held during a POST, so that packets keep their order
	upgraded *socketLink
	paused   bool     // an upgrade is about to happen: packets wait
	waiting  []string // while paused
}

func (c *Client) dialPolling(ctx context.Context) error {
	life, cancel := context.WithCancel(context.Background())
	l := &pollingLink{
		client: c, url: c.opts.URL + "/socket.io/?EIO=4&transport=polling",
		http: http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
		ctx:  life, cancel: cancel, polled: make(chan struct{}),
	}
	c.link = l
	first, err := l.request(ctx, http.MethodGet, "")
	if err != nil {
		cancel()
		return err
	}
	if first == "" || first[0] != '0' || json.Unmarshal([]byte(first[1:]), &c.open) != nil {
		cancel()
		return fmt.Errorf("not an open packet: %.100q", first)
	}
	l.url += "&sid=" + c.open.SID
	c.reading.Go(l.poll)
	if c.opts.Transport == Upgrade {
		c.reading.Go(l.upgrade)
	}
	return nil
}

func (l *pollingLink) request(ctx context.Context, method, body string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, method, l.url, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	for name, values := range l.client.opts.Header {
		req.Header[name] = values
	}
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "text/plain;charset=UTF-8")
	}
	res, err := l.http.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		return "", err
	}
	if res.StatusCode != http.StatusOK {
		return "", &StatusError{Method: method, Status: res.StatusCode, Body: string(raw)}
	}
	return string(raw), nil
}

// poll asks for packets until the link is upgraded or ends.
func (l *pollingLink) poll() {
	defer close(l.polled)
	for {
		ctx, cancel := context.WithTimeout(l.ctx, l.client.open.patience())
		payload, err := l.request(ctx, http.MethodGet, "")
		cancel()
		if err != nil {
			l.client.end(err)
			return
		}
		for _, p := range strings.Split(payload, separator) {
			answer, err := l.client.receive(p)
			if err == nil && answer != "" {
				err = l.send(answer)
			}
			if err != nil {
				l.client.end(err)
				return
			}
		}
		l.mu.Lock()
		paused := l.paused
		l.mu.Unlock()
		if paused {
			return
		}
	}
}

func (l *pollingLink) send(packets ...string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.upgraded != nil {
		return l.upgraded.send(packets...)
	}
	if l.paused {
		l.waiting = append(l.waiting, packets...)
		return nil
	}
	ctx, cancel := context.WithTimeout(l.ctx, writeWithin)
	defer cancel()
	_, err := l.request(ctx, http.MethodPost, strings.Join(packets, separator))
	return err
}

// upgrade moves the session to a WebSocket (Engine.IO protocol 4, "Upgrade"). Without success polling goes on.
func (l *pollingLink) upgrade() {
	ctx, cancel := context.WithTimeout(l.ctx, writeWithin)
	defer cancel()
	ws, err := l.client.openWebSocket(ctx, l.client.open.SID)
	if err != nil {
		return
	}
	if err := ws.send("2probe"); err != nil {
		ws.close()
		return
	}
	_ = ws.conn.SetReadDeadline(time.Now().Add(writeWithin))
	if _, got, err := ws.conn.ReadMessage(); err != nil || string(got) != "3probe" {
		ws.close()
		return
	}
	l.mu.Lock()
	l.paused = true
	l.mu.Unlock()
	<-l.polled
	l.mu.Lock()
	err = ws.send("5")
	if err == nil {
		err = ws.send(l.waiting...)
	}
	l.upgraded, l.waiting = ws, nil
	l.mu.Unlock()
	if err != nil || l.ctx.Err() != nil {
		ws.close()
		l.client.end(fmt.Errorf("upgrade: %w", err))
		return
	}
	l.client.readWebSocket(ws)
}

func (l *pollingLink) close() {
	l.cancel()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.upgraded != nil {
		l.upgraded.close()
	}
}
