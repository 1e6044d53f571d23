package main

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mxcutover/config"
)

// TestStartEngine picks the way that outlives the terminal where there is one.
func TestStartEngine(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name          string
		root, systemd bool
		answers       map[string]string // of commands that succeed, by their beginning
		want          string            // the command that starts it; "" = a session of its own
		told          string
	}{
		{name: "no systemd", told: "a session of its own, pid 4711"},
		{name: "a system's unit", systemd: true, answers: map[string]string{"systemctl cat": "ExecStart=/usr/bin/mxcutover --config CONFIG run", "systemctl start": ""}, want: "systemctl start --no-block mxcutover.service", told: "systemctl start"},
		{
			name: "a unit of another migration, and root", root: true, systemd: true,
			answers: map[string]string{"systemctl cat": "ExecStart=/usr/bin/mxcutover --config /etc/another.yaml run", "systemd-run": ""},
			want:    "systemd-run --quiet --collect --unit mxcutover-gateway_2026", told: "journalctl -u mxcutover-gateway_2026",
		},
		{name: "a user who lingers", systemd: true, answers: map[string]string{"loginctl show-user": "Linger=yes\n", "systemctl --user": "", "systemd-run": ""}, want: "systemd-run --user", told: "journalctl --user"},
		{name: "a user who does not, and is cleaned up after", systemd: true, answers: map[string]string{"loginctl show-user": "Linger=no\n", "busctl": "b true\n"}, told: "KillUserProcesses"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := shortDir(t)
			cfg := &config.Config{Path: filepath.Join(dir, "mxcutover.yaml"), Migration: "gateway 2026"}
			cfg.State.Path = filepath.Join(dir, "g.db")
			var ran, launched []string
			up := func() {
				if err := os.MkdirAll(socketDir(cfg), 0o750); err != nil {
					t.Fatal(err)
				}
				l, err := net.Listen("unix", filepath.Join(socketDir(cfg), "control.sock"))
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { l.Close() })
			}
			m := machine{root: c.root, systemd: c.systemd, self: "/usr/bin/mxcutover", dir: dir}
			m.run = func(_ context.Context, name string, args ...string) (string, error) {
				line := strings.Join(append([]string{name}, args...), " ")
				for begin, out := range c.answers {
					if strings.HasPrefix(line, begin) {
						if name == "systemd-run" || strings.HasPrefix(line, "systemctl start") {
							ran = append(ran, line)
							up()
						}
						return strings.ReplaceAll(out, "CONFIG", cfg.Path), nil
					}
				}
				return "", errors.New("no")
			}
			m.launch = func(argv []string, _, _ string) (int, <-chan struct{}, error) {
				launched = argv
				up()
				return 4711, make(chan struct{}), nil
			}
			told, err := startEngine(t.Context(), cfg, m)
			if err != nil || !strings.Contains(told, c.told) {
				t.Errorf("told %q, %v; want %q", told, err, c.told)
			}
			switch {
			case c.want == "":
				if !slices.Equal(launched, []string{"/usr/bin/mxcutover", "--config", cfg.Path, "run", "--progress", "none"}) || len(ran) > 0 {
					t.Errorf("launched %q, ran %q", launched, ran)
				}
			case len(ran) != 1 || !strings.HasPrefix(ran[0], c.want) || launched != nil:
				t.Errorf("launched %q, ran %q; want %q", launched, ran, c.want)
			}
		})
	}
}

// shortDir is a directory whose sockets have short paths.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "mx") //nolint:usetesting // its path would be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// TestEngineThatDoesNotStart tells what it said.
func TestEngineThatDoesNotStart(t *testing.T) {
	t.Parallel()
	dir := shortDir(t)
	cfg := &config.Config{Path: filepath.Join(dir, "mxcutover.yaml"), Migration: "g"}
	cfg.State.Path = filepath.Join(dir, "g.db")
	script := filepath.Join(dir, "engine")
	if err := os.WriteFile(script, []byte("#!/bin/sh\necho 'mxcutover: the plan is stale' >&2\nexit 6\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	m := machine{self: script, dir: dir, launch: launch}
	if _, err := startEngine(t.Context(), cfg, m); !errors.Is(err, errNoStart) || !strings.Contains(err.Error(), "the plan is stale") {
		t.Errorf("%v", err)
	}
}
