package admin_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/edumatrix/interlink/services/internal/admin"
)

func get(t *testing.T, h http.Handler, path string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w.Code, w.Body.String()
}

func TestAdminPort(t *testing.T) {
	var notReady error
	h := admin.Handler(admin.NewRegistry(), func() error { return notReady })
	for name, tc := range map[string]struct {
		path     string
		notReady error
		status   int
		contains string
	}{
		"alive":                        {"/livez", nil, 200, "alive"},
		"alive while not ready":        {"/livez", errors.New("x"), 200, "alive"},
		"ready":                        {"/readyz", nil, 200, `"ready"`},
		"not ready, with what is away": {"/readyz", errors.New("partition 3 has no router"), 503, "partition 3 has no router"},
		"metrics":                      {"/metrics", nil, 200, "go_goroutines"},
		"profiles":                     {"/debug/pprof/", nil, 200, "heap"},
		"anything else":                {"/", nil, 404, ""},
	} {
		notReady = tc.notReady
		if status, body := get(t, h, tc.path); status != tc.status || !strings.Contains(body, tc.contains) {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
}

func TestHealthIsWhatThePlatformReads(t *testing.T) {
	registry := prometheus.NewRegistry()
	sockets := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "interlink_gateway_sockets"}, []string{"transport"})
	rooms := prometheus.NewGauge(prometheus.GaugeOpts{Name: "interlink_gateway_rooms"})
	registry.MustRegister(sockets, rooms)
	sockets.WithLabelValues("websocket").Set(5)
	sockets.WithLabelValues("polling").Set(2)
	rooms.Set(3)
	started := time.Date(2026, 1, 5, 10, 0, 0, 0, time.UTC)
	var notReady error
	h := &admin.Health{
		Ready: func() error { return notReady }, Registry: registry, Started: started,
		Now:      func() time.Time { return started.Add(12500 * time.Millisecond) },
		Services: map[string]func() bool{"redis": func() bool { return true }, "kafka": func() bool { return false }},
	}
	status, text := get(t, h, "/health")
	var body map[string]any
	if err := json.Unmarshal([]byte(text), &body); err != nil || status != 200 {
		t.Fatalf("%d %s", status, text)
	}
	for key, want := range map[string]any{
		"status": "healthy", "timestamp": "2026-01-05T10:00:12.500Z", "uptime": 12.5, "connections": 7.0, "activeRooms": 3.0, "activeCalls": 0.0,
		"lastHealthCheck": "2026-01-05T10:00:12.500Z",
	} {
		if body[key] != want {
			t.Errorf("%s is %v, want %v", key, body[key], want)
		}
	}
	if services := body["services"].(map[string]any); services["redis"] != true || services["kafka"] != false {
		t.Errorf("services %v", services)
	}
	notReady = errors.New(`kafka at kafka-0.internal:9092 refuses user "interlink"`)
	if status, text := get(t, h, "/health"); status != 503 || !strings.Contains(text, "unhealthy") || !strings.Contains(text, "/readyz") {
		t.Errorf("%d %s", status, text)
	} else if strings.Contains(text, "kafka-0") || strings.Contains(text, "refuses") {
		t.Errorf("the public port tells what is for operators: %s", text)
	}
}

func TestServeEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	l, err := admin.Listen(ctx, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := admin.Listen(ctx, l.Addr().String()); err == nil || !strings.Contains(err.Error(), "INTERLINK_ADMIN_ADDR") {
		t.Errorf("an address in use: %v", err)
	}
	done := make(chan error)
	go func() { done <- admin.Serve(ctx, l, admin.NewRegistry(), func() error { return nil }) }()
	resp, err := http.Get("http://" + l.Addr().String() + "/livez")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
