// Package bolt keeps a journal in one bbolt file: the Store of a migration that
// one machine runs.
//
// [Open] makes the folder and the file their owner's alone, waits a moment for
// the file's lock, checks every page before the file is mapped into memory, and
// only then lets bbolt have it. The lock is the kernel's (flock): it ends with
// the process, however that ends. A sidecar file says who holds it.
package bolt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"mxcutover/state"
)

// ErrDamaged means that a file is no journal, or no whole one.
var ErrDamaged = errors.New("the file is damaged")

// Options of Open.
type Options struct {
	ReadOnly bool          // for as long as nobody writes; many can
	Wait     time.Duration // for the lock; one second if zero
	Holder   string        // what this process does, as a second opener is told
}

// What one transaction of a scan reads at most. A consumer that takes its time
// must not keep a transaction open: writers would wait for it.
const (
	scanKeys  = 256
	scanBytes = 1 << 20
)

// A Store is one open file.
type Store struct {
	path     string
	readOnly bool
	wait     time.Duration
	file     *os.File
	db       *bbolt.DB
	lock     chan struct{} // has the one who holds Lock
	life     context.Context
	end      context.CancelCauseFunc

	use    sync.RWMutex // Close waits for what is under way
	closed bool

	mu   sync.Mutex
	dead error // why nothing can be done any more

	ballast sync.Mutex
	written int64 // where the ballast ends, as far as is known
	largest int64 // bytes that a commit took for pages, of those known
}

// bucket holds all keys.
func bucket() []byte { return []byte("mxcutover") }

// Open opens or, unless it is to be read only, makes the file. state.ErrLocked:
// another process has it, and the error says which. ErrDamaged: it is not whole,
// and the error says where.
func Open(path string, opt Options) (*Store, error) {
	if opt.Wait == 0 {
		opt.Wait = time.Second
	}
	f, err := openFile(path, opt.ReadOnly)
	if err != nil {
		return nil, fmt.Errorf("open the journal: %w", err)
	}
	s := &Store{path: path, readOnly: opt.ReadOnly, wait: opt.Wait, file: f, lock: make(chan struct{}, 1)}
	if err := s.start(opt); err != nil {
		return nil, errors.Join(fmt.Errorf("open the journal %s: %w", path, err), letGo(f))
	}
	s.life, s.end = context.WithCancelCause(context.Background())
	return s, nil
}

func (s *Store) start(opt Options) error {
	if err := lockFile(s.file, opt.ReadOnly, opt.Wait); err != nil {
		if errors.Is(err, state.ErrLocked) {
			return fmt.Errorf("%w: %s", err, whoHolds(s.file, holderPath(s.path)))
		}
		return err
	}
	var err error
	if s.largest, err = checkFile(s.file, opt.ReadOnly); err != nil {
		return err
	}
	if err := s.guard(s.openDB); err != nil {
		return err
	}
	if s.readOnly {
		return nil
	}
	err = syncFolders(s.path)
	if err == nil {
		err = writeHolder(holderPath(s.path), opt.Holder)
	}
	if err != nil {
		return errors.Join(err, s.db.Close())
	}
	return nil
}

// openDB gives the file, which is locked already, to bbolt.
func (s *Store) openDB() (err error) {
	s.db, err = bbolt.Open(s.path, 0o600, &bbolt.Options{
		ReadOnly: s.readOnly, Timeout: s.wait, FreelistType: bbolt.FreelistMapType, NoStatistics: true,
		OpenFile: func(string, int, os.FileMode) (*os.File, error) { return s.file, nil },
	})
	var disk syscall.Errno
	switch {
	case errors.As(err, &disk): // no word against the file
		return err
	case err != nil:
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	case s.readOnly || s.hasBucket(): // even an Update that changes nothing writes pages, and the disk may be full
		return nil
	}
	return s.db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists(bucket())
		return err
	})
}

func (s *Store) hasBucket() (has bool) {
	err := s.db.View(func(tx *bbolt.Tx) error {
		has = tx.Bucket(bucket()) != nil
		return nil
	})
	return err == nil && has
}

