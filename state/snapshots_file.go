package state

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
)

// A snapshotFile is the text file, being written.
type snapshotFile struct {
	mu        sync.Mutex
	file      textFile
	migration string
	full      error // why nothing more is taken; the end may be torn
}

// A textFile is an *os.File.
type textFile interface {
	io.Writer
	io.ReaderAt
	Name() string
	Stat() (os.FileInfo, error)
	Truncate(size int64) error
	Sync() error
	Close() error
}

// probeSize is how much room is looked for once there was none, in bytes: enough
// for the snapshots of one commit.
const probeSize = MaxBytes

// openSnapshots opens the text file to append to, and ends a torn record. The
// file is its owner's alone.
func openSnapshots(path, migration string) (*snapshotFile, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("snapshots: %w", err)
	}
	s := &snapshotFile{file: f, migration: migration}
	if err := s.ready(); err != nil {
		return nil, errors.Join(fmt.Errorf("snapshots: %w", err), f.Close())
	}
	return s, nil
}

// ready mends the end of the file. A full disk is no failure: a rollback needs no
// new snapshot.
func (s *snapshotFile) ready() error {
	err := s.mend()
	if NoSpace(err) {
		s.full = err
		return nil
	}
	return errors.Join(err, syncFolder(filepath.Dir(s.file.Name())))
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
	if _, err := io.WriteString(s.file, end); err != nil {
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
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.full == nil {
		refused, err := s.write(text)
		if err == nil {
			return nil
		}
		if !refused {
			return fmt.Errorf("snapshots: %w", err)
		}
		s.full = err
	}
	return fmt.Errorf("snapshots: %w: %w", ErrNoRoom, s.full)
}

// write writes a text and syncs it. refused: the disk is full, and nothing of the
// text is in the file.
func (s *snapshotFile) write(text []byte) (refused bool, err error) {
	info, err := s.file.Stat()
	if err != nil {
		return false, err
	}
	if _, err := s.file.Write(text); err != nil {
		terr := s.file.Truncate(info.Size())
		return NoSpace(err) && terr == nil, errors.Join(err, terr)
	}
	return false, s.file.Sync() // after an error nobody knows what is on the disk
}

// room looks for room again where there was none: for the end of what is torn,
// and for more snapshots, in a file beside.
func (s *snapshotFile) room() error {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.full == nil || s.file == nil {
		return nil
	}
	err := s.mend()
	if err == nil {
		err = probe(filepath.Dir(s.file.Name()))
	}
	if err == nil {
		s.full = nil
	}
	return err
}

func probe(dir string) error {
	f, err := os.CreateTemp(dir, ".room-*")
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, probeSize))
	return errors.Join(err, f.Sync(), f.Close(), os.Remove(f.Name()))
}

// Close closes the file; a nil one is none.
func (s *snapshotFile) Close() error {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == nil {
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
