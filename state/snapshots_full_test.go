package state_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"mxcutover/state"
	"mxcutover/state/storetest"
)

// TestNoRoomForASnapshot fills the disk in the middle of a record: that step is
// refused and no other event, a record is whole or not there, and once there is
// room again the step is taken.
func TestNoRoomForASnapshot(t *testing.T) {
	t.Parallel()
	for _, full := range []error{syscall.ENOSPC, syscall.EDQUOT} {
		path := filepath.Join(t.TempDir(), "snapshots.txt")
		s := storetest.NewMemory()
		closeJournal(t, create(t, s, samplePlan(t, 2)))
		j := withSnapshots(t, s.Copy(), path)
		if err := j.Append(t.Context(), intended(t, "d0000.example.", 1)); err != nil {
			t.Fatal(err)
		}
		j.SnapshotDisk(func(n int) (int, error) { return n / 2, &os.PathError{Op: "write", Path: path, Err: full} })
		if err := j.Append(t.Context(), intended(t, "d0001.example.", 1)); !errors.Is(err, state.ErrNoRoom) || !errors.Is(err, full) {
			t.Errorf("a step whose snapshot finds no room: %v", err)
		}
		if err := j.Append(t.Context(), state.Event{Kind: state.Done, Domain: "d0000.example.", Step: "publish"}); err != nil {
			t.Errorf("what was done: %v", err)
		}
		if got := readSnapshots(t, path); len(got) != 1 {
			t.Errorf("%d snapshots, want 1", len(got))
		}
		j.SnapshotDisk(func(n int) (int, error) { return n, nil })
		if err := j.Append(t.Context(), intended(t, "d0001.example.", 1)); !errors.Is(err, state.ErrNoRoom) {
			t.Errorf("nobody has looked for room: %v", err)
		}
		if err := j.KeepRoom(t.Context()); err != nil {
			t.Errorf("there is room again: %v", err)
		}
		if err := j.Append(t.Context(), intended(t, "d0001.example.", 1)); err != nil {
			t.Error(err)
		}
		closeJournal(t, j)
		if got := readSnapshots(t, path); len(got) != 2 {
			t.Errorf("%d snapshots, want 2", len(got))
		}
	}
}

// TestTornOnAFullDisk opens a text file whose end cannot be mended: a rollback
// needs no more of it.
func TestTornOnAFullDisk(t *testing.T) {
	t.Parallel()
	_, text := threeSnapshots(t)
	for _, why := range []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT, syscall.EIO} {
		path := filepath.Join(t.TempDir(), "torn.txt")
		if err := os.WriteFile(path, bytes.TrimSuffix(text, []byte("\n")), 0o600); err != nil {
			t.Fatal(err)
		}
		full, err := state.OpenTorn(path, func(int) (int, error) { return 0, why })
		if why == syscall.EIO {
			if err == nil {
				t.Error("a broken disk was opened")
			}
		} else if err != nil || !errors.Is(full, why) {
			t.Errorf("%v: %v, full %v", why, err, full)
		}
	}
}
