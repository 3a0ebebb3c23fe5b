// Command price measures what the guarantee costs: how long cursors are, what minting and sending them costs a delivery,
// and how often the store is written to. It runs separate processes with a real Kafka and a real Redis, first as they are
// and then with a gateway that mints no cursor.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/edumatrix/interlink/test/harness"
)

type settings struct {
	sockets, rate int
	during        time.Duration
	out           string
}

func main() {
	var s settings
	flag.IntVar(&s.sockets, "sockets", 1000, "sockets, each in three rooms")
	flag.IntVar(&s.rate, "rate", 1000, "records a second")
	flag.DurationVar(&s.during, "during", 15*time.Second, "length of each measurement")
	flag.StringVar(&s.out, "out", "docs/results/price.md", "file for the table, below the repository's root; empty for none")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	defer stop()
	if err := run(ctx, s); err != nil {
		fmt.Fprintln(os.Stderr, "price:", err)
		os.Exit(1)
	}
}

// row is one measurement.
type row struct {
	name            string
	sent, delivered int
	gateway         time.Duration // CPU
	router          time.Duration
	cursors         sizes
	writes          float64 // commands a second that change the store
	scripts         float64 // of them, scripts
}

func (r row) perDelivery() float64 {
	return float64(r.gateway.Microseconds()) / float64(max(r.delivered, 1))
}

// without is the gateway that mints no cursor: events end with their meta.
var without = harness.Change{
	File: "gateway/internal/hub/encode.go",
	Text: "\tb, from, to := appendQuoted(b, appendCursor)\n\treturn engine.EndText(engine.Durable, b), b[from:to:to]",
	By:   "\t_ = appendCursor\n\treturn engine.EndText(engine.Durable, append(b, ']')), nil",
}

func run(ctx context.Context, s settings) error {
	root, err := harness.Root()
	if err != nil {
		return err
	}
	bin, err := harness.LinkedBin(root)
	defer os.RemoveAll(bin)
	if err != nil {
		return err
	}
	system, err := harness.NewSystem(ctx, harness.Config{Name: "price", Gateways: 1, Routers: 1, Presence: 1, Env: []string{"LOG_LEVEL=warn", "INTERLINK_CONNECT_RATE=100000"}})
	defer func() { _ = system.Close() }()
	if err != nil {
		return err
	}
	var rows []row
	for _, cursors := range []bool{true, false, true, false} {
		g := system.Gateways[0]
		if !cursors || len(rows) > 0 {
			if err := errors.Join(g.Kill(), os.Remove(filepath.Join(bin, "gateway"))); err != nil {
				return err
			}
			var changes []harness.Change
			if !cursors {
				changes = append(changes, without)
			}
			if err := harness.BuildChanged(root, "gateway", filepath.Join(bin, "gateway"), changes...); err != nil {
				return err
			}
			if err := errors.Join(g.Restart(), system.WaitReady(ctx)); err != nil {
				return err
			}
		}
		more, err := measure(ctx, s, system, cursors)
		if err != nil {
			return err
		}
		rows = append(rows, more...)
	}
	text := report(rows, s)
	fmt.Print(text)
	if s.out == "" {
		return nil
	}
	path := filepath.Join(root, s.out)
	return errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644))
}

// measure has the sockets in their rooms, at rest, then with few and with many sockets to a room.
func measure(ctx context.Context, s settings, system *harness.System, cursors bool) ([]row, error) {
	crowd, err := connect(ctx, system, s.sockets)
	defer crowd.close()
	if err != nil {
		return nil, err
	}
	name := map[bool]string{true: "cursors on", false: "cursors off"}[cursors]
	var rows []row
	for _, part := range []struct {
		what string
		rate int
		room func(n int) string
	}{
		{"at rest", 0, nil},
		{"one socket to a room", s.rate, func(n int) string { return own(n % s.sockets) }},
		{"ten sockets to a room", s.rate, func(n int) string { return shared(n%(s.sockets/perRoom), 0) }},
	} {
		r, err := crowd.during(ctx, system, s.during, part.rate, part.room)
		if err != nil {
			return nil, err
		}
		r.name = name + ", " + part.what
		rows = append(rows, r)
		fmt.Fprintln(os.Stderr, line(r))
	}
	return rows, nil
}

func line(r row) string {
	return fmt.Sprintf("| %s | %d | %d | %s | %s | %.1f | %.1f |", r.name, r.sent, r.delivered, cpu(r), r.cursors, r.writes, r.scripts)
}

func cpu(r row) string {
	if r.delivered == 0 {
		return fmt.Sprintf("%d ms in all", r.gateway.Milliseconds())
	}
	return fmt.Sprintf("%.1f µs", r.perDelivery())
}

func report(rows []row, s settings) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# What the guarantee costs\n\n`make price` on %s. %s cores, Linux %s, %s. %d sockets by WebSocket on one gateway, each in its own room and two others, %d records a second over 12 partitions, %d s each.\n\n",
		time.Now().UTC().Format(time.DateOnly), output("nproc", "--all"), output("uname", "-r"), runtime.Version(), s.sockets, s.rate, int(s.during.Seconds()))
	b.WriteString("| | records | deliveries | gateway's CPU a delivery | cursor: median, p99, most | writes to Redis a second | of them scripts |\n|---|---|---|---|---|---|---|\n")
	for _, r := range rows {
		b.WriteString(line(r) + "\n")
	}
	return b.String()
}

func output(program string, args ...string) string {
	out, err := exec.Command(program, args...).Output()
	if err != nil {
		return "?"
	}
	return strings.TrimSpace(string(out))
}

// last is the string that an event ends with, "" if it ends with something else.
func last(args []json.RawMessage) string {
	var text string
	if len(args) == 0 || json.Unmarshal(args[len(args)-1], &text) != nil {
		return ""
	}
	return text
}
