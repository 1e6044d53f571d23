package bolt_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mxcutover/state"
	"mxcutover/state/bolt"
)

func take(t *testing.T, path string, writes bool, others ...string) *bolt.Hold {
	t.Helper()
	h, err := bolt.Take(path, "a rollback", writes, others...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Release(); err != nil {
			t.Error(err)
		}
	})
	return h
}

// TestOneHolds takes the hold of a journal that is put away and replaced: its
// file's own lock would let a second one in.
func TestOneHolds(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "gateway.db")
	h := take(t, path, true)
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path, path+".before"); err != nil {
		t.Fatal(err)
	}
	_, err := bolt.Take(path, "an engine", true)
	if !errors.Is(err, state.ErrLocked) || !strings.Contains(err.Error(), "a rollback (pid ") {
		t.Errorf("a second hold: %v", err)
	}
	if err := h.Release(); err != nil {
		t.Fatal(err)
	}
	take(t, path, true)
}

// TestHoldOfADiskThatCannotBeWritten has no place for the hold's file: something
// that is there is locked instead, and the next one finds it locked.
func TestHoldOfADiskThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, from := filepath.Join(dir, "gone", "gateway.db"), filepath.Join(dir, "gateway.snapshots")
	if err := os.WriteFile(from, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := bolt.Take(path, "a rollback", false); err == nil {
		t.Error("nothing could be locked, and that was no error")
	}
	take(t, path, false, filepath.Dir(path), from)
	if _, err := bolt.Take(path, "a rollback", false, filepath.Dir(path), from); !errors.Is(err, state.ErrLocked) {
		t.Errorf("a second hold: %v", err)
	}
}

// TestHoldKeepsAnOlderReleaseAway opens a journal as a release did that knew of
// no hold, beside one who holds it without writing it. Readers are let in.
func TestHoldKeepsAnOlderReleaseAway(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "gateway.db")
	s, err := bolt.Open(path, bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bolt.Take(path, "a rollback", false); !errors.Is(err, state.ErrLocked) {
		t.Errorf("a hold beside a writer: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	take(t, path, false)
	if _, err := bolt.Open(path, bolt.Options{}); !errors.Is(err, state.ErrLocked) {
		t.Errorf("a writer beside the hold: %v", err)
	}
	r, err := bolt.Open(path, bolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatalf("a reader beside the hold: %v", err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}
