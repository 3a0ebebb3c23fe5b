package recovery

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/edumatrix/interlink/test/client"
	"github.com/edumatrix/interlink/test/cut"
	"github.com/edumatrix/interlink/test/harness"
)

// Fault is something that breaks and is mended. Begin breaks it and returns what mends it.
type Fault struct {
	Name    string
	Holds   time.Duration                               // how long it lasts when it is the only one
	Touches func(s *Stage, n int) string                // what it needs for itself: two faults at once must differ
	Begin   func(s *Stage, n int) (func() error, error) // n chooses what is broken
	Permits []string                                    // reasons to begin anew, beside what every fault permits
}

// forgotten is the fault after which the store knows nothing.
const forgotten = "FLUSHALL"

// Faults are all that the suite injects. What each permits follows from the design: a session lives in the store, so only
// a store that was away, or has forgotten, makes an honest "no"; and a client that cannot reach anybody for as long as the
// window is told so.
var faults = []Fault{
	{Name: "gateway killed", Holds: 5 * time.Second, Touches: gateway, Begin: killGateway},
	{Name: "gateway frozen", Holds: 10 * time.Second, Touches: gateway, Begin: freezeGateway, Permits: []string{window}},
	{Name: "router killed", Holds: 6 * time.Second, Touches: router, Begin: killRouter},
	{Name: "router frozen", Holds: 10 * time.Second, Touches: router, Begin: freezeRouter},
	{Name: "one-way cut, clients", Holds: 8 * time.Second, Touches: edge, Begin: cutEdge, Permits: []string{window}},
	{Name: "one-way cut, routers", Holds: 8 * time.Second, Touches: inner, Begin: cutInner, Permits: []string{window}},
	{Name: "Redis killed", Holds: 6 * time.Second, Touches: redis, Begin: killRedis, Permits: []string{storeUnavailable, noSession, noBase}},
	{Name: forgotten, Holds: 5 * time.Second, Touches: redis, Begin: flushAll, Permits: []string{noSession, noBase}},
	{Name: "partition leader killed", Holds: 8 * time.Second, Touches: broker, Begin: killBroker},
	{Name: "five rebalances", Holds: time.Second, Touches: router, Begin: rebalance},
	{Name: "all reconnect at once", Touches: nothing, Begin: resetAll},
	{Name: "clients cut by RST", Holds: 8 * time.Second, Touches: nothing, Begin: resetMany},
	{Name: "clients cut by silence", Holds: 8 * time.Second, Touches: nothing, Begin: silenceMany},
}

// allRouters is no part of what happens at random: nothing goes on while it lasts.
var allRouters = Fault{
	Name: "all routers down", Holds: 20 * time.Second, Permits: []string{window},
	Begin: func(s *Stage, _ int) (func() error, error) {
		var errs, mended []error
		for _, r := range s.Routers {
			errs = append(errs, r.Kill())
		}
		return func() error {
			for _, r := range s.Routers {
				mended = append(mended, r.Restart())
			}
			return errors.Join(append(mended, s.WaitReady(s.ctx))...)
		}, errors.Join(errs...)
	},
}

func gateway(s *Stage, n int) string { return "gateway " + strconv.Itoa(n%len(s.Gateways)) }
func router(s *Stage, _ int) string  { return "routers of " + s.Config.Name }
func edge(*Stage, int) string        { return "gateways' clients" }
func inner(*Stage, int) string       { return "gateways' routers" }
func redis(*Stage, int) string       { return "redis" }
func broker(*Stage, int) string      { return "brokers" }
func nothing(_ *Stage, n int) string { return "clients " + strconv.Itoa(n) }

func nothingToMend() error { return nil }

func killGateway(s *Stage, n int) (func() error, error) {
	g := s.Gateways[n%len(s.Gateways)]
	return g.Restart, g.Kill() // it is ready when it can be: another fault may be in its way
}

func freezeGateway(s *Stage, n int) (func() error, error) {
	g := s.Gateways[n%len(s.Gateways)]
	return g.Thaw, g.Freeze()
}

func killRouter(s *Stage, n int) (func() error, error) {
	r := s.Routers[n%len(s.Routers)]
	return r.Restart, r.Kill()
}

func freezeRouter(s *Stage, n int) (func() error, error) {
	r := s.Routers[n%len(s.Routers)]
	return r.Thaw, r.Freeze()
}

// cutEdge lets nothing of one gateway through to its clients, and nothing to the next gateway from its own.
func cutEdge(s *Stage, n int) (func() error, error) {
	one, next := s.Gateways[n%len(s.Gateways)], s.Gateways[(n+1)%len(s.Gateways)]
	a, b := s.Edge.Hold(cut.ToClient, cut.To(one.Public)), s.Edge.Hold(cut.ToServer, cut.To(next.Public))
	return func() error { a(); b(); return nil }, nil
}

// cutInner does the same between the routers and two gateways.
func cutInner(s *Stage, n int) (func() error, error) {
	a := s.Inner[n%len(s.Gateways)].Hold(cut.ToServer, nil)
	b := s.Inner[(n+1)%len(s.Gateways)].Hold(cut.ToClient, nil)
	return func() error { a(); b(); return nil }, nil
}

func killRedis(s *Stage, _ int) (func() error, error) {
	if _, err := s.Redis.Do(s.ctx, "kill"); err != nil {
		return nil, err
	}
	return func() error { _, err := s.Redis.Do(s.ctx, "up"); return err }, nil
}

func flushAll(s *Stage, _ int) (func() error, error) {
	_, err := s.Redis.Do(s.ctx, "cli", "flushall")
	return nothingToMend, err
}

