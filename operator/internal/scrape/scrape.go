// Package scrape owns what the operator asks pods: their metrics and why they are not ready. It needs no Prometheus, so
// that scaling and rotations go on when that is down.
package scrape

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// Sample is what one pod says.
type Sample struct {
	Answered   bool
	NotReady   string // why, in the pod's words; empty when ready or unknown
	Sockets    int32
	Lag        *int64 // nil where there is none
	Partitions int32
	Keys       map[string][]string             // ids, by ring
	LastUse    map[string]map[string]time.Time // by ring and id
}

// Client asks pods. Its zero value is not usable; see New.
type Client struct {
	http *http.Client
	port int
}

const (
	patience = 2 * time.Second
	maxBody  = 4 << 20
	atOnce   = 32
)

// New makes a client for the admin port.
func New(port int) *Client {
	return &Client{port: port, http: &http.Client{Timeout: patience, Transport: &http.Transport{MaxIdleConnsPerHost: 1, IdleConnTimeout: time.Minute, Proxy: nil}}}
}

// All asks the pods at these addresses, several at once, and returns what each said, by address. It takes a few seconds
// at most.
func (c *Client) All(ctx context.Context, addresses []string) map[string]Sample {
	var mu sync.Mutex // guards out
	out := make(map[string]Sample, len(addresses))
	var wg sync.WaitGroup
	slots := make(chan struct{}, atOnce)
	for _, address := range addresses {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			s := c.one(ctx, address)
			mu.Lock()
			defer mu.Unlock()
			out[address] = s
		})
	}
	wg.Wait()
	return out
}

func (c *Client) one(ctx context.Context, address string) Sample {
	var s Sample
	base := "http://" + net.JoinHostPort(address, strconv.Itoa(c.port))
	if body, _, err := c.get(ctx, base+"/metrics"); err == nil {
		if s, err = Parse(body); err != nil {
			return Sample{}
		}
	} else {
		return Sample{}
	}
	if body, status, err := c.get(ctx, base+"/readyz"); err == nil && status != http.StatusOK {
		var said struct{ Reason string }
		if json.Unmarshal(body, &said) == nil {
			s.NotReady = said.Reason
		}
	}
	return s
}

func (c *Client) get(ctx context.Context, url string) ([]byte, int, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, 0, err
	}
	answer, err := c.http.Do(r)
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxBody))
	return body, answer.StatusCode, err
}

// Parse reads a pod's metrics.
func Parse(text []byte) (Sample, error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		return Sample{}, fmt.Errorf("metrics: %w", err)
	}
	if len(families) == 0 {
		return Sample{}, errors.New("metrics: none")
	}
	s := Sample{Answered: true, Keys: map[string][]string{}, LastUse: map[string]map[string]time.Time{}}
	for _, m := range families["interlink_gateway_sockets"].GetMetric() {
		s.Sockets += int32(m.GetGauge().GetValue())
	}
	if f := families["interlink_router_lag_records"]; f != nil && len(f.GetMetric()) > 0 {
		lag := int64(f.GetMetric()[0].GetGauge().GetValue())
		s.Lag = &lag
	}
	if f := families["interlink_router_partitions"]; f != nil && len(f.GetMetric()) > 0 {
		s.Partitions = int32(f.GetMetric()[0].GetGauge().GetValue())
	}
	for _, m := range families["interlink_key_loaded"].GetMetric() {
		l := labels(m)
		s.Keys[l["ring"]] = append(s.Keys[l["ring"]], l["key"])
	}
	for _, m := range families["interlink_key_last_use_timestamp_seconds"].GetMetric() {
		l := labels(m)
		if s.LastUse[l["ring"]] == nil {
			s.LastUse[l["ring"]] = map[string]time.Time{}
		}
		s.LastUse[l["ring"]][l["key"]] = time.UnixMilli(int64(m.GetGauge().GetValue() * 1000))
	}
	return s, nil
}

func labels(m *dto.Metric) map[string]string {
	out := map[string]string{}
	for _, p := range m.GetLabel() {
		out[p.GetName()] = p.GetValue()
	}
	return out
}
