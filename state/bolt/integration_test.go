//go:build integration && linux

package bolt_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"mxcutover/state"
	"mxcutover/state/bolt"
)

// smallDisk mounts a tmpfs of 8 MiB, which needs root.
func smallDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=8m"); err != nil {
		t.Fatalf("mount a tmpfs: %v; this test needs root", err)
	}
	t.Cleanup(func() {
		// A store that died keeps its map, and the map the disk, until the process ends.
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return dir
}

// fill writes a file until nothing more goes in.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	for size := 64 << 10; size > 0; {
		if _, err := f.Write(make([]byte, size)); errors.Is(err, syscall.ENOSPC) {
			size /= 2
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestIntegrationFullDisk(t *testing.T) {
	t.Parallel()
	for name, reserve := range map[string]bool{"reserved": true, "not reserved": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := smallDisk(t)
			path := filepath.Join(dir, "state", "journal.db")
			s := open(t, path, bolt.Options{})
			j, err := begin(s, path, true)
			if err != nil {
				t.Fatal(err)
			}
			if reserve {
				err = s.Reserve(t.Context(), 1<<20)
			}
			if err != nil || reserve != (s.Room() >= 1<<20) {
				t.Fatalf("reserve: %v, room for %d bytes", err, s.Room())
			}
			fill(t, filepath.Join(dir, "others"))
			if err = appendSome(j, 500); !reserve {
				if !errors.Is(err, state.ErrDead) || !errors.Is(err, syscall.ENOSPC) {
					t.Errorf("without room: %v", err)
				}
			} else if err != nil {
				t.Error(err)
			}
			if err := errors.Join(j.Close(), s.Close()); err != nil {
				t.Fatal(err)
			}
			reopenFull(t, path, reserve)
		})
	}
}

// reopenFull opens a journal on a disk that is still full.
func reopenFull(t *testing.T, path string, reserved bool) {
	s := open(t, path, bolt.Options{Holder: "the next"})
	j, err := begin(s, path, false)
	if err != nil {
		t.Fatal(err)
	}
	if !reserved {
		if err := s.Reserve(t.Context(), 1<<20); !errors.Is(err, syscall.ENOSPC) || errors.Is(err, state.ErrDead) {
			t.Errorf("reserve: %v", err)
		}
	} else if err := appendSome(j, 100); err != nil || j.Status().Seq != 601 {
		t.Errorf("after it was opened again: %v, %d events", err, j.Status().Seq)
	}
	if err := j.Close(); err != nil {
		t.Error(err)
	}
}

// TestIntegrationReadOnlyDisk has a disk that the kernel made read only.
func TestIntegrationReadOnlyDisk(t *testing.T) {
	t.Parallel()
	dir := smallDisk(t)
	path := filepath.Join(dir, "state", "journal.db")
	s := open(t, path, bolt.Options{})
	commit(t, s, "k", "v")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := bolt.Open(path, bolt.Options{}); !errors.Is(err, state.ErrReadOnly) || !errors.Is(err, syscall.EROFS) {
		t.Errorf("to write: %v", err)
	}
	r := open(t, path, bolt.Options{ReadOnly: true})
	if got := value(t, r, "k"); got != "v" {
		t.Errorf("read: %q", got)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}
