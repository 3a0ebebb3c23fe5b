//go:build system && peers

package system

import (
	"testing"

	"github.com/edumatrix/interlink/test/harness"
)

// The peers alone, to look at the load itself: go test -tags system,peers -run TestPeersAlone ./system
func TestPeersAlone(t *testing.T) {
	s := harness.Run(t, harness.Config{Name: "system-peers"})
	t.Log(peers(t, s))
}
