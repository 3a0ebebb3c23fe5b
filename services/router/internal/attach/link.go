package attach

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"

	deliveryv1 "github.com/edumatrix/interlink/proto/delivery/v1"
	"github.com/edumatrix/interlink/services/router/internal/partitionlog"
)

const (
	keepaliveTime    = 10 * time.Second
	keepaliveTimeout = 3 * time.Second
	firstRedial      = 100 * time.Millisecond
	lastRedial       = time.Second
	// silence is how long a Send may block, or a gateway may take to answer Hello.
	silence = 10 * time.Second
	// inboxMessages bounds what a gateway may say ahead of what was taken: the protocol needs a few per partition.
	inboxMessages = 1 << 14
	pushMessage   = 256 << 10
)

// link is the connection to one gateway, over all its streams.
type link struct {
	fleet    *Fleet
	addr     string
	conn     *grpc.ClientConn
	watcher  *partitionlog.Watcher
	pushes   pushQueue
	wanted   atomic.Bool // still named by the targets
	attached atomic.Bool
}

func newLink(f *Fleet, addr string) (*link, error) {
	opts := []grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: keepaliveTime, Timeout: keepaliveTimeout, PermitWithoutStream: true}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: firstRedial, Multiplier: 1.6, Jitter: 0.2, MaxDelay: lastRedial},
			MinConnectTimeout: 3 * time.Second,
		}),
		grpc.WithDisableServiceConfig(),
	}
	conn, err := grpc.NewClient("passthrough:///"+addr, append(opts, f.opts.DialOptions...)...)
	if err != nil {
		return nil, fmt.Errorf("gateway %s: %w", addr, err)
	}
	l := &link{fleet: f, addr: addr, conn: conn, watcher: partitionlog.NewWatcher()}
	l.wanted.Store(true)
	return l, nil
}

// run keeps a stream open until ctx ends, or the gateway is no longer named and its stream has ended.
func (l *link) run(ctx context.Context) {
	defer l.conn.Close()
	delay := firstRedial
	for ctx.Err() == nil && l.wanted.Load() {
		answered, err := l.stream(ctx)
		if ctx.Err() != nil {
			return
		}
		if answered {
			delay = firstRedial
			l.fleet.opts.Logger.WarnContext(ctx, "the stream to a gateway ended, dialling again", "gateway", l.addr, "error", err)
		} else {
			l.fleet.opts.Logger.DebugContext(ctx, "a gateway does not answer, dialling again", "gateway", l.addr, "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(delay/2 + rand.N(delay)):
		}
		delay = min(2*delay, lastRedial)
	}
}

// stream is one life of the Attach stream. answered reports whether the gateway sent its snapshot.
func (l *link) stream(parent context.Context) (answered bool, err error) {
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	source, revoked := l.fleet.opts.Source, l.fleet.opts.Revocations
	source.Watch(l.watcher)
	defer source.Unwatch(l.watcher)
	revoked.Watch(l.watcher)
	defer revoked.Unwatch(l.watcher)

	w := &watch{started: time.Now()}
	var wait sync.WaitGroup
	defer wait.Wait()
	defer cancel(nil)
	wait.Go(func() { w.run(ctx, cancel) })

	client, err := deliveryv1.NewDeliveryClient(l.conn).Attach(ctx)
	if err != nil {
		return false, because(ctx, err)
	}
	in := &inbox{}
	wait.Go(func() { l.receive(client, in, w, cancel) })
	err = l.send(ctx, client, in, w)
	return w.answered.Load(), because(ctx, err)
}

// because prefers the reason for which a stream was cancelled over what gRPC makes of it.
func because(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return err
}

// inbox is what the gateway has said and the sender has not taken yet.
type inbox struct {
	mu    sync.Mutex // guards queue
	queue []*deliveryv1.AttachResponse
}

func (i *inbox) add(m *deliveryv1.AttachResponse) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.queue = append(i.queue, m)
	return len(i.queue) <= inboxMessages
}

func (i *inbox) take() []*deliveryv1.AttachResponse {
	i.mu.Lock()
	defer i.mu.Unlock()
	out := i.queue
	i.queue = nil
	return out
}

var errTalkative = errors.New("the gateway says more than the protocol has to")

func (l *link) receive(client deliveryv1.Delivery_AttachClient, in *inbox, w *watch, cancel context.CancelCauseFunc) {
	for {
		m, err := client.Recv()
		if err != nil {
			cancel(fmt.Errorf("receive: %w", err))
			return
		}
		if m.GetSnapshot() != nil && !w.answered.Swap(true) {
			l.attached.Store(true)
			l.fleet.opts.Observer.Attached(1)
			defer func() {
				l.attached.Store(false)
				l.fleet.opts.Observer.Attached(-1)
			}()
		}
		if !in.add(m) {
			cancel(errTalkative)
			return
		}
		l.watcher.Wake()
	}
}

