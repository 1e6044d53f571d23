package providers

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/miekg/dns"
)

const typeSOA = dns.TypeSOA

// errMeanwhile means that a file was changed by others since it was read.
var errMeanwhile = errors.New("the file was changed meanwhile")

// A fileLock is the lock of a master file, .FILE.mxcutover beside it. That file
// also holds the note that a reload is owed: if it is not empty, one is.
type fileLock struct {
	target string // the master file
	f      *os.File
}

func lockName(target string) string {
	return filepath.Join(filepath.Dir(target), "."+filepath.Base(target)+".mxcutover")
}

// lockEvery is how often a lock is tried that somebody else holds.
const lockEvery = 20 * time.Millisecond

// lockFile waits for the lock until the context ends.
func lockFile(ctx context.Context, target string) (*fileLock, error) {
	info, err := os.Stat(target)
	if err != nil {
		return nil, err
	}
	tick := time.NewTicker(lockEvery)
	defer tick.Stop()
	for {
		l, err := tryLock(target, info)
		if l != nil || err != nil {
			return l, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, &transient{fmt.Errorf("%s is locked by another program: %w", lockName(target), ctx.Err())}
		}
	}
}

// tryLock gives nil if somebody else has the lock.
func tryLock(target string, info fs.FileInfo) (*fileLock, error) {
	name := lockName(target)
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW|syscall.O_CLOEXEC, info.Mode().Perm()&0o660|0o600)
	if err != nil {
		return nil, fmt.Errorf("the lock beside the master file: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) || errors.Is(err, syscall.EINTR) {
			return nil, nil
		}
		return nil, fmt.Errorf("%s: flock: %w", name, err)
	}
	mine, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	if now, err := os.Lstat(name); err != nil || !os.SameFile(mine, now) {
		f.Close()       // somebody took the file away: it is made again
		return nil, nil //nolint:nilerr // as above
	}
	return &fileLock{target: target, f: f}, nil
}

func (l *fileLock) release() { l.f.Close() }

// reloadOwed tells whether a reload was noted and not done.
func reloadOwed(target string) (bool, error) {
	info, err := os.Lstat(lockName(target))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && info.Size() > 0, err
}

// owe notes durably that a reload is owed.
func (l *fileLock) owe() error {
	if _, err := l.f.WriteAt([]byte("the servers may not have read "+filepath.Base(l.target)+" since it was changed\n"), 0); err != nil {
		return err
	}
	if err := l.f.Sync(); err != nil {
		return err
	}
	return syncDir(filepath.Dir(l.target))
}

// settle notes that it is not owed any more.
func (l *fileLock) settle() error {
	if err := l.f.Truncate(0); err != nil {
		return fmt.Errorf("%s: %w", l.f.Name(), err)
	}
	return l.f.Sync()
}

// stage writes a text beside the master file, with the same mode, owner and
// attributes, and syncs it. Under the lock its name is nobody else's.
func (l *fileLock) stage(text []byte) (name string, err error) {
	old, err := os.Stat(l.target)
	if err != nil {
		return "", err
	}
	sys, ok := old.Sys().(*syscall.Stat_t)
	if ok && sys.Nlink > 1 {
		return "", fmt.Errorf("%s has %d names (hard links), of which only one would get the change; take the others away", l.target, sys.Nlink)
	}
	name = lockName(l.target) + "-new"
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", fmt.Errorf("the new master file: %w", err)
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil {
			os.Remove(name)
			err = fmt.Errorf("%s: nothing was written: %w", l.target, err)
		}
	}()
	if _, err := f.Write(text); err != nil {
		return name, err
	}
	if ok {
		if err := likeOwner(f, old, sys); err != nil {
			return name, err
		}
	}
	if err := f.Chmod(old.Mode().Perm()); err != nil {
		return name, err
	}
	if err := likeAttributes(f, l.target); err != nil {
		return name, err
	}
	if now := time.Now(); !now.After(old.ModTime()) { // BIND takes a file that is not younger for the one it has
		later := old.ModTime().Add(time.Second)
		if err := os.Chtimes(name, later, later); err != nil {
			return name, err
		}
	}
	return name, f.Sync()
}

// likeOwner gives a file its model's owner. Where only root may do that, it must
// at least stay readable as it was, by group or by all.
func likeOwner(f *os.File, old fs.FileInfo, want *syscall.Stat_t) error {
	is, err := f.Stat()
	if err != nil {
		return err
	}
	got, ok := is.Sys().(*syscall.Stat_t)
	if !ok || got.Uid == want.Uid && got.Gid == want.Gid {
		return nil
	}
	if f.Chown(int(want.Uid), int(want.Gid)) == nil {
		return nil
	}
	mode := old.Mode().Perm()
	grouped := got.Gid == want.Gid || f.Chown(-1, int(want.Gid)) == nil
	if mode&0o004 != 0 || mode&0o040 != 0 && grouped {
		return nil
	}
	return fmt.Errorf("its owner (uid %d, gid %d) cannot be kept, and its server might not read it any more; run as that user or as root", want.Uid, want.Gid)
}

// install puts a staged file in the master file's place. That a reload is owed is
// known before.
func (l *fileLock) install(fresh string) error {
	if err := l.owe(); err != nil {
		return fmt.Errorf("%s: nothing was written: %w", l.target, err)
	}
	if err := os.Rename(fresh, l.target); err != nil {
		return fmt.Errorf("%s: nothing was written: %w", l.target, err)
	}
	return syncDir(filepath.Dir(l.target))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
