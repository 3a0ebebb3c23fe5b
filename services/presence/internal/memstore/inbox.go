package memstore

import (
	"bytes"
	"context"
	"time"

	"github.com/edumatrix/interlink/services/presence/internal/inbox"
	"github.com/edumatrix/interlink/services/presence/internal/store"
)

// box is one inbox with the times at which its entries are looked at.
type box struct {
	inbox.Box
	due  map[inbox.Place]time.Time
	ends time.Time
}

func (s *Store) limits() inbox.Limits {
	return inbox.Limits{Entries: s.settings.InboxEntries, TTL: s.settings.InboxTTL}
}

// box opens an inbox for a change.
func (s *Store) box(name store.Box, now time.Time) *box {
	b := s.boxes[name]
	if b == nil || !b.ends.After(now) {
		b = &box{due: map[inbox.Place]time.Time{}}
		s.boxes[name] = b
	}
	b.ends = now.Add(s.settings.InboxTTL)
	return b
}

// AppendInbox adds entries; see redisstore.
func (s *Store) AppendInbox(ctx context.Context, items []store.InboxItem) ([]inbox.Appended, error) {
	now, leave, err := s.enter(ctx)
	if err != nil {
		return make([]inbox.Appended, len(items)), err
	}
	defer leave()
	out := make([]inbox.Appended, 0, len(items))
	for _, it := range items {
		b := s.box(it.Box, now)
		it.Entry.Value = bytes.Clone(it.Entry.Value)
		it.Entry.At = it.Entry.At.Truncate(time.Millisecond)
		got := b.Append(it.Entry, s.limits(), now)
		if got.Added {
			b.due[it.Entry.Place] = now.Add(s.settings.UndeliveredAfter)
		}
		out = append(out, got)
	}
	return out, nil
}

// ConnectInbox makes a session live; see redisstore.
func (s *Store) ConnectInbox(ctx context.Context, name store.Box, session string, start map[uint32]int64) error {
	now, leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	s.box(name, now).Connect(session, start)
	return nil
}

// DisconnectInbox ends a session.
func (s *Store) DisconnectInbox(ctx context.Context, name store.Box, session string) error {
	_, leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if b := s.boxes[name]; b != nil {
		b.Disconnect(session)
	}
	return nil
}

// ReadInbox reads a page; see redisstore.
func (s *Store) ReadInbox(ctx context.Context, name store.Box, session string, after uint64, limit, most int) ([]inbox.Entry, bool, error) {
	now, leave, err := s.enter(ctx)
	if err != nil {
		return nil, false, err
	}
	defer leave()
	b := s.boxes[name]
	if b == nil || !b.ends.After(now) {
		return nil, false, nil
	}
	entries, more := b.Read(session, after, limit, most)
	return entries, more, nil
}

// LookInbox tells where an event stands; see redisstore.
func (s *Store) LookInbox(ctx context.Context, boxes []store.Box, at inbox.Place) ([]inbox.Standing, error) {
	now, leave, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	out := make([]inbox.Standing, len(boxes))
	for i, name := range boxes {
		out[i] = inbox.Expected
		if b := s.boxes[name]; b != nil && b.ends.After(now) {
			out[i] = b.Look(at)
		}
	}
	return out, nil
}

// ReceiveInbox removes what one of the user's sockets has; see redisstore.
func (s *Store) ReceiveInbox(ctx context.Context, name store.Box, spans []inbox.Span, ids []string) (int, error) {
	now, leave, err := s.enter(ctx)
	if err != nil {
		return 0, err
	}
	defer leave()
	b, gone := s.box(name, now), 0
	for _, span := range spans {
		gone += b.Receive(span)
	}
	for _, id := range ids {
		if b.ReceiveID(id) {
			gone++
		}
	}
	return gone, nil
}

// OverdueInbox claims entries that wait too long; see redisstore.
func (s *Store) OverdueInbox(ctx context.Context, limit int) (overdue []store.InboxItem, entries int64, more bool, err error) {
	now, leave, err := s.enter(ctx)
	if err != nil {
		return nil, 0, false, err
	}
	defer leave()
	for name, b := range s.boxes {
		if !b.ends.After(now) {
			delete(s.boxes, name)
			continue
		}
		for place, at := range b.due {
			e, waits := b.Find(place)
			switch {
			case !waits:
				delete(b.due, place)
			case at.After(now):
			case e.Told:
				b.ReceiveID(e.ID)
				delete(b.due, place)
			case len(overdue) == limit:
				more = true
			default:
				b.due[place] = now.Add(store.ClaimTime)
				overdue = append(overdue, store.InboxItem{Box: name, Entry: e})
			}
		}
		entries += int64(b.Len())
	}
	return overdue, entries, more, nil
}

// ToldInbox notes that entries were reported; see redisstore.
func (s *Store) ToldInbox(ctx context.Context, items []store.InboxItem) error {
	_, leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	for _, it := range items {
		if b := s.boxes[it.Box]; b != nil && b.MarkTold(it.Entry.Place) {
			b.due[it.Entry.Place] = it.Entry.At.Add(s.settings.InboxTTL)
		}
	}
	return nil
}
