package cli

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/edumatrix/interlink/services/internal/launch"
	"github.com/edumatrix/interlink/services/internal/listen"
)

func listening(ctx context.Context, l Listening) error { return listen.Run(ctx, listen.Options(l)) }

// patience bounds the whole story below.
const patience = 60 * time.Second

// maxLines is more than any command here prints.
const maxLines = 10_000

// await takes lines until one contains text, and returns the part behind it.
func await(t *testing.T, lines <-chan string, text string) string {
	t.Helper()
	for line := range lines {
		if _, after, ok := strings.Cut(line, text); ok {
			return after
		}
	}
	t.Fatalf("the output ended before %q", text)
	return ""
}

// start runs a command line in the background; ended has its exit code.
func start(ctx context.Context, env map[string]string, args ...string) (out, errOut <-chan string, ended <-chan int) {
	outLines, outWriter := lines()
	errLines, errWriter := lines()
	c := Command{Out: outWriter, Err: errWriter, Environ: env, Version: "test", Run: launch.Run}
	code := make(chan int, 1)
	go func() {
		code <- c.execute(ctx, Interlink(listening)(c), args)
		_ = outWriter.Close()
		_ = errWriter.Close()
	}()
	return outLines, errLines, code
}

// lines keeps what is written until it is taken.
func lines() (<-chan string, io.WriteCloser) {
	r, w := io.Pipe()
	out := make(chan string, maxLines)
	go func() {
		defer close(out)
		for s := bufio.NewScanner(r); s.Scan(); {
			out <- s.Text()
		}
	}()
	return out, w
}

// One process, as `make run` starts it: what is published by HTTP and by Kafka reaches a listener, and the end is clean.
func TestTheWholeOnALaptop(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	serving, stop := context.WithCancel(ctx)
	defer stop()
	env := map[string]string{"INTERLINK_DEV": "1", "SOCKET_IO_HOST": "127.0.0.1", "SOCKET_IO_PORT": "0", "INTERLINK_DATA_DIR": t.TempDir()}
	out, _, ended := start(serving, env, "serve")
	brokers := await(t, out, "KAFKA_BROKERS=")
	url := await(t, out, "NEXT_PUBLIC_SOCKET_URL=")

	heard, said, stopped := start(ctx, nil, "listen", "--user", "u7", "--room", "conversation:42", "--url", url, "--count", "2")
	await(t, said, "joined conversation:42")
	if code, _, errOut := run(t, nil, "publish", "--room", "conversation:42", "--event", "message:new", "--data", `{"n":1}`, "--url", url); code != 0 {
		t.Fatal(errOut)
	}
	await(t, heard, `{"event":"message:new","data":{"n":1}`)
	if code, _, errOut := run(t, nil, "publish", "--room", "conversation:42", "--event", "message:new", "--data", `{"n":2}`, "--kafka", "--brokers", brokers); code != 0 {
		t.Fatal(errOut)
	}
	await(t, heard, `{"event":"message:new","data":{"n":2}`)
	if code := <-stopped; code != 0 {
		t.Errorf("listen ended with %d", code)
	}
	look(t, url)

	stop()
	if code := <-ended; code != 0 {
		t.Errorf("serve ended with %d", code)
	}
	if _, err := http.Get(url + "/health"); err == nil {
		t.Error("the port is still open after the end")
	}
}

// look asks for what a person and a probe would.
func look(t *testing.T, url string) {
	t.Helper()
	for path, want := range map[string]string{
		"/":                        "Publish as Next.js would",
		"/vendor/socket.io.min.js": "Socket.IO v4",
		"/health":                  `"status":"healthy"`,
	} {
		resp, err := http.Get(url + path)
		if err != nil {
			t.Fatal(err)
		}
		var body bytes.Buffer
		_, err = body.ReadFrom(resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(body.String(), want) {
			t.Errorf("%s: %s, %v, without %q", path, resp.Status, err, want)
		}
	}
}
