package harness

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// Metrics are the samples of one scrape.
type Metrics map[string]*dto.MetricFamily

// Scrape reads the metrics of an admin address (host:port).
func Scrape(ctx context.Context, admin string) (Metrics, error) {
	text, err := get(ctx, "http://"+admin+"/metrics")
	if err != nil {
		return nil, fmt.Errorf("scrape %s: %w", admin, err)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("scrape %s: %w", admin, err)
	}
	return families, nil
}

// Goroutines returns the goroutines behind an admin address (host:port) as pprof prints them, equal stacks together.
func Goroutines(ctx context.Context, admin string) (string, error) {
	text, err := get(ctx, "http://"+admin+"/debug/pprof/goroutine?debug=1")
	if err != nil {
		return "", fmt.Errorf("goroutines of %s: %w", admin, err)
	}
	return string(text), nil
}

func get(ctx context.Context, url string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %d", res.StatusCode)
	}
	return io.ReadAll(res.Body)
}

// Sum adds up a metric's samples that carry all of the labels, given as name, value, name, value.
// A histogram counts as its number of observations. A metric that is not there is 0.
func (m Metrics) Sum(name string, labels ...string) float64 {
	var sum float64
	family, ok := m[name]
	if !ok {
		return 0
	}
	for _, sample := range family.GetMetric() {
		if !has(sample, labels) {
			continue
		}
		switch {
		case sample.Counter != nil:
			sum += sample.Counter.GetValue()
		case sample.Gauge != nil:
			sum += sample.Gauge.GetValue()
		case sample.Histogram != nil:
			sum += float64(sample.Histogram.GetSampleCount())
		case sample.Untyped != nil:
			sum += sample.Untyped.GetValue()
		}
	}
	return sum
}

func has(sample *dto.Metric, labels []string) bool {
	for i := 0; i+1 < len(labels); i += 2 {
		found := false
		for _, pair := range sample.GetLabel() {
			found = found || pair.GetName() == labels[i] && pair.GetValue() == labels[i+1]
		}
		if !found {
			return false
		}
	}
	return true
}
