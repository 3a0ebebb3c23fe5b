package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/edumatrix/interlink/test/harness"
)

// server is what is measured.
type server interface {
	addr() string             // host:port for clients
	pid() int                 // the process that is measured
	emit(n int) error         // sends the nth message to the room, at once
	goroutines() (int, error) // -1 if it has none
	close()
}

// result is one row of the table.
type result struct {
	name            string
	empty, full     int64 // resident bytes without sockets, and with all of them at rest
	idle            int
	goroutines      int
	connect         time.Duration // CPU of one connect, joins included
	paced, one, ten delivery
}

// delivery is one measurement of messages to the room.
type delivery struct {
	deliveries int64
	seconds    float64
	cpu        time.Duration
	p50, p99   time.Duration
	size       int64 // bytes of a frame
}

func (d delivery) perDelivery() float64 {
	if d.deliveries == 0 {
		return 0
	}
	return float64(d.cpu.Nanoseconds()) / 1e3 / float64(d.deliveries)
}

func (d delivery) perSecond() float64 { return float64(d.deliveries) / d.seconds }

func measure(ctx context.Context, s settings, name string, start func(context.Context, settings) (server, error)) (result, error) {
	r := result{name: name, idle: s.idle, goroutines: -1}
	srv, err := start(ctx, s)
	if err != nil {
		return r, err
	}
	defer srv.close()
	if err := atRest(ctx, s, srv, &r); err != nil {
		return r, err
	}
	srv.close()
	if srv, err = start(ctx, s); err != nil { // the room is measured in a fresh process
		return r, err
	}
	defer srv.close()
	return r, inRoom(ctx, s, srv, &r)
}

// atRest connects all sockets, waits until the memory has settled, and looks.
func atRest(ctx context.Context, s settings, srv server, r *result) error {
	if err := sleep(ctx, 5*time.Second); err != nil {
		return err
	}
	var err error
	if err := warm(ctx, srv); err != nil {
		return err
	}
	if r.empty, err = harness.RSS(srv.pid()); err != nil {
		return err
	}
	clients, err := newClients(srv.addr())
	if err != nil {
		return err
	}
	defer clients.close()
	meter := harness.Measure(srv.pid())
	if err := clients.open(ctx, s.idle, idleRooms); err != nil {
		return err
	}
	r.connect = meter.Stop() / time.Duration(s.idle)
	if r.name == "floor" { // keeps no session: nothing to weigh
		r.full = r.empty
		return nil
	}
	if r.full, err = settled(ctx, srv.pid(), s.settle); err != nil {
		return err
	}
	if r.goroutines, err = srv.goroutines(); err != nil {
		return err
	}
	if n := clients.lost.Load(); n > 0 {
		return fmt.Errorf("%d sockets were closed while they were at rest", n)
	}
	return nil
}

// warm has some sockets come and go, so that the pages of the program itself are not weighed as a socket's.
func warm(ctx context.Context, srv server) error {
	clients, err := newClients(srv.addr())
	if err != nil {
		return err
	}
	err = clients.open(ctx, 200, idleRooms)
	clients.close()
	return errors.Join(err, sleep(ctx, 15*time.Second))
}

// settled returns the resident memory once it has not fallen for 130 s: the Go runtime collects on its own every two
// minutes, and nothing here forces it.
func settled(ctx context.Context, pid int, within time.Duration) (int64, error) {
	least, since, begun := int64(1<<62), time.Now(), time.Now()
	for time.Since(begun) < within && time.Since(since) < 130*time.Second {
		rss, err := harness.RSS(pid)
		if err != nil {
			return 0, err
		}
		if rss < least-least/100 {
			least, since = rss, time.Now()
		}
		if err := sleep(ctx, 2*time.Second); err != nil {
			return 0, err
		}
	}
	return harness.RSS(pid)
}

// inRoom puts all members into one room and sends to it: ten messages a second for 5,000 members, then as many as go
// with one and with ten on their way.
func inRoom(ctx context.Context, s settings, srv server, r *result) error {
	clients, err := newClients(srv.addr())
	if err != nil {
		return err
	}
	defer clients.close()
	if err := clients.open(ctx, s.members, func(int) []string { return []string{benchRoom} }); err != nil {
		return err
	}
	if err := sleep(ctx, 3*time.Second); err != nil {
		return err
	}
	d := driver{srv: srv, clients: clients, members: s.members}
	if err := d.saturate(ctx, 1, 2*time.Second, &delivery{}); err != nil { // warms up
		return err
	}
	fmt.Fprintln(os.Stderr, "  50,000 deliveries a second")
	if err := d.pace(ctx, 50_000/s.members, s.during, &r.paced); err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, "  saturated, one message on its way")
	if err := d.saturate(ctx, 1, s.during, &r.one); err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, "  saturated, ten on their way")
	if err := d.saturate(ctx, 10, s.during, &r.ten); err != nil {
		return err
	}
	if n := clients.lost.Load(); n > 0 {
		return fmt.Errorf("%d sockets were closed", n)
	}
	return nil
}

// driver sends messages and waits for their deliveries.
type driver struct {
	srv     server
	clients *clients
	members int
	sent    int
}

// pace sends a number of messages a second.
func (d *driver) pace(ctx context.Context, rate int, during time.Duration, out *delivery) error {
	return d.measured(out, func() error {
		ticker := time.NewTicker(time.Second / time.Duration(rate))
		defer ticker.Stop()
		for end := time.Now().Add(during); time.Now().Before(end); {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-ticker.C:
			}
			if err := d.send(); err != nil {
				return err
			}
		}
		return d.arrived(ctx, d.sent)
	})
}

// saturate sends the next message whenever fewer than inflight are on their way to somebody.
func (d *driver) saturate(ctx context.Context, inflight int, during time.Duration, out *delivery) error {
	return d.measured(out, func() error {
		for end := time.Now().Add(during); time.Now().Before(end); {
			if err := d.arrived(ctx, d.sent-inflight+1); err != nil {
				return err
			}
			if err := d.send(); err != nil {
				return err
			}
		}
		return d.arrived(ctx, d.sent)
	})
}

func (d *driver) send() error {
	d.sent++
	return d.srv.emit(d.sent)
}

// arrived waits until so many messages have reached every member, counted by deliveries.
func (d *driver) arrived(ctx context.Context, messages int) error {
	return d.clients.wait(ctx, int64(messages)*int64(d.members))
}

func (d *driver) measured(out *delivery, f func() error) error {
	d.clients.resetLatency()
	before, bytes := d.clients.delivered.Load(), d.clients.bytes.Load()
	meter, begun := harness.Measure(d.srv.pid()), time.Now()
	if err := f(); err != nil {
		return err
	}
	out.cpu, out.seconds = meter.Stop(), time.Since(begun).Seconds()
	out.deliveries = d.clients.delivered.Load() - before
	out.p50, out.p99 = d.clients.latency(50), d.clients.latency(99)
	if out.deliveries > 0 {
		out.size = (d.clients.bytes.Load() - bytes) / out.deliveries
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
