// Package roster keeps the presence service informed of a gateway's sockets: one lease that covers them all, and which
// of them came and went, batched (DESIGN, "Presence and typing"). Nothing waits for it: with presence away, changes add
// up here and are told when it is back; when it has forgotten, or too much has added up, it is told everything anew.
package roster

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	presencev1 "github.com/edumatrix/interlink/proto/presence/v1"
)

const (
	batchEvery = 50 * time.Millisecond
	batchMost  = 2000   // changes of one call
	pendingMax = 20_000 // changes that wait, above which all is told anew instead
	callWithin = 3 * time.Second
	firstRetry = 200 * time.Millisecond
	lastRetry  = 2 * time.Second
	askEvery   = 100 * time.Millisecond // questions of Locate: anybody can make up names
	forgotFor  = 15 * time.Second       // that gateways may take to write everything again
)

// Options of New.
type Options struct {
	Client      presencev1.PresenceClient
	Gateway     string
	Incarnation string
	Addr        string        // host:port of this gateway's gRPC services
	Lease       time.Duration // default 9 s
	Forgotten   func()        // the store has lost what it knew; called from Run's goroutine
	// All lists all sockets, with their users. It may block.
	All    func(ctx context.Context) ([]*presencev1.Change, error)
	Logger *slog.Logger
}

// Roster implements what sessions tell of themselves. Any goroutine; never blocks.
type Roster struct {
	options Options

	mu      sync.Mutex // guards what follows
	changes []*presencev1.Change
	full    bool      // tell everything
	forgot  time.Time // when the store was last found to have forgotten
	peers   map[string]string
	began   uint64    // questions for the gateways that have begun
	listed  uint64    // which of them peers answers
	asked   time.Time // when Locate last asked

	asks    singleflight.Group
	wake    chan struct{}
	renew   chan struct{} // the lease is not known: renew now
	settled atomic.Bool
}

// New returns a roster that is told nothing before Run.
func New(o Options) *Roster {
	if o.Lease == 0 {
		o.Lease = 9 * time.Second
	}
	return &Roster{
		options: o, peers: make(map[string]string), full: true,
		wake: make(chan struct{}, 1), renew: make(chan struct{}, 1),
	}
}

// Online tells that a user's socket is there; All must know it already.
func (r *Roster) Online(user, socket string) {
	r.tell(presencev1.Change_ONLINE, user, socket)
}

// Offline tells that a socket has gone, of which All must not know any more: left is an explicit goodbye, else the grace begins.
func (r *Roster) Offline(user, socket string, left bool) {
	kind := presencev1.Change_LOST
	if left {
		kind = presencev1.Change_LEFT
	}
	r.tell(kind, user, socket)
}

func (r *Roster) tell(kind presencev1.Change_Kind, user, socket string) {
	r.mu.Lock()
	switch {
	case r.full:
	case len(r.changes) >= pendingMax:
		r.full, r.changes = true, nil
	default:
		r.changes = append(r.changes, &presencev1.Change{Kind: kind, User: user, Socket: socket})
	}
	r.mu.Unlock()
	signal(r.wake)
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Locate returns the address of another gateway as last known, and asks if it is not known. known is false if there was
// no such lease when it was called: a question that was under way then may have missed one that is new, so another
// follows it. An error is doubt. Questions are asked one at a time and paced. It may block.
func (r *Roster) Locate(ctx context.Context, gateway string) (addr string, known bool, err error) {
	addr, known, before, listed := r.look(gateway)
	for !known && listed <= before {
		select {
		case answer := <-r.asks.DoChan("", func() (any, error) { return nil, r.ask(context.WithoutCancel(ctx)) }):
			if answer.Err != nil {
				return "", false, answer.Err
			}
		case <-ctx.Done():
			return "", false, ctx.Err()
		}
		addr, known, _, listed = r.look(gateway)
	}
	return addr, known, nil
}

// look is what is known of a gateway, how many questions have begun, and which of them is answered.
func (r *Roster) look(gateway string) (addr string, known bool, began, listed uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	addr, known = r.peers[gateway]
	return addr, known, r.began, r.listed
}

// ask is Peers for Locate, askEvery after the last.
func (r *Roster) ask(ctx context.Context) error {
	r.mu.Lock()
	last := r.asked
	r.mu.Unlock()
	if !last.IsZero() {
		pause(ctx, time.Until(last.Add(askEvery)))
	}
	r.mu.Lock()
	r.asked = time.Now()
	r.mu.Unlock()
	return r.Peers(ctx)
}

// Peers asks for the live gateways, so that Locate knows a new one. It blocks. With presence away the last known stay.
func (r *Roster) Peers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	r.mu.Lock()
	r.began++
	number := r.began
	r.mu.Unlock()
	answer, err := r.options.Client.Gateways(ctx, &presencev1.GatewaysRequest{})
	if err != nil {
		return err
	}
	peers := make(map[string]string, len(answer.Gateways))
	for _, g := range answer.Gateways {
		peers[g.Gateway] = g.Addr
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if number > r.listed {
		r.peers, r.listed = peers, number
	}
	return nil
}

// Run holds the lease and tells what changes, until ctx ends; then it gives the lease back.
func (r *Roster) Run(ctx context.Context) error {
	var wait sync.WaitGroup
	defer wait.Wait()
	wait.Go(func() { r.hold(ctx) })
	wait.Go(func() { r.sync(ctx) })
	<-ctx.Done()
	return nil
}

// Release ends the lease: its sockets go through the grace now, not at the lease's end. Best effort; blocks.
func (r *Roster) Release(ctx context.Context) {
	_, err := r.options.Client.Release(ctx, &presencev1.ReleaseRequest{Gateway: r.options.Gateway, Incarnation: r.options.Incarnation})
	if err != nil {
		r.options.Logger.Debug("lease not released", "error", err)
	}
}

// Settled reports whether other gateways can find this one: the lease was held once, or presence has been away for as long as a lease, and
// nothing more is to be waited for.
func (r *Roster) Settled() bool { return r.settled.Load() }

// hold renews the lease three times within it. While it has not been held, others can't find this gateway's sessions, so what fails is soon
// tried again.
func (r *Roster) hold(ctx context.Context) {
	tick := time.NewTicker(r.options.Lease / 3)
	defer tick.Stop()
	patience := time.AfterFunc(r.options.Lease, func() { r.settled.Store(true) })
	defer patience.Stop()
	away, run, retry := false, "", firstRetry
	for {
		var again <-chan time.Time
		answer, err := r.claim(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			if !away {
				away = true
				r.options.Logger.Warn("presence is away", "error", err)
			}
			again, retry = time.After(retry), min(2*retry, lastRetry)
		default:
			retry = firstRetry
			if away {
				away = false
				r.options.Logger.Info("presence is back")
			}
			if answer.Forgotten || answer.Run != run {
				known := run != ""
				run = answer.Run
				r.void()
				if known {
					r.noteForgot()
				}
				if known && r.options.Forgotten != nil {
					r.options.Forgotten()
				}
			}
			r.settled.Store(true)
			signal(r.wake)
			if err := r.Peers(ctx); err != nil {
				r.options.Logger.Debug("gateways not listed", "error", err)
			}
		}
		select {
		case <-tick.C:
		case <-again:
		case <-r.renew:
		case <-ctx.Done():
			return
		}
	}
}

func (r *Roster) noteForgot() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forgot = time.Now()
}

