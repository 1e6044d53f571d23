package main

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"mxcutover/lab"
	"mxcutover/state"
)

// supervise listens as a supervisor does.
func supervise(t *testing.T) (*net.UnixConn, string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "sd") //nolint:usetesting // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c, path
}

// nextTold is the next message, or "" if none comes within the given time.
func nextTold(t *testing.T, c *net.UnixConn, within time.Duration) string {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(within)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 4096)
	n, err := c.Read(b)
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	return string(b[:n])
}

// TestNotifySupervisor runs the program as systemd does: it is ready when it answers,
// goes on saying so, and says that it stops.
func TestNotifySupervisor(t *testing.T) {
	t.Parallel()
	a := newAlone(t, lab.Options{}, false)
	a.do("plan", "--out", a.plan)
	c, path := supervise(t)
	engine := a.command("run", "--plan", a.plan)
	engine.Env = append(os.Environ(), "NOTIFY_SOCKET="+path, "WATCHDOG_USEC=600000")
	if err := engine.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if engine.ProcessState == nil {
			_ = engine.Process.Kill()
			_ = engine.Wait()
		}
	})
	if got := nextTold(t, c, time.Minute); !strings.HasPrefix(got, "READY=1\nSTATUS=0 of 1 domains live") {
		t.Fatalf("first: %q", got)
	}
	if out, err := a.command("status", "-o", "json").CombinedOutput(); err != nil || !strings.Contains(string(out), `"running"`) {
		t.Errorf("ready, and its status is %v: %s", err, out)
	}
	for range 3 {
		if got := nextTold(t, c, time.Minute); !strings.HasPrefix(got, "WATCHDOG=1\nSTATUS=") {
			t.Fatalf("then: %q", got)
		}
	}
	if err := engine.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for got := ""; got != "STOPPING=1"; {
		if got = nextTold(t, c, time.Minute); got != "STOPPING=1" && !strings.HasPrefix(got, "WATCHDOG=1") {
			t.Fatalf("at last: %q", got)
		}
	}
	if err := engine.Wait(); engine.ProcessState.ExitCode() != codeInterrupted {
		t.Errorf("its end: %v", err)
	}
}

// TestNotSpokenFor: an engine that does not answer is neither ready nor alive.
func TestNotSpokenFor(t *testing.T) {
	t.Parallel()
	c, path := supervise(t)
	looks := make(chan string, 100)
	var answer func(context.Context) (*state.Status, error)
	fails := func(context.Context) (*state.Status, error) { return nil, errors.New("refused") }
	hangs := func(ctx context.Context) (*state.Status, error) { <-ctx.Done(); return nil, ctx.Err() }
	n := 0
	answer = func(ctx context.Context) (*state.Status, error) {
		n++
		switch {
		case n <= 3:
			looks <- "fails"
			return fails(ctx)
		case n <= 4:
			looks <- "begins"
			return &state.Status{Engine: "stopped"}, nil
		case n <= 6:
			looks <- "answers"
			return &state.Status{Engine: "running"}, nil
		}
		looks <- "hangs"
		return hangs(ctx)
	}
	finish := supervisor{socket: path, watch: 90 * time.Millisecond}.attend(t.Context(), answer)
	for range 9 { // three that fail, one of an engine that begins, two that answer, three that hang
		<-looks
	}
	finish()
	for _, want := range []string{"READY=1", "WATCHDOG=1", "STOPPING=1", ""} {
		if got := nextTold(t, c, 10*time.Millisecond); !strings.HasPrefix(got, want) || want == "" && got != "" {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestSupervisorOf(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		env  map[string]string
		want supervisor
	}{
		"none":          {nil, supervisor{}},
		"no watchdog":   {map[string]string{"NOTIFY_SOCKET": "@x"}, supervisor{socket: "@x"}},
		"ours":          {map[string]string{"NOTIFY_SOCKET": "/s", "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "7"}, supervisor{"/s", 3 * time.Second}},
		"another's":     {map[string]string{"NOTIFY_SOCKET": "/s", "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "8"}, supervisor{socket: "/s"}},
		"no number":     {map[string]string{"NOTIFY_SOCKET": "/s", "WATCHDOG_USEC": "soon"}, supervisor{socket: "/s"}},
		"out of bounds": {map[string]string{"NOTIFY_SOCKET": "/s", "WATCHDOG_USEC": "9223372036854775807"}, supervisor{socket: "/s"}},
	} {
		if got := supervisorOf(func(k string) string { return tt.env[k] }, 7); got != tt.want {
			t.Errorf("%s: %+v, want %+v", name, got, tt.want)
		}
	}
}
