package gateway

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/edumatrix/interlink/services/gateway/internal/engine"
	"github.com/edumatrix/interlink/services/gateway/internal/hub"
	"github.com/edumatrix/interlink/services/gateway/internal/resume"
	"github.com/edumatrix/interlink/services/gateway/internal/session"
	"github.com/edumatrix/interlink/services/gateway/internal/trail"
)

// metrics are the gateway's own; names and labels are in CONTRACTS.
type metrics struct {
	sockets     *prometheus.GaugeVec
	connects    *prometheus.CounterVec
	resumes     *prometheus.CounterVec
	disconnects *prometheus.CounterVec
	deliveries  *prometheus.CounterVec
	refused     *prometheus.CounterVec
	slow        prometheus.Counter
	dropped     prometheus.Counter
	malformed   prometheus.Counter
	unconfirmed prometheus.Counter
	latency     prometheus.Histogram
}

func newMetrics(registry prometheus.Registerer, lag, routers, rooms func() float64) (*metrics, error) {
	m := &metrics{
		sockets:     prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "interlink_gateway_sockets", Help: "Engine sessions that are open, by transport."}, []string{"transport"}),
		connects:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "interlink_gateway_connects_total", Help: "CONNECT packets, by what became of them: ok, refused, doubt, gone."}, []string{"result"}),
		resumes:     prometheus.NewCounterVec(prometheus.CounterOpts{Name: "interlink_gateway_resumes_total", Help: "Connects that asked for their session back, by what became of it: resumed, or why not."}, []string{"result"}),
		disconnects: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "interlink_gateway_disconnects_total", Help: "Engine sessions that ended, by reason."}, []string{"reason"}),
		deliveries:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "interlink_gateway_deliveries_total", Help: "Events handed to sockets, one per socket."}, []string{"class"}),
		refused:     prometheus.NewCounterVec(prometheus.CounterOpts{Name: "interlink_gateway_refused_total", Help: "Requests turned away before they became sessions."}, []string{"reason"}),
		slow:        prometheus.NewCounter(prometheus.CounterOpts{Name: "interlink_gateway_closed_slow_total", Help: "Sessions closed because their queue was full or took nothing for too long."}),
		dropped:     prometheus.NewCounter(prometheus.CounterOpts{Name: "interlink_gateway_ephemeral_dropped_total", Help: "Ephemeral events that gave way in a queue."}),
		malformed:   prometheus.NewCounter(prometheus.CounterOpts{Name: "interlink_gateway_records_malformed_total", Help: "Records of routers that could not be read."}),
		unconfirmed: prometheus.NewCounter(prometheus.CounterOpts{Name: "interlink_gateway_receipts_given_up_total", Help: "Arrivals that could not be told to inboxes, senders or the receipts topic."}),
		latency: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "interlink_delivery_seconds", Help: "From a record's time to its write to sockets, once per record and shard.",
			Buckets: []float64{.001, .002, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 120},
		}),
	}
	for _, result := range resume.Reasons {
		m.resumes.WithLabelValues(string(result))
	}
	for _, t := range []engine.Transport{engine.Polling, engine.WebSocket} {
		m.sockets.WithLabelValues(t.String())
	}
	var errs []error
	for _, c := range []prometheus.Collector{
		m.sockets, m.connects, m.resumes, m.disconnects, m.deliveries, m.refused, m.slow, m.dropped, m.malformed, m.unconfirmed, m.latency,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "interlink_gateway_position_lag_records", Help: "Offsets between this gateway's positions and the heads that routers named last."}, lag),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "interlink_gateway_routers", Help: "Routers that are attached."}, routers),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "interlink_gateway_rooms", Help: "Rooms that somebody here is in."}, rooms),
	} {
		errs = append(errs, registry.Register(c))
	}
	return m, errors.Join(errs...)
}

func (m *metrics) engine() engine.Hooks {
	polling, ws := m.sockets.WithLabelValues(engine.Polling.String()), m.sockets.WithLabelValues(engine.WebSocket.String())
	of := func(t engine.Transport) prometheus.Gauge {
		if t == engine.WebSocket {
			return ws
		}
		return polling
	}
	return engine.Hooks{
		Opened:   func(t engine.Transport) { of(t).Inc() },
		Upgraded: func() { polling.Dec(); ws.Inc() },
		Closed: func(t engine.Transport, reason engine.Reason) {
			of(t).Dec()
			m.disconnects.WithLabelValues(reason.String()).Inc()
			if reason == engine.Slow {
				m.slow.Inc()
			}
		},
		Moved:   func(t engine.Transport) { of(t).Dec() },
		Refused: func(r engine.Refusal) { m.refused.WithLabelValues(r.String()).Inc() },
		Dropped: m.dropped.Inc,
	}
}

func (m *metrics) hub() hub.Metrics {
	durable, ephemeral := m.deliveries.WithLabelValues("durable"), m.deliveries.WithLabelValues("ephemeral")
	return hub.Metrics{
		Delivered: func(d, e int) { durable.Add(float64(d)); ephemeral.Add(float64(e)) },
		Latency:   func(d time.Duration) { m.latency.Observe(d.Seconds()) },
		Malformed: m.malformed.Inc,
	}
}

func (m *metrics) gaveUp(n int) { m.unconfirmed.Add(float64(n)) }

func (m *metrics) session(t *trail.Trail) session.Metrics {
	return session.Metrics{
		Connected: func(result string) { m.connects.WithLabelValues(result).Inc() },
		Resumed:   func(result string) { m.resumes.WithLabelValues(result).Inc() },
		Closed: func(user, socket string, reason engine.Reason) {
			t.Add(trail.Closed{User: user, Socket: socket, Reason: reason.String(), At: time.Now()})
		},
	}
}
