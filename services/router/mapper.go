package router

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	deliveryv1 "github.com/edumatrix/interlink/proto/delivery/v1"
	"github.com/edumatrix/interlink/services/internal/mapping"
	"github.com/edumatrix/interlink/services/router/internal/consumer"
	"github.com/edumatrix/interlink/services/router/internal/deadletter"
	"github.com/edumatrix/interlink/services/router/internal/envelope"
	"github.com/edumatrix/interlink/services/router/internal/httpapi"
	"github.com/edumatrix/interlink/services/router/internal/mapper"
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
		m := mapper.New(mapper.Options{Topic: topic, Mapping: records{r.mapping}, Publisher: mapped{r}, Letters: countedLetters{letters, r.metrics},
			Offsets: r.cluster, Window: r.opts.Window, Observe: r.metrics.observeMapped, Logger: r.opts.Logger})
		c := consumer.New(consumer.Options{Cluster: r.cluster, Group: r.opts.TopicPrefix + groupMapper + "." + topic, Topic: topic,
			SessionTimeout: r.opts.SessionTimeout, Handler: m, Logger: r.opts.Logger})
		g.Go(func() error { return letters.Run(ctx) })
		g.Go(func() error {
			// A member of a group would not notice for sure that its topic has come into being.
			if r.cluster.Appear(ctx, topic) != nil {
				return nil
			}
			return c.Run(ctx)
		})
	}
	return g.Wait()
}

// countedLetters counts what is buried by reason.
type countedLetters struct {
	*deadletter.Office
	metrics *metrics
}

// Deliver implements mapper.Letters.
func (l countedLetters) Deliver(ctx context.Context, m envelope.Message, reason envelope.Reason, detail string) {
	l.metrics.deadLetters.WithLabelValues(string(reason)).Inc()
	l.Office.Deliver(ctx, m, reason, detail)
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

// records maps the records of the platform's topics.
type records struct{ mapping *mapping.Mapping }

// Record implements mapper.Mapping.
func (m records) Record(ctx context.Context, source mapping.Source, value []byte) ([]json.RawMessage, error) {
	out, err := m.mapping.Record(ctx, source, value)
	for i, b := range out {
		out[i] = m.mapping.Named(b)
	}
	return out, err
}

// shape gives an ephemeral event of ours as the platform's pages read it; without a program for it, as it is.
func (r *Router) shape(ctx context.Context, b []byte, rec *deliveryv1.Record) [][]byte {
	if r.mapping == nil {
		return [][]byte{b}
	}
	out, err := r.mapping.Ephemeral(ctx, rec.Event, rec.Data)
	if err != nil {
		if !errors.Is(err, mapping.ErrNoProgram) {
			r.opts.Logger.DebugContext(ctx, "ephemeral event not shaped", "event", rec.Event, "error", err)
		}
		return [][]byte{b}
	}
	shaped := make([][]byte, 0, len(out))
	for _, raw := range out {
		var as struct {
			Event string          `json:"event"`
			Data  json.RawMessage `json:"data"`
		}
		if json.Unmarshal(raw, &as) != nil || as.Event == "" {
			continue
		}
		one := proto.CloneOf(rec)
		one.Event, one.Data = as.Event, as.Data
		if one.Replace != "" { // the newest of each shape counts, not of all
			one.Replace += " " + replaces(rec.Event, as.Event)
		}
		if b, err := proto.Marshal(one); err == nil {
			shaped = append(shaped, b)
		}
	}
	return shaped
}

// replaces names what a shape is of, the same for the start and the end of it.
func replaces(event, as string) string {
	if event == as {
		return ""
	}
	return strings.TrimSuffix(strings.TrimSuffix(as, ":start"), ":stop")
}
