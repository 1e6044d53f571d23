package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"mxcutover/config"
	"mxcutover/control"
	"mxcutover/report"
)

// startTime bounds how long a started engine may take to answer.
const startTime = time.Minute

// A machine is what starting an engine needs to know of the system, and to do there.
type machine struct {
	root    bool
	systemd bool                                                                             // it is what runs the system
	self    string                                                                           // this program's file
	dir     string                                                                           // where it was started: relative paths count from there
	run     func(ctx context.Context, name string, args ...string) (string, error)           // a command that ends soon
	launch  func(argv []string, dir, log string) (pid int, ended <-chan struct{}, err error) // in a session of its own
}

func newMachine() machine {
	m := machine{root: os.Geteuid() == 0, run: runSoon, launch: launch}
	_, err := os.Stat("/run/systemd/system")
	m.systemd = err == nil
	m.self, _ = os.Executable() // without it, nothing is launched
	m.dir, _ = os.Getwd()
	return m
}

// runSoon runs a command that answers within seconds.
func runSoon(ctx context.Context, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	return string(out), err
}

// startEngine starts an engine that outlives the terminal, and waits until it answers:
// the system's unit if there is one for this configuration, else a unit made by
// systemd-run, else a process in a session of its own. It tells which.
func startEngine(ctx context.Context, cfg *config.Config, m machine) (told string, err error) {
	if m.self == "" || m.dir == "" {
		return "", errors.New("this program's own file is not known; start the engine by hand with:\n  mxcutover run")
	}
	path, err := filepath.Abs(cfg.Path)
	if err != nil {
		return "", err
	}
	argv := []string{m.self, "--config", path, "run", "--progress", "none"}
	unit := "mxcutover-" + unitName(cfg.Migration)
	switch {
	case m.systemd && m.hasUnit(ctx, path):
		told = "started by systemctl start mxcutover.service"
		err = m.command(ctx, "systemctl", "start", "--no-block", "mxcutover.service")
	case m.systemd && m.root:
		told = "started as unit " + unit + "; see: journalctl -u " + unit
		err = m.command(ctx, "systemd-run", append([]string{"--quiet", "--collect", "--unit", unit, "--working-directory", m.dir, "--"}, argv...)...)
	case m.systemd && m.lingers(ctx):
		told = "started as your unit " + unit + "; see: journalctl --user -u " + unit
		err = m.command(ctx, "systemd-run", append([]string{"--user", "--quiet", "--collect", "--unit", unit, "--working-directory", m.dir, "--"}, argv...)...)
	default:
		return m.detached(ctx, cfg, argv)
	}
	if err != nil {
		return "", err
	}
	return told, answers(ctx, cfg, nil)
}

// unitName is a migration's name as a unit may have it.
func unitName(migration string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' {
			return r
		}
		return '_'
	}, migration)
}

func (m machine) command(ctx context.Context, name string, args ...string) error {
	out, err := m.run(ctx, name, args...)
	if err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(report.Harmless(out)))
	}
	return nil
}

// hasUnit tells whether the system has a unit that runs this configuration.
func (m machine) hasUnit(ctx context.Context, path string) bool {
	out, err := m.run(ctx, "systemctl", "cat", "mxcutover.service")
	return err == nil && strings.Contains(out, "ExecStart") && (strings.Contains(out, path) || path == "/etc/mxcutover/mxcutover.yaml" && !strings.Contains(out, "--config"))
}

// lingers tells whether the user's units go on when the user has logged out.
func (m machine) lingers(ctx context.Context) bool {
	out, err := m.run(ctx, "loginctl", "show-user", "--property=Linger", fmt.Sprint(os.Getuid()))
	if err != nil || strings.TrimSpace(out) != "Linger=yes" {
		return false
	}
	_, err = m.run(ctx, "systemctl", "--user", "show-environment")
	return err == nil
}

// kills tells whether logind ends what a user leaves behind at logging out.
func (m machine) kills(ctx context.Context) bool {
	if !m.systemd {
		return false
	}
	out, err := m.run(ctx, "busctl", "get-property", "org.freedesktop.login1", "/org/freedesktop/login1", "org.freedesktop.login1.Manager", "KillUserProcesses")
	return err == nil && strings.TrimSpace(out) == "b true"
}

// engineLog is what an engine in a session of its own prints to.
func engineLog(cfg *config.Config) string { return beside(cfg.State.Path, ".log") }

// detached starts the engine in a session of its own: no terminal ends it.
func (m machine) detached(ctx context.Context, cfg *config.Config, argv []string) (string, error) {
	log := engineLog(cfg)
	var before int64
	if i, err := os.Stat(log); err == nil {
		before = i.Size()
	}
	pid, ended, err := m.launch(argv, m.dir, log)
	if err != nil {
		return "", fmt.Errorf("start the engine: %w", err)
	}
	if err := answers(ctx, cfg, ended); err != nil {
		return "", fmt.Errorf("%w: %s", err, lastWords(log, before))
	}
	told := fmt.Sprintf("started in a session of its own, pid %d; it prints to %s", pid, log)
	if m.kills(ctx) {
		told += "; but logind ends it when you log out (KillUserProcesses): loginctl enable-linger, and start it again"
	}
	return told, nil
}

// launch starts a process that no terminal ends. The channel is closed when it has
// ended.
func launch(argv []string, dir, log string) (int, <-chan struct{}, error) {
	if err := os.MkdirAll(filepath.Dir(log), 0o700); err != nil {
		return 0, nil, err
	}
	out, err := os.OpenFile(log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return 0, nil, err
	}
	defer out.Close()
	c := exec.Command(argv[0], argv[1:]...) //nolint:noctx // it outlives this program
	c.Dir, c.Stdout, c.Stderr = dir, out, out
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := c.Start(); err != nil {
		return 0, nil, err
	}
	ended := make(chan struct{})
	go func() { // it ends with the engine, or with this program
		_ = c.Wait() // what it said is in its log
		close(ended)
	}()
	return c.Process.Pid, ended, nil
}

// errNoStart is of an engine that was started and is not there.
var errNoStart = errors.New("the engine did not start")

// answers waits until the engine answers.
func answers(ctx context.Context, cfg *config.Config, ended <-chan struct{}) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	for {
		if _, err := control.Dial(socketDir(cfg)); err == nil {
			return nil
		}
		select {
		case <-ended:
			return errNoStart
		default:
		}
		if pause(ctx, 50*time.Millisecond) != nil {
			return fmt.Errorf("it was started, and does not answer yet; if that lasts, run it by hand to see why: %w", errNoStart)
		}
	}
}

// lastWords are what the engine printed at last, on one line.
func lastWords(log string, from int64) string {
	f, err := os.Open(log)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	const most = 4 << 10
	i, err := f.Stat()
	if err != nil {
		return err.Error()
	}
	b := make([]byte, min(i.Size()-min(from, i.Size()), most))
	if _, err := f.ReadAt(b, i.Size()-int64(len(b))); err != nil {
		return err.Error()
	}
	return strings.Join(strings.FieldsFunc(string(bytes.TrimSpace(b)), func(r rune) bool { return r == '\n' }), "; ")
}
