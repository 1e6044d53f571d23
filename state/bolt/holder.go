package bolt

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"mxcutover/state"
)

// maxHolder bounds the sidecar file, in bytes.
const maxHolder = 4 << 10

func holderPath(path string) string { return path + ".holder" }

// A holder is who has a journal open to write.
type holder struct {
	pid                        int
	user, host, since, command string
}

func self(command string) holder {
	h := holder{pid: os.Getpid(), user: strconv.Itoa(os.Geteuid()), command: command}
	if u, err := user.Current(); err == nil {
		h.user = u.Username
	}
	if h.command == "" {
		h.command = filepath.Base(os.Args[0])
	}
	h.host, _ = os.Hostname() // it is told to people only
	h.since = time.Now().UTC().Format(time.RFC3339)
	return h
}

func (h holder) text() string {
	return fmt.Sprintf("pid: %d\nuser: %s\nhost: %s\nsince: %s\ncommand: %s\n",
		h.pid, printable(h.user), printable(h.host), h.since, printable(h.command))
}

// writeHolder replaces the sidecar file. Only the one who has the lock does so.
// A full disk leaves none: the lock is what counts, and the file but says whose it is.
func writeHolder(path, command string) error {
	text := self(command).text()
	fresh := path + ".new"
	if err := removeHolder(fresh); err != nil {
		return err
	}
	f, err := os.OpenFile(fresh, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if state.NoSpace(err) {
		return removeHolder(path)
	}
	if err != nil {
		return fmt.Errorf("say who holds the journal: %w", err)
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(fresh, path)
	}
	if state.NoSpace(err) {
		return errors.Join(removeHolder(fresh), removeHolder(path))
	}
	if err != nil {
		return fmt.Errorf("say who holds the journal: %w", err)
	}
	return nil
}

func removeHolder(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func readHolder(path string) (h holder, ok bool) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return h, false
	}
	defer func() { _ = f.Close() }()
	return parseHolder(f)
}

func parseHolder(r io.Reader) (h holder, ok bool) {
	lines := bufio.NewScanner(io.LimitReader(r, maxHolder))
	for lines.Scan() {
		key, value, _ := strings.Cut(lines.Text(), ": ")
		value = printable(value)
		switch key {
		case "pid":
			h.pid, _ = strconv.Atoi(value)
		case "user":
			h.user = value
		case "host":
			h.host = value
		case "since":
			h.since = value
		case "command":
			h.command = value
		}
	}
	return h, h.pid > 0
}

// printable keeps a text to one short line.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if !strconv.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
	if len(s) > 200 {
		s = strings.ToValidUTF8(s[:200], "") + "..."
	}
	return s
}

// whoHolds says who has the lock that we did not get. The sidecar file may be
// left from a process that was killed; and readers write none.
func whoHolds(f *os.File, path string) string {
	h, ok := readHolder(path)
	host, _ := os.Hostname()
	pids := lockPIDs(f)
	switch {
	case ok && (h.host != host || alive(h.pid)):
		return fmt.Sprintf("%s (pid %d, user %s, on %s, since %s)", h.command, h.pid, h.user, h.host, h.since)
	case len(pids) > 0:
		return "pid " + strings.Join(pids, ", ") + ", which left no word of what it does"
	case ok:
		return fmt.Sprintf("the process is not known; %s names pid %d, which has ended", path, h.pid)
	}
	return "the process is not known; a reader leaves no word"
}

func alive(pid int) bool {
	err := syscall.Kill(pid, 0)
	return err == nil || errors.Is(err, syscall.EPERM)
}

// lockPIDs asks Linux which processes have the file locked; elsewhere, none
// are known. A line is "1: FLOCK ADVISORY WRITE 1234 fe:00:5678 0 EOF".
func lockPIDs(f *os.File) (pids []string) {
	info, err := f.Stat()
	if err != nil {
		return nil
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	locks, err := os.Open("/proc/locks")
	if err != nil {
		return nil
	}
	defer func() { _ = locks.Close() }()
	for lines := bufio.NewScanner(locks); lines.Scan(); {
		w := strings.Fields(lines.Text())
		if len(w) < 6 || w[1] != "FLOCK" || !strings.HasSuffix(w[5], ":"+strconv.FormatUint(st.Ino, 10)) {
			continue
		}
		pids = append(pids, w[4])
	}
	return pids
}
