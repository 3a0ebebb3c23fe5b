// Command bench measures one gateway beside Node's socket.io and beside a bare write loop in Go, in one run: what an idle
// socket weighs, what a connect and a delivery cost, and what one core can deliver.
//
// The server under measurement is pinned to the first core, everything else to the last: the clients, which are in this
// process, and for Interlink a presence service and a Redis. The gateway is the release binary with authentication,
// cursors, metrics and limits on, fed through Delivery.Attach by a router of this program; the peer verifies the same
// session tokens and joins the same rooms. Absolute figures differ from machine to machine: compare within one run.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/edumatrix/interlink/test/harness"
)

// settings of a run.
type settings struct {
	root, bin, logs string
	idle, members   int           // sockets at rest, sockets in the room
	settle          time.Duration // at most, for the memory of idle sockets
	during          time.Duration // of each delivery measurement
	serverCPU       string
	only            string
	out             string
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "floor" {
		exit(floor(os.Args[2], os.Args[3]))
	}
	var s settings
	flag.IntVar(&s.idle, "idle", 10_000, "sockets at rest")
	flag.IntVar(&s.members, "members", 5_000, "sockets in the room")
	flag.DurationVar(&s.settle, "settle", 5*time.Minute, "how long memory may take to settle")
	flag.DurationVar(&s.during, "during", 10*time.Second, "length of each delivery measurement")
	flag.StringVar(&s.only, "only", "", "only this server: interlink, node or floor")
	flag.StringVar(&s.out, "out", "docs/results/gateway.md", "file for the table, below the repository's root; empty for none")
	flag.Parse()
	if err := pin(); err != nil {
		exit(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	defer stop()
	exit(run(ctx, s))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// pin starts this program again on the last core, and lets it open enough files.
func pin() error {
	limit := unix.Rlimit{Cur: 20_000, Max: 20_000}
	var has unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &has); err != nil {
		return err
	}
	if has.Cur < limit.Cur {
		limit.Max = max(limit.Max, has.Max)
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			return fmt.Errorf("needs 20,000 open files: %w", err)
		}
	}
	if os.Getenv("BENCH_PINNED") != "" {
		runtime.GOMAXPROCS(2) // the poller sits in a system call of its own
		return nil
	}
	cores, err := exec.Command("nproc", "--all").Output()
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(cores)))
	if err != nil || n < 2 {
		return errors.New("needs two cores: one for the server, one for the clients")
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	taskset, err := exec.LookPath("taskset")
	if err != nil {
		return err
	}
	args := append([]string{"taskset", "-c", strconv.Itoa(n - 1), self}, os.Args[1:]...)
	return unix.Exec(taskset, args, append(os.Environ(), "BENCH_PINNED=1"))
}

func run(ctx context.Context, s settings) error {
	var err error
	if s.root, err = harness.Root(); err != nil {
		return err
	}
	if s.bin, err = harness.Build(s.root, "gateway", "presence"); err != nil {
		return err
	}
	s.logs = filepath.Join(s.root, "test/artifacts/bench")
	if err := errors.Join(os.RemoveAll(s.logs), os.MkdirAll(s.logs, 0o755)); err != nil {
		return err
	}
	s.serverCPU = "0"
	var table []result
	for _, server := range []struct {
		name  string
		start func(context.Context, settings) (server, error)
	}{{"floor", startFloor}, {"node", startNode}, {"interlink", startInterlink}} {
		if s.only != "" && s.only != server.name {
			continue
		}
		fmt.Fprintf(os.Stderr, "# %s\n", server.name)
		r, err := measure(ctx, s, server.name, server.start)
		if err != nil {
			return fmt.Errorf("%s: %w", server.name, err)
		}
		table = append(table, r)
	}
	text := report(table, s)
	fmt.Print(text)
	if s.out == "" {
		return nil
	}
	path := filepath.Join(s.root, s.out)
	return errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644))
}
