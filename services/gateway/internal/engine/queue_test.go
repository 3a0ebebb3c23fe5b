package engine

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

func text(class Class, s string) *Frame { return TextFrame(class, []byte(s)) }

func contents(q *queue) (all []string) {
	for _, f := range q.frames[q.head:] {
		all = append(all, string(f.Text()))
	}
	return all
}

func TestQueueUnderPressure(t *testing.T) {
	size := text(Durable, "d0").Len()
	bytesFor := func(frames int) limits { return limits{bytes: frames * size, events: 1000} }
	e := func(s, key string) *Frame { return text(Ephemeral, s).WithKey(key) }
	d := func(s string) *Frame { return text(Durable, s) }
	tests := map[string]struct {
		max  limits
		push []*Frame
		want []string
		last admission
	}{
		"below half everything is taken in order": {
			bytesFor(100), []*Frame{d("d0"), e("e1", "k"), e("e2", "k")}, []string{"d0", "e1", "e2"}, queued,
		},
		"from half on a newer ephemeral frame stands where the older one of its key stood": {
			bytesFor(4), []*Frame{d("d0"), e("e1", "k"), d("d2"), e("e3", "k")}, []string{"d0", "e3", "d2"}, replaced,
		},
		"from half on an ephemeral frame without an older one of its key takes the oldest one's room": {
			bytesFor(4), []*Frame{d("d0"), e("e1", "k"), d("d2"), e("e3", "l")}, []string{"d0", "d2", "e3"}, replaced,
		},
		"from half on an ephemeral frame is dropped if only others wait": {
			bytesFor(4), []*Frame{d("d0"), d("d1"), d("d2"), e("e3", "k")}, []string{"d0", "d1", "d2"}, dropped,
		},
		"a durable frame is refused when the bytes behind the head are at the limit": {
			bytesFor(2), []*Frame{d("d0"), d("d1"), d("d2"), d("d3")}, []string{"d0", "d1", "d2"}, full,
		},
		"a durable frame is refused when the frames are at the limit": {
			limits{bytes: 1 << 20, events: 3}, []*Frame{d("d0"), d("d1"), d("d2"), d("d3")}, []string{"d0", "d1", "d2"}, full,
		},
		"a control frame is refused like a durable one": {
			limits{bytes: 1 << 20, events: 2}, []*Frame{d("d0"), d("d1"), text(Control, "c2")}, []string{"d0", "d1"}, full,
		},
		"one frame over the limit is taken, and one more behind it": {
			bytesFor(1), []*Frame{d("a long frame, larger than the limit"), d("another long frame")},
			[]string{"a long frame, larger than the limit", "another long frame"}, queued,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var q queue
			var s spares
			var last admission
			for _, f := range test.push {
				last = q.push(f, test.max, &s)
			}
			if got := contents(&q); !slices.Equal(got, test.want) || last != test.last {
				t.Errorf("queue %q, last %d; want %q, %d", got, last, test.want, test.last)
			}
		})
	}
}

func TestQueueNeverReplacesWhatIsBeingWritten(t *testing.T) {
	var q queue
	var s spares
	max := limits{bytes: 1, events: 1000}
	q.push(text(Ephemeral, "e0").WithKey("k"), limits{bytes: 1 << 20, events: 100}, &s)
	q.push(text(Durable, "d1"), limits{bytes: 1 << 20, events: 100}, &s)
	q.wrote(1, &s)
	if got := q.push(text(Ephemeral, "e2").WithKey("k"), max, &s); got != dropped {
		t.Errorf("push = %d", got)
	}
	if got := contents(&q); !slices.Equal(got, []string{"e0", "d1"}) {
		t.Errorf("queue %q", got)
	}
}

// What is gathered and written in random pieces is what was pushed, and the books are right at every step.
func TestQueueModel(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	var q queue
	var s spares
	var want, got []byte
	scratch := make([]byte, 0, 300)
	for i := range 10_000 {
		if q.len() < 100 && random.IntN(2) > 0 {
			f := text(Class(random.IntN(3)), fmt.Sprintf("frame %d %s", i, bytes.Repeat([]byte("x"), random.IntN(200))))
			if q.push(f, limits{bytes: 1 << 30, events: 1 << 30}, &s) != queued {
				t.Fatal("not queued")
			}
			want = append(want, f.ws...)
		} else if q.len() > 0 {
			out := q.gather(scratch, 256)
			if len(out) == 0 {
				t.Fatal("nothing gathered")
			}
			n := random.IntN(len(out) + 1)
			got = append(got, out[:n]...)
			q.wrote(n, &s)
		}
		waiting, ephemeral := -int(q.written), 0
		for _, f := range q.frames[q.head:] {
			waiting += f.Len()
			if f.class == Ephemeral {
				ephemeral++
			}
		}
		if int(q.bytes) != waiting || int(q.ephemeral) != ephemeral || len(got)+int(q.bytes) != len(want) {
			t.Fatalf("books: %d bytes, %d ephemeral; counted %d, %d", q.bytes, q.ephemeral, waiting, ephemeral)
		}
		if q.len() == 0 && (q.frames != nil || q.inline[0] != nil || q.written != 0) {
			t.Fatal("an empty queue holds memory")
		}
	}
	for q.len() > 0 {
		out := q.gather(scratch, 256)
		got = append(got, out...)
		q.wrote(len(out), &s)
	}
	if !bytes.Equal(got, want) {
		t.Fatal("other bytes came out than went in")
	}
	for _, slice := range s.free {
		for _, f := range slice[:cap(slice)] {
			if f != nil {
				t.Fatal("a spare slice holds a frame")
			}
		}
	}
}
