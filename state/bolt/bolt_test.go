package bolt_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"mxcutover/state"
	"mxcutover/state/bolt"
	"mxcutover/state/storetest"
)

// asHolder makes the test binary a second process that opens a journal.
const asHolder = "BOLT_TEST_HOLD"

func TestMain(m *testing.M) {
	if path := os.Getenv(asHolder); path != "" {
		os.Exit(hold(path))
	}
	goleak.VerifyTestMain(m)
}

// hold opens the journal, says so, and keeps it until its input ends or it is killed.
func hold(path string) int {
	if p, ok := strings.CutPrefix(path, "append:"); ok {
		return appendForEver(p)
	}
	if what, ok := strings.CutPrefix(path, "watched:"); ok {
		return watched(what)
	}
	ro := strings.HasPrefix(path, "ro:")
	s, err := bolt.Open(strings.TrimPrefix(path, "ro:"), bolt.Options{ReadOnly: ro, Holder: "the other engine"})
	if err != nil {
		fmt.Println("error:", err)
		return 1
	}
	fmt.Println("open")
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return 1
	}
	if err := s.Close(); err != nil {
		return 1
	}
	return 0
}

// other starts that process, and returns what it says and how to end it: by a
// kill, or in order.
func other(t *testing.T, path string) (said *bufio.Reader, kill, quit func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), asHolder+"="+path)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := false
	end := func(f func() error, wantErr bool) func() {
		return func() {
			if ended {
				return
			}
			ended = true
			if err := f(); err != nil {
				t.Errorf("end the other process: %v", err)
			}
			if err := cmd.Wait(); (err != nil) != wantErr {
				t.Errorf("the other process: %v", err)
			}
		}
	}
	kill, quit = end(cmd.Process.Kill, true), end(in.Close, false)
	t.Cleanup(kill)
	said = bufio.NewReader(out)
	if line, err := said.ReadString('\n'); err != nil || line != "open\n" {
		t.Fatalf("the other process says %q, %v", line, err)
	}
	return said, kill, quit
}

func open(t *testing.T, path string, opt bolt.Options) *bolt.Store {
	t.Helper()
	s, err := bolt.Open(path, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func newPath(t *testing.T) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "state", "journal.db")
}

func commit(t *testing.T, s state.Store, key, value string) {
	t.Helper()
	if err := s.Commit(t.Context(), state.Txn{Put: []state.KV{{Key: key, Value: []byte(value)}}}); err != nil {
		t.Fatal(err)
	}
}

func value(t *testing.T, s state.Store, key string) string {
	t.Helper()
	for kv, err := range s.Scan(t.Context(), key) {
		if err != nil {
			t.Fatal(err)
		}
		return string(kv.Value)
	}
	return ""
}

func TestConformance(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) state.Store {
		return open(t, newPath(t), bolt.Options{Wait: 20 * time.Millisecond})
	})
}

