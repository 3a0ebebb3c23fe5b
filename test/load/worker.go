package load

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/edumatrix/interlink/test/checker"
	"github.com/edumatrix/interlink/test/client"
	"github.com/edumatrix/interlink/test/harness"
)

// worker is a Node process that is told what to do by a line on its stdin and reports on its stdout.
type worker struct {
	*harness.Process
	in   io.WriteCloser
	done chan struct{} // closed when every line has been handled
}

func startWorker(t Target, name, script string, plan any, handle func(line string)) (*worker, error) {
	order, err := json.Marshal(plan)
	if err != nil {
		return nil, fmt.Errorf("worker %s: %w", name, err)
	}
	inRead, inWrite, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("worker %s: %w", name, err)
	}
	defer inRead.Close()
	outRead, outWrite, err := os.Pipe()
	if err != nil {
		inWrite.Close()
		return nil, fmt.Errorf("worker %s: %w", name, err)
	}
	defer outWrite.Close()
	p, err := harness.Start(harness.Spec{
		Name: name, Path: "node", Args: []string{filepath.Join(t.Root, "test/js/workers", script)}, Stdin: inRead, Stdout: outWrite,
	}, t.Logs)
	if err != nil {
		inWrite.Close()
		outRead.Close()
		return nil, err
	}
	w := &worker{Process: p, in: inWrite, done: make(chan struct{})}
	go func() {
		defer close(w.done)
		defer outRead.Close()
		for lines := bufio.NewScanner(outRead); lines.Scan(); {
			handle(lines.Text())
		}
	}()
	if _, err := w.in.Write(append(order, '\n')); err != nil {
		return w, fmt.Errorf("worker %s: %w", name, err)
	}
	return w, nil
}

// stop asks the worker to finish and waits until everything it said is handled.
func (w *worker) stop(within time.Duration) error {
	_, _ = io.WriteString(w.in, "stop\n")
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-w.done:
		w.in.Close()
		<-w.Process.Done()
		return w.Err()
	case <-timer.C:
		w.in.Close()
		return fmt.Errorf("worker %s does not finish within %v: %w", w.Name(), within, w.Kill())
	}
}

type jsClient struct {
	URL        string   `json:"url"`
	Token      string   `json:"token"`
	Transports []string `json:"transports"`
	Rooms      []string `json:"rooms"`
}

func jsTransports(t client.Transport) []string {
	switch t {
	case client.Polling:
		return []string{"polling"}
	case client.Upgrade:
		return []string{"polling", "websocket"}
	default:
		return []string{"websocket"}
	}
}

// startClients starts a worker with some of the official clients.
func startClients(t Target, name string, members []*recorder, plan Plan) (*worker, error) {
	clients := make([]jsClient, len(members))
	for i, r := range members {
		clients[i] = jsClient{URL: r.m.url, Token: plan.Token(r.m.user, r.m.rooms...), Transports: jsTransports(r.m.transport), Rooms: r.m.rooms}
	}
	order := map[string]any{"clients": clients, "backoff": plan.Backoff.Milliseconds(), "openTimeout": plan.OpenTimeout.Milliseconds()}
	return startWorker(t, name, "clients.js", order, func(line string) {
		fields := strings.Fields(line)
		if len(fields) < 4 {
			return
		}
		i, err := strconv.Atoi(fields[1])
		if err == nil && i < len(members) {
			observe(members[i], fields)
		}
	})
}

// observe reads one line of a worker: kind, client, time, what.
func observe(r *recorder, fields []string) {
	at, _ := strconv.ParseInt(fields[2], 10, 64)
	switch what := fields[3]; fields[0] {
	case "c":
		r.add(checker.Observation{Kind: checker.Connected, Time: at, Recovered: what == "1"})
	case "r":
		r.add(checker.Observation{Kind: checker.Told, Time: at, Reason: what, Recovered: len(fields) > 4 && fields[4] == "1"})
	case "a":
		r.add(checker.Observation{Kind: checker.Asked, Time: at, Room: what})
	case "j":
		r.add(checker.Observation{Kind: checker.Joined, Time: at, Room: what})
	case "e":
		r.add(checker.Observation{Kind: checker.Handled, Time: at, ID: what})
	case "v":
		r.add(checker.Observation{Kind: checker.Left, Time: at, Room: what})
	case "d":
		r.add(checker.Observation{Kind: checker.Disconnected, Time: at})
		r.fail("disconnected: " + what)
	case "f":
		r.fail("connect: " + what)
	case "x":
		r.fail("join refused: " + fields[len(fields)-1])
	}
}
