package secret

import (
	"fmt"
	"os"
	"syscall"
)

// checkOwner refuses a file that others can read, or that belongs to a user
// other than root and ourselves.
func checkOwner(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("secret: %w", err)
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("secret: %s is no regular file", f.Name())
	}
	if m := info.Mode().Perm(); m&0o077 != 0 {
		return fmt.Errorf("secret: %s has mode %04o and can be read by others; mend it with: chmod 600 %s", f.Name(), m, f.Name())
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid != 0 && int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("secret: %s belongs to uid %d; root or uid %d was expected", f.Name(), st.Uid, os.Geteuid())
	}
	return nil
}