// send says Hello and then whatever there is to say, until the stream ends.
func (l *link) send(ctx context.Context, client deliveryv1.Delivery_AttachClient, in *inbox, w *watch) error {
	opts := &l.fleet.opts
	s := newSession(opts.Window, opts.Every)
	owned, version := opts.Source.Owned()
	s.own(owned)
	revocations, revision := opts.Revocations.Since(0)
	id := opts.Identity
	hello := &deliveryv1.Hello{Router: id.Router, ReplayAddr: id.ReplayAddr, Topic: id.Topic, TopicEpoch: id.Epoch,
		Partitions: uint32(id.Partitions), Owned: ownership(owned), Revocations: revocations}
	if err := w.send(client, &deliveryv1.AttachRequest{Kind: &deliveryv1.AttachRequest_Hello{Hello: hello}}); err != nil {
		return err
	}
	reads := catchUps{}
	defer reads.endAll()
	tick := time.NewTicker(opts.Every)
	defer tick.Stop()
	out := &sender{link: l, client: client, watch: w, session: s, revision: revision, version: version}
	for {
		more, err := out.round(in)
		if err != nil {
			return err
		}
		if reads.serve(ctx, l, s) || more {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-l.watcher.C:
		case <-tick.C:
		}
	}
}

// sender is the state of send's loop.
type sender struct {
	link     *link
	client   deliveryv1.Delivery_AttachClient
	watch    *watch
	session  *session
	revision uint64 // of the revocations told
	version  uint64 // of what is owned, as told
}

// round says everything that is to be said now; more if ranges were cut short.
func (o *sender) round(in *inbox) (more bool, err error) {
	opts := &o.link.fleet.opts
	if opts.Source.Version() != o.version {
		owned, version := opts.Source.Owned()
		o.version = version
		if m := o.session.own(owned); m != nil {
			if err := o.watch.send(o.client, m); err != nil {
				return false, err
			}
		}
	}
	for _, m := range in.take() {
		o.session.apply(m)
	}
	if list, revision := opts.Revocations.Since(o.revision); revision != o.revision {
		o.revision = revision
		m := &deliveryv1.AttachRequest{Kind: &deliveryv1.AttachRequest_Revocations{Revocations: &deliveryv1.Revocations{Revocations: list}}}
		if err := o.watch.send(o.client, m); err != nil {
			return false, err
		}
	}
	for _, gone := range o.session.gone {
		if err := o.watch.send(o.client, &deliveryv1.AttachRequest{Kind: &deliveryv1.AttachRequest_Gone{Gone: gone}}); err != nil {
			return false, err
		}
	}
	o.session.gone = nil
	for partition, offset := range o.session.beyond {
		opts.Beyond(partition, offset)
	}
	o.session.beyond = nil
	if err := o.push(); err != nil {
		return false, err
	}
	m, bytes, more := o.session.next(time.Now())
	if m == nil {
		return more, nil
	}
	opts.Observer.RangeBytes(bytes)
	return more, o.watch.send(o.client, m)
}

func (o *sender) push() error {
	records := o.session.wanted(o.link.pushes.take())
	for len(records) > 0 {
		n, bytes := 0, 0
		for n < len(records) && (n == 0 || bytes+len(records[n]) <= pushMessage) {
			bytes += len(records[n])
			n++
		}
		m := &deliveryv1.AttachRequest{Kind: &deliveryv1.AttachRequest_Push{Push: &deliveryv1.Push{Records: records[:n]}}}
		if err := o.watch.send(o.client, m); err != nil {
			return err
		}
		records = records[n:]
	}
	return nil
}

// watch cancels a stream whose Send blocks or whose Hello is not answered: gRPC has no time limit for either.
type watch struct {
	started  time.Time
	answered atomic.Bool
	sending  atomic.Int64 // when the present Send began, in Unix nanoseconds; 0 if there is none
}

var (
	errBlocked  = errors.New("the gateway takes nothing")
	errNoAnswer = errors.New("the gateway does not answer")
)

func (w *watch) send(client deliveryv1.Delivery_AttachClient, m *deliveryv1.AttachRequest) error {
	w.sending.Store(time.Now().UnixNano())
	defer w.sending.Store(0)
	if err := client.Send(m); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	return nil
}

func (w *watch) run(ctx context.Context, cancel context.CancelCauseFunc) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			if err := w.judge(now); err != nil {
				cancel(err)
				return
			}
		}
	}
}

func (w *watch) judge(now time.Time) error {
	if since := w.sending.Load(); since != 0 && now.UnixNano()-since > int64(silence) {
		return errBlocked
	}
	if !w.answered.Load() && now.Sub(w.started) > silence {
		return errNoAnswer
	}
	return nil
}
