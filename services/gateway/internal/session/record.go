package session

import (
	"context"
	"errors"
	"slices"
	"time"
	"unique"

	"github.com/cespare/xxhash/v2"

	"github.com/edumatrix/interlink/services/gateway/internal/engine"
	"github.com/edumatrix/interlink/services/gateway/internal/hub"
	"github.com/edumatrix/interlink/services/gateway/internal/resume"
	"github.com/edumatrix/interlink/services/internal/sessionrecord"
)

// waiter is something that may happen when the record covers the mark, or the era was raised.
type waiter struct {
	mark   uint64
	joined uint64 // era in which the room was joined
	since  time.Time
	// then is called on the shard; era is what cursors have to be of at least, 0 if any will do.
	then func(era uint64)
}

// kept is what a session remembers of its record while nothing is to be written: as little as it takes to go on, for
// there are very many. A write in its making is in rare.
type kept struct {
	version, era uint64
	run          unique.Handle[string]
	start        string
	before       *[]sessionrecord.Life // nil: none, as with most
	rooms        []uint64              // hashes of the entries, ordered
	at           uint32                // when it was written last, epoch seconds
}

func (k *kept) lives() []sessionrecord.Life {
	if k.before == nil {
		return nil
	}
	return *k.before
}

// keepRecord begins the record of a session that starts now. Everything about a record is on the shard.
func (st *session) keepRecord(start resume.Start) {
	h := st.handler
	if h.records == nil {
		return
	}
	era, _ := h.records.present()
	st.record(sessionrecord.Record{Era: era, Start: start.Append(nil), Rooms: st.entries()})
}

// record begins with a record whose identity is this session's.
func (st *session) record(r sessionrecord.Record) {
	h := st.handler
	r.Session, r.Socket, r.User, r.Life, r.Extra = st.pid, st.member.Socket, st.member.User, h.records.life, []byte(h.options.Gateway)
	st.some().writer = sessionrecord.NewWriter(r)
	st.kept = nil
}

// recorded reports whether a record is kept of the session.
func (st *session) recorded() bool { return st.kept != nil || st.rare != nil && st.rare.writer != nil }

// writer is what writes the record; nil if none is kept.
func (st *session) writer() *sessionrecord.Writer {
	if st.rare != nil && st.rare.writer != nil {
		return st.rare.writer
	}
	k := st.kept
	if k == nil {
		return nil
	}
	rooms := st.entries()
	rooms = slices.DeleteFunc(rooms, func(e string) bool { _, in := slices.BinarySearch(k.rooms, hash(e)); return !in })
	st.record(sessionrecord.Record{
		Era: k.era, Version: k.version, Run: k.run.Value(), Start: []byte(k.start), Before: k.lives(), Rooms: rooms,
	})
	if len(rooms) < len(k.rooms) { // which have gone is not known any more
		st.rare.writer.Rewrite(k.era)
	}
	return st.rare.writer
}

// park lets go of the writer when all is written.
func (st *session) park() {
	w := st.rare.writer
	if w.Due() || w.InFlight() || len(st.rare.waiters) > 0 {
		return
	}
	r := w.Record()
	k := &kept{
		version: w.Version(), era: r.Era, run: unique.Make(w.Run()), start: string(r.Start),
		rooms: make([]uint64, len(r.Rooms)), at: uint32(st.handler.options.Now().Unix()),
	}
	if len(r.Before) > 0 {
		before := slices.Clip(r.Before)
		k.before = &before
	}
	for i, e := range r.Rooms {
		k.rooms[i] = hash(e)
	}
	slices.Sort(k.rooms)
	st.kept, st.rare.writer = k, nil
	st.tidy()
}

func hash(entry string) uint64 { return xxhash.Sum64String(entry) }

// entries are the session's rooms as a record has them, ordered.
func (st *session) entries() []string {
	grants := st.member.Grants()
	out := make([]string, len(grants))
	for i, g := range grants {
		out[i] = resume.Entry{Room: g.Room, Permissions: g.Permissions, Internal: g.Internal}.String()
	}
	slices.Sort(out)
	return out
}

