package session

import (
	"maps"
	"strings"
	"testing"

	"github.com/edumatrix/interlink/services/internal/permission"
	"github.com/edumatrix/interlink/services/internal/room"
)

func TestPackedGrantsAreWhatTheyWere(t *testing.T) {
	for name, grants := range map[string]map[room.Room]permission.Set{
		"none":           nil,
		"one":            {"r:1": permission.Join},
		"some":           {"r:1": permission.All, "conversation:42": permission.None, "user:ä": permission.Set(1 << 31)},
		"of a long name": {room.Room("r:" + strings.Repeat("x", 300)): permission.Type},
	} {
		t.Run(name, func(t *testing.T) {
			if got := pack(grants).unpack(); !maps.Equal(got, grants) {
				t.Errorf("got %v, want %v", got, grants)
			}
		})
	}
}
