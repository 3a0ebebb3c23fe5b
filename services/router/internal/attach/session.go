package attach

import (
	"maps"
	"math"
	"slices"
	"time"

	deliveryv1 "github.com/edumatrix/interlink/proto/delivery/v1"
	"github.com/edumatrix/interlink/services/router/internal/history"
	"github.com/edumatrix/interlink/services/router/internal/partitionlog"
	"github.com/edumatrix/interlink/services/router/internal/partitions"
)

const (
	// messageBytes bounds the records of one Ranges message, so that one stays below gRPC's limit of 4 MiB.
	messageBytes = 1 << 20
	// partitionBytes bounds one partition's part of a message, so that a busy one leaves room for the others.
	partitionBytes = 256 << 10
)

// session is what a router knows of one gateway's stream, and decides what to send next. One goroutine uses it.
//
// Invariants, for each served partition: pos <= scanned; no record of [pos, scanned) addresses a room of interest;
// a range is sent from pos only, filtered with number.
type session struct {
	every    time.Duration
	maximum  int64
	window   int64 // bytes of ranges that may still be sent; a message may overdraw it by one record
	number   uint64
	interest map[uint64]struct{} // nil before the snapshot
	confirm  bool                // a number was applied and no range has told so yet
	told     time.Time           // when the last full round of ranges went out
	parts    map[int]*part
	ids      []int              // the keys of parts, sorted
	first    int                // the index into ids to begin the next message with
	gone     []*deliveryv1.Gone // to be told
	beyond   map[int]int64      // positions that lie behind the end of a partition, for longer than a moment
}

type part struct {
	log     *partitionlog.Log
	pos     int64 // -1: the gateway has not said yet where to serve from
	scanned int64
	seek    uint64
	behind  bool          // the log does not reach back to scanned
	chunk   history.Chunk // what was read from Kafka for it
	ahead   time.Time     // since when pos lies behind the log's end, zero if it does not
}

// moment is how long a gateway may be ahead of a log: another router may have read a little more.
const moment = time.Second

func newSession(window int64, every time.Duration) *session {
	return &session{window: window, maximum: window, every: every, parts: map[int]*part{}}
}

// own takes what the router holds now. It returns the message that tells the gateway, or nil if nothing changed.
func (s *session) own(all []partitions.Owned) *deliveryv1.AttachRequest {
	changed := len(all) != len(s.parts)
	for _, o := range all {
		if p := s.parts[o.Partition]; p == nil || p.log != o.Log {
			changed = true
		}
	}
	if !changed {
		return nil
	}
	parts := make(map[int]*part, len(all))
	for _, o := range all {
		p := s.parts[o.Partition]
		switch {
		case p == nil:
			p = &part{log: o.Log, pos: -1}
		case p.log != o.Log: // began anew, at the same place: whether that still is one shows when it is served
			old := p
			p = &part{log: o.Log, seek: old.seek}
			p.place(old.pos)
		}
		parts[o.Partition] = p
	}
	s.parts, s.ids, s.first = parts, slices.Sorted(maps.Keys(parts)), 0
	return &deliveryv1.AttachRequest{Kind: &deliveryv1.AttachRequest_Owned{Owned: &deliveryv1.Owned{Owned: ownership(all)}}}
}

func ownership(all []partitions.Owned) []*deliveryv1.Ownership {
	out := make([]*deliveryv1.Ownership, len(all))
	for i, o := range all {
		_, next, last := o.Log.Bounds()
		out[i] = &deliveryv1.Ownership{Partition: uint32(o.Partition), Head: next, HeadTimeMs: last}
	}
	return out
}

// apply takes what the gateway said.
func (s *session) apply(m *deliveryv1.AttachResponse) {
	switch k := m.GetKind().(type) {
	case *deliveryv1.AttachResponse_Snapshot:
		s.snapshot(k.Snapshot)
	case *deliveryv1.AttachResponse_Delta:
		s.delta(k.Delta)
	case *deliveryv1.AttachResponse_Seek:
		if p := s.parts[int(k.Seek.GetPartition())]; p != nil && k.Seek.GetOffset() >= 0 {
			p.place(k.Seek.GetOffset())
			p.seek = k.Seek.GetNumber()
		}
	case *deliveryv1.AttachResponse_Position:
		if p := s.parts[int(k.Position.GetPartition())]; p != nil && k.Position.GetOffset() >= 0 {
			p.place(k.Position.GetOffset())
		}
	case *deliveryv1.AttachResponse_Credit:
		s.window = min(s.window+max(k.Credit.GetBytes(), 0), s.maximum)
	}
}

func (p *part) place(offset int64) {
	p.pos, p.scanned, p.behind, p.chunk = offset, offset, false, history.Chunk{}
}

func (s *session) snapshot(m *deliveryv1.Snapshot) {
	s.interest = make(map[uint64]struct{}, len(m.GetRooms()))
	for _, r := range m.GetRooms() {
		s.interest[r] = struct{}{}
	}
	named := make(map[int]int64, len(m.GetPositions()))
	for _, p := range m.GetPositions() {
		named[int(p.GetPartition())] = p.GetOffset()
	}
	for id, p := range s.parts {
		offset, ok := named[id]
		if !ok {
			_, offset, _ = p.log.Bounds()
		}
		p.place(max(offset, 0))
	}
	s.renumber(m.GetNumber())
}

