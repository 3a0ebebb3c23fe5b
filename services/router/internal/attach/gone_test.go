package attach

import (
	"maps"
	"testing"

	deliveryv1 "github.com/edumatrix/interlink/proto/delivery/v1"
)

func TestAGatewayAheadOfTheEndIsNotedWhenItStaysSo(t *testing.T) {
	tb := newTable(t, 2, 1<<20)
	tb.append(0, entry(0, 1, 0), entry(1, 1, 0))
	tb.snapshot(1, 1)
	tb.s.apply(&deliveryv1.AttachResponse{Kind: &deliveryv1.AttachResponse_Seek{Seek: &deliveryv1.Seek{Partition: 0, Offset: 9, Number: 1}}})
	for ms := 0; ms < 1000; ms += 250 {
		tb.s.next(at(ms))
		if tb.s.beyond != nil {
			t.Fatalf("after %d ms: %v", ms, tb.s.beyond)
		}
	}
	tb.s.next(at(1000))
	if want := map[int]int64{0: 9}; !maps.Equal(tb.s.beyond, want) {
		t.Errorf("%v, want %v", tb.s.beyond, want)
	}
	tb.s.beyond = nil
	tb.append(0, entry(8, 1, 0)) // it has come as far
	for ms := 1250; ms < 4000; ms += 250 {
		tb.s.next(at(ms))
	}
	if tb.s.beyond != nil {
		t.Errorf("still %v", tb.s.beyond)
	}
}

func TestAnExpiredPositionIsToldOnce(t *testing.T) {
	tb := newTable(t, 1, 1<<20)
	tb.append(0, entry(100, 1, 0))
	tb.l[0].Tick(at(0))
	for s := range 200 {
		tb.l[0].Tick(at(1000 * s))
	}
	tb.append(0, entry(101, 1, 0))
	tb.snapshot(1, 1)
	tb.s.apply(&deliveryv1.AttachResponse{Kind: &deliveryv1.AttachResponse_Seek{Seek: &deliveryv1.Seek{Partition: 0, Offset: 5, Number: 1}}})
	tb.s.next(at(0))
	if tb.s.hungry()[0] != 5 {
		t.Fatalf("hungry %v", tb.s.hungry())
	}
	tb.s.expired(0, 50)
	tb.s.expired(0, 50)
	if len(tb.s.gone) != 1 || tb.s.gone[0].GetPosition() != 5 || tb.s.gone[0].GetEarliest() != 50 {
		t.Errorf("told %v", tb.s.gone)
	}
}
