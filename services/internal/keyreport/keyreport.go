// Package keyreport owns what a process tells about its keys without telling them: which it takes, and when one was last
// seen in use. Whoever rotates keys reads it from the metrics: a new key is used when all have reported it, an old one
// goes when none has seen it used.
package keyreport

import (
	"crypto/sha256"
	"encoding/hex"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// ID names a key: eight hex digits of a SHA-256. Whoever rotates keys computes the same.
func ID(key []byte) string {
	sum := sha256.Sum256(append([]byte("interlink key id\x00"), key...))
	return hex.EncodeToString(sum[:4])
}

// Report is the rings of one process. Safe for use by many goroutines.
type Report struct {
	now func() time.Time

	mu    sync.Mutex // guards what follows
	rings []ring
}

type ring struct {
	name string
	keys func() [][]byte
	used map[string]time.Time // by id; only of keys that were taken, so as many as there have been
}

// New makes an empty Report.
func New() *Report { return &Report{now: time.Now} }

// Ring adds a ring of keys; keys is asked at each scrape. The answer is to be called with a key that was seen in use.
func (r *Report) Ring(name string, keys func() [][]byte) (used func(key []byte)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := len(r.rings)
	r.rings = append(r.rings, ring{name, keys, map[string]time.Time{}})
	return func(key []byte) {
		id := ID(key)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.rings[at].used[id] = r.now()
	}
}

var (
	loadedDesc = prometheus.NewDesc("interlink_key_loaded", "1 for each key that this process takes, by ring and by the id of the key.", []string{"ring", "key"}, nil)
	usedDesc   = prometheus.NewDesc("interlink_key_last_use_timestamp_seconds", "When a key was last seen in use, by ring and by the id of the key.", []string{"ring", "key"}, nil)
)

// Describe is of prometheus.Collector.
func (r *Report) Describe(to chan<- *prometheus.Desc) { to <- loadedDesc; to <- usedDesc }

// Collect is of prometheus.Collector.
func (r *Report) Collect(to chan<- prometheus.Metric) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, ring := range r.rings {
		seen := map[string]bool{}
		for _, key := range ring.keys() {
			id := ID(key)
			if seen[id] {
				continue
			}
			seen[id] = true
			to <- prometheus.MustNewConstMetric(loadedDesc, prometheus.GaugeValue, 1, ring.name, id)
		}
		for id, at := range ring.used {
			if seen[id] {
				to <- prometheus.MustNewConstMetric(usedDesc, prometheus.GaugeValue, float64(at.UnixMilli())/1000, ring.name, id)
			}
		}
	}
}
