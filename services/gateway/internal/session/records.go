package session

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/edumatrix/interlink/services/gateway/internal/cursor"
	"github.com/edumatrix/interlink/services/gateway/internal/hub"
	"github.com/edumatrix/interlink/services/gateway/internal/resume"
	"github.com/edumatrix/interlink/services/internal/sessionrecord"
)

// Store keeps session records and cursor bases for all gateways. All methods block. An error of Write may mean that it
// was done, or will be.
type Store interface {
	Write(ctx context.Context, w sessionrecord.Write, ttl time.Duration) (Stored, error)
	Read(ctx context.Context, session string) (r sessionrecord.Record, run string, err error) // ErrNotStored
	// End keeps a record of a life's for ttl more, or removes it if that is 0, unless it is of a later version.
	End(ctx context.Context, session string, life sessionrecord.Life, version uint64, ttl time.Duration) error
	Base(ctx context.Context, id uint64) (cursor.Base, error) // ErrNotStored
}

// Stored is the store's answer to a write.
type Stored struct {
	Outcome sessionrecord.Outcome
	Version uint64
	Run     string
}

// What a store answers for good.
var (
	ErrNotStored = errors.New("session: nothing is stored by that name")
	ErrRefused   = errors.New("session: the store refuses such a record")
)

const (
	recordTimeout  = time.Second             // of one write
	recordPatience = 1500 * time.Millisecond // of a join, before the store counts as away
	recordAgain    = 100 * time.Millisecond
	retryIdle      = time.Second            // of what nobody waits for
	probeEvery     = 500 * time.Millisecond // of a store that is away
	adoptTries     = 3
	urgentWrites   = 128     // at once
	idleWrites     = 8       // at once, of records that nobody waits for
	idleMost       = 200_000 // ends of sessions that wait, beyond which they are dropped
	orphansMost    = 50_000
	leastTTL       = 30 * time.Minute // of the record of a live session, which is written again at half of it
	recordSlack    = time.Minute      // beyond the window, that the record of a lost session is kept
)

// records writes the records of this gateway's sessions (DESIGN, "Delivery", 5 and 6). Before a join is acknowledged
// the store has it, or the era was raised, so that no record without it can be taken for enough.
//
// Invariant: whoever was given a cursor of era e, and a room's acknowledgement before, has that room in every record of
// his whose era is e or above.
type records struct {
	handler *Handler
	store   *heard
	life    sessionrecord.Life
	urgent  *pool
	idle    *pool

	mu      sync.Mutex // guards what follows
	era     uint64
	tried   bool // a write of the present era was tried
	away    bool
	lost    uint64                  // how often the store lost what it knew
	orphans []*sessionrecord.Writer // of sessions that have ended and could not be written
	pending int                     // in idle
}

func newRecords(h *Handler) *records {
	return &records{handler: h, store: &heard{Store: h.options.Store, now: h.options.Now}, life: resume.Life(h.options.Life), urgent: newPool(urgentWrites), idle: newPool(idleWrites)}
}

// ttl is how long the record of a live session is kept.
func (r *records) ttl() time.Duration { return max(leastTTL, 4*r.handler.options.ResumeWindow) }

// lostTTL is how long a record outlives its socket.
func (r *records) lostTTL() time.Duration { return r.handler.options.ResumeWindow + recordSlack }

// attempt notes that a write of the present era is tried; false if the store is away.
func (r *records) attempt() (era uint64, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.away {
		return r.era, false
	}
	r.tried = true
	return r.era, true
}

// present is the era now, and whether the store is away.
func (r *records) present() (era uint64, away bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.era, r.away
}

// raised returns the era that cursors must be of before a join that was made in the era joined is acknowledged without
// the store.
func (r *records) raised(joined uint64) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.era == joined && r.tried {
		r.era++
		r.tried = false
	}
	return r.era
}

// failed notes that the store does not answer.
func (r *records) failed(err error) {
	r.mu.Lock()
	was := r.away
	r.away = true
	r.mu.Unlock()
	if !was {
		r.handler.options.Logger.Warn("session records cannot be written", "error", err)
	}
}

// run looks whether a store that is away is back, until ctx ends.
func (r *records) run(ctx context.Context) {
	r.urgent.start(ctx)
	r.idle.start(ctx)
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if _, away := r.present(); away && r.probe(ctx) {
				r.back()
			}
		case <-ctx.Done():
			r.urgent.wait()
			r.idle.wait()
			return
		}
	}
}

func (r *records) probe(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, recordTimeout)
	defer cancel()
	_, _, err := r.store.Read(ctx, "probe")
	return err == nil || errors.Is(err, ErrNotStored)
}

// back writes what could not be written, paced.
func (r *records) back() {
	r.mu.Lock()
	r.away = false
	orphans, era := r.orphans, r.era
	r.orphans = nil
	r.mu.Unlock()
	r.handler.options.Logger.Info("session records can be written again")
	for _, w := range orphans {
		r.idle.do(func(ctx context.Context) { r.adopt(ctx, w) })
	}
	r.handler.options.Hub.Each(func(c hub.Conn) {
		if st, ok := c.(*session); ok && st.recorded() && (st.kept == nil || st.kept.era != era) {
			st.writeLater()
		}
	})
}

// forgotten has everything written again.
func (r *records) forgotten() {
	r.mu.Lock()
	r.lost++
	r.mu.Unlock()
	r.handler.options.Hub.Each(func(c hub.Conn) {
		if st, ok := c.(*session); ok && st.recorded() {
			w := st.writer()
			w.Rewrite(w.Era())
			st.writeLater()
		}
	})
}

// losses counts how often the store is known to have lost what it knew.
func (r *records) losses() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lost
}

// orphan keeps the record of a session that has ended for when the store is back: its client may come back elsewhere.
func (r *records) orphan(w *sessionrecord.Writer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.orphans) < orphansMost {
		r.orphans = append(r.orphans, w)
	}
}

// adopt writes the record of a session that has ended.
func (r *records) adopt(ctx context.Context, w *sessionrecord.Writer) {
	for n := 1; ; n++ {
		era, ok := r.attempt()
		if !ok {
			r.orphan(w)
			return
		}
		w.Rewrite(era)
		write, _ := w.Next()
		stored, err := r.write(ctx, write, r.lostTTL())
		switch {
		case errors.Is(err, ErrRefused), ctx.Err() != nil:
			return
		case err != nil:
			w.Failed()
			if n >= adoptTries {
				r.failed(err)
			}
		case !w.Done(stored.Outcome, stored.Version, stored.Run), stored.Outcome == sessionrecord.Written:
			return
		}
	}
}

func (r *records) write(ctx context.Context, w sessionrecord.Write, ttl time.Duration) (Stored, error) {
	ctx, cancel := context.WithTimeout(ctx, recordTimeout)
	defer cancel()
	return r.store.Write(ctx, w, ttl)
}

// end lets go of a record.
func (r *records) end(ctx context.Context, session string, version uint64, ttl time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, recordTimeout)
	defer cancel()
	if err := r.store.End(ctx, session, r.life, version, ttl); err != nil {
		r.handler.options.Logger.Debug("session record not ended", "error", err)
	}
}

// later runs work that nobody waits for; what comes while too much waits is dropped.
func (r *records) later(work func(ctx context.Context)) {
	r.mu.Lock()
	full := r.pending >= idleMost
	if !full {
		r.pending++
	}
	r.mu.Unlock()
	if full {
		return
	}
	r.idle.do(func(ctx context.Context) {
		r.mu.Lock()
		r.pending--
		r.mu.Unlock()
		work(ctx)
	})
}
