package gateway

import (
	"context"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	deliveryv1 "github.com/edumatrix/interlink/proto/delivery/v1"
	presencev1 "github.com/edumatrix/interlink/proto/presence/v1"
	"github.com/edumatrix/interlink/services/gateway/internal/hub"
	"github.com/edumatrix/interlink/services/gateway/internal/recovery"
	"github.com/edumatrix/interlink/services/gateway/internal/session"
	"github.com/edumatrix/interlink/services/internal/room"
)

const (
	pageEntries = 200
	pageBytes   = 128 << 10
)

// inboxes is where presence keeps what waits for users. It implements session.Inbox.
type inboxes struct {
	client presencev1.PresenceClient
	log    func() string // names the topic that positions are of
}

// Open implements session.Inbox.
func (i inboxes) Open(ctx context.Context, user, id string, start []int64, covered []recovery.Span) error {
	r := &presencev1.OpenInboxRequest{Log: i.log(), User: user, Session: id, Start: make(map[uint32]int64, len(start))}
	for p, offset := range start {
		r.Start[uint32(p)] = offset
	}
	for _, s := range covered {
		r.Covered = append(r.Covered, &presencev1.Span{Partition: uint32(s.Partition), From: s.From, To: s.To})
	}
	_, err := i.client.OpenInbox(ctx, r)
	return err
}

// Read implements session.Inbox.
func (i inboxes) Read(ctx context.Context, user, id string, after uint64) ([]session.Entry, bool, error) {
	answer, err := i.client.ReadInbox(ctx, &presencev1.ReadInboxRequest{
		Log: i.log(), User: user, Session: id, After: after, Limit: pageEntries, Bytes: pageBytes,
	})
	if err != nil {
		return nil, false, err
	}
	entries := make([]session.Entry, 0, len(answer.Entries))
	for _, e := range answer.Entries {
		record := &deliveryv1.Record{}
		if err := proto.Unmarshal(e.Record, record); err != nil {
			return nil, false, fmt.Errorf("inbox: event %q: %w", e.Id, err)
		}
		record.Id, record.Offset, record.Queue = e.Id, e.Offset, true
		if own := string(room.OfUser(user)); !slices.Contains(record.Rooms, own) {
			record.Rooms = append(record.Rooms, own)
		}
		entries = append(entries, session.Entry{Given: hub.Given{Partition: e.Partition, Record: record, Queued: true}, Seq: e.Seq})
	}
	return entries, answer.More, nil
}

// Close implements session.Inbox.
func (i inboxes) Close(ctx context.Context, user, id string) error {
	_, err := i.client.CloseInbox(ctx, &presencev1.CloseInboxRequest{Log: i.log(), User: user, Session: id})
	return err
}
