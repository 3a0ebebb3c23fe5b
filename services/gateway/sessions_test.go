package gateway

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	presencev1 "github.com/edumatrix/interlink/proto/presence/v1"
	"github.com/edumatrix/interlink/services/internal/sessionrecord"
)

// sessionStore keeps session records by the rules of sessionrecord, in a store that can forget, fail over and refuse
// writes. The backend's lock guards it.
type sessionStore struct {
	run      int
	records  map[string]*sessionrecord.Record
	before   map[string]*sessionrecord.Record // what a record was before its last write
	ttls     map[string]time.Duration
	known    map[string]bool // gateways whose sockets the store knows
	leased   map[string]bool // gateways whose lease is there
	readOnly bool
	writes   int
}

func newSessionStore() sessionStore {
	return sessionStore{
		run: 1, records: map[string]*sessionrecord.Record{}, before: map[string]*sessionrecord.Record{},
		ttls: map[string]time.Duration{}, known: map[string]bool{}, leased: map[string]bool{},
	}
}

func (s *sessionStore) name() string { return fmt.Sprint("run ", s.run) }

func (s *sessionStore) renew(gateway string) (run string, forgotten bool) {
	s.leased[gateway] = true
	return s.name(), !s.known[gateway]
}

// synced reports whether the gateway's lease is not known.
func (s *sessionStore) synced(gateway string, full bool) (forgotten bool) {
	if s.leased[gateway] && full {
		s.known[gateway] = true
	}
	return !s.leased[gateway]
}

// flush empties the store.
func (b *backend) flush() {
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.records.records)
	clear(b.records.known)
	clear(b.records.leased)
	clear(b.bases)
}

// failOver makes another server the store: it lacks the last write of every record.
func (b *backend) failOver() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.records.run++
	for id, r := range b.records.before {
		if r == nil {
			delete(b.records.records, id)
		} else {
			b.records.records[id] = r
		}
	}
	clear(b.records.known)
	clear(b.records.leased)
}

// setReadOnly has writes of records fail.
func (b *backend) setReadOnly(readOnly bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.records.readOnly = readOnly
}

// record is what is stored of a session, nil if nothing is.
func (b *backend) record(id string) *sessionrecord.Record {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.records.records[id]
}

func (b *backend) write(w sessionrecord.Write, ttlMs int64) (outcome sessionrecord.Outcome, version uint64, run string, err error) {
	err = b.do(func() {
		s := &b.records
		if s.readOnly {
			return
		}
		s.writes++
		before := s.records[w.Record.Session]
		var next *sessionrecord.Record
		next, outcome = sessionrecord.Apply(before, w, s.name())
		if run = s.name(); outcome == sessionrecord.Written {
			s.before[w.Record.Session], s.records[w.Record.Session] = before, next
			s.ttls[w.Record.Session], version = time.Duration(ttlMs)*time.Millisecond, next.Version
		}
	})
	if err == nil && outcome == 0 {
		err = errAway
	}
	return outcome, version, run, err
}

func readRecord(r *presencev1.SessionRecord) sessionrecord.Record {
	out := sessionrecord.Record{
		Session: r.Session, Socket: r.Socket, User: r.User, Life: sessionrecord.Life(r.Life), Rooms: r.Rooms, Start: r.Start, Extra: r.Extra, Era: r.Era,
	}
	for _, life := range r.Before {
		out.Before = append(out.Before, sessionrecord.Life(life))
	}
	return out
}

var wireOutcomes = map[sessionrecord.Outcome]presencev1.SessionOutcome{
	sessionrecord.Written: presencev1.SessionOutcome_WRITTEN, sessionrecord.NeedWhole: presencev1.SessionOutcome_NEED_WHOLE,
	sessionrecord.Taken: presencev1.SessionOutcome_TAKEN, sessionrecord.Gone: presencev1.SessionOutcome_GONE,
	sessionrecord.Moved: presencev1.SessionOutcome_MOVED, sessionrecord.Untrusted: presencev1.SessionOutcome_UNTRUSTED,
}

func (b *backend) PutSession(_ context.Context, r *presencev1.PutSessionRequest) (*presencev1.PutSessionResponse, error) {
	w := sessionrecord.Write{Kind: sessionrecord.Delta, Record: readRecord(r.Record), Add: r.Add, Remove: r.Remove, Base: r.Base, Run: r.Run}
	if r.Whole {
		w.Kind = sessionrecord.Whole
	}
	outcome, version, run, err := b.write(w, r.TtlMs)
	return &presencev1.PutSessionResponse{Outcome: wireOutcomes[outcome], Version: version, Run: run}, err
}

func (b *backend) TakeSession(_ context.Context, r *presencev1.TakeSessionRequest) (*presencev1.TakeSessionResponse, error) {
	outcome, version, run, err := b.write(sessionrecord.Write{
		Kind: sessionrecord.Take, Record: readRecord(r.Record), Base: r.Version,
		Cursor: sessionrecord.Cursor{Life: sessionrecord.Life(r.CursorLife), Era: r.CursorEra},
	}, r.TtlMs)
	return &presencev1.TakeSessionResponse{Outcome: wireOutcomes[outcome], Version: version, Run: run}, err
}

func (b *backend) GetSession(_ context.Context, r *presencev1.GetSessionRequest) (*presencev1.GetSessionResponse, error) {
	var record *sessionrecord.Record
	answer := &presencev1.GetSessionResponse{}
	if err := b.do(func() { record, answer.Run = b.records.records[r.Session], b.records.name() }); err != nil {
		return nil, err
	}
	if record == nil {
		return nil, status.Error(codes.NotFound, "no such session")
	}
	answer.Record = &presencev1.SessionRecord{
		Session: record.Session, Socket: record.Socket, User: record.User, Life: string(record.Life), Rooms: record.Rooms,
		Start: record.Start, Extra: record.Extra, Version: record.Version, Era: record.Era, Run: record.Run,
	}
	for _, life := range record.Before {
		answer.Record.Before = append(answer.Record.Before, string(life))
	}
	return answer, nil
}

func (b *backend) EndSession(_ context.Context, r *presencev1.EndSessionRequest) (*presencev1.EndSessionResponse, error) {
	return &presencev1.EndSessionResponse{}, b.do(func() {
		s := &b.records
		record := s.records[r.Session]
		if record == nil || string(record.Life) != r.Life || record.Version > r.Version {
			return
		}
		if s.ttls[r.Session] = time.Duration(r.TtlMs) * time.Millisecond; r.TtlMs == 0 {
			delete(s.records, r.Session)
		}
	})
}

func (b *backend) GetBase(_ context.Context, r *presencev1.GetBaseRequest) (*presencev1.GetBaseResponse, error) {
	answer := &presencev1.GetBaseResponse{}
	if err := b.do(func() { answer.Vector = b.bases[r.Base] }); err != nil {
		return nil, err
	}
	if answer.Vector == nil {
		return nil, status.Error(codes.NotFound, "no such base")
	}
	return answer, nil
}
