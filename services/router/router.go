// Package router reads Interlink's topic, keeps the last minutes of its partitions in memory, and pushes to each
// gateway what concerns its rooms. It also serves what Next.js and the other services publish by: HTTP and gRPC.
//
// New checks, Run does everything until its context ends, Handler is the HTTP API for whoever serves it elsewhere.
package router

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	emitv1 "github.com/edumatrix/interlink/proto/emit/v1"
	replayv1 "github.com/edumatrix/interlink/proto/replay/v1"
	whyv1 "github.com/edumatrix/interlink/proto/why/v1"
	"github.com/edumatrix/interlink/services/internal/apikey"
	"github.com/edumatrix/interlink/services/internal/mapping"
	"github.com/edumatrix/interlink/services/router/internal/attach"
	"github.com/edumatrix/interlink/services/router/internal/deadletter"
	"github.com/edumatrix/interlink/services/router/internal/envelope"
	"github.com/edumatrix/interlink/services/router/internal/history"
	"github.com/edumatrix/interlink/services/router/internal/httpapi"
	"github.com/edumatrix/interlink/services/router/internal/inbox"
	"github.com/edumatrix/interlink/services/router/internal/incarnation"
	"github.com/edumatrix/interlink/services/router/internal/kafkaconn"
	"github.com/edumatrix/interlink/services/router/internal/partitions"
	"github.com/edumatrix/interlink/services/router/internal/producer"
	"github.com/edumatrix/interlink/services/router/internal/readymade"
	"github.com/edumatrix/interlink/services/router/internal/replay"
	"github.com/edumatrix/interlink/services/router/internal/revocations"
)

// Router is the service.
type Router struct {
	opts     Options
	cluster  *kafkaconn.Cluster
	producer *producer.Producer
	letters  *deadletter.Office
	held     *partitions.Set
	history  *history.Reader
	publish  *publisher
	forget   *forgetter
	topic    *incarnation.Watcher
	metrics  *metrics
	mapping  *mapping.Mapping // nil: none
	ready    readymade.Maker
	handler  http.Handler

	running atomic.Pointer[running]
	trouble atomic.Pointer[string] // why Run has not come further
}

// running is what exists once the topics are known, for one incarnation of the events topic.
type running struct {
	partitions int
	epoch      string
	fleet      *attach.Fleet
	feeder     *inbox.Feeder // nil without presence
	revoked    *revocations.Register
}

// New checks the options and puts the parts together. It does not connect.
func New(o Options) (*Router, error) {
	o.defaults()
	cluster, err := kafkaconn.New(kafkaconn.Options{Brokers: o.Kafka.Brokers, TLS: o.Kafka.TLS, SASL: o.Kafka.SASL,
		Username: o.Kafka.Username, Password: o.Kafka.Password, ClientID: "interlink-router-" + o.ID})
	if err != nil {
		return nil, fmt.Errorf("router: %w", err)
	}
	rules, err := loadMapping(o.Mapping)
	if err != nil {
		return nil, fmt.Errorf("router: %w", err)
	}
	r := &Router{opts: o, cluster: cluster, mapping: rules, ready: readymade.Maker{Mapping: rules}, forget: newForgetter(o.Presence, o.Logger)}
	r.topic = incarnation.New(incarnation.Options{Kafka: cluster, Topic: o.topic(topicEvents), Group: o.TopicPrefix + groupEpoch,
		Every: o.TopicCheck, Confirm: o.TopicConfirm, Logger: o.Logger})
	if r.metrics, err = newMetrics(o.Registry, r); err != nil {
		return nil, fmt.Errorf("router: metrics: %w", err)
	}
	r.producer = producer.New(producer.Options{Cluster: cluster, MaxInFlight: o.MaxInFlight, Lanes: o.Partitions})
	r.letters = deadletter.New(burier{r}, o.Logger, func() { r.metrics.deadLetters.WithLabelValues("dropped").Inc() })
	r.held = partitions.New(partitions.Options{Topic: o.topic(topicEvents), Window: o.Window, LogBytes: o.LogBytes,
		MaxIDs: o.maxIDs(), Offsets: cluster, Letters: r.letters, Observer: observer{r}, Logger: o.Logger})
	r.history = history.New(history.Options{Cluster: cluster, Topic: o.topic(topicEvents), Window: o.Window, MaxIDs: o.maxIDs()})
	r.publish = newPublisher(r)
	r.handler = httpapi.New(httpapi.Options{Keys: apikey.New(o.APIKeys).Telling(o.APIKeyUsed), Publisher: r.publish, Ready: r.ready, Sockets: r, Why: r.investigator(),
		Presence: presenceOf(o.Presence), Logger: o.Logger, Timeout: o.EmitTimeout, Observe: r.metrics.observeEmit})
	return r, nil
}