// compare tells the writer which rooms have come and gone, and that the era was raised.
func (st *session) compare() {
	if !st.recorded() {
		return
	}
	now := st.entries()
	era, _ := st.handler.records.present()
	if k := st.kept; k != nil && k.era == era && len(k.rooms) == len(now) &&
		!slices.ContainsFunc(now, func(e string) bool { _, in := slices.BinarySearch(k.rooms, hash(e)); return !in }) {
		return
	}
	w := st.writer()
	before := w.Rooms()
	for _, e := range before {
		if _, in := slices.BinarySearch(now, e); !in {
			w.Leave(e)
		}
	}
	for _, e := range now {
		if _, in := slices.BinarySearch(before, e); !in {
			w.Join(e)
		}
	}
	if w.Era() != era {
		w.Rewrite(era)
	}
}

// whenRecorded calls then when the record has the session as it is now, or when the store has been away for long enough:
// then gets the era that cursors have to be of at least.
func (st *session) whenRecorded(then func(era uint64)) {
	st.compare()
	r := st.rare
	if r == nil || r.writer == nil || !r.writer.Due() {
		then(0)
		return
	}
	era, _ := st.handler.records.present()
	r.waiters = append(r.waiters, waiter{mark: r.writer.Mark(), joined: era, since: st.handler.options.Now(), then: then})
	st.writeNow()
}

// writeNow sends what is due, if no write is in flight; with the store away it is not tried.
func (st *session) writeNow() {
	h := st.handler
	write, ok := st.nextWrite()
	if !ok {
		return
	}
	h.records.urgent.do(func(ctx context.Context) { st.send(ctx, write) })
}

// writeLater has the record written when there is time, with whatever has changed until then.
func (st *session) writeLater() {
	if !st.recorded() || st.later {
		return
	}
	st.later = true
	h := st.handler
	h.records.idle.do(func(ctx context.Context) {
		turn := make(chan func(), 1)
		h.options.Hub.Do(int(st.shard), func() {
			st.later = false
			if st.state == closed || !st.recorded() {
				turn <- nil
				return
			}
			st.compare()
			write, ok := st.nextWrite()
			if !ok {
				turn <- nil
				return
			}
			turn <- func() { st.send(ctx, write) }
		})
		select {
		case write := <-turn:
			if write != nil {
				write()
			}
		case <-ctx.Done():
		}
	})
}

// nextWrite is what is to be sent now. Without a store, who waits goes on.
func (st *session) nextWrite() (sessionrecord.Write, bool) {
	if st.rare == nil || st.rare.writer == nil || !st.rare.writer.Due() {
		return sessionrecord.Write{}, false
	}
	era, ok := st.handler.records.attempt()
	if !ok {
		st.unrecorded()
		return sessionrecord.Write{}, false
	}
	if st.rare.writer.Era() != era {
		st.rare.writer.Rewrite(era)
	}
	return st.rare.writer.Next()
}

// send sends a write and reports it back. It blocks.
func (st *session) send(ctx context.Context, write sessionrecord.Write) {
	records := st.handler.records
	stored, err := records.write(ctx, write, records.ttl())
	st.handler.options.Hub.Do(int(st.shard), func() { st.wrote(stored, err) })
}

// wrote takes the store's answer.
func (st *session) wrote(stored Stored, err error) {
	if st.rare == nil || st.rare.writer == nil { // the record is another's
		return
	}
	w := st.rare.writer
	switch {
	case errors.Is(err, ErrRefused):
		st.handler.options.Logger.Error("session record refused", "error", err)
		w.Failed()
		st.unrecorded()
		return
	case err != nil:
		w.Failed()
		st.writeFailed(err)
		return
	case !w.Done(stored.Outcome, stored.Version, stored.Run):
		st.rare.writer = nil
		st.taken()
		return
	}
	if st.state == closed {
		st.endRecord()
		return
	}
	for st.rare != nil && len(st.rare.waiters) > 0 && w.Covers(st.rare.waiters[0].mark) {
		next := st.rare.waiters[0]
		st.rare.waiters = st.rare.waiters[1:]
		next.then(0)
	}
	if st.state == closed || st.rare == nil || st.rare.writer != w {
		return
	}
	st.writeNow()
	st.park()
}

