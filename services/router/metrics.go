package router

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/edumatrix/interlink/services/router/internal/inbox"
	"github.com/edumatrix/interlink/services/router/internal/mapper"
)

// metrics of the router. Every label comes from a closed set.
type metrics struct {
	records     *prometheus.CounterVec
	deadLetters *prometheus.CounterVec
	replays     *prometheus.CounterVec
	gateways    prometheus.Gauge
	rangeBytes  prometheus.Counter
	pushDropped prometheus.Counter
	forgotEarly prometheus.Counter
	emit        *prometheus.HistogramVec
	inbox       *prometheus.CounterVec
	mapped      *prometheus.CounterVec
}

const metricsPrefix = "interlink_router_"

func newMetrics(reg prometheus.Registerer, r *Router) (*metrics, error) {
	counters := func(name, help, label string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: metricsPrefix + name, Help: help}, []string{label})
	}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: metricsPrefix + name, Help: help})
	}
	state := func(name, help string, value func() int64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: metricsPrefix + name, Help: help}, func() float64 { return float64(value()) })
	}
	m := &metrics{
		records:     counters("records_total", "Records read from Kafka, by what became of them.", "result"),
		deadLetters: counters("dead_letters_total", "Records that could not be read, by reason.", "reason"),
		replays:     counters("replays_total", "Replays served, by result.", "result"),
		inbox:       counters("inbox_total", "Queued events brought to inboxes, one per user, by what became of them.", "result"),
		mapped:      counters("mapped_total", "Records of a platform's own topics, by what became of them.", "result"),
		gateways:    prometheus.NewGauge(prometheus.GaugeOpts{Name: metricsPrefix + "gateways", Help: "Gateways with an answered Attach stream."}),
		rangeBytes:  counter("range_bytes_total", "Bytes of records pushed to gateways in ranges."),
		pushDropped: counter("push_dropped_total", "Ephemeral records dropped because a gateway could not keep up."),
		forgotEarly: counter("ids_forgotten_early_total", "How often ids of a partition were forgotten before two windows were over: it has more records than can be remembered, and a repetition may be delivered."),
		emit: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: metricsPrefix + "emit_seconds", Help: "Time from an emit's arrival to its answer.",
			Buckets: []float64{.001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10}}, []string{"result"}),
	}
	logBytes := func() int64 { _, b, _ := r.held.State(); return b }
	lag := func() int64 { _, _, l := r.held.State(); return l }
	var errs []error
	for _, c := range []prometheus.Collector{m.records, m.deadLetters, m.replays, m.gateways, m.rangeBytes, m.pushDropped, m.forgotEarly, m.emit, m.inbox, m.mapped,
		state("inbox_lag_records", "Records of the assigned partitions that have not been looked through for queued events.", r.inboxLag),
		state("partitions", "Partitions of the events topic; 0 until Kafka has said.", r.partitions),
		state("log_bytes", "Bytes that the partition logs hold.", logBytes), state("lag_records", "Records of the assigned partitions that have not been read yet.", lag)} {
		errs = append(errs, reg.Register(c))
	}
	return m, errors.Join(errs...)
}

func (m *metrics) observeEmit(result string, took time.Duration) {
	m.emit.WithLabelValues(result).Observe(took.Seconds())
}

func (m *metrics) observeMapped(result mapper.Result) { m.mapped.WithLabelValues(string(result)).Inc() }

func (m *metrics) observeInbox(result inbox.Result, n int) {
	m.inbox.WithLabelValues(string(result)).Add(float64(n))
}

func (r *Router) partitions() int64 {
	if now := r.running.Load(); now != nil {
		return int64(now.partitions)
	}
	return 0
}

func (r *Router) inboxLag() int64 {
	if now := r.running.Load(); now != nil && now.feeder != nil {
		return now.feeder.Lag()
	}
	return 0
}
