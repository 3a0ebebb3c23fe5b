package router

import (
	"strconv"
	"testing"
	"time"

	"github.com/edumatrix/interlink/services/router/internal/partitionlog"
)

func TestIDsOfTwoWindowsAreRememberedAtTwoThousandRecordsASecond(t *testing.T) {
	var o Options
	o.defaults()
	ids, began := partitionlog.NewIDs(o.maxIDs()), time.Unix(1_000_000, 0)
	seconds := int(3*o.Window/time.Second) + 1
	kept := int(2*o.Window/time.Second) - 1 // those of a whole second are added before its tick
	for s := range seconds {
		for i := range 2000 {
			ids.Add(strconv.Itoa(s*2000+i), int64(s*2000+i))
		}
		ids.Tick(began.Add(time.Duration(s)*time.Second), o.Window)
		if first := max(s-kept, 0) * 2000; s%20 == 0 {
			if _, known := ids.Find(strconv.Itoa(first)); !known {
				t.Fatalf("after %d s, an id of %d s ago is forgotten", s, s-first/2000)
			}
		}
	}
	if n := ids.ForgotEarly(); n != 0 {
		t.Errorf("%d times ids were forgotten early", n)
	}
}

func TestTheMemoryOfIDsIsBounded(t *testing.T) {
	for name, tc := range map[string]struct {
		o    Options
		want int
	}{
		"a short window":        {Options{Window: time.Second, LogBytes: 1 << 20}, 1 << 16},
		"the defaults":          {Options{Window: 2 * time.Minute, LogBytes: 64 << 20}, 244_000},
		"a long window":         {Options{Window: time.Hour, LogBytes: 64 << 20}, 1 << 20},
		"a log of many records": {Options{Window: time.Minute, LogBytes: 4 << 30}, 4 << 20},
	} {
		if got := tc.o.maxIDs(); got != tc.want {
			t.Errorf("%s: %d ids a window, want %d", name, got, tc.want)
		}
	}
}
