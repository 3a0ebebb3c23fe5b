package service

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/edumatrix/interlink/services/presence/internal/tell"
)

// Metrics counts what presence does.
type Metrics struct {
	users         prometheus.Gauge
	expired       prometheus.Counter
	skipped       prometheus.Counter
	storeFailures prometheus.Counter
	undelivered   prometheus.Counter
	inboxEntries  prometheus.Gauge
	told, dropped *prometheus.CounterVec
}

// NewMetrics makes the collectors; Register adds them.
func NewMetrics() *Metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "interlink_presence_" + name, Help: help})
	}
	vector := func(name, help string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "interlink_presence_" + name, Help: help}, []string{"kind"})
		for _, kind := range []tell.Kind{tell.Event, tell.Lifecycle} {
			v.WithLabelValues(string(kind))
		}
		return v
	}
	return &Metrics{
		users: prometheus.NewGauge(prometheus.GaugeOpts{Name: "interlink_presence_users",
			Help: "Users online, in all of the store: every pod says the same."}),
		expired:       counter("expired_total", "Sockets removed because their grace or their gateway's lease was over."),
		skipped:       counter("skipped_changes_total", "Changes of sockets that named no usable user or socket."),
		storeFailures: counter("store_failures_total", "Calls to the store that failed or took too long."),
		undelivered:   counter("undelivered_total", "Queued events reported because their user did not receive them in time."),
		inboxEntries: prometheus.NewGauge(prometheus.GaugeOpts{Name: "interlink_presence_inbox_entries",
			Help: "Events that wait in inboxes, in all of the store: every pod says the same."}),
		told:    vector("told_total", "Events and lifecycle records handed to the routers."),
		dropped: vector("dropped_total", "Events and lifecycle records given up: too old or too many while the routers were away."),
	}
}

// Register adds the collectors, and one that says whether the store answers.
func (m *Metrics) Register(r prometheus.Registerer, away func() bool) error {
	up := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "interlink_presence_store_up", Help: "1 while the store answers."}, func() float64 {
		if away() {
			return 0
		}
		return 1
	})
	for _, c := range []prometheus.Collector{m.users, m.expired, m.skipped, m.storeFailures, m.undelivered, m.inboxEntries, m.told, m.dropped, up} {
		if err := r.Register(c); err != nil {
			return err
		}
	}
	return nil
}

// Told counts what was handed to the routers.
func (m *Metrics) Told(kind tell.Kind, n int) { m.told.WithLabelValues(string(kind)).Add(float64(n)) }

// Dropped counts what was given up.
func (m *Metrics) Dropped(kind tell.Kind, n int) {
	m.dropped.WithLabelValues(string(kind)).Add(float64(n))
}
