package session

import (
	"context"
	"errors"
	"slices"
	"time"

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

// keepRecord begins the record of a session that starts now. Everything about a record is on the shard.
func (st *session) keepRecord(start resume.Start) {
	h := st.handler
	if h.records == nil {
		return
	}
	era, _ := h.records.present()
	st.writer = sessionrecord.NewWriter(sessionrecord.Record{
		Session: st.pid, Socket: st.member.Socket, User: st.member.User, Life: h.records.life, Era: era,
		Start: start.Append(nil), Extra: []byte(h.options.Gateway), Rooms: st.entries(),
	})
}

// entries are the session's rooms as a record has them.
func (st *session) entries() []string {
	grants := st.member.Grants()
	out := make([]string, len(grants))
	for i, g := range grants {
		out[i] = resume.Entry{Room: g.Room, Permissions: g.Permissions, Internal: g.Internal}.String()
	}
	slices.Sort(out)
	return out
}

// compare tells the writer which rooms have come and gone.
func (st *session) compare() {
	now, before := st.entries(), st.writer.Rooms()
	for _, e := range before {
		if _, in := slices.BinarySearch(now, e); !in {
			st.writer.Leave(e)
		}
	}
	for _, e := range now {
		if _, in := slices.BinarySearch(before, e); !in {
			st.writer.Join(e)
		}
	}
}

// whenRecorded calls then when the record has the session as it is now, or when the store has been away for long enough:
// then gets the era that cursors have to be of at least.
func (st *session) whenRecorded(then func(era uint64)) {
	if st.writer == nil {
		then(0)
		return
	}
	st.compare()
	if !st.writer.Due() {
		then(0)
		return
	}
	r := st.some()
	era, _ := st.handler.records.present()
	r.waiters = append(r.waiters, waiter{mark: st.writer.Mark(), joined: era, since: st.handler.options.Now(), then: then})
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
	if st.writer == nil || st.later {
		return
	}
	st.later = true
	h := st.handler
	h.records.idle.do(func(ctx context.Context) {
		turn := make(chan func(), 1)
		h.options.Hub.Do(int(st.shard), func() {
			st.later = false
			if st.state == closed || st.writer == nil {
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
	if !st.writer.Due() {
		return sessionrecord.Write{}, false
	}
	era, ok := st.handler.records.attempt()
	if !ok {
		st.unrecorded()
		return sessionrecord.Write{}, false
	}
	if st.writer.Era() != era {
		st.writer.Rewrite(era)
	}
	return st.writer.Next()
}

// send sends a write and reports it back. It blocks.
func (st *session) send(ctx context.Context, write sessionrecord.Write) {
	records := st.handler.records
	stored, err := records.write(ctx, write, records.ttl())
	st.handler.options.Hub.Do(int(st.shard), func() { st.wrote(stored, err) })
}

// wrote takes the store's answer.
func (st *session) wrote(stored Stored, err error) {
	if st.writer == nil { // moved to another gateway
		return
	}
	h := st.handler
	switch {
	case errors.Is(err, ErrRefused):
		h.options.Logger.Error("session record refused", "error", err)
		st.writer.Failed()
		st.unrecorded()
		return
	case err != nil:
		st.writer.Failed()
		st.writeFailed(err)
		return
	case !st.writer.Done(stored.Outcome, stored.Version, stored.Run):
		st.writer = nil
		st.taken()
		return
	}
	if st.state == closed {
		st.endRecord()
		return
	}
	st.recorded = h.options.Now().Unix()
	for st.rare != nil && len(st.rare.waiters) > 0 && st.writer != nil && st.writer.Covers(st.rare.waiters[0].mark) {
		w := st.rare.waiters[0]
		st.rare.waiters = st.rare.waiters[1:]
		w.then(0)
	}
	st.tidy()
	if st.writer != nil && st.state != closed {
		st.writeNow()
	}
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
		if st.state != closed && st.writer != nil {
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
	if st.writer == nil || st.recorded == 0 {
		return
	}
	if st.handler.options.Now().Unix()-st.recorded > int64(st.handler.records.ttl().Seconds()/2) {
		st.recorded = st.handler.options.Now().Unix()
		st.writer.Touch()
		st.writeLater()
	}
}

// endRecord lets go of the record of a session that has ended: at once if for good, else it is kept as long as its
// client may come back.
func (st *session) endRecord() {
	w := st.writer
	if w == nil || w.InFlight() {
		return // wrote comes back to it
	}
	st.writer = nil
	records := st.handler.records
	pid, version := st.pid, w.Version()
	if era, away := records.present(); !st.over && (away || w.Due() || w.Era() != era) {
		records.later(func(ctx context.Context) { records.adopt(ctx, w) })
		return
	}
	ttl := records.lostTTL()
	if st.over {
		ttl = 0
	}
	records.later(func(ctx context.Context) {
		records.end(ctx, pid, version, ttl)
	})
}

// taken ends a socket whose session goes on elsewhere.
func (st *session) taken() {
	if st.state != closed && st.socket != nil {
		st.socket.CloseTransport(engine.Server)
	}
}
