package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/edumatrix/interlink/test/client"
	"github.com/edumatrix/interlink/test/harness"
)

// perRoom is how many sockets share a room.
const perRoom = 10

func own(n int) string          { return fmt.Sprint("conversation:own-", n) }
func shared(n, kind int) string { return fmt.Sprintf("conversation:shared-%d-%d", kind, n) }

// sizes are the lengths of cursors in characters.
type sizes []int

func (s sizes) String() string {
	if len(s) == 0 {
		return "–"
	}
	slices.Sort(s)
	return fmt.Sprintf("%d, %d, %d", s[len(s)/2], s[len(s)*99/100], s[len(s)-1])
}

// crowd are connected sockets that count what they handle.
type crowd struct {
	clients   []*client.Client
	delivered atomic.Int64

	mu      sync.Mutex // guards cursors
	cursors sizes      // of the first socket's events, and of some others'
}

func connect(ctx context.Context, s *harness.System, sockets int) (*crowd, error) {
	c := &crowd{clients: make([]*client.Client, sockets)}
	errs := make(chan error, sockets)
	slots := make(chan struct{}, 32)
	for i := range sockets {
		go func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			errs <- c.join(ctx, s, i)
		}()
	}
	var all error
	for range sockets {
		all = errors.Join(all, <-errs)
	}
	return c, all
}

func (c *crowd) join(ctx context.Context, s *harness.System, i int) error {
	rooms := []string{own(i), shared(i/perRoom, 0), shared(i%(len(c.clients)/perRoom), 1)}
	conn, err := client.Dial(ctx, client.Options{
		URL: "http://" + s.Gateways[0].Public, Auth: map[string]any{"token": harness.Token(fmt.Sprint("u", i), rooms...)},
		Handle: func(e client.Event) { c.handle(i, e) },
	})
	if err != nil {
		return err
	}
	c.clients[i] = conn
	for _, room := range rooms {
		answer, err := conn.Ask(ctx, "room:join", room)
		if err != nil || !answer.OK {
			return fmt.Errorf("join %s: %w %v", room, err, answer)
		}
	}
	return nil
}

func (c *crowd) handle(i int, e client.Event) {
	if e.Name != "message:new" {
		return
	}
	c.delivered.Add(1)
	if i%10 != 0 {
		return
	}
	if text := last(e.Args); text != "" {
		c.mu.Lock()
		c.cursors = append(c.cursors, len(text))
		c.mu.Unlock()
	}
}

func (c *crowd) close() {
	for _, conn := range c.clients {
		if conn != nil {
			conn.Close()
		}
	}
	for _, conn := range c.clients {
		if conn != nil {
			conn.Wait()
		}
	}
}

// during publishes at a rate and says what it took. A few seconds before do not count: pools and bases get warm.
func (c *crowd) during(ctx context.Context, s *harness.System, d time.Duration, rate int, room func(int) string) (row, error) {
	warm := min(3*time.Second, d)
	publishing, stop := context.WithCancel(ctx)
	defer stop()
	sent, published := make(chan int, 1), make(chan error, 1)
	go func() {
		n, err := publish(publishing, s.Kafka.Brokers, rate, room)
		sent <- n
		published <- err
	}()
	pause(ctx, warm)
	c.mu.Lock()
	c.cursors = nil
	c.mu.Unlock()
	before, delivered := writes(ctx, s.Redis), c.delivered.Load()
	gateway, router, begun := harness.Measure(s.Gateways[0].PID()), harness.Measure(s.Routers[0].PID()), time.Now()
	pause(ctx, d)
	r := row{gateway: gateway.Stop(), router: router.Stop(), delivered: int(c.delivered.Load() - delivered)}
	took := time.Since(begun).Seconds()
	after := writes(ctx, s.Redis)
	r.writes, r.scripts = (after.all-before.all)/took, (after.scripts-before.scripts)/took
	stop()
	r.sent = <-sent
	c.mu.Lock()
	r.cursors = c.cursors
	c.mu.Unlock()
	return r, errors.Join(<-published, ctx.Err())
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// publish writes records keyed by their room until ctx ends.
func publish(ctx context.Context, brokers []string, rate int, room func(int) string) (n int, err error) {
	w := &kafka.Writer{Addr: kafka.TCP(brokers...), Topic: "interlink.events", Balancer: kafka.Murmur2Balancer{}, BatchTimeout: 2 * time.Millisecond}
	defer func() { err = errors.Join(err, w.Close()) }()
	begun := time.Now()
	for ctx.Err() == nil {
		var batch []kafka.Message
		for due := int(time.Since(begun).Seconds() * float64(rate)); n < due; n++ {
			to := room(n)
			batch = append(batch, kafka.Message{Key: []byte(to), Value: fmt.Appendf(nil,
				`{"id":"price-%d-%d","event":"message:new","to":{"rooms":[%q]},"data":{"n":%d,"text":%q}}`, begun.UnixNano(), n, to, n, strings.Repeat("x", 130))})
		}
		if len(batch) > 0 {
			if err := w.WriteMessages(context.WithoutCancel(ctx), batch...); err != nil {
				return n, err
			}
		}
		pause(ctx, 2*time.Millisecond)
	}
	return n, nil
}

// changes are commands that change the store. A script counts as one and its own commands too.
var changes = []string{"set", "setex", "hset", "hdel", "del", "unlink", "zadd", "zrem", "zremrangebyscore", "sadd", "srem", "expire", "pexpire", "xadd", "rpush", "lpush", "incr"}

var scripts = []string{"eval", "evalsha", "fcall"}

type counts struct{ all, scripts float64 }

// writes reads how many commands of those the server has run.
func writes(ctx context.Context, r *harness.Redis) (c counts) {
	out, err := r.Do(ctx, "cli", "info", "commandstats")
	if err != nil {
		return c
	}
	for line := range strings.Lines(out) {
		name, rest, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "cmdstat_"), ":calls=")
		if !ok {
			continue
		}
		text, _, _ := strings.Cut(rest, ",")
		calls, _ := strconv.ParseFloat(text, 64)
		switch {
		case slices.Contains(scripts, name):
			c.scripts += calls
		case slices.Contains(changes, name):
			c.all += calls
		}
	}
	return c
}
