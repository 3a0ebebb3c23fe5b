//go:build platform

package platform

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/edumatrix/interlink/test/harness"
	"github.com/edumatrix/interlink/test/proxy"
)

// stage is the system, and where the stand-in for the platform's own routes is to listen.
type stage struct {
	*harness.System
	standIn int // port
	public  string
}

// start starts the system with the platform's mapping, behind one address for pages.
func start(t *testing.T, name string, gateways int, env ...string) *stage {
	t.Helper()
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	port, err := harness.FreePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{standIn: port}
	s.System = harness.Run(t, harness.Config{
		Name: name, Gateways: gateways, Routers: 1, Presence: 1,
		Env: append([]string{
			"INTERLINK_MAPPING=" + filepath.Join(root, "config/edu-matrix.yaml"),
			fmt.Sprintf("API_BASE_URL=http://127.0.0.1:%d", port),
			fmt.Sprintf("SOCKET_IO_CORS_ORIGIN=https://app.example.test,http://localhost:%d", port),
			"SOCKET_IO_SERVER_TOKEN=test-server-token-0123456789abcdef", "INTERLINK_PRESENCE_GRACE=2s",
		}, env...),
	})
	var targets []string
	for _, g := range s.Gateways {
		targets = append(targets, g.Public)
	}
	p, err := proxy.New(proxy.Options{Targets: targets})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := p.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	s.public = "http://" + p.Addr()
	return s
}

// suite runs one of the JavaScript suites against the system.
func (s *stage) suite(t *testing.T, file string) {
	t.Helper()
	type process struct {
		URL string `json:"url"`
		PID int    `json:"pid"`
	}
	var gateways []process
	for _, g := range s.Gateways {
		gateways = append(gateways, process{"http://" + g.Public, g.PID()})
	}
	about, err := json.Marshal(map[string]any{
		"public": s.public, "gateways": gateways, "router": "http://" + s.Routers[0].HTTP, "brokers": s.Kafka.Brokers, "standIn": s.standIn,
	})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", "--test", "--test-force-exit", "--test-concurrency=1", "suite/"+file)
	cmd.Dir = filepath.Join(s.Root, "test/js")
	cmd.Env = append(os.Environ(), "PLATFORM="+string(about))
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Errorf("%s: %v", file, err)
	}
}

// Every recorded shape, by the clients that the platform has.
func TestEveryRecordedShape(t *testing.T) {
	s := start(t, "platform", 2)
	s.suite(t, "platform.test.js")
	t.Run("the doctor names the mistakes of the platform's environment", func(t *testing.T) { doctor(t, s) })
}

// The platform's page as its hooks behave today.
func TestThePage(t *testing.T) {
	start(t, "platform-page", 2).suite(t, "platform-page.test.js")
}
