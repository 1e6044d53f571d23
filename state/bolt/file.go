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

// openFile opens the file, or makes it and its folder. It refuses a folder that
// others can write to, and a file that others can reach.
func openFile(path string, readOnly bool) (*os.File, error) {
	flag := os.O_RDONLY
	if !readOnly {
		flag = os.O_RDWR | os.O_CREATE
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return nil, err
		}
	}
	dir, err := os.Stat(filepath.Dir(path))
	if err != nil {
		return nil, missing(err)
	}
	if err := checkOwner(filepath.Dir(path), dir, 0o022, "go-w"); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, flag|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, missing(cannotWrite(path, err))
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is no regular file", path)
	}
	if err == nil {
		err = checkOwner(path, info, 0o077, "600")
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// missing tells of a file that is not there as of a migration that is not.
func missing(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%w: %w", state.ErrNone, err)
	}
	return err
}

// cannotWrite tells of a file that can be read, and not written.
func cannotWrite(path string, err error) error {
	if !errors.Is(err, syscall.EROFS) && !errors.Is(err, os.ErrPermission) {
		return err
	}
	f, err2 := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW, 0)
	if err2 != nil {
		return err
	}
	return errors.Join(fmt.Errorf("%w: %w; it can still be read", state.ErrReadOnly, err), f.Close())
}

// checkOwner refuses what belongs to a user other than root and ourselves, and
// what has any of the given permissions.
func checkOwner(path string, info os.FileInfo, bad os.FileMode, cure string) error {
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid != 0 && int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("%s belongs to uid %d; root or uid %d was expected; run it as that user: sudo -u '#%d' COMMAND", path, st.Uid, os.Geteuid(), st.Uid)
	}
	if m := info.Mode().Perm(); m&bad != 0 {
		return fmt.Errorf("%s has mode %04o, and others could get at the journal; mend it with: chmod %s %s", path, m, cure, path)
	}
	return nil
}

// lockPause is how long a second opener waits between two looks.
const lockPause = 20 * time.Millisecond

// lockFile takes the kernel's lock of the file, shared for readers.
func lockFile(f *os.File, shared bool, wait time.Duration) error {
	how := syscall.LOCK_EX
	if shared {
		how = syscall.LOCK_SH
	}
	for end := time.Now().Add(wait); ; time.Sleep(lockPause) {
		err := syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, syscall.EINTR):
		case !errors.Is(err, syscall.EWOULDBLOCK):
			return fmt.Errorf("lock: %w", err)
		case !time.Now().Before(end):
			return state.ErrLocked
		}
	}
}

// letGo closes a file that bbolt may have closed already, or may have left
// mapped: a map keeps the kernel's lock after the close.
func letGo(f *os.File) error {
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_UN); err != nil && !errors.Is(err, syscall.EBADF) {
		return errors.Join(err, f.Close())
	}
	if err := f.Close(); !errors.Is(err, os.ErrClosed) {
		return err
	}
	return nil
}

// syncFolders makes the file's name durable, and that of its folder: bbolt
// syncs only what is in the file.
func syncFolders(path string) error {
	dir := filepath.Dir(path)
	for _, d := range []string{dir, filepath.Dir(dir)} {
		f, err := os.Open(d)
		if errors.Is(err, os.ErrPermission) && d != dir {
			continue // a folder above that only others may read was there before
		}
		if err != nil {
			return err
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return fmt.Errorf("sync %s: %w", d, err)
		}
	}
	return nil
}
