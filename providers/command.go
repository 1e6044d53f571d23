package providers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// maxOutput is how much of what a command says is read and told, in bytes.
const maxOutput = 2000

// A command is a program and its arguments, run without a shell. An argument that
// is a placeholder, such as {zone}, is replaced as a whole.
type command []string

// check refuses an empty program, and placeholders that are none, or part of an
// argument: a zone's name must not become an option or a piece of a script.
func (c command) check(key string, placeholders ...string) error {
	for i, a := range c {
		if i == 0 && (a == "" || strings.HasPrefix(a, "{")) {
			return fmt.Errorf("%s: a program was expected first", key)
		}
		if isPlaceholder(a) {
			known := false
			for _, p := range placeholders {
				known = known || a == p
			}
			if known {
				continue
			}
		}
		for _, p := range placeholders {
			if strings.Contains(a, p) {
				return fmt.Errorf("%s: %s stands within the argument %.80q; it must be an argument of its own", key, p, a)
			}
		}
		if isPlaceholder(a) {
			return fmt.Errorf("%s: the placeholder %.40q is not known; these are: %s", key, a, strings.Join(placeholders, ", "))
		}
	}
	return nil
}

func isPlaceholder(a string) bool { return strings.HasPrefix(a, "{") && strings.HasSuffix(a, "}") }

// run runs the command in a folder, with a clean environment, and kills it with
// all its children when it takes too long.
func (c command) run(ctx context.Context, dir string, values map[string]string, limit time.Duration) error {
	argv := make([]string, len(c))
	for i, a := range c {
		argv[i] = a
		if v, ok := values[a]; ok {
			argv[i] = v
		}
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	said := &firstBytes{left: maxOutput}
	x := exec.CommandContext(ctx, argv[0], argv[1:]...) //nolint:gosec // the administrator's own command
	x.Dir, x.Stdout, x.Stderr = dir, said, said
	x.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", "HOME=" + os.Getenv("HOME")}
	x.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	x.Cancel = func() error {
		err := syscall.Kill(-x.Process.Pid, syscall.SIGKILL)
		if errors.Is(err, syscall.ESRCH) {
			return nil
		}
		return err
	}
	x.WaitDelay = time.Second
	err := x.Run()
	switch {
	case err == nil:
		return nil
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		err = fmt.Errorf("it did not end within %v, and was killed", limit)
	}
	if words := strings.Join(strings.Fields(string(said.b)), " "); words != "" {
		return fmt.Errorf("%s: %w: %.600s", argv[0], err, strings.ToValidUTF8(words, "?"))
	}
	return fmt.Errorf("%s: %w", argv[0], err)
}

// firstBytes keeps the first bytes that are written to it, and takes the rest.
type firstBytes struct {
	b    []byte
	left int
}

func (f *firstBytes) Write(p []byte) (int, error) {
	n := min(len(p), f.left)
	f.b, f.left = append(f.b, p[:n]...), f.left-n
	return len(p), nil
}
