package router

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"
	"google.golang.org/protobuf/proto"

	"github.com/edumatrix/interlink/services/router/internal/attach"
	"github.com/edumatrix/interlink/services/router/internal/envelope"
	"github.com/edumatrix/interlink/services/router/internal/httpapi"
	"github.com/edumatrix/interlink/services/router/internal/partitionlog"
	"github.com/edumatrix/interlink/services/router/internal/producer"
)

// publisher turns envelopes into records on the events topic, or pushes them past Kafka.
type publisher struct {
	r *Router

	mu     sync.Mutex // guards recent
	recent *partitionlog.IDs
}

const recentIDs = 1 << 18

func newPublisher(r *Router) *publisher {
	return &publisher{r: r, recent: partitionlog.NewIDs(recentIDs)}
}

// run lets the memory of what was published age.
func (p *publisher) run(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			p.mu.Lock()
			p.recent.Tick(now, p.r.opts.Window)
			p.mu.Unlock()
		}
	}
}

// Publish appends envelopes and says where they went. One that this router knows to be on the log already, same id and
// key, is not written again: the answer is the first one's place.
func (p *publisher) Publish(ctx context.Context, all []*envelope.Envelope) []httpapi.Published {
	out := make([]httpapi.Published, len(all))
	running := p.r.running.Load()
	if running == nil {
		for i := range out {
			out[i].Err = fmt.Errorf("%w: kafka has not answered yet", httpapi.ErrAway)
		}
		return out
	}
	now := time.Now().UTC()
	var records []producer.Record
	var index []int
	for i, e := range all {
		if e.ID == "" {
			e.ID = strings.ToLower(ulid.Make().String())
		}
		if e.Time.IsZero() {
			e.Time = now.Truncate(time.Millisecond)
		}
		out[i].ID = e.ID
		out[i].Partition = producer.Partition([]byte(e.Key()), running.partitions)
		if offset, known := p.known(e.ID, out[i].Partition); known {
			out[i].Offset = offset
			continue
		}
		rec, err := p.record(e)
		if err != nil {
			out[i].Err = err
			continue
		}
		records, index = append(records, rec), append(index, i)
	}
	for n, result := range p.r.producer.Write(ctx, records) {
		i := index[n]
		if out[i].Err = failure(result.Err); out[i].Err != nil {
			continue
		}
		out[i].Partition, out[i].Offset = result.Partition, result.Offset
		p.remember(out[i].ID, out[i].Partition, out[i].Offset)
	}
	return out
}

func (p *publisher) record(e *envelope.Envelope) (producer.Record, error) {
	value, err := e.Marshal()
	if err != nil {
		return producer.Record{}, fmt.Errorf("write the envelope: %w", err)
	}
	rec := producer.Record{Topic: p.r.opts.topic(topicEvents), Key: []byte(e.Key()), Value: value}
	if e.Trace != "" {
		rec.Headers = []envelope.Header{{Key: "traceparent", Value: []byte(e.Trace)}}
	}
	return rec, nil
}

// failure sorts what a write may end in by what the caller can do about it.
func failure(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, producer.ErrBusy):
		return fmt.Errorf("%w: %w", httpapi.ErrBusy, err)
	case errors.Is(err, producer.ErrTooLarge):
		return fmt.Errorf("%w: %w", httpapi.ErrTooLarge, err)
	default:
		return fmt.Errorf("%w: %w", httpapi.ErrAway, err)
	}
}

func (p *publisher) known(id string, partition int) (int64, bool) {
	if log, ok := p.r.held.Log(partition); ok {
		if offset, ok := log.Known(id); ok {
			return offset, true
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.recent.Find(recentID(id, partition))
}

// forget is for another incarnation of the topic, where nothing has been published yet.
func (p *publisher) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.recent = partitionlog.NewIDs(recentIDs)
}

func (p *publisher) remember(id string, partition int, offset int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.recent.Add(recentID(id, partition), offset)
}

func recentID(id string, partition int) string { return fmt.Sprintf("%d/%s", partition, id) }

// Push sends ephemeral envelopes to the gateways that have their rooms.
func (p *publisher) Push(all []*envelope.Envelope) error {
	running := p.r.running.Load()
	if running == nil {
		return fmt.Errorf("%w: kafka has not answered yet", httpapi.ErrAway)
	}
	out := make([]attach.Ephemeral, 0, len(all))
	for _, e := range all {
		if e.ID == "" {
			e.ID = strings.ToLower(ulid.Make().String())
		}
		rec := e.Record(e.ID, 0, time.Now())
		b, err := proto.Marshal(rec)
		if err != nil {
			return fmt.Errorf("marshal an ephemeral record: %w", err)
		}
		out = append(out, attach.EphemeralOf(b, rec.GetRooms()))
	}
	running.fleet.Push(out)
	return nil
}
