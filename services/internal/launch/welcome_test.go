package launch

import (
	"io"
	"strings"
	"testing"

	"github.com/edumatrix/interlink/services/internal/config"
)

func TestTheGreetingSaysWhenOthersCanReachThePort(t *testing.T) {
	for host, want := range map[string]bool{"": true, "0.0.0.0": true, "192.168.1.7": true, "laptop": true, "127.0.0.1": false, "::1": false, "localhost": false} {
		env := map[string]string{"INTERLINK_DEV": "1", "SOCKET_IO_HOST": host}
		c, err := config.Read(config.Serve, env)
		if err != nil {
			t.Fatal(err)
		}
		got := newProcess(c, io.Discard, io.Discard).greeting()
		if strings.Contains(got, "signs in as anyone") != want || strings.Contains(got, "%!") {
			t.Errorf("%q: %s", host, got)
		}
	}
}
