package sessionrecord

import (
	"fmt"
	"slices"
	"testing"
)

// late is one state of the third model: the writes of one writer may time out and be done all the same, at any moment
// from then on, also after later ones. Property: the record has every room whose join was acknowledged.
type late struct {
	stored  *Record
	joined  int
	acked   int
	version uint64
	whole   bool
	flying  []Write // that timed out and may still be done
}

func (l late) steps(u rules) []late {
	var out []late
	if l.joined < 3 {
		n := l
		n.joined++
		w := Write{Kind: Delta, Record: Record{Life: "A"}, Base: l.version, Run: "run", Add: roomNames(n.joined)[l.joined:]}
		if l.whole {
			w.Kind, w.Record.Rooms = Whole, roomNames(n.joined)
		}
		done := n // the store answers in time
		next, outcome := u.apply(l.stored, w, "run")
		switch outcome {
		case Written:
			done.stored, done.version, done.whole, done.acked = next, next.Version, false, n.joined
			out = append(out, done)
		case NeedWhole:
			done.whole, done.joined = true, l.joined // and again, whole
			out = append(out, done)
		}
		if len(l.flying) < 2 { // or not
			lost := n
			lost.flying = append(slices.Clone(l.flying), w)
			lost.whole, lost.version = true, l.version+1
			out = append(out, lost)
		}
	}
	for i, w := range l.flying {
		n := l
		n.flying = slices.Delete(slices.Clone(l.flying), i, i+1)
		n.stored, _ = u.apply(l.stored, w, "run")
		out = append(out, n)
	}
	return out
}

func TestAWriteThatComesLateUndoesNothing(t *testing.T) {
	for name, tt := range map[string]struct {
		rules      rules
		wantCaught bool
	}{
		"the design":                         {},
		"a late write is taken like another": {rules{noOrder: true}, true},
	} {
		t.Run(name, func(t *testing.T) {
			seen, stack, violations, acked := map[string]bool{}, []late{{whole: true}}, 0, 0
			for len(stack) > 0 {
				l := stack[len(stack)-1]
				stack = stack[:len(stack)-1]
				k := fmt.Sprintf("%+v %d %d %d %t %+v", l.stored, l.joined, l.acked, l.version, l.whole, l.flying)
				if seen[k] {
					continue
				}
				seen[k] = true
				if l.acked > 0 {
					acked++
					if l.stored == nil || !holds(l.stored, l.acked) {
						violations++
					}
				}
				stack = append(stack, l.steps(tt.rules)...)
			}
			t.Logf("%d states, %d with acknowledged joins, %d violations", len(seen), acked, violations)
			if (violations > 0) != tt.wantCaught || acked == 0 {
				t.Errorf("%d violations in %d states", violations, len(seen))
			}
		})
	}
}
