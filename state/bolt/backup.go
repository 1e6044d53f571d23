package bolt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"go.etcd.io/bbolt"
)

// Backup writes a consistent copy of the file, as it is now, while commits go
// on. The copy is made beside the file first: a reader that takes its time must
// not hold up those who write.
func (s *Store) Backup(ctx context.Context, w io.Writer) (err error) {
	leave, err := s.enter()
	if err != nil {
		return err
	}
	defer leave()
	tmp, err := os.CreateTemp(filepath.Dir(s.path), ".backup-*")
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	defer func() { err = errors.Join(err, tmp.Close()) }()
	if err := os.Remove(tmp.Name()); err != nil { // it goes with the last who has it open
		return fmt.Errorf("backup: %w", err)
	}
	err = s.guard(func() error {
		return s.db.View(func(tx *bbolt.Tx) error {
			_, err := tx.WriteTo(tmp)
			return err
		})
	})
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	if _, err := tmp.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	if _, err := io.Copy(w, reader{ctx, tmp}); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	return nil
}

// reader ends with its context.
type reader struct {
	ctx context.Context
	io.Reader
}

// Read reads until the context ends.
func (r reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}
