package scrape

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
)

const router = `# TYPE interlink_router_lag_records gauge
interlink_router_lag_records 42
# TYPE interlink_router_partitions gauge
interlink_router_partitions 12
# TYPE interlink_key_loaded gauge
interlink_key_loaded{ring="internal-api-key",key="aaaaaaaa"} 1
interlink_key_loaded{ring="internal-api-key",key="bbbbbbbb"} 1
# TYPE interlink_key_last_use_timestamp_seconds gauge
interlink_key_last_use_timestamp_seconds{ring="internal-api-key",key="aaaaaaaa"} 1.7e+09
`

func TestAPodIsAskedForMetricsAndWhyItIsNotReady(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/readyz" {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = w.Write([]byte(`{"status":"not ready","reason":"kafka is away"}`))
			return
		}
		_, _ = w.Write([]byte(router))
	}))
	defer server.Close()
	host, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	s := New(n).All(t.Context(), []string{host})[host]
	if !s.Answered || s.NotReady != "kafka is away" || s.Lag == nil || *s.Lag != 42 || s.Partitions != 12 || len(s.Keys["internal-api-key"]) != 2 ||
		s.LastUse["internal-api-key"]["aaaaaaaa"].Unix() != 1_700_000_000 {
		t.Errorf("%+v", s)
	}
	server.Close()
	if s := New(n).All(t.Context(), []string{host})[host]; s.Answered {
		t.Error("a pod that is not there answered")
	}
}

func TestSocketsOfAllTransportsCount(t *testing.T) {
	s, err := Parse([]byte("# TYPE interlink_gateway_sockets gauge\ninterlink_gateway_sockets{transport=\"websocket\"} 3\ninterlink_gateway_sockets{transport=\"polling\"} 2\n"))
	if err != nil || s.Sockets != 5 || s.Lag != nil {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := Parse(nil); err == nil {
		t.Error("nothing is an answer")
	}
}
