package service

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	presencev1 "github.com/edumatrix/interlink/proto/presence/v1"
	"github.com/edumatrix/interlink/services/presence/internal/inbox"
	"github.com/edumatrix/interlink/services/presence/internal/store"
)

// Bounds of inbox calls.
const (
	maxEntries   = 5000 // of one AppendInbox
	maxSpans     = 5000
	maxIDs       = 1000
	maxPartition = 100000 // partitions of a start
	pageEntries  = 200
	pageBytes    = 1 << 20
	maxPageBytes = 16 << 20
)

func boxOf(log, user string) (store.Box, error) {
	if err := named("log", log); err != nil {
		return store.Box{}, err
	}
	return store.Box{Log: log, User: user}, named("user", user)
}

// AppendInbox keeps queued events for their users. What names no usable user is skipped and counted, as in Sync.
func (s *Service) AppendInbox(ctx context.Context, in *presencev1.AppendInboxRequest) (*presencev1.AppendInboxResponse, error) {
	if err := named("log", in.GetLog()); err != nil {
		return nil, err
	}
	if len(in.GetEntries()) > maxEntries {
		return nil, status.Errorf(codes.InvalidArgument, "entries: at most %d at a time", maxEntries)
	}
	out := &presencev1.AppendInboxResponse{}
	var items []store.InboxItem
	var at []int
	for i, e := range in.GetEntries() {
		out.Appended = append(out.Appended, &presencev1.Appended{})
		if named("user", e.GetUser()) != nil || named("id", e.GetId()) != nil || e.GetOffset() < 0 {
			s.o.Metrics.skipped.Inc()
			continue
		}
		at = append(at, i)
		items = append(items, store.InboxItem{Box: store.Box{Log: in.GetLog(), User: e.GetUser()}, Entry: inbox.Entry{
			Place: inbox.Place{Partition: e.GetPartition(), Offset: e.GetOffset()}, ID: e.GetId(),
			At: time.UnixMilli(e.GetTimeMs()), Value: e.GetRecord(),
		}})
	}
	var answers []inbox.Appended
	err := s.guard.do(ctx, s.o.FullTimeout, func(ctx context.Context) (err error) {
		answers, err = s.o.Store.AppendInbox(ctx, items)
		return err
	})
	var dropped []store.InboxItem
	for i, a := range answers {
		out.Appended[at[i]] = &presencev1.Appended{Added: a.Added, Wake: a.Wake}
		for _, e := range a.Dropped {
			if !e.Told {
				dropped = append(dropped, store.InboxItem{Box: items[i].Box, Entry: e})
			}
		}
	}
	if len(dropped) > 0 { // gone without anybody having them: reported, if the routers are there
		_ = s.report(ctx, dropped)
	}
	return out, answer(err)
}

// OpenInbox makes a session live.
func (s *Service) OpenInbox(ctx context.Context, in *presencev1.OpenInboxRequest) (*presencev1.OpenInboxResponse, error) {
	box, err := boxOf(in.GetLog(), in.GetUser())
	if err == nil {
		err = named("session", in.GetSession())
	}
	if err != nil {
		return nil, err
	}
	if len(in.GetStart()) > maxPartition {
		return nil, status.Errorf(codes.InvalidArgument, "start: at most %d partitions", maxPartition)
	}
	covered, err := spansOf(in.GetCovered())
	if err != nil {
		return nil, err
	}
	err = s.call(ctx, func(ctx context.Context) error {
		if len(covered) > 0 { // first: what is covered must not be read
			if _, err := s.o.Store.ReceiveInbox(ctx, box, covered, nil); err != nil {
				return err
			}
		}
		return s.o.Store.ConnectInbox(ctx, box, in.GetSession(), in.GetStart())
	})
	return &presencev1.OpenInboxResponse{}, err
}

func spansOf(in []*presencev1.Span) ([]inbox.Span, error) {
	if len(in) > maxSpans {
		return nil, status.Errorf(codes.InvalidArgument, "spans: at most %d at a time", maxSpans)
	}
	out := make([]inbox.Span, 0, len(in))
	for _, sp := range in {
		if sp.GetFrom() < 0 || sp.GetTo() < sp.GetFrom() {
			return nil, status.Error(codes.InvalidArgument, "spans: from and to must be offsets in order")
		}
		out = append(out, inbox.Span{Partition: sp.GetPartition(), From: sp.GetFrom(), To: sp.GetTo()})
	}
	return out, nil
}

