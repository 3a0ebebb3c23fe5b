package admin

import (
	"encoding/json"
	"net/http"
	"runtime/metrics"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// Health answers /health as the platform's socket server does: its pages read status, connections, activeRooms,
// activeCalls and uptime, its probes the status code.
type Health struct {
	Ready    func() error
	Services map[string]func() bool // what the process rests on, by the name that readers know it by
	Registry prometheus.Gatherer    // where the counts come from
	Started  time.Time
	Now      func() time.Time
}

// The gauges that Health shows.
const (
	socketsMetric = "interlink_gateway_sockets"
	roomsMetric   = "interlink_gateway_rooms"
)

type healthBody struct {
	Status          string          `json:"status"`
	Reason          string          `json:"reason,omitempty"`
	Timestamp       string          `json:"timestamp"`
	Uptime          float64         `json:"uptime"` // seconds
	Memory          healthMemory    `json:"memory"`
	Connections     int             `json:"connections"`
	ActiveRooms     int             `json:"activeRooms"`
	ActiveCalls     int             `json:"activeCalls"`
	Services        map[string]bool `json:"services"`
	LastHealthCheck string          `json:"lastHealthCheck"`
}

type healthMemory struct {
	HeapUsed uint64 `json:"heapUsed"` // bytes
	Total    uint64 `json:"total"`    // bytes
}

// unready is what anybody is told of a process that is not ready. What is missing names hosts and users, so it is for the
// admin port only.
const unready = "starting, stopping, or something it needs is away; /readyz of the admin port says what"

// ServeHTTP answers 200 exactly when the process is ready, else 503.
func (h *Health) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "GET is expected", http.StatusMethodNotAllowed)
		return
	}
	now := h.Now()
	stamp := now.UTC().Format("2006-01-02T15:04:05.000Z")
	body := healthBody{
		Status: "healthy", Timestamp: stamp, LastHealthCheck: stamp, Uptime: now.Sub(h.Started).Seconds(),
		Memory: memory(), Services: map[string]bool{},
	}
	for name, well := range h.Services {
		body.Services[name] = well()
	}
	body.Connections, body.ActiveRooms = h.counts()
	status := http.StatusOK
	if h.Ready() != nil {
		body.Status, body.Reason, status = "unhealthy", unready, http.StatusServiceUnavailable
	}
	answer(w, status, body)
}

func (h *Health) counts() (sockets, rooms int) {
	families, err := h.Registry.Gather()
	if err != nil && len(families) == 0 {
		return 0, 0
	}
	for _, f := range families {
		switch f.GetName() {
		case socketsMetric:
			sockets = sum(f)
		case roomsMetric:
			rooms = sum(f)
		}
	}
	return sockets, rooms
}

func sum(f *dto.MetricFamily) int {
	total := 0.0
	for _, m := range f.GetMetric() {
		total += m.GetGauge().GetValue()
	}
	return int(total)
}

func memory() healthMemory {
	samples := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/total:bytes"}}
	metrics.Read(samples)
	return healthMemory{HeapUsed: samples[0].Value.Uint64(), Total: samples[1].Value.Uint64()}
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(body) // the client is gone
}