// guard runs what touches bbolt. Its panics, and the faults of a file that was
// cut off under its map, become errors; after one the store is dead, since
// bbolt may still hold its own locks.
func (s *Store) guard(f func() error) (err error) {
	s.mu.Lock()
	dead := s.dead
	s.mu.Unlock()
	if dead != nil {
		return dead
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = s.die(fmt.Errorf("%w: %v", ErrDamaged, r))
		}
	}()
	return f()
}

func (s *Store) die(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dead == nil {
		s.dead = err
	}
	return err
}

// enter begins a use of the store, which Close waits for.
func (s *Store) enter() (leave func(), err error) {
	s.use.RLock()
	if s.closed {
		s.use.RUnlock()
		return nil, fmt.Errorf("journal %s: %w", s.path, state.ErrClosed)
	}
	return s.use.RUnlock, nil
}

// Scan walks the keys with a prefix, in their order, a page at a time.
func (s *Store) Scan(ctx context.Context, prefix string) iter.Seq2[state.KV, error] {
	return func(yield func(state.KV, error) bool) {
		last := ""
		for {
			page, err := s.page(ctx, prefix, last)
			if err != nil {
				yield(state.KV{}, err)
				return
			}
			for _, kv := range page {
				if kv.Key <= last {
					yield(state.KV{}, s.die(fmt.Errorf("read the journal %s: %w: its keys are out of order", s.path, ErrDamaged)))
					return
				}
				if !yield(kv, nil) {
					return
				}
				last = kv.Key
			}
			if len(page) == 0 {
				return
			}
		}
	}
}

// page reads some keys after the last one.
func (s *Store) page(ctx context.Context, prefix, last string) (page []state.KV, err error) {
	leave, err := s.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	err = s.guard(func() error {
		return s.db.View(func(tx *bbolt.Tx) error {
			b := tx.Bucket(bucket())
			if b == nil {
				return nil
			}
			c, size := b.Cursor(), 0
			k, v := c.Seek([]byte(max(prefix, last)))
			if last != "" && string(k) == last {
				k, v = c.Next()
			}
			for k != nil && strings.HasPrefix(string(k), prefix) && len(page) < scanKeys && size < scanBytes {
				page = append(page, state.KV{Key: string(k), Value: append([]byte{}, v...)})
				size += len(k) + len(v)
				k, v = c.Next()
			}
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("read the journal %s: %w", s.path, err)
	}
	return page, nil
}

// Commit does a transaction and syncs it. After an error that is none of the
// Store's the file is not written again: it is unknown what was synced.
func (s *Store) Commit(ctx context.Context, t state.Txn) error {
	if err := t.Check(); err != nil {
		return err
	}
	leave, err := s.enter()
	if err != nil {
		return err
	}
	defer leave()
	if s.readOnly {
		return state.ErrReadOnly
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	err = s.guard(func() error { return s.update(t) })
	switch {
	case err == nil, errors.Is(err, state.ErrConflict):
		return err
	}
	return s.die(fmt.Errorf("write the journal %s: %w", s.path, err))
}

func (s *Store) update(t state.Txn) error {
	return s.db.Update(func(tx *bbolt.Tx) error {
		tx.OnCommit(func() { s.took(tx.Stats()) })
		b := tx.Bucket(bucket())
		if b == nil {
			return fmt.Errorf("%w: %w", ErrDamaged, berrors.ErrBucketNotFound)
		}
		b.FillPercent = 0.9 // keys of events only grow
		for _, kv := range t.If {
			if v := b.Get([]byte(kv.Key)); (v == nil) != (kv.Value == nil) || !bytes.Equal(v, kv.Value) {
				return fmt.Errorf("%q: %w", kv.Key, state.ErrConflict)
			}
		}
		for _, kv := range t.Put {
			var err error
			if kv.Value == nil {
				err = b.Delete([]byte(kv.Key))
			} else {
				err = b.Put([]byte(kv.Key), kv.Value)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}
