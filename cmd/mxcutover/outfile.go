package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// writeWhole writes a file whole or not at all: beside it, synced, then renamed.
// The name beside it is always the same, so that what a killed process left is
// replaced by the next one. Who may read it the umask says, or everybody may.
func writeWhole(file string, everybody bool, write func(io.Writer) error) error {
	beside := filepath.Join(filepath.Dir(file), "."+filepath.Base(file)+".new")
	if err := os.Remove(beside); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("write %s: %w", file, err)
	}
	f, err := os.OpenFile(beside, os.O_WRONLY|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, 0o644)
	if err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	if everybody {
		err = f.Chmod(0o644)
	}
	err = errors.Join(err, write(f), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(beside, file)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", file, err), os.Remove(beside))
	}
	return nil
}

// put writes to a file, or to standard output if none is named.
func (s *streams) put(file string, write func(io.Writer) error) error {
	if file == "" || file == "-" {
		return write(s.out)
	}
	return writeWhole(file, false, write)
}
