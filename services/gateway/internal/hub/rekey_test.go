package hub

import (
	"log/slog"
	"testing"
)

func TestCursorsOfTheOldKeyAreTakenForAsLongAsItIsInTheRing(t *testing.T) {
	first, second, third := []byte("first"), []byte("second"), []byte("third")
	h, err := New(Options{Shards: []Shard{inlineShard{}}, Keys: [][]byte{first}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	old := string(h.Sign([]int64{1, 2}, 7, 0))
	for _, step := range []struct {
		keys [][]byte
		want bool
	}{{[][]byte{first, second}, true}, {[][]byte{second, first}, true}, {[][]byte{second, third}, false}} {
		if err := h.Rekey(step.keys); err != nil {
			t.Fatal(err)
		}
		if _, err := h.ReadCursor(old); (err == nil) != step.want {
			t.Errorf("with keys %s: %v", step.keys, err)
		}
		if _, err := h.ReadCursor(string(h.Sign([]int64{1, 2}, 7, 0))); err != nil {
			t.Errorf("one's own cursor with keys %s: %v", step.keys, err)
		}
	}
	if h.Rekey(nil) == nil {
		t.Error("no key at all is taken")
	}
}