// joinWithin is how soon somebody new is in a room, whatever the store has forgotten.
const joinWithin = 5 * time.Second

// newcomer connects and joins a room, and says how long both took.
func newcomer(s *Stage) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(s.ctx, 2*joinWithin)
	defer cancel()
	const user, room = "newcomer", "conversation:newcomers"
	begun := time.Now()
	c, err := client.Dial(ctx, client.Options{URL: s.URL(), Auth: map[string]any{"token": harness.Token(user, room)}})
	if err != nil {
		return 0, err
	}
	defer c.Wait()
	defer c.Close()
	answer, err := c.Ask(ctx, "room:join", room)
	if err == nil && !answer.OK {
		err = errors.New(answer.Error.Code)
	}
	return time.Since(begun), err
}

func killBroker(s *Stage, n int) (func() error, error) {
	i := strconv.Itoa(n%len(s.Kafka.Brokers) + 1)
	_, err := s.Kafka.Do(s.ctx, "kill", i)
	return func() error { _, err := s.Kafka.Do(s.ctx, "start", i); return err }, err
}

// rebalance makes members leave and come: a clean end and a start are two rebalances.
func rebalance(s *Stage, n int) (func() error, error) {
	r := s.Routers[n%len(s.Routers)]
	for range 3 {
		if err := r.Terminate(30 * time.Second); err != nil {
			return nil, err
		}
		ctx, cancel := context.WithTimeout(s.ctx, 30*time.Second)
		err := errors.Join(r.Restart(), r.WaitReady(ctx, harness.HTTPStatus("http://"+r.Admin+"/readyz", 200)))
		cancel()
		if err != nil {
			return nil, err
		}
	}
	return nothingToMend, nil
}

func resetAll(s *Stage, _ int) (func() error, error) {
	if s.Edge.Reset(nil) == 0 {
		return nil, errors.New("nobody was connected")
	}
	return nothingToMend, nil
}

// resetMany resets a tenth of all connections each half second until it is mended.
func resetMany(s *Stage, n int) (func() error, error) {
	ctx, cancel := context.WithCancel(s.ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := uint64(0); ctx.Err() == nil; i++ {
			s.Edge.Reset(share(10, i+uint64(n)))
			pause(ctx, 500*time.Millisecond)
		}
	}()
	return func() error { cancel(); <-done; return nil }, nil
}

func silenceMany(s *Stage, n int) (func() error, error) {
	if s.Edge.Silence(share(2, uint64(n))) == 0 {
		return nil, errors.New("nobody was connected")
	}
	return nothingToMend, nil
}

// share chooses one of n connections, which one of them by the turn.
func share(n, turn uint64) cut.Which { return func(c cut.Conn) bool { return (c.ID+turn)%n == 0 } }

// background cuts one connection after the other, so that somebody reconnects during every fault. It returns how to stop.
func background(s *Stage, every time.Duration) (stop func() int) {
	ctx, cancel := context.WithCancel(s.ctx)
	cuts := make(chan int, 1)
	go func() {
		n := 0
		for ctx.Err() == nil {
			pause(ctx, every)
			if list := s.Edge.Conns(); len(list) > 0 {
				victim := list[rand.IntN(len(list))].ID
				n += s.Edge.Reset(func(c cut.Conn) bool { return c.ID == victim })
			}
		}
		cuts <- n
	}()
	return func() int { cancel(); return <-cuts }
}

// broken is a fault that is going on. How long its mending takes, such as a broker's start, is nobody else's business.
type broken struct {
	touches string
	until   time.Time
	name    string
	mend    func() error
	mended  chan error // nil until its mending has begun
}

// mend begins to mend what has lasted long enough, everything if all is set, and drops what is mended.
func mend(now []broken, all bool) (left []broken, err error) {
	for _, b := range now {
		if b.mended == nil && (all || time.Now().After(b.until)) {
			b.mended = make(chan error, 1)
			go func() { b.mended <- b.mend() }()
		}
		if b.mended == nil || !all && len(b.mended) == 0 {
			left = append(left, b)
		} else if failed := <-b.mended; failed != nil {
			err = errors.Join(err, fmt.Errorf("%s: mend: %w", b.name, failed))
		}
	}
	return left, err
}

// random breaks things for a time, two at once at most, and mends everything. It returns what it did.
func random(ctx context.Context, s *Stage, r *rand.Rand, during time.Duration, logf func(string, ...any)) (permits []string, err error) {
	begun := time.Now()
	var now []broken
	defer func() {
		_, failed := mend(now, true)
		err = errors.Join(err, failed)
	}()
	for time.Since(begun) < during && ctx.Err() == nil {
		var failed error
		if now, failed = mend(now, false); failed != nil {
			return permits, failed
		}
		f, n := faults[r.IntN(len(faults))], r.IntN(1000)
		busy := slices.ContainsFunc(now, func(b broken) bool { return b.touches == f.Touches(s, n) })
		if len(now) < 2 && !busy {
			logf("%5.1f s: %s (%s)", time.Since(begun).Seconds(), f.Name, f.Touches(s, n))
			heal, failed := f.Begin(s, n)
			if failed != nil {
				return permits, fmt.Errorf("%s: %w", f.Name, failed)
			}
			permits = append(permits, f.Permits...)
			holds := time.Duration(float64(f.Holds) * (0.3 + 0.9*r.Float64()))
			now = append(now, broken{touches: f.Touches(s, n), until: time.Now().Add(holds), name: f.Name, mend: heal})
		}
		pause(ctx, time.Duration(500+r.IntN(4000))*time.Millisecond)
	}
	return permits, nil
}
