package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// report is the table in Markdown, with the machine and the ratios that the goals are given in.
func report(table []result, s settings) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# The gateway, beside Node and a bare write loop\n\n")
	fmt.Fprintf(&b, "`make bench` on %s, %s. %s, Linux %s, %s, Node %s.\n", machine("model name"), time.Now().UTC().Format(time.DateOnly),
		output("nproc", "--all")+" cores", output("uname", "-r"), runtime.Version(), output("node", "--version"))
	fmt.Fprintf(&b, "Server on one core, clients on another, loopback. Idle: %d authenticated sockets, each in three rooms: its user's own, one of a hundred, one of everybody. "+
		"Deliveries: a room of %d, %d s each.\n\n", s.idle, s.members, int(s.during.Seconds()))
	b.WriteString("| | idle RSS per socket | goroutines | CPU per connect | CPU per delivery at 50,000/s | p50/p99 there | saturated, one on its way | ten on their way | bytes per event |\n")
	b.WriteString("|---|---|---|---|---|---|---|---|---|\n")
	for _, r := range table {
		b.WriteString(row(r))
	}
	b.WriteString(goals(table))
	return b.String()
}

func row(r result) string {
	goroutines := "–"
	if r.goroutines >= 0 {
		goroutines = fmt.Sprint(r.goroutines)
	}
	idle := "–"
	if r.full > r.empty {
		idle = fmt.Sprintf("%.2f KB", perSocket(r)/1024)
	}
	return fmt.Sprintf("| %s | %s | %s | %.3f ms | %.1f µs | %d/%d ms | %.1f µs, %.0f/s | %.1f µs, %.0f/s | %d |\n",
		map[string]string{"floor": "bare write loop in Go", "node": "Socket.IO on Node (ws)", "interlink": "Interlink"}[r.name],
		idle, goroutines, float64(r.connect.Microseconds())/1000, r.paced.perDelivery(),
		r.paced.p50.Milliseconds(), r.paced.p99.Milliseconds(),
		r.one.perDelivery(), r.one.perSecond(), r.ten.perDelivery(), r.ten.perSecond(), r.paced.size)
}

func perSocket(r result) float64 { return float64(r.full-r.empty) / float64(r.idle) }

// goals are what docs and issues ask for, as ratios within this run.
func goals(table []result) string {
	by := map[string]result{}
	for _, r := range table {
		by[r.name] = r
	}
	ours, ok := by["interlink"]
	if !ok {
		return ""
	}
	var b strings.Builder
	b.WriteString("\n| Goal | Wanted | Here |\n|---|---|---|\n")
	line := func(what, wanted string, here float64, unit string, met bool) {
		mark := "met"
		if !met {
			mark = "missed"
		}
		fmt.Fprintf(&b, "| %s | %s | %.2f%s, %s |\n", what, wanted, here, unit, mark)
	}
	idle := perSocket(ours) / 1024
	line("idle RSS per socket", "≤ 2 KB", idle, " KB", idle <= 2)
	if floor, ok := by["floor"]; ok {
		x := ours.paced.perDelivery() / floor.paced.perDelivery()
		line("CPU per delivery at 50,000/s", "≤ 1.3 × the bare loop", x, " ×", x <= 1.3)
		x = ours.ten.perSecond() / floor.ten.perSecond()
		line("saturated, ten on their way", "≥ 0.6 × the bare loop", x, " ×", x >= 0.6)
	}
	if node, ok := by["node"]; ok {
		x := ours.one.perSecond() / node.one.perSecond()
		line("saturated, one on its way", "≥ 2 × Node", x, " ×", x >= 2)
		x = ours.ten.perSecond() / node.ten.perSecond()
		line("saturated, ten on their way", "≥ 10 × Node", x, " ×", x >= 10)
		x = float64(ours.connect) / float64(node.connect)
		line("CPU per connect", "≤ 0.3 × Node", x, " ×", x <= 0.3)
	}
	return b.String()
}

func machine(key string) string {
	raw, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "an unknown processor"
	}
	for line := range strings.Lines(string(raw)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == key {
			return strings.TrimSpace(value)
		}
	}
	return "an unknown processor"
}

func output(program string, args ...string) string {
	out, err := exec.Command(program, args...).Output()
	if err != nil {
		return "?"
	}
	return strings.TrimSpace(string(out))
}