func TestReopenFindsWhatWasCommitted(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := open(t, path, bolt.Options{})
	commit(t, s, "k", "v")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, ro := range []bool{true, false} {
		s := open(t, path, bolt.Options{ReadOnly: ro})
		if got := value(t, s, "k"); got != "v" {
			t.Errorf("read only %v: %q", ro, got)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for p, want := range map[string]fs.FileMode{path: 0o600, filepath.Dir(path): 0o700} {
		if info, err := os.Stat(p); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v; want %v", p, info.Mode(), err, want)
		}
	}
}

func TestReadOnly(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	if _, err := bolt.Open(path, bolt.Options{ReadOnly: true}); !errors.Is(err, fs.ErrNotExist) || !errors.Is(err, state.ErrNone) {
		t.Errorf("no file: %v", err)
	}
	s := open(t, path, bolt.Options{})
	commit(t, s, "k", "v")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	one, two := open(t, path, bolt.Options{ReadOnly: true}), open(t, path, bolt.Options{ReadOnly: true})
	for _, s := range []*bolt.Store{one, two} {
		if value(t, s, "k") != "v" {
			t.Error("a reader sees nothing")
		}
		if err := s.Commit(t.Context(), state.Txn{Put: []state.KV{{Key: "k"}}}); !errors.Is(err, state.ErrReadOnly) {
			t.Errorf("commit: %v", err)
		}
		if _, err := s.Lock(t.Context(), "x"); !errors.Is(err, state.ErrReadOnly) {
			t.Errorf("lock: %v", err)
		}
	}
	_, err := bolt.Open(path, bolt.Options{Wait: 30 * time.Millisecond})
	if !errors.Is(err, state.ErrLocked) {
		t.Errorf("a writer beside readers: %v", err)
	}
}

func TestSecondProcessIsToldWhoHolds(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	_, kill, _ := other(t, path)
	began := time.Now()
	for _, ro := range []bool{false, true} {
		_, err := bolt.Open(path, bolt.Options{ReadOnly: ro})
		if !errors.Is(err, state.ErrLocked) || !strings.Contains(err.Error(), "the other engine (pid ") || !strings.Contains(err.Error(), "since 20") {
			t.Errorf("read only %v: %v", ro, err)
		}
	}
	if d := time.Since(began); d < 2*time.Second {
		t.Errorf("gave up after %v, and should wait a second each time", d)
	}
	kill()
	if _, err := os.Stat(path + ".holder"); err != nil {
		t.Errorf("the killed process left no sidecar: %v", err)
	}
	s := open(t, path, bolt.Options{Holder: "the next engine"})
	text, err := os.ReadFile(path + ".holder")
	if err != nil || !strings.Contains(string(text), "command: the next engine\n") || !strings.Contains(string(text), fmt.Sprintf("pid: %d\n", os.Getpid())) {
		t.Errorf("sidecar: %q, %v", text, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path + ".holder"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the sidecar is left: %v", err)
	}
}

func TestStaleHolderIsNotBelieved(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	_, kill, _ := other(t, path)
	kill() // leaves its sidecar
	_, _, quit := other(t, "ro:"+path)
	_, err := bolt.Open(path, bolt.Options{Wait: 30 * time.Millisecond})
	if !errors.Is(err, state.ErrLocked) || strings.Contains(err.Error(), "the other engine") {
		t.Errorf("while a reader has it: %v", err)
	}
	quit()
	open(t, path, bolt.Options{})
}

func TestWaitsForTheFirst(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	first := open(t, path, bolt.Options{})
	got := make(chan error, 1)
	go func() {
		s, err := bolt.Open(path, bolt.Options{Wait: time.Minute})
		if err == nil {
			err = s.Close()
		}
		got <- err
	}()
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-got; err != nil {
		t.Errorf("second: %v", err)
	}
}

func TestPermissions(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil func(path string) error
		want  string
	}{
		"file read by others":      {func(p string) error { return os.Chmod(p, 0o644) }, "chmod 600 "},
		"file of the group":        {func(p string) error { return os.Chmod(p, 0o660) }, "chmod 600 "},
		"folder written by others": {func(p string) error { return os.Chmod(filepath.Dir(p), 0o777) }, "chmod go-w "},
		"link": {func(p string) error {
			return errors.Join(os.Rename(p, p+".real"), os.Symlink(p+".real", p))
		}, "symbolic link"},
		"folder in its place": {func(p string) error { return errors.Join(os.Remove(p), os.Mkdir(p, 0o700)) }, "director"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := newPath(t)
			if err := open(t, path, bolt.Options{}).Close(); err != nil {
				t.Fatal(err)
			}
			if err := c.spoil(path); err != nil {
				t.Fatal(err)
			}
			_, err := bolt.Open(path, bolt.Options{})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("open: %v, want %q", err, c.want)
			}
		})
	}
}

func FuzzHolder(f *testing.F) {
	f.Add([]byte("pid: 12\nuser: root\nhost: h\nsince: 2026-01-01T00:00:00Z\ncommand: x\n"))
	f.Add([]byte("pid: \x1b[2J\ncommand: \x00\x1b]0;x\x07\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if who, ok := bolt.WhoSays(bytes.NewReader(text)); ok && strings.ContainsAny(who, "\x00\x1b\n\r\x7f") {
			t.Errorf("%q would spoil a terminal", who)
		}
	})
}
