package bolt

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"mxcutover/state"
)

// A Hold is the right to write a migration, whichever file its journal is in. A
// store's own lock is that of one file: it does not keep that file from being
// put away, nor a second one from being begun.
type Hold struct{ files []*os.File }

// Take takes the hold of the journal at a path, for as long as the process
// lives or until Release. Its file lies beside the journal and stays there; it
// says who has it. Where that file can be neither made nor read, on a disk that
// is read only, full or broken, the first of the others that can be opened is
// locked in its place: the kernel's lock needs nothing to be written.
//
// With writes the caller opens the journal to write it, and makes its folder.
// Else the journal is locked too, as a reader does: a release that knows of no
// hold keeps away.
//
// state.ErrLocked: another process has it, and the error says which.
func Take(path, who string, writes bool, others ...string) (*Hold, error) {
	h, name := &Hold{}, path+".lock"
	f, err := openHold(name, writes)
	for i := 0; err != nil && i < len(others); i++ {
		if f2, err2 := os.Open(others[i]); err2 == nil {
			f, err, name = f2, nil, others[i]
		}
	}
	if err != nil {
		return nil, fmt.Errorf("lock the migration: %w", err)
	}
	if err := h.lock(f, false, name); err != nil {
		return nil, fmt.Errorf("lock the migration: %w", err)
	}
	if name == path+".lock" {
		sign(f, who)
	}
	if writes {
		return h, nil
	}
	if f, err = os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW, 0); err != nil {
		return h, nil //nolint:nilerr // it is lost, so nobody can begin to write it
	}
	if err := h.lock(f, true, holderPath(path)); err != nil {
		return nil, errors.Join(fmt.Errorf("lock the journal %s: %w", path, err), h.Release())
	}
	return h, nil
}

// openHold opens the file to be locked, and makes it.
func openHold(name string, folder bool) (*os.File, error) {
	if folder {
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			return nil, err
		}
	}
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err == nil {
		return f, nil
	}
	if f, err2 := os.OpenFile(name, os.O_RDONLY|syscall.O_NOFOLLOW, 0); err2 == nil {
		return f, nil
	}
	return nil, err
}

func (h *Hold) lock(f *os.File, shared bool, named string) error {
	err := lockFile(f, shared, time.Second)
	if errors.Is(err, state.ErrLocked) {
		err = fmt.Errorf("%w: %s", err, whoHolds(f, named))
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	h.files = append(h.files, f)
	return nil
}

// sign says in the file who has it. It is told to people only, so a disk that
// takes no more is no failure.
func sign(f *os.File, who string) {
	if f.Truncate(0) == nil {
		_, _ = f.WriteAt([]byte(self(who).text()), 0)
	}
}

// Release lets the hold go. Its file stays: another may have it open already.
func (h *Hold) Release() (err error) {
	for _, f := range h.files {
		err = errors.Join(err, f.Close())
	}
	h.files = nil
	return err
}
