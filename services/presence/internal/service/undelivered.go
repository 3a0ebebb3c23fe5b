package service

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	deliveryv1 "github.com/edumatrix/interlink/proto/delivery/v1"
	emitv1 "github.com/edumatrix/interlink/proto/emit/v1"
	"github.com/edumatrix/interlink/services/presence/internal/store"
)

// undeliveredData is the value of a record on the undelivered topic.
type undeliveredData struct {
	ID         string          `json:"id"`
	Event      string          `json:"event"`
	User       string          `json:"user"`
	Data       json.RawMessage `json:"data,omitempty"`
	DataBase64 string          `json:"dataBase64,omitempty"`
	QueuedAt   string          `json:"queuedAt"`
}

// undeliveredRecord is the record by which push or mail learns of an entry.
func undeliveredRecord(it store.InboxItem) (*emitv1.Entry, error) {
	var rec deliveryv1.Record
	if err := proto.Unmarshal(it.Entry.Value, &rec); err != nil {
		return nil, fmt.Errorf("event %q of an inbox: %w", it.Entry.ID, err)
	}
	data := undeliveredData{ID: it.Entry.ID, Event: rec.GetEvent(), User: it.Box.User, QueuedAt: it.Entry.At.UTC().Format(time.RFC3339Nano)}
	switch {
	case rec.GetBinary():
		data.DataBase64 = base64.StdEncoding.EncodeToString(rec.GetData())
	case json.Valid(rec.GetData()):
		data.Data = rec.GetData()
	}
	return &emitv1.Entry{Topic: "undelivered", Key: []byte(it.Box.User), Value: encode(data)}, nil
}

const (
	overdueLimit = 50 // of one shard at a look
	reportBatch  = 500
)

// lookAtInboxes reports entries that wait too long: claimed from the other pods, published, then noted. A pod that
// dies in between leaves them to be reported again after the claim: at least once, twice only then.
func (s *Service) lookAtInboxes(ctx context.Context) {
	for more := true; more; {
		var overdue []store.InboxItem
		var entries int64
		err := s.guard.do(ctx, s.o.CallTimeout, func(ctx context.Context) (err error) {
			overdue, entries, more, err = s.o.Store.OverdueInbox(ctx, overdueLimit)
			return err
		})
		if err == nil {
			s.o.Metrics.inboxEntries.Set(float64(entries))
		}
		for len(overdue) > 0 {
			batch := overdue[:min(len(overdue), reportBatch)]
			overdue = overdue[len(batch):]
			err = errors.Join(err, s.report(ctx, batch))
		}
		if err != nil {
			s.o.Logger.Debug("undelivered events were not all reported", "error", err)
			return
		}
	}
}

// report publishes entries as undelivered and notes those that the brokers have.
func (s *Service) report(ctx context.Context, items []store.InboxItem) error {
	if s.o.Publish == nil {
		return nil
	}
	var sent, done []store.InboxItem
	var entries []*emitv1.Entry
	for _, it := range items {
		entry, err := undeliveredRecord(it)
		if err != nil { // nobody can report it: noted, so that it does not come back for ever
			s.o.Logger.Error("an event of an inbox cannot be read", "error", err)
			done = append(done, it)
			continue
		}
		sent, entries = append(sent, it), append(entries, entry)
	}
	limited, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	answer, err := s.o.Publish(limited, &emitv1.PublishRequest{Entries: entries})
	for i, result := range answer.GetResults() {
		if i < len(sent) && result.GetError() == "" {
			done = append(done, sent[i])
			s.o.Metrics.undelivered.Inc()
		} else {
			err = errors.Join(err, errors.New(result.GetError()))
		}
	}
	return errors.Join(err, s.guard.do(ctx, s.o.CallTimeout, func(ctx context.Context) error {
		return s.o.Store.ToldInbox(ctx, done)
	}))
}

const publishTimeout = 5 * time.Second