const (
	idRate = 2000    // records per second of a partition whose ids are remembered for two windows
	mostID = 1 << 20 // of a window, however long: with those of the windows before, 160 MB a partition
)

// maxIDs bounds the ids remembered per partition and window: those of idRate, and as many as records of a kilobyte fill
// the log with, at least. Memory is taken as ids come: at idRate and a window of two minutes 40 MB a partition.
func (o *Options) maxIDs() int {
	window := o.Window + 2*time.Second // generations turn at ticks
	return max(min(int(window.Seconds()*idRate), mostID), int(o.LogBytes>>10), 1<<16)
}

// Handler is the HTTP API, /v1/* and /api/emit.
func (r *Router) Handler() http.Handler { return r.handler }

// Run works until ctx ends. Kafka away is waited for; what no patience mends (missing topics, wrong credentials) is returned.
func (r *Router) Run(ctx context.Context) error {
	defer r.cluster.Close()
	defer r.producer.Close()
	g, ctx := errgroup.WithContext(ctx)
	if r.opts.HTTPListener != nil {
		g.Go(func() error { return r.serveHTTP(ctx) })
	}
	if r.opts.GRPCListener != nil {
		g.Go(func() error { return r.serveGRPC(ctx) })
	}
	g.Go(func() error { return r.deliver(ctx) })
	if err := g.Wait(); err != nil {
		return fmt.Errorf("router: %w", err)
	}
	return nil
}

// Ready is nil when the group was joined, every assigned partition's log is complete and all revocations were read.
func (r *Router) Ready() error {
	now := r.running.Load()
	if now == nil {
		if why := r.trouble.Load(); why != nil {
			return errors.New(*why)
		}
		return errors.New("kafka has not answered yet")
	}
	if complete, _, _ := r.held.State(); !complete {
		return errors.New("the partition logs are not complete yet")
	}
	if !now.revoked.Complete() {
		return errors.New("the revocations have not been read yet")
	}
	return nil
}

func (r *Router) serveHTTP(ctx context.Context) error {
	server := &http.Server{Handler: r.handler, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 32 << 10}
	defer context.AfterFunc(ctx, func() {
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if server.Shutdown(grace) != nil {
			server.Close()
		}
	})()
	if err := server.Serve(r.opts.HTTPListener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve http: %w", err)
	}
	return nil
}

func (r *Router) serveGRPC(ctx context.Context) error {
	server := grpc.NewServer(append([]grpc.ServerOption{
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 10 * time.Second, Timeout: 3 * time.Second}),
		grpc.MaxRecvMsgSize(16 << 20),
	}, r.opts.GRPCOptions...)...)
	emitv1.RegisterEmitServer(server, &emitServer{r: r})
	replayv1.RegisterReplayServer(server, replay.New(replay.Options{Logs: r.held, History: pastForReplay{r.history, r.cluster, r.opts.topic(topicEvents)},
		Observe: func(result string) { r.metrics.replays.WithLabelValues(result).Inc() }}))
	whyv1.RegisterWhyServer(server, r.finder())
	defer context.AfterFunc(ctx, func() {
		done := make(chan struct{})
		go func() { server.GracefulStop(); close(done) }()
		select {
		case <-done:
		case <-time.After(3 * time.Second):
			server.Stop()
			<-done
		}
	})()
	if err := server.Serve(r.opts.GRPCListener); err != nil && ctx.Err() == nil {
		return fmt.Errorf("serve grpc: %w", err)
	}
	return nil
}

// burier writes what belongs on our own topics besides events.
type burier struct{ r *Router }

// Bury implements deadletter.Writer.
func (b burier) Bury(ctx context.Context, key, value []byte, headers []envelope.Header) error {
	err := b.r.writeOne(ctx, producer.Record{Topic: b.r.opts.topic(topicDeadLetter), Key: key, Value: value, Headers: headers})
	if errors.Is(err, producer.ErrTooLarge) {
		return fmt.Errorf("%w: %w", deadletter.ErrTooLarge, err)
	}
	return err
}

// Revoke implements revocations.Appender.
func (b burier) Revoke(ctx context.Context, user string, value []byte) error {
	return b.r.writeOne(ctx, producer.Record{Topic: b.r.opts.topic(topicRevocations), Key: []byte(user), Value: value})
}

func (r *Router) writeOne(ctx context.Context, rec producer.Record) error {
	ctx, cancel := context.WithTimeout(ctx, r.opts.EmitTimeout)
	defer cancel()
	return r.producer.Write(ctx, []producer.Record{rec})[0].Err
}
