package engine

// queue is what waits to be written to one session, in order. It belongs to the session's shard.
// Invariants: bytes is the sum of the frames' lengths less written; written bytes of frames[head] are on the wire;
// an empty queue holds no memory beyond itself. Numbers are small, for there is one in every session: the engine's options are bounded so.
type queue struct {
	frames    []*Frame
	inline    [1]*Frame
	head      int32
	written   int32
	bytes     int32
	ephemeral int32 // how many ephemeral frames wait
}

// limits bound a queue. The frame at its head does not count, so that one frame of any size can be sent.
type limits struct{ bytes, events int }

// admission is what became of a frame.
type admission uint8

const (
	queued   admission = iota
	replaced           // instead of an older ephemeral frame
	dropped            // ephemeral, and no room for it
	full               // the session is slow
)

// spares lends slices to queues that hold more than one frame. It belongs to a shard.
type spares struct{ free [][]*Frame }

const (
	spareCap  = 16   // frames in a slice that is lent
	spareKeep = 4096 // slices that are kept
)

func (s *spares) take() []*Frame {
	if n := len(s.free); n > 0 {
		slice := s.free[n-1]
		s.free = s.free[:n-1]
		return slice
	}
	return make([]*Frame, 0, spareCap)
}

func (s *spares) give(slice []*Frame) {
	if cap(slice) == spareCap && len(s.free) < spareKeep {
		s.free = append(s.free, slice[:0])
	}
}

func (q *queue) len() int { return len(q.frames) - int(q.head) }

// behind is the number of bytes behind the head.
func (q *queue) behind() int {
	if q.len() == 0 {
		return 0
	}
	return int(q.bytes) - (q.frames[q.head].Len() - int(q.written))
}

// push admits a frame within the limits. When half of them is used, ephemeral frames give way: the newest of a key stands where the older one
// stood (they are unordered against durable ones), else the oldest ephemeral frame goes, else the new one is not taken.
func (q *queue) push(f *Frame, max limits, s *spares) admission {
	if n := q.len(); n > 1 {
		behind := q.behind()
		if f.class == Ephemeral && (behind >= max.bytes/2 || n >= max.events/2) {
			if !q.yield(f) {
				return dropped
			}
			return replaced
		}
		if behind >= max.bytes || n >= max.events {
			return full
		}
	}
	q.append(f, s)
	return queued
}

func (q *queue) append(f *Frame, s *spares) {
	switch {
	case q.frames == nil:
		q.frames = q.inline[:0]
	case len(q.frames) == cap(q.frames) && q.head > 0:
		q.compact()
	case len(q.frames) == 1 && cap(q.frames) == 1:
		q.frames = append(s.take(), q.frames[0])
		q.inline[0] = nil
	}
	q.frames = append(q.frames, f)
	q.bytes += int32(f.Len())
	if f.class == Ephemeral {
		q.ephemeral++
	}
}

func (q *queue) compact() {
	n := copy(q.frames, q.frames[q.head:])
	clear(q.frames[n:])
	q.frames, q.head = q.frames[:n], 0
}

// yield makes room for an ephemeral frame by removing another one that has not begun to be written.
func (q *queue) yield(f *Frame) bool {
	if q.ephemeral == 0 {
		return false
	}
	first := int(q.head)
	if q.written > 0 {
		first++
	}
	oldest := -1
	for i := first; i < len(q.frames); i++ {
		g := q.frames[i]
		if g.class != Ephemeral {
			continue
		}
		if oldest < 0 {
			oldest = i
		}
		if f.key != "" && g.key == f.key {
			q.frames[i] = f
			q.bytes += int32(f.Len() - g.Len())
			return true
		}
	}
	if oldest < 0 {
		return false
	}
	q.bytes += int32(f.Len() - q.frames[oldest].Len())
	copy(q.frames[oldest:], q.frames[oldest+1:])
	q.frames[len(q.frames)-1] = f
	return true
}

// wrote takes n written bytes off the queue.
func (q *queue) wrote(n int, s *spares) {
	q.bytes -= int32(n)
	n += int(q.written)
	for q.len() > 0 && n >= q.frames[q.head].Len() {
		n -= q.frames[q.head].Len()
		q.pop()
	}
	q.written = int32(n)
	q.release(s)
}

// pop takes the head off without counting its bytes.
func (q *queue) pop() *Frame {
	f := q.frames[q.head]
	q.frames[q.head] = nil
	q.head++
	if f.class == Ephemeral {
		q.ephemeral--
	}
	return f
}

// take takes the whole head off, for a transport that writes frames as a whole. written must be 0.
func (q *queue) take(s *spares) *Frame {
	f := q.pop()
	q.bytes -= int32(f.Len())
	q.release(s)
	return f
}

// release lets go of the memory of an empty queue.
func (q *queue) release(s *spares) {
	if q.len() > 0 {
		return
	}
	s.give(q.frames)
	q.frames, q.head, q.written, q.inline[0] = nil, 0, 0, nil
}

// rest returns the frames that have not begun to be written, and empties the queue.
func (q *queue) rest(s *spares) []*Frame {
	first := int(q.head)
	if q.written > 0 {
		first++
	}
	var rest []*Frame
	if first < len(q.frames) {
		rest = append(rest, q.frames[first:]...)
	}
	clear(q.frames)
	s.give(q.frames)
	*q = queue{}
	return rest
}

// gather returns the next bytes to write, at most about most of them: those of one frame as they are, those of several copied to dst.
func (q *queue) gather(dst []byte, most int) []byte {
	first := q.frames[q.head].ws[q.written:]
	if q.len() == 1 || len(first) >= most {
		return first
	}
	dst = append(dst[:0], first...)
	for _, f := range q.frames[q.head+1:] {
		if len(dst)+f.Len() > most {
			if len(dst) < most/2 {
				dst = append(dst, f.ws[:most-len(dst)]...)
			}
			break
		}
		dst = append(dst, f.ws...)
	}
	return dst
}
