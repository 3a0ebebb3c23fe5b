package hub

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/edumatrix/interlink/services/gateway/internal/cursor"
)

const (
	baseTimeout = 3 * time.Second
	// basesKept is how long a base may be cited as part of its TTL: the rest is for cursors that are out already.
	basesKept = 2
)

// pen mints the gateway's cursors. It belongs to the sequencer.
type pen struct {
	signer  *cursor.Signer
	life    uint64
	epoch   uint64
	era     uint64
	offsets []int64 // next offset by partition: what every shard has been handed
	times   []int64 // of the record before it, epoch milliseconds

	cited   cursor.Base   // ID 0: none, the vector goes inline
	putting uint64        // id of a base that is being stored, 0: none
	moved   bool          // since the last base was made
	lost    bool          // the store has lost what was stored
	recent  []cursor.Base // stored within the window, the latest last: clients may come back with cursors that cite them
}

// begin starts at the core's positions.
func (p *pen) begin(epoch string, offsets []int64) {
	p.epoch = cursor.Epoch(epoch)
	p.offsets, p.times = slices.Clone(offsets), make([]int64, len(offsets))
	p.cited, p.putting, p.moved, p.recent = cursor.Base{}, 0, true, nil
}

func (p *pen) move(partition uint32, next, timeMs int64) {
	if next > p.offsets[partition] {
		p.offsets[partition], p.moved = next, true
	}
	if timeMs > 0 {
		p.times[partition] = timeMs
	}
}

// append appends the cursor of the present position.
func (p *pen) append(b []byte, now time.Time) []byte {
	base := &p.cited
	if base.ID == 0 {
		base = &cursor.Base{Epoch: p.epoch, Life: p.life}
	}
	return p.signer.Append(b, base, p.era, p.offsets, now.UnixMilli())
}

// base stores the present position, one base at a time. Cursors cite it once it is stored.
func (h *Hub) base(ctx context.Context) {
	p := &h.pens
	if p.cited.ID != 0 && h.now.UnixMilli()-p.cited.MadeMs > h.options.BaseTTL.Milliseconds()/basesKept {
		p.cited = cursor.Base{} // too old: it must outlive the cursors that cite it
	}
	if h.options.Bases != nil && p.lost && h.restore(ctx) {
		return
	}
	if h.options.Bases == nil || p.putting != 0 || (!p.moved && p.cited.ID != 0) {
		return
	}
	made := cursor.Base{
		ID: h.options.Random() | 1, Epoch: p.epoch, Life: p.life, MadeMs: h.now.UnixMilli(),
		Offsets: slices.Clone(p.offsets), TimesMs: slices.Clone(p.times),
	}
	p.putting, p.moved = made.ID, false
	h.background.Go(func() {
		err := h.putBase(ctx, &made)
		h.do(func() { h.based(made, err) })
	})
}

func (h *Hub) putBase(ctx context.Context, b *cursor.Base) error {
	ctx, cancel := context.WithTimeout(ctx, baseTimeout)
	defer cancel()
	return h.options.Bases.PutBase(ctx, BaseID(b.ID), b.Append(nil), h.options.BaseTTL)
}

func (h *Hub) based(made cursor.Base, err error) {
	p := &h.pens
	if p.putting != made.ID {
		return // another topic since
	}
	p.putting = 0
	if err != nil {
		p.moved = true
		h.logger.Debug("cursor base not stored", "error", err)
		return
	}
	p.cited = made
	horizon := h.now.Add(-h.options.Window - evictionsSlack).UnixMilli()
	old := 0
	for old+1 < len(p.recent) && p.recent[old+1].MadeMs < horizon { // it was cited until the next was made
		old++
	}
	if n := len(p.recent); n == 0 || p.recent[n-1].ID != made.ID {
		p.recent = append(p.recent[:0], append(p.recent[old:], made)...)
	}
}

// BaseID is the name that a base is stored by.
func BaseID(id uint64) string { return fmt.Sprintf("%016x", id) }

// Forgotten tells that the store has lost what was written: the bases that clients may still come back with are stored
// again, the latest first, which is cited from then on. Any goroutine.
func (h *Hub) Forgotten() {
	h.do(func() {
		p := &h.pens
		p.cited, p.putting, p.moved, p.lost = cursor.Base{}, 0, true, true
		h.renewed = time.Time{} // now
	})
}

// restore stores the recent bases again; true if there are any.
func (h *Hub) restore(ctx context.Context) bool {
	p := &h.pens
	if p.lost = false; len(p.recent) == 0 {
		return false
	}
	again := slices.Clone(p.recent)
	slices.Reverse(again)
	p.putting = again[0].ID
	h.background.Go(func() {
		for i, b := range again {
			err := h.putBase(ctx, &b)
			if i == 0 {
				h.do(func() { h.based(b, err) })
			}
			if err != nil {
				return // the store is away again: who comes with one of these starts anew
			}
		}
	})
	return true
}
