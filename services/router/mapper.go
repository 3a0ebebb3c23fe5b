package router

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/edumatrix/interlink/services/router/internal/consumer"
	"github.com/edumatrix/interlink/services/router/internal/deadletter"
	"github.com/edumatrix/interlink/services/router/internal/envelope"
	"github.com/edumatrix/interlink/services/router/internal/httpapi"
	"github.com/edumatrix/interlink/services/router/internal/mapper"
	"github.com/edumatrix/interlink/services/router/internal/mapping"
)

// loadMapping reads the mapping file, if one is configured.
func loadMapping(file string) (*mapping.Mapping, error) {
	if file == "" {
		return nil, nil
	}
	return mapping.Load(file)
}

// mapTopics reads the mapping's topics, each by a consumer and a group of its own, so that none waits for another.
func (r *Router) mapTopics(ctx context.Context) error {
	if r.mapping == nil {
		return nil
	}
	g, ctx := errgroup.WithContext(ctx)
	for _, topic := range r.mapping.Topics() {
		letters := deadletter.New(burier{r}, r.opts.Logger, func() { r.metrics.deadLetters.WithLabelValues("dropped").Inc() })
		m := mapper.New(mapper.Options{Topic: topic, Mapping: r.mapping, Publisher: mapped{r}, Letters: countedLetters{letters, r.metrics},
			Offsets: r.cluster, Window: r.opts.Window, Observe: r.metrics.observeMapped, Logger: r.opts.Logger})
		c := consumer.New(consumer.Options{Cluster: r.cluster, Group: r.opts.TopicPrefix + groupMapper + "." + topic, Topic: topic,
			SessionTimeout: r.opts.SessionTimeout, Handler: m, Logger: r.opts.Logger})
		g.Go(func() error { return letters.Run(ctx) })
		g.Go(func() error { return c.Run(ctx) })
	}
	return g.Wait()
}

// countedLetters counts what is buried by reason.
type countedLetters struct {
	*deadletter.Office
	metrics *metrics
}

// Send implements mapper.Letters.
func (l countedLetters) Send(m envelope.Message, reason envelope.Reason, detail string) {
	l.metrics.deadLetters.WithLabelValues(string(reason)).Inc()
	l.Office.Send(m, reason, detail)
}

// mapped publishes what the mapper made.
type mapped struct{ r *Router }

// Publish implements mapper.Publisher.
func (p mapped) Publish(ctx context.Context, all []*envelope.Envelope) []error {
	ctx, cancel := context.WithTimeout(ctx, p.r.opts.EmitTimeout)
	defer cancel()
	errs := make([]error, len(all))
	for i, published := range p.r.publish.Publish(ctx, all) {
		errs[i] = published.Err
		if errors.Is(published.Err, httpapi.ErrTooLarge) {
			errs[i] = fmt.Errorf("%w: %w", mapper.ErrRefused, published.Err)
		}
	}
	return errs
}

// Push implements mapper.Publisher.
func (p mapped) Push(all []*envelope.Envelope) error { return p.r.publish.Push(all) }

// eventsOf is what the HTTP API maps ready-made events with; nil without a mapping.
func eventsOf(m *mapping.Mapping) httpapi.Events {
	if m == nil {
		return nil
	}
	return readyMade{m}
}

type readyMade struct{ mapping *mapping.Mapping }

// Event implements httpapi.Events.
func (e readyMade) Event(ctx context.Context, name string, data []byte, to map[string]any) (out [][]byte, known bool, err error) {
	raw, err := e.mapping.Event(ctx, name, data, to)
	if errors.Is(err, mapping.ErrNoProgram) {
		return nil, false, nil
	}
	for _, b := range raw {
		out = append(out, b)
	}
	return out, true, err
}
