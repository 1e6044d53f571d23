package providers

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// maxAttribute bounds what is read of a file's extended attributes, in bytes; it
// is the kernel's own bound (xattr(7)).
const maxAttribute = 64 << 10

// likeAttributes copies extended attributes, such as access lists and labels. One
// that the file system or the rules for labels do not let us set is left out,
// but for access lists: without its own the file would be read by others, or not
// by its server.
func likeAttributes(f *os.File, model string) error {
	buf := make([]byte, maxAttribute)
	n, err := unix.Listxattr(model, buf)
	if err != nil {
		if errors.Is(err, unix.ENOTSUP) {
			return nil
		}
		return fmt.Errorf("extended attributes: %w", err)
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(buf[:n]), "\x00"), "\x00") {
		if name == "" {
			continue
		}
		value := make([]byte, maxAttribute)
		n, err := unix.Getxattr(model, name, value)
		if err == nil {
			err = unix.Fsetxattr(int(f.Fd()), name, value[:n], 0)
		}
		if err != nil && strings.HasPrefix(name, "system.posix_acl_") {
			return fmt.Errorf("the access list cannot be kept: %w", err)
		}
	}
	return nil
}
