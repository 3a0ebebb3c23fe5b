package deadletter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/edumatrix/interlink/services/router/internal/envelope"
)

type fakeWriter struct {
	gate  chan error
	wrote chan string
}

func (f *fakeWriter) Bury(ctx context.Context, key, value []byte, headers []envelope.Header) error {
	select {
	case err := <-f.gate:
		if err == nil {
			f.wrote <- string(key) + "=" + string(value)
		}
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func letterAt(offset int64, value string) envelope.Message {
	return envelope.Message{Topic: "t", Partition: 2, Offset: offset, Key: []byte("k"), Value: []byte(value)}
}

func TestLettersAreWrittenInOrderAndHoldTheCommit(t *testing.T) {
	f := &fakeWriter{gate: make(chan error), wrote: make(chan string, 4)}
	o := New(f, slog.New(slog.DiscardHandler), func() { t.Error("dropped") })
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- o.Run(ctx) }()
	o.Send(letterAt(5, "a"), envelope.Invalid, "because")
	o.Send(letterAt(9, "b"), envelope.Invalid, "because")
	if low, waiting := o.Low(2); !waiting || low != 5 {
		t.Errorf("low %d %v", low, waiting)
	}
	if _, waiting := o.Low(1); waiting {
		t.Error("another partition waits")
	}
	f.gate <- errors.New("away")
	f.gate <- nil
	if got := <-f.wrote; got != "k=a" {
		t.Error(got)
	}
	f.gate <- nil
	if got := <-f.wrote; got != "k=b" {
		t.Error(got)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// narrow takes what is at most a number of bytes long, headers not counted.
type narrow struct {
	most  int
	wrote chan string
}

func (n narrow) Bury(_ context.Context, key, value []byte, all []envelope.Header) error {
	if len(key)+len(value) > n.most {
		return fmt.Errorf("kafka: %w", ErrTooLarge)
	}
	text := fmt.Sprint(string(key), "=", len(value))
	for _, h := range all {
		if h.Key == "cut" {
			text += " of " + string(h.Value)
		}
	}
	n.wrote <- text
	return nil
}

func TestALetterThatIsTooLargeHoldsUpNoOther(t *testing.T) {
	for name, tt := range map[string]struct {
		most int
		want []string
		lost int
	}{
		"the beginning of it fits":   {cutBytes + 10, []string{"k=65536 of 100000", "k=1"}, 0},
		"only where it was fits":     {10, []string{"=0 of 100000", "k=1"}, 0},
		"not even that, nor another": {-1, nil, 2},
	} {
		t.Run(name, func(t *testing.T) {
			f, dropped := narrow{tt.most, make(chan string, 4)}, make(chan struct{}, 4)
			o := New(f, slog.New(slog.DiscardHandler), func() { dropped <- struct{}{} })
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error)
			go func() { done <- o.Run(ctx) }()
			o.Send(letterAt(5, string(make([]byte, 100_000))), envelope.Invalid, "because")
			o.Send(letterAt(6, "b"), envelope.Invalid, "because")
			for _, want := range tt.want {
				if got := <-f.wrote; got != want {
					t.Errorf("wrote %q, want %q", got, want)
				}
			}
			for range tt.lost {
				<-dropped
			}
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
			if _, waiting := o.Low(2); waiting {
				t.Error("a commit is still held")
			}
		})
	}
}

func TestWhatFindsNoRoomIsCounted(t *testing.T) {
	dropped := 0
	o := New(nil, slog.New(slog.DiscardHandler), func() { dropped++ })
	big := letterAt(0, string(make([]byte, MaxBytes/4)))
	for range 5 {
		o.Send(big, envelope.NotJSON, "x")
	}
	if dropped != 2 || o.bytes > MaxBytes {
		t.Errorf("%d dropped, %d bytes", dropped, o.bytes)
	}
}

func TestHeadersSayWhyAndWhereFrom(t *testing.T) {
	m := letterAt(7, "x")
	m.Headers = []envelope.Header{{Key: "h", Value: []byte("v")}}
	got := map[string]string{}
	for _, h := range headers(letter{m: m, reason: envelope.NotJSON, detail: "broken JSON"}) {
		got[h.Key] = string(h.Value)
	}
	for k, want := range map[string]string{"h": "v", "reason": "broken JSON", "code": "not_json", "source": "t/2/7"} {
		if got[k] != want {
			t.Errorf("%s: %q, want %q", k, got[k], want)
		}
	}
}

func TestWhoMayWaitLosesNoLetter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeWriter{gate: make(chan error), wrote: make(chan string, 1<<10)}
		o := New(f, slog.New(slog.DiscardHandler), func() { t.Error("dropped") })
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { _ = o.Run(ctx) })
		const letters = 40
		big := strings.Repeat("x", 1<<20)
		delivered := 0
		running.Go(func() {
			for i := range letters {
				o.Deliver(ctx, letterAt(int64(i), big), envelope.Invalid, "because")
				delivered++
			}
		})
		synctest.Wait()
		if delivered >= letters || delivered < 14 {
			t.Errorf("%d letters found room before one was written", delivered)
		}
		for range letters {
			f.gate <- nil
		}
		synctest.Wait()
		if delivered != letters || len(f.wrote) != letters {
			t.Errorf("%d delivered, %d written", delivered, len(f.wrote))
		}
		cancel()
		running.Wait()
	})
}