// Forgot reports whether the store has lost, moments ago, what it knew. It looks, and blocks for as long.
func (r *Roster) Forgot(ctx context.Context) bool {
	r.mu.Lock()
	lately := !r.forgot.IsZero() && time.Since(r.forgot) < forgotFor
	r.mu.Unlock()
	if lately {
		return true
	}
	answer := r.asks.DoChan("lease", func() (any, error) { return r.claim(context.WithoutCancel(ctx)) })
	select {
	case a := <-answer:
		claimed, ok := a.Val.(*presencev1.RenewResponse)
		if a.Err != nil || !ok || !claimed.Forgotten {
			return false
		}
		r.noteForgot()
		signal(r.renew)
		return true
	case <-ctx.Done():
		return false
	}
}

func (r *Roster) claim(ctx context.Context) (*presencev1.RenewResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, min(callWithin, r.options.Lease/3))
	defer cancel()
	return r.options.Client.Renew(ctx, &presencev1.RenewRequest{
		Gateway: r.options.Gateway, Incarnation: r.options.Incarnation, Addr: r.options.Addr, TtlMs: r.options.Lease.Milliseconds(),
	})
}

// void notes that everything has to be told again.
func (r *Roster) void() {
	r.mu.Lock()
	r.full, r.changes = true, nil
	r.mu.Unlock()
}

// sync tells what has changed, a batch at a time. A call that failed may still lie before the store, as with one that was
// stopped for a moment, and be done behind calls that were made later: a lease after the first that succeeds again, when
// all such have been done, everything is told anew.
func (r *Roster) sync(ctx context.Context) {
	retry, failed := firstRetry, false
	var anew <-chan time.Time
	for {
		select {
		case <-r.wake:
		case <-anew:
			anew = nil
			r.void()
		case <-ctx.Done():
			return
		}
		if !pause(ctx, batchEvery) {
			return
		}
		for {
			batch := r.take()
			if batch == nil {
				break
			}
			forgotten, err := r.call(ctx, batch)
			if forgotten { // all is told when the lease is back, see hold
				r.void()
				signal(r.renew)
				break
			}
			if err != nil {
				r.options.Logger.Debug("presence not told", "error", err)
				r.back(batch)
				failed = true
				if !pause(ctx, retry) {
					return
				}
				retry = min(2*retry, lastRetry)
				continue
			}
			retry = firstRetry
			if failed {
				failed, anew = false, time.After(r.options.Lease)
			}
		}
	}
}

func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// take returns the next call to make, nil if there is nothing to tell.
func (r *Roster) take() *presencev1.SyncRequest {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := &presencev1.SyncRequest{Gateway: r.options.Gateway, Incarnation: r.options.Incarnation}
	if r.full { // what changes from here on is told behind it
		r.full, r.changes, out.Full = false, nil, true
		return out
	}
	if len(r.changes) == 0 {
		r.changes = nil
		return nil
	}
	n := min(len(r.changes), batchMost)
	out.Changes, r.changes = r.changes[:n:n], r.changes[n:]
	return out
}

// back puts what could not be told before what came since.
func (r *Roster) back(batch *presencev1.SyncRequest) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.full:
	case batch.Full, len(batch.Changes)+len(r.changes) > pendingMax:
		r.full, r.changes = true, nil
	default:
		r.changes = append(batch.Changes, r.changes...)
	}
}

func (r *Roster) call(ctx context.Context, batch *presencev1.SyncRequest) (forgotten bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	if batch.Full {
		all, err := r.options.All(ctx)
		if err != nil {
			return false, err
		}
		batch.Changes = all
	}
	answer, err := r.options.Client.Sync(ctx, batch)
	if err != nil {
		return false, err
	}
	return answer.Forgotten, nil
}