// writeFailed tries again for a while, as long as somebody waits, and then has the store count as away.
func (st *session) writeFailed(err error) {
	records := st.handler.records
	if st.state == closed {
		st.endRecord()
		return
	}
	if st.rare == nil || len(st.rare.waiters) == 0 {
		st.after(retryIdle, st.writeLater)
		return
	}
	if _, away := records.present(); !away && st.handler.options.Now().Sub(st.rare.waiters[0].since) >= recordPatience {
		records.failed(err)
	}
	if _, away := records.present(); away {
		st.unrecorded()
		return
	}
	st.after(recordAgain, st.writeNow)
}

// after calls f later, if the session still has a record then.
func (st *session) after(d time.Duration, f func()) {
	if st.socket == nil { // on its way here from another gateway, which does not wait for the store
		st.unrecorded()
		return
	}
	st.socket.Shard().After(d, func() {
		if st.state != closed && st.recorded() {
			f()
		}
	})
}

// unrecorded lets who waits go on without the store.
func (st *session) unrecorded() {
	for st.rare != nil && len(st.rare.waiters) > 0 {
		w := st.rare.waiters[0]
		st.rare.waiters = st.rare.waiters[1:]
		w.then(st.handler.records.raised(w.joined))
	}
	st.tidy()
}

// citing calls then with a cursor that may stand before an acknowledgement: of the era, if that is not 0. held is the
// position at which the session is held, nil if it is not. On the shard, now or a little later.
func (st *session) citing(era uint64, held *hub.Outcome, then func(cursor []byte)) {
	h := st.handler
	switch {
	case era == 0 && held != nil:
		then(held.Cursor)
	case era == 0:
		then(st.member.Cursor())
	default:
		h.options.Hub.Mark(int(st.shard), era, func(cursor []byte) {
			if st.state == closed {
				return
			}
			if held != nil {
				cursor = h.options.Hub.Sign(held.At, held.Epoch, era)
			}
			then(cursor)
		})
	}
}

// touch keeps the record of a session that lives long.
func (st *session) touch() {
	k := st.kept
	if k == nil {
		return
	}
	now := uint32(st.handler.options.Now().Unix())
	if now-k.at > uint32(st.handler.records.ttl().Seconds()/2) {
		k.at = now
		st.writer().Touch()
		st.writeLater()
	}
}

// endRecord lets go of the record of a session that has ended: at once if for good, else it is kept as long as its
// client may come back.
func (st *session) endRecord() {
	if !st.recorded() {
		return
	}
	records := st.handler.records
	era, away := records.present()
	if k := st.kept; k != nil && (st.over || !away && k.era == era) {
		st.kept = nil
		st.letGo(k.version)
		return
	}
	w := st.writer()
	if w.InFlight() {
		return // wrote comes back to it
	}
	st.rare.writer = nil
	if !st.over && (away || w.Due() || w.Era() != era) {
		records.later(func(ctx context.Context) { records.adopt(ctx, w) })
		return
	}
	st.letGo(w.Version())
}

// letGo has the store keep a record for as long as its client may come back, or not at all.
func (st *session) letGo(version uint64) {
	records, pid, ttl := st.handler.records, st.pid, time.Duration(0)
	if !st.over {
		ttl = records.lostTTL()
	}
	records.later(func(ctx context.Context) { records.end(ctx, pid, version, ttl) })
}

// forsakeRecord forgets a record that is another's to write from now on, and returns it.
func (st *session) forsakeRecord() (r sessionrecord.Record, ok bool) {
	w := st.writer()
	if w == nil {
		return r, false
	}
	st.kept, st.rare.writer = nil, nil
	return w.Record(), true
}

// taken ends a socket whose session goes on elsewhere.
func (st *session) taken() {
	if st.state != closed && st.socket != nil {
		st.socket.CloseTransport(engine.Server)
	}
}

// recordVersion is the highest that the record may have here; 0 if none is kept.
func (st *session) recordVersion() uint64 {
	switch {
	case st.kept != nil:
		return st.kept.version
	case st.rare != nil && st.rare.writer != nil:
		return st.rare.writer.Version()
	}
	return 0
}
