package harness

import (
	"context"
	"os"
	"syscall"
	"testing"
	"time"
)

func TestProcess(t *testing.T) {
	start := func(t *testing.T, script string) *Process {
		p, err := Start(Spec{Name: "shell", Path: "/bin/sh", Args: []string{"-c", script}}, t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if p.Alive() {
				_ = p.Kill()
			}
		})
		return p
	}
	wait := func(t *testing.T, condition func() bool) {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		if err := Eventually(ctx, func(context.Context) error {
			if !condition() {
				return os.ErrNotExist
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("SIGKILL reaches what the program started itself", func(t *testing.T) {
		p := start(t, "sleep 1000 & echo $!; wait")
		wait(t, func() bool { return len(numbers(tail(p.Log(), 100))) == 1 })
		child := numbers(tail(p.Log(), 100))[0]
		if err := p.Kill(); err != nil {
			t.Fatal(err)
		}
		wait(t, func() bool { return gone(child) })
	})
	t.Run("it runs again after a restart, in the same log", func(t *testing.T) {
		p := start(t, "echo 7")
		<-p.Done()
		if err := p.Restart(); err != nil {
			t.Fatal(err)
		}
		<-p.Done()
		if got := numbers(tail(p.Log(), 100)); len(got) != 2 {
			t.Fatalf("log has %v, want two lines", got)
		}
	})
	t.Run("a frozen process is alive and ends when asked to", func(t *testing.T) {
		p := start(t, "while :; do sleep 0.1; done")
		if err := p.Freeze(); err != nil {
			t.Fatal(err)
		}
		if !p.Alive() {
			t.Fatal("not alive while frozen")
		}
		if err := p.Terminate(20 * time.Second); err != nil {
			t.Fatal(err)
		}
		if p.Alive() {
			t.Fatal("alive after SIGTERM")
		}
	})
	t.Run("a process that ended is not waited for", func(t *testing.T) {
		p := start(t, "exit 3")
		err := p.WaitReady(t.Context(), func(context.Context) error { return os.ErrNotExist })
		if err == nil {
			t.Fatal("ready, want an error")
		}
	})
}

// gone tells whether a process has ended. A zombie has: its parent may live on without waiting for it.
func gone(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return true
	}
	_, err := RSS(pid)
	return err != nil
}

func TestCPUAndRSSOfThisProcess(t *testing.T) {
	if _, err := CPU(os.Getpid()); err != nil {
		t.Error(err)
	}
	if rss, err := RSS(os.Getpid()); err != nil || rss < 1<<20 {
		t.Errorf("RSS is %d, %v; want more than a megabyte", rss, err)
	}
}
