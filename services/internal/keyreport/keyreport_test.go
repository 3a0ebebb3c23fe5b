package keyreport

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestKeysAreReportedByIDAndNeverThemselves(t *testing.T) {
	r := New()
	r.now = func() time.Time { return time.Unix(1764000000, 0) }
	keys := [][]byte{[]byte("first"), []byte("second"), []byte("first")}
	used := r.Ring("cursor", func() [][]byte { return keys })
	used([]byte("second"))
	used([]byte("gone")) // a key that is no longer taken is no longer reported
	want := strings.NewReplacer("FIRST", ID([]byte("first")), "SECOND", ID([]byte("second"))).Replace(`
# HELP interlink_key_last_use_timestamp_seconds When a key was last seen in use, by ring and by the id of the key.
# TYPE interlink_key_last_use_timestamp_seconds gauge
interlink_key_last_use_timestamp_seconds{key="SECOND",ring="cursor"} 1.764e+09
# HELP interlink_key_loaded 1 for each key that this process takes, by ring and by the id of the key.
# TYPE interlink_key_loaded gauge
interlink_key_loaded{key="FIRST",ring="cursor"} 1
interlink_key_loaded{key="SECOND",ring="cursor"} 1
`)
	if err := testutil.CollectAndCompare(r, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}

func TestIDsAreThoseOfTheOperator(t *testing.T) {
	if got := ID([]byte("a key")); got != "dc269945" {
		t.Error(got)
	}
}