// CloseInbox ends a session.
func (s *Service) CloseInbox(ctx context.Context, in *presencev1.CloseInboxRequest) (*presencev1.CloseInboxResponse, error) {
	box, err := boxOf(in.GetLog(), in.GetUser())
	if err == nil {
		err = named("session", in.GetSession())
	}
	if err != nil {
		return nil, err
	}
	return &presencev1.CloseInboxResponse{}, s.call(ctx, func(ctx context.Context) error {
		return s.o.Store.DisconnectInbox(ctx, box, in.GetSession())
	})
}

// ReadInbox returns a page of what waits before a session's start.
func (s *Service) ReadInbox(ctx context.Context, in *presencev1.ReadInboxRequest) (*presencev1.ReadInboxResponse, error) {
	box, err := boxOf(in.GetLog(), in.GetUser())
	if err == nil {
		err = named("session", in.GetSession())
	}
	if err != nil {
		return nil, err
	}
	limit, bytes := int(in.GetLimit()), int(in.GetBytes())
	if limit == 0 || limit > maxEntries {
		limit = pageEntries
	}
	if bytes == 0 || bytes > maxPageBytes {
		bytes = pageBytes
	}
	var entries []inbox.Entry
	out := &presencev1.ReadInboxResponse{}
	err = s.call(ctx, func(ctx context.Context) (err error) {
		entries, out.More, err = s.o.Store.ReadInbox(ctx, box, in.GetSession(), in.GetAfter(), limit, bytes)
		return err
	})
	for _, e := range entries {
		out.Entries = append(out.Entries, &presencev1.InboxEntry{User: box.User, Id: e.ID, Partition: e.Partition, Offset: e.Offset,
			TimeMs: e.At.UnixMilli(), Record: e.Value, Seq: e.Seq})
	}
	return out, err
}

// Receive removes what one of the user's sockets has.
func (s *Service) Receive(ctx context.Context, in *presencev1.ReceiveRequest) (*presencev1.ReceiveResponse, error) {
	box, err := boxOf(in.GetLog(), in.GetUser())
	if err != nil {
		return nil, err
	}
	spans, err := spansOf(in.GetSpans())
	if err != nil {
		return nil, err
	}
	if len(in.GetIds()) > maxIDs {
		return nil, status.Errorf(codes.InvalidArgument, "ids: at most %d at a time", maxIDs)
	}
	var gone int
	err = s.call(ctx, func(ctx context.Context) (err error) {
		gone, err = s.o.Store.ReceiveInbox(ctx, box, spans, in.GetIds())
		return err
	})
	return &presencev1.ReceiveResponse{Received: uint32(gone)}, err
}

// LookInbox tells where one event stands with some users.
func (s *Service) LookInbox(ctx context.Context, in *presencev1.LookInboxRequest) (*presencev1.LookInboxResponse, error) {
	if len(in.GetUsers()) > maxIDs || in.GetOffset() < 0 {
		return nil, status.Errorf(codes.InvalidArgument, "users: at most %d; offset: not negative", maxIDs)
	}
	boxes := make([]store.Box, len(in.GetUsers()))
	for i, u := range in.GetUsers() {
		var err error
		if boxes[i], err = boxOf(in.GetLog(), u); err != nil {
			return nil, err
		}
	}
	var standings []inbox.Standing
	err := s.call(ctx, func(ctx context.Context) (err error) {
		standings, err = s.o.Store.LookInbox(ctx, boxes, inbox.Place{Partition: in.GetPartition(), Offset: in.GetOffset()})
		return err
	})
	out := &presencev1.LookInboxResponse{Looks: make([]*presencev1.Look, len(standings))}
	for i, st := range standings {
		out.Looks[i] = &presencev1.Look{State: looks[st]}
	}
	return out, err
}

var looks = map[inbox.Standing]presencev1.Look_State{
	inbox.Expected: presencev1.Look_EXPECTED, inbox.Waiting: presencev1.Look_WAITING,
	inbox.Reported: presencev1.Look_REPORTED, inbox.Taken: presencev1.Look_TAKEN,
}
