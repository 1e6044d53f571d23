package bolt

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"

	"go.etcd.io/bbolt"

	"mxcutover/state"
)

// Ballast is what lies in the file beyond bbolt's last page, and is written.
// bbolt takes new pages one after another there, and resizes the file only when
// it is too short: commits move into the ballast without asking the disk for
// anything. bbolt itself is no party to it, so a disk that is full while ballast
// is written spoils no transaction. What bbolt has resized but not written is
// zeros, perhaps a hole, and never counted. Nor are pages that are free within:
// a big commit needs them side by side, and whether they lie so is not known.
const (
	block = 4 << 10 // what a file system gives out at least; pages of bbolt begin on one
	step  = 1 << 20 // as much ballast is written while commits wait

	// A path of the tree and the list of free pages are written anew before their
	// like are freed.
	spare = 128 << 10
)

var _ state.Reserver = (*Store)(nil)

// ballastFor is how many bytes of ballast it takes to commit so many bytes of
// values. Twice, since a page may be little more than half full. Once more for
// big values, since bbolt keeps up to four in one page, however big, and writes
// them all anew when one is added; and so with those that are there already.
func (s *Store) ballastFor(n int64) int64 {
	return 2*n + min(n, state.MaxBytes) + s.overhead()
}

// roomOf is the other way round.
func (s *Store) roomOf(ballast int64) int64 {
	n := max(0, ballast-s.overhead())
	return max(n/3, (n-state.MaxBytes)/2)
}

func (s *Store) overhead() int64 {
	s.ballast.Lock()
	defer s.ballast.Unlock()
	return 2 * max(spare, s.largest)
}

// took notes what a commit wrote.
func (s *Store) took(stats bbolt.TxStats) {
	s.ballast.Lock()
	defer s.ballast.Unlock()
	s.largest = max(s.largest, stats.GetPageAlloc())
}

// Reserve writes ballast, one step after another, so that commits come between.
// A disk that copies on write (btrfs, ZFS) needs free space even so.
func (s *Store) Reserve(ctx context.Context, n int64) error {
	leave, err := s.enter()
	if err != nil {
		return err
	}
	defer leave()
	if s.readOnly {
		return state.ErrReadOnly
	}
	for more := true; more && err == nil; {
		if err := ctx.Err(); err != nil {
			return err
		}
		err = s.guard(func() (err error) {
			more, err = s.lade(s.ballastFor(n))
			return err
		})
	}
	switch {
	case err == nil:
		return nil
	case !state.NoSpace(err) || errors.Is(err, errUnsynced):
		return s.die(fmt.Errorf("reserve room in the journal %s: %w", s.path, err))
	}
	return fmt.Errorf("reserve room in the journal %s, which has room for %d bytes: %w; free some space on its disk", s.path, s.Room(), err)
}

// errUnsynced: it is unknown what the disk has.
var errUnsynced = errors.New("sync failed")

// lade writes one step of the ballast that is wanted, in bytes, and syncs it.
func (s *Store) lade(want int64) (more bool, err error) {
	tx, err := s.db.Begin(true) // so that bbolt's last page stays
	if err != nil {
		return false, err
	}
	defer func() { _ = tx.Rollback() }() // nothing was done in it
	want += tx.Size()
	end, err := s.ballastEnd(tx.Size())
	if err != nil || end >= want {
		return false, err
	}
	n, err := s.file.WriteAt(noise(end, min(step, want-end)), end)
	if err2 := s.file.Sync(); err2 != nil {
		return false, fmt.Errorf("%w: %w", errUnsynced, err2)
	}
	s.ballast.Lock()
	defer s.ballast.Unlock()
	s.written = end + int64(n)/block*block
	return s.written < want, err
}

// noise is what ballast consists of: not zeros, and nothing that a file system
// could compress or share.
func noise(at, n int64) []byte {
	var seed [32]byte
	binary.LittleEndian.PutUint64(seed[:], uint64(at))
	b := make([]byte, (n+block-1)/block*block)
	_, _ = rand.NewChaCha8(seed).Read(b) // it never fails
	return b
}

// Room is about how many bytes of values can be committed without the store asking for
// more disk, as the ballast that is left tells; 0 if the store can not be written.
func (s *Store) Room() int64 {
	leave, err := s.enter()
	if err != nil {
		return 0
	}
	defer leave()
	var room int64
	err = s.guard(func() error {
		return s.db.View(func(tx *bbolt.Tx) error {
			end, err := s.ballastEnd(tx.Size())
			room = s.roomOf(end - tx.Size())
			return err
		})
	})
	if err != nil || s.readOnly {
		return 0
	}
	return room
}

// ballastEnd is the end of the written blocks that follow bbolt's last page. It
// reads each only once.
func (s *Store) ballastEnd(last int64) (int64, error) {
	s.ballast.Lock()
	defer s.ballast.Unlock()
	s.written = max(s.written, last)
	buf := make([]byte, 64*block)
	for {
		n, err := s.file.ReadAt(buf, s.written)
		for b := buf[:n/block*block]; len(b) > 0; b = b[block:] {
			if len(bytes.TrimLeft(b[:block], "\x00")) == 0 {
				return s.written, nil
			}
			s.written += block
		}
		switch {
		case errors.Is(err, io.EOF):
			return s.written, nil
		case err != nil:
			return 0, err
		}
	}
}
