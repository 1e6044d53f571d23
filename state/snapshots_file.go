package state

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// A snapshotFile is the text file, being written.
type snapshotFile struct {
	file      *os.File
	migration string
	full      error // the disk was full when it was opened, and its end is torn
}

// openSnapshots opens the text file to append to, and ends a torn record. The
// file is its owner's alone.
func openSnapshots(path, migration string) (*snapshotFile, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("snapshots: %w", err)
	}
	s := &snapshotFile{file: f, migration: migration}
	if err := s.mend(); errors.Is(err, syscall.ENOSPC) {
		s.full = err // a rollback needs no new snapshot
		return s, nil
	} else if err = errors.Join(err, syncFolder(filepath.Dir(path))); err != nil {
		return nil, errors.Join(fmt.Errorf("snapshots: %w", err), f.Close())
	}
	return s, nil
}

// mend marks a record that was never finished, so that the next one can follow.
func (s *snapshotFile) mend() error {
	info, err := s.file.Stat()
	if err != nil {
		return err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("%s has mode %04o and can be reached by others; mend it with: chmod 600 %s", s.file.Name(), info.Mode().Perm(), s.file.Name())
	}
	if info.Size() == 0 {
		return nil
	}
	tail := make([]byte, min(info.Size(), int64(len(markSum)+2*sha256.Size+2)))
	if _, err := s.file.ReadAt(tail, info.Size()-int64(len(tail))); err != nil {
		return err
	}
	whole := bytes.HasSuffix(tail, []byte("\n"))
	last := tail[bytes.LastIndexByte(bytes.TrimSuffix(tail, []byte("\n")), '\n')+1:]
	if whole && (bytes.HasPrefix(last, []byte(markSum)) || string(last) == markTorn+"\n") {
		return nil
	}
	end := markTorn + "\n"
	if !whole {
		end = "\n" + end
	}
	if _, err := s.file.WriteString(end); err != nil {
		return err
	}
	return s.file.Sync()
}

// append writes the snapshots of events and syncs them, before the events are
// committed and long before anything is done about them.
func (s *snapshotFile) append(events []Event) error {
	if s == nil {
		return nil
	}
	var text []byte
	for _, e := range events {
		snap, ok := snapshotOf(e, s.migration)
		if !ok {
			continue
		}
		t, err := snap.text()
		if err != nil {
			return err
		}
		text = append(text, t...)
	}
	if text == nil {
		return nil
	}
	if s.full != nil {
		return fmt.Errorf("snapshots: %w", s.full)
	}
	if _, err := s.file.Write(text); err != nil {
		return fmt.Errorf("snapshots: %w", err)
	}
	if err := s.file.Sync(); err != nil {
		return fmt.Errorf("snapshots: %w", err)
	}
	return nil
}

// Close closes the file; a nil one is none.
func (s *snapshotFile) Close() error {
	if s == nil || s.file == nil {
		return nil
	}
	f := s.file
	s.file = nil
	return f.Close()
}

func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
