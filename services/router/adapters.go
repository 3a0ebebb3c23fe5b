package router

import (
	"context"
	"time"

	deliveryv1 "github.com/edumatrix/interlink/proto/delivery/v1"
	presencev1 "github.com/edumatrix/interlink/proto/presence/v1"
	"github.com/edumatrix/interlink/services/router/internal/attach"
	"github.com/edumatrix/interlink/services/router/internal/envelope"
	"github.com/edumatrix/interlink/services/router/internal/history"
	"github.com/edumatrix/interlink/services/router/internal/kafkaconn"
	"github.com/edumatrix/interlink/services/router/internal/replay"
)

// pastForFleet is history as the fleet asks for it.
type pastForFleet struct{ *history.Reader }

// Open implements attach.History.
func (p pastForFleet) Open(ctx context.Context, partition int, from int64) (attach.Cursor, error) {
	return p.Reader.Open(ctx, partition, from)
}

// pastForReplay is history as replay asks for it.
type pastForReplay struct {
	*history.Reader
	cluster *kafkaconn.Cluster
	topic   string
}

// Open implements replay.History.
func (p pastForReplay) Open(ctx context.Context, partition int, from int64) (replay.Cursor, error) {
	return p.Reader.Open(ctx, partition, from)
}

// OffsetAt implements replay.History.
func (p pastForReplay) OffsetAt(ctx context.Context, partition int, t time.Time) (int64, error) {
	return p.cluster.OffsetAt(ctx, p.topic, partition, t)
}

// observer turns what the parts report into metrics, and control records into what the router itself does about them.
type observer struct{ r *Router }

func (o observer) Read(result string) { o.r.metrics.records.WithLabelValues(result).Inc() }
func (o observer) Dead(reason envelope.Reason) {
	o.r.metrics.deadLetters.WithLabelValues(string(reason)).Inc()
}
func (o observer) ForgotEarly()       { o.r.metrics.forgotEarly.Inc() }
func (o observer) Attached(delta int) { o.r.metrics.gateways.Add(float64(delta)) }
func (o observer) RangeBytes(n int64) { o.r.metrics.rangeBytes.Add(float64(n)) }
func (o observer) PushDropped(n int)  { o.r.metrics.pushDropped.Add(float64(n)) }

// Control keeps a revocation on its compacted topic too, so that it outlives the events topic, and has the cache forget
// permissions that may have changed.
func (o observer) Control(rec *deliveryv1.Record) {
	c := rec.GetControl()
	switch c.GetKind() {
	case deliveryv1.Control_SESSION_REVOKED:
		if now := o.r.running.Load(); now != nil {
			now.revoked.Append(c.GetUser(), c.GetBeforeMs())
		}
	case deliveryv1.Control_MEMBERSHIP_CHANGED:
		o.r.forget.forget(&presencev1.DropPermissionsRequest{
			Room: c.GetRoom(), Users: c.GetAdd(), Removed: c.GetRemove(), RemovedMs: rec.GetTimeMs(),
		})
	}
}

// Sockets asks all gateways; silent names those that did not answer.
func (r *Router) Sockets(ctx context.Context, req *deliveryv1.SocketsRequest) (sockets []*deliveryv1.Socket, silent []string) {
	now := r.running.Load()
	if now == nil {
		return nil, []string{"all: kafka has not answered yet"}
	}
	return now.fleet.Sockets(ctx, req)
}
