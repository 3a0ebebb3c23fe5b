package harness

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// ticksPerSecond is the unit of CPU times in /proc, 100 on every Linux that Go runs on.
const ticksPerSecond = 100

// CPU returns the CPU time of a process since its start, user and system, of all its threads.
func CPU(pid int) (time.Duration, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("CPU of %d: %w", pid, err)
	}
	// The command, in parentheses, may contain anything; what follows its last parenthesis begins with field 3.
	fields := strings.Fields(string(raw[strings.LastIndexByte(string(raw), ')')+1:]))
	if len(fields) < 13 {
		return 0, fmt.Errorf("CPU of %d: %d fields", pid, len(fields))
	}
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	if err1 != nil || err2 != nil {
		return 0, fmt.Errorf("CPU of %d: %q", pid, fields[11:13])
	}
	return time.Duration(user+system) * time.Second / ticksPerSecond, nil
}

// RSS returns the resident memory of a process in bytes.
func RSS(pid int) (int64, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, fmt.Errorf("RSS of %d: %w", pid, err)
	}
	for line := range strings.Lines(string(raw)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			if err != nil {
				return 0, fmt.Errorf("RSS of %d: %w", pid, err)
			}
			return kb * 1024, nil
		}
	}
	return 0, fmt.Errorf("RSS of %d: no VmRSS", pid)
}

// Meter adds up the CPU of several processes between two moments.
type Meter struct {
	begun map[int]time.Duration
}

// Measure begins for these processes. One that ends before Stop counts as what it had at its start.
func Measure(pids ...int) *Meter {
	m := &Meter{begun: make(map[int]time.Duration, len(pids))}
	for _, pid := range pids {
		if used, err := CPU(pid); err == nil {
			m.begun[pid] = used
		}
	}
	return m
}

// Stop returns the CPU used since Measure.
func (m *Meter) Stop() time.Duration {
	var total time.Duration
	for pid, begun := range m.begun {
		if used, err := CPU(pid); err == nil {
			total += used - begun
		}
	}
	return total
}
