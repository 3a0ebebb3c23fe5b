package revocations

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edumatrix/interlink/services/router/internal/envelope"
	"github.com/edumatrix/interlink/services/router/internal/partitionlog"
)

func TestParse(t *testing.T) {
	for name, tt := range map[string]struct {
		value string
		user  string
		ms    int64
	}{
		"an RFC 3339 time":     {`{"user":"u","before":"2023-11-14T22:13:20Z"}`, "u", 1_700_000_000_000},
		"epoch milliseconds":   {`{"user":"u","before":1700000000000,"more":1}`, "u", 1_700_000_000_000},
		"no user":              {`{"before":1700000000000}`, "", 0},
		"no time":              {`{"user":"u"}`, "", 0},
		"a time that is none":  {`{"user":"u","before":"now"}`, "", 0},
		"a time below nothing": {`{"user":"u","before":-1}`, "", 0},
		"no JSON":              {`x`, "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			user, ms, err := Parse([]byte(tt.value))
			if user != tt.user || ms != tt.ms || (err == nil) != (tt.user != "") {
				t.Errorf("%q %d %v", user, ms, err)
			}
		})
	}
}

func newRegister(a Appender) *Register {
	return New(Options{Partitions: 1, Appender: a, Logger: slog.New(slog.DiscardHandler)})
}

func TestOnlyWhatIsNewIsTold(t *testing.T) {
	r := newRegister(nil)
	w := partitionlog.NewWatcher()
	r.Watch(w)
	now := time.Now().UnixMilli()
	r.add("u1", now)
	r.add("u2", now-Keep.Milliseconds()-1000)
	<-w.C
	list, version := r.Since(0)
	if len(list) != 1 || list[0].GetUser() != "u1" {
		t.Fatalf("%v", list)
	}
	if list, _ := r.Since(version); list != nil {
		t.Errorf("told again: %v", list)
	}
	r.add("u1", now-5)
	if _, v := r.Since(0); v != version {
		t.Error("an earlier time replaced a later one")
	}
	r.add("u1", now+5)
	r.take(envelope.Message{Value: []byte("broken")})
	r.take(envelope.Message{})
	if list, _ := r.Since(version); len(list) != 1 || list[0].GetBeforeMs() != now+5 {
		t.Errorf("%v", list)
	}
}

type fakeAppender struct {
	fails int
	wrote chan string
}

func (f *fakeAppender) Revoke(_ context.Context, user string, value []byte) error {
	if f.fails--; f.fails >= 0 {
		return errors.New("away")
	}
	f.wrote <- user + " " + string(value)
	return nil
}

func TestARevocationIsWrittenOnceAndUntilItIs(t *testing.T) {
	f := &fakeAppender{fails: 1, wrote: make(chan string, 4)}
	r := newRegister(f)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); r.write(ctx) }()
	r.read(0)
	r.Append("u", 1_700_000_000_000)
	if got := <-f.wrote; got != `u {"user":"u","before":"2023-11-14T22:13:20Z"}` {
		t.Error(got)
	}
	r.add("u", 1_700_000_000_000)
	r.Append("u", 1_700_000_000_000)
	r.Append("v", 1_700_000_000_000)
	if got := <-f.wrote; got[0] != 'v' {
		t.Errorf("a known one is written again: %s", got)
	}
	cancel()
	<-done
}

// After a restart the log is often read before the topic that says what is on it already.
func TestWhatTheTopicHasIsNotWrittenAgainBeforeItIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeAppender{wrote: make(chan string, 4)}
		r := newRegister(f)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); r.write(ctx) }()
		r.Append("u", 1_700_000_000_000)
		synctest.Wait()
		r.add("u", 1_700_000_000_000)
		r.read(0)
		synctest.Wait()
		cancel()
		<-done
		if len(f.wrote) != 0 {
			t.Errorf("written again: %s", <-f.wrote)
		}
	})
}

func TestATopicThatCannotBeReadIsWrittenAllTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeAppender{wrote: make(chan string, 4)}
		r := newRegister(f)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go r.write(ctx)
		r.Append("u", 1_700_000_000_000)
		began := time.Now()
		if <-f.wrote; time.Since(began) != readWithin {
			t.Errorf("after %v", time.Since(began))
		}
	})
}