func (s *session) delta(m *deliveryv1.Delta) {
	if s.interest == nil {
		return
	}
	for _, r := range m.GetAdd() {
		s.interest[r] = struct{}{}
	}
	for _, r := range m.GetRemove() {
		delete(s.interest, r)
	}
	s.renumber(m.GetNumber())
}

// renumber: what was scanned was scanned without the new rooms.
func (s *session) renumber(number uint64) {
	s.number, s.confirm = number, true
	for _, p := range s.parts {
		p.scanned = p.pos
	}
}

// next is the next Ranges message, or nil if nothing has to be said now. more means that it was cut short by its size.
func (s *session) next(now time.Time) (m *deliveryv1.AttachRequest, bytes int64, more bool) {
	if s.interest == nil {
		return nil, 0, false
	}
	full := s.confirm || now.Sub(s.told) >= s.every
	ranges := &deliveryv1.Ranges{Number: s.number}
	begin := s.first
	for i := range s.ids {
		index := (begin + i) % len(s.ids) // behind the one served last: none waits for ever behind a busy one
		id := s.ids[index]
		p := s.parts[id]
		if p.pos < 0 {
			continue
		}
		part, cut := s.read(p, bytes)
		more = more || cut
		if len(part.Records) == 0 && !full {
			continue
		}
		ranges.Ranges = append(ranges.Ranges, &deliveryv1.Range{
			Partition: uint32(id), From: p.pos, To: p.scanned, Seek: p.seek, Records: part.Records})
		p.pos = p.scanned
		bytes += part.Bytes
		s.first = (index + 1) % len(s.ids)
	}
	s.window -= bytes
	if len(ranges.Ranges) == 0 && !full {
		return nil, 0, false
	}
	if full {
		s.confirm, s.told = false, now
		s.compare(now)
	}
	return &deliveryv1.AttachRequest{Kind: &deliveryv1.AttachRequest_Ranges{Ranges: ranges}}, bytes, more && s.window > 0
}

// compare notes the positions that stay behind the end of their partition.
func (s *session) compare(now time.Time) {
	for id, p := range s.parts {
		_, head, _ := p.log.Bounds()
		switch {
		case p.pos <= head:
			p.ahead = time.Time{}
		case p.ahead.IsZero():
			p.ahead = now
		case now.Sub(p.ahead) >= moment:
			if s.beyond == nil {
				s.beyond = map[int]int64{}
			}
			s.beyond[id] = p.pos
		}
	}
}

// read scans on from where p was scanned to. cut means that there is more than fits.
func (s *session) read(p *part, used int64) (out partitionlog.Part, cut bool) {
	room := min(partitionBytes, messageBytes-used, s.window-used)
	if room <= 0 {
		_, head, _ := p.log.Bounds()
		return partitionlog.Part{}, p.scanned < head
	}
	out, ok := p.log.Read(p.scanned, math.MaxInt64, s.interest, room)
	p.behind = !ok
	if !ok {
		out = readChunk(p.chunk, p.scanned, s.interest, room)
		if out.To >= p.chunk.To {
			p.chunk = history.Chunk{}
		}
	} else {
		p.chunk = history.Chunk{}
	}
	p.scanned = max(p.scanned, out.To)
	_, head, _ := p.log.Bounds()
	return out, p.scanned < head && (ok || p.chunk.To > p.scanned)
}

// readChunk is Log.Read over what was read from Kafka.
func readChunk(c history.Chunk, from int64, want map[uint64]struct{}, most int64) partitionlog.Part {
	out := partitionlog.Part{To: from}
	if from < c.From || from >= c.To {
		return out
	}
	out.To = c.To
	for i := range c.Entries {
		e := &c.Entries[i]
		if e.Offset < from || !partitionlog.Wanted(e.Rooms, want) {
			continue
		}
		if out.Bytes+int64(len(e.Record)) > most && len(out.Records) > 0 {
			out.To = e.Offset
			break
		}
		out.Records = append(out.Records, e.Record)
		out.Bytes += int64(len(e.Record))
	}
	return out
}

// hungry lists the partitions that need to be read from Kafka, with the offset to read from.
func (s *session) hungry() map[int]int64 {
	var out map[int]int64
	for id, p := range s.parts {
		if p.pos < 0 || !p.behind || p.chunk.To > p.scanned {
			continue
		}
		if out == nil {
			out = map[int]int64{}
		}
		out[id] = p.scanned
	}
	return out
}

// feed takes what was read from Kafka. It is refused if the partition is served from elsewhere by now.
func (s *session) feed(partition int, c history.Chunk) bool {
	p := s.parts[partition]
	if p == nil || p.pos < 0 || !p.behind || c.From > p.scanned || c.To <= p.scanned {
		return false
	}
	p.chunk = c
	return true
}

// expired: Kafka has nothing below earliest. The gateway is told, and what follows is offered from there.
func (s *session) expired(partition int, earliest int64) {
	if p := s.parts[partition]; p != nil && p.behind && p.pos < earliest {
		s.gone = append(s.gone, &deliveryv1.Gone{Partition: uint32(partition), Position: p.pos, Earliest: earliest})
		p.place(earliest)
	}
}

// wanted keeps the records that address a room of the gateway.
func (s *session) wanted(records []Ephemeral) [][]byte {
	var out [][]byte
	for _, r := range records {
		if partitionlog.Wanted(r.Rooms, s.interest) {
			out = append(out, r.Record)
		}
	}
	return out
}
