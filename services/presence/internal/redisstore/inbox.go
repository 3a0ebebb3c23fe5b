package redisstore

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/edumatrix/interlink/services/presence/internal/inbox"
	"github.com/edumatrix/interlink/services/presence/internal/store"
)

func sorted(list []string) []string { return slices.Sorted(slices.Values(list)) }

func boxName(b store.Box) string { return b.Log + "\n" + b.User }

func parseBox(name string) store.Box {
	log, user, _ := strings.Cut(name, "\n")
	return store.Box{Log: log, User: user}
}

func placeName(p inbox.Place) string { return fmt.Sprintf("%d:%d", p.Partition, p.Offset) }

func parsePlace(s string) inbox.Place {
	partition, offset, _ := strings.Cut(s, ":")
	p, _ := strconv.ParseUint(partition, 10, 32)
	o, _ := strconv.ParseInt(offset, 10, 64)
	return inbox.Place{Partition: uint32(p), Offset: o}
}

// parseEntry reads place, id, time and value, and told and seq where they follow.
func parseEntry(r row) inbox.Entry {
	return inbox.Entry{Place: parsePlace(r.text(0)), ID: r.text(1), At: r.time(2), Value: []byte(r.text(3)),
		Told: r.text(4) == "1", Seq: uint64(r.number(5))}
}

// AppendInbox adds entries, each to its box, in order for each box. The answers are in the order of the items; after
// an error those that were not reached are zero, and all may be brought again.
func (s *Store) AppendInbox(ctx context.Context, items []store.InboxItem) ([]inbox.Appended, error) {
	calls := make([]call, len(items))
	for i, it := range items {
		base, e := s.userBase(userShard(it.Box.User)), it.Entry
		calls[i] = call{"inbox_append", []string{base + "inbox-due", base + "inbox-entries"},
			[]any{s.stamp(), base, boxName(it.Box), placeName(e.Place), e.ID, e.At.UnixMilli(), e.Value,
				s.settings.InboxEntries, s.settings.InboxTTL.Milliseconds(), s.settings.UndeliveredAfter.Milliseconds()}}
	}
	replies, err := s.runAll(ctx, calls)
	out := make([]inbox.Appended, len(items))
	for i, reply := range replies {
		list, ok := reply.([]any)
		if !ok {
			continue
		}
		r := row(list)
		out[i] = inbox.Appended{Added: r.number(0) == 1, Wake: sorted(r.texts(1))}
		for _, d := range r.rows(2) {
			out[i].Dropped = append(out[i].Dropped, parseEntry(d))
		}
	}
	return out, err
}

// ConnectInbox makes a session live with its start: what lies before it is read, what follows comes to it live.
func (s *Store) ConnectInbox(ctx context.Context, b store.Box, session string, start map[uint32]int64) error {
	parts := make([]string, 0, len(start))
	for _, p := range slices.Sorted(maps.Keys(start)) {
		parts = append(parts, fmt.Sprintf("%d=%d", p, start[p]))
	}
	return s.connectInbox(ctx, b, session, "-"+strings.Join(parts, ","))
}

// DisconnectInbox ends a session.
func (s *Store) DisconnectInbox(ctx context.Context, b store.Box, session string) error {
	return s.connectInbox(ctx, b, session, "")
}

func (s *Store) connectInbox(ctx context.Context, b store.Box, session, start string) error {
	base := s.userBase(userShard(b.User))
	_, err := s.runOne(ctx, call{"inbox_connect", []string{base + "inbox-due"},
		[]any{base, boxName(b), session, start, s.settings.InboxTTL.Milliseconds(), inbox.MaxSessions}})
	return err
}

// ReadInbox returns entries that come after seq and lie before the session's start, at most limit and bytes.
func (s *Store) ReadInbox(ctx context.Context, b store.Box, session string, after uint64, limit, bytes int) ([]inbox.Entry, bool, error) {
	base := s.userBase(userShard(b.User))
	reply, err := s.runOne(ctx, call{"inbox_read", []string{base + "inbox-due"}, []any{base, boxName(b), session, after, limit, bytes}})
	if err != nil {
		return nil, false, err
	}
	r, err := asRow(reply)
	if err != nil {
		return nil, false, s.failed(ctx, "inbox read", err)
	}
	var out []inbox.Entry
	for _, e := range r.rows(0) {
		out = append(out, parseEntry(e))
	}
	return out, r.number(1) == 1, nil
}

// LookInbox tells where an event stands in each box, without changing anything.
func (s *Store) LookInbox(ctx context.Context, boxes []store.Box, at inbox.Place) ([]inbox.Standing, error) {
	calls := make([]call, len(boxes))
	for i, b := range boxes {
		base := s.userBase(userShard(b.User))
		calls[i] = call{"inbox_look", []string{base + "inbox-due"}, []any{base, boxName(b), placeName(at)}}
	}
	replies, err := s.runAll(ctx, calls)
	if err != nil {
		return nil, err
	}
	out := make([]inbox.Standing, len(boxes))
	for i, reply := range replies {
		out[i] = inbox.Standing(row{reply}.number(0))
	}
	return out, nil
}

// ReceiveInbox removes what one of the user's sockets has: spans of the log, tombstones included, and ids.
func (s *Store) ReceiveInbox(ctx context.Context, b store.Box, spans []inbox.Span, ids []string) (int, error) {
	base := s.userBase(userShard(b.User))
	args := []any{base, boxName(b), s.settings.InboxTTL.Milliseconds(), len(spans)}
	for _, span := range spans {
		args = append(args, span.Partition, span.From, span.To)
	}
	for _, id := range ids {
		args = append(args, id)
	}
	reply, err := s.runOne(ctx, call{"inbox_receive", []string{base + "inbox-due"}, args})
	return int(row{reply}.number(0)), err
}

// OverdueInbox claims entries that wait too long and were not reported, at most limit of each shard; they are claimed
// again after store.ClaimTime unless ToldInbox or a receipt comes first. What it returns with an error is claimed.
func (s *Store) OverdueInbox(ctx context.Context, limit int) (overdue []store.InboxItem, entries int64, more bool, err error) {
	calls := make([]call, userShards)
	for shard := range calls {
		base := s.userBase(shard)
		calls[shard] = call{"inbox_overdue", []string{base + "inbox-due", base + "inbox-entries"},
			[]any{s.stamp(), base, limit, store.ClaimTime.Milliseconds()}}
	}
	replies, err := s.runAll(ctx, calls)
	for _, reply := range replies {
		list, ok := reply.([]any)
		if !ok {
			continue
		}
		r := row(list)
		for _, e := range r.rows(0) {
			overdue = append(overdue, store.InboxItem{Box: parseBox(e.text(0)), Entry: parseEntry(e[1:])})
		}
		more = more || r.number(1) == 1
		entries += r.number(2)
	}
	return overdue, entries, more, err
}

// ToldInbox notes that entries were reported as undelivered; they wait on, until they are too old.
func (s *Store) ToldInbox(ctx context.Context, items []store.InboxItem) error {
	calls := make([]call, len(items))
	for i, it := range items {
		base := s.userBase(userShard(it.Box.User))
		calls[i] = call{"inbox_told", []string{base + "inbox-due"},
			[]any{base, boxName(it.Box), placeName(it.Entry.Place), s.settings.InboxTTL.Milliseconds()}}
	}
	_, err := s.runAll(ctx, calls)
	return err
}
