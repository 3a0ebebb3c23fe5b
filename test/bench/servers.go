package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/edumatrix/interlink/test/harness"
)

var filler = strings.Repeat("x", 130)

// data is what a message carries: about 200 bytes with what the servers add.
func data(n int, now time.Time) []byte {
	return fmt.Appendf(nil, `{"n":%d,"t":%d,"text":%q}`, n, now.UnixMicro(), filler)
}

// interlink is the release gateway, with a presence service and a Redis on the clients' core.
type interlink struct {
	gateway, presence  *harness.Process
	redis              *harness.Redis
	router             *router
	public, admin, dir string
	closed             bool
}

func startInterlink(ctx context.Context, s settings) (server, error) {
	i := &interlink{}
	if err := i.start(ctx, s); err != nil {
		i.close()
		return nil, err
	}
	return i, nil
}

func (i *interlink) start(ctx context.Context, s settings) error {
	first, err := harness.FreePorts(5)
	if err != nil {
		return err
	}
	at := func(n int) string { return fmt.Sprintf("127.0.0.1:%d", first+n) }
	i.public, i.admin = at(0), at(1)
	if i.dir, err = os.MkdirTemp(os.Getenv("TEST_STATE"), "interlink-bench"); err != nil {
		return err
	}
	if i.redis, err = harness.StartRedis(ctx, s.root, i.dir); err != nil {
		return err
	}
	common := []string{
		"INTERNAL_API_KEY=" + harness.APIKey, "NEXTAUTH_SECRET=" + harness.NextAuthSecret, "INTERLINK_NEXTAUTH_VERSION=4", "LOG_LEVEL=warn",
		"INTERLINK_ROUTERS=127.0.0.1:1",
	}
	i.presence, err = harness.Start(harness.Spec{
		Name: "presence", Path: filepath.Join(s.bin, "presence"),
		Env: append(common, "INTERLINK_GRPC_ADDR="+at(2), "INTERLINK_ADMIN_ADDR="+at(3), "REDIS_URL=redis://"+i.redis.Addr()+"/0"),
	}, s.logs)
	if err != nil {
		return err
	}
	i.gateway, err = harness.Start(harness.Spec{
		Name: "gateway", Path: filepath.Join(s.bin, "gateway"), CPUs: s.serverCPU,
		Env: append(common, "SOCKET_IO_HOST=127.0.0.1", fmt.Sprintf("SOCKET_IO_PORT=%d", first), "INTERLINK_ADMIN_ADDR="+i.admin,
			"INTERLINK_GRPC_ADDR="+at(4), "INTERLINK_PRESENCE="+at(2), "INTERLINK_GATEWAY_ID=bench", "INTERLINK_CONNECT_RATE=100000"),
	}, s.logs)
	if err != nil {
		return err
	}
	if i.router, err = attach(at(4)); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return i.gateway.WaitReady(ctx, harness.HTTPStatus("http://"+i.admin+"/readyz", 200))
}

func (i *interlink) addr() string     { return i.public }
func (i *interlink) pid() int         { return i.gateway.PID() }
func (i *interlink) emit(n int) error { return i.router.emit(n) }

func (i *interlink) goroutines() (int, error) {
	m, err := harness.Scrape(context.Background(), i.admin)
	return int(m.Sum("go_goroutines")), err
}

func (i *interlink) close() {
	if i.closed {
		return
	}
	i.closed = true
	if i.router != nil {
		i.router.close()
	}
	for _, p := range []*harness.Process{i.gateway, i.presence} {
		if p != nil && p.Alive() {
			_ = p.Kill()
		}
	}
	if i.redis != nil {
		_ = i.redis.Close()
	}
	if i.dir != "" {
		_ = os.RemoveAll(i.dir)
	}
}

// controlled is a process that emits a message for every line on a connection: the Node peer and the bare loop.
type controlled struct {
	process *harness.Process
	public  string
	control net.Conn
	line    func(n int) ([]byte, error)
	closed  bool
}

func (c *controlled) addr() string             { return c.public }
func (c *controlled) pid() int                 { return c.process.PID() }
func (c *controlled) goroutines() (int, error) { return -1, nil }

func (c *controlled) emit(n int) error {
	line, err := c.line(n)
	if err != nil {
		return err
	}
	_, err = c.control.Write(append(line, '\n'))
	return err
}

func (c *controlled) close() {
	if c.closed {
		return
	}
	c.closed = true
	if c.control != nil {
		c.control.Close()
	}
	if c.process.Alive() {
		_ = c.process.Kill()
	}
}

// connect waits until the process listens, and opens its control connection.
func (c *controlled) connect(ctx context.Context, control string, probe func(context.Context) error) (server, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	err := c.process.WaitReady(ctx, probe)
	if err == nil {
		c.control, err = net.Dial("tcp", control)
	}
	if err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

func startNode(ctx context.Context, s settings) (server, error) {
	first, err := harness.FreePorts(2)
	if err != nil {
		return nil, err
	}
	c := &controlled{public: fmt.Sprintf("127.0.0.1:%d", first)}
	c.line = func(n int) ([]byte, error) {
		now := time.Now()
		return json.Marshal(map[string]any{
			"id": fmt.Sprintf("b-%d", n), "event": "message:new", "to": map[string]any{"rooms": []string{benchRoom}},
			"data": json.RawMessage(data(n, now)), "time": now.UnixMilli(),
		})
	}
	c.process, err = harness.Start(harness.Spec{
		Name: "node", Path: "node", Args: []string{filepath.Join(s.root, "test/bench/peers/node/server.js")}, CPUs: s.serverCPU,
		Env: []string{
			fmt.Sprintf("PORT=%d", first), fmt.Sprintf("CONTROL_PORT=%d", first+1),
			"JWT_SECRET=" + harness.JWTSecret, "NEXTAUTH_SECRET=" + harness.NextAuthSecret,
		},
	}, s.logs)
	if err != nil {
		return nil, err
	}
	return c.connect(ctx, fmt.Sprintf("127.0.0.1:%d", first+1), harness.HTTPStatus("http://"+c.public+"/health", 200))
}

func startFloor(ctx context.Context, s settings) (server, error) {
	first, err := harness.FreePorts(2)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	control := fmt.Sprintf("127.0.0.1:%d", first+1)
	c := &controlled{public: fmt.Sprintf("127.0.0.1:%d", first)}
	c.line = func(n int) ([]byte, error) { return data(n, time.Now()), nil }
	c.process, err = harness.Start(harness.Spec{
		Name: "floor", Path: self, Args: []string{"floor", c.public, control}, CPUs: s.serverCPU,
	}, s.logs)
	if err != nil {
		return nil, err
	}
	return c.connect(ctx, control, func(ctx context.Context) error {
		conn, err := net.DialTimeout("tcp", c.public, time.Second)
		if err != nil {
			return err
		}
		return errors.Join(conn.Close())
	})
}
