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
	epoch   uint64
	era     uint64
	offsets []int64 // next offset by partition: what every shard has been handed
	times   []int64 // of the record before it, epoch milliseconds

	cited   cursor.Base // ID 0: none, the vector goes inline
	putting uint64      // id of a base that is being stored, 0: none
	moved   bool        // since the last base was made
}

// begin starts at the core's positions.
func (p *pen) begin(epoch string, offsets []int64) {
	p.epoch = cursor.Epoch(epoch)
	p.offsets, p.times = slices.Clone(offsets), make([]int64, len(offsets))
	p.cited, p.putting, p.moved = cursor.Base{}, 0, true
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
		base = &cursor.Base{Epoch: p.epoch}
	}
	return p.signer.Append(b, base, p.era, p.offsets, now.UnixMilli())
}

// base stores the present position, one base at a time. Cursors cite it once it is stored.
func (h *Hub) base(ctx context.Context) {
	p := &h.pens
	if p.cited.ID != 0 && h.now.UnixMilli()-p.cited.MadeMs > h.options.BaseTTL.Milliseconds()/basesKept {
		p.cited = cursor.Base{} // too old: it must outlive the cursors that cite it
	}
	if h.options.Bases == nil || p.putting != 0 || (!p.moved && p.cited.ID != 0) {
		return
	}
	made := cursor.Base{
		ID: h.options.Random() | 1, Epoch: p.epoch, MadeMs: h.now.UnixMilli(),
		Offsets: slices.Clone(p.offsets), TimesMs: slices.Clone(p.times),
	}
	p.putting, p.moved = made.ID, false
	h.background.Add(1)
	go func() {
		defer h.background.Done()
		ctx, cancel := context.WithTimeout(ctx, baseTimeout)
		defer cancel()
		err := h.options.Bases.PutBase(ctx, BaseID(made.ID), made.Append(nil), h.options.BaseTTL)
		h.do(func() { h.based(made, err) })
	}()
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
}

// BaseID is the name that a base is stored by.
func BaseID(id uint64) string { return fmt.Sprintf("%016x", id) }

// Forgotten tells that the store has lost what was written: the base that is cited is made anew. Any goroutine.
func (h *Hub) Forgotten() {
	h.do(func() { h.pens.cited, h.pens.putting, h.pens.moved = cursor.Base{}, 0, true })
}
