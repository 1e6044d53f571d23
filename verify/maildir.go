package verify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Bounds of a Maildir.
const (
	maxProbe   = 64 << 10        // bytes; a longer file is none of ours
	settling   = 2 * time.Second // so long after a change, another may bear the same time stamp
	dirClock   = time.Hour       // its clock and ours may differ so much, over NFS
	sweepFiles = 10000           // looked at for leftovers
)

// A maildir is a mailbox in a local folder, written by others.
type maildir struct {
	path  string
	since time.Time
	dirs  map[string]*mailFolder
}

// A mailFolder is new or cur.
type mailFolder struct {
	changed time.Time       // when it was listed last, by its own time stamp
	seen    map[string]bool // files that are none that anybody waits for, or too old
}

func newMaildir(path string) *maildir {
	return &maildir{path: path, dirs: map[string]*mailFolder{"new": {}, "cur": {}}}
}

// String names it for errors.
func (m *maildir) String() string { return "Maildir" }

func (m *maildir) mark() { m.since = time.Now().Add(-dirClock) }

func (m *maildir) rest(context.Context) {} // lookAgain is short enough

func (m *maildir) close() {}

// look lists the folders that changed, and reads the headers of new files. A file
// may move from new to cur, or be renamed in cur, at any time: the next look finds
// it under its new name.
func (m *maildir) look(_ context.Context, a *arrivals) error {
	for name, d := range m.dirs {
		if err := d.look(filepath.Join(m.path, name), m.since, a); err != nil {
			return err
		}
	}
	if before, yes := a.sweeps(m.String()); yes {
		return m.sweep(a.from, before)
	}
	return nil
}

func (d *mailFolder) look(dir string, since time.Time, a *arrivals) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	changed := info.ModTime()
	if d.seen != nil && changed.Equal(d.changed) && time.Since(changed).Abs() > settling {
		return nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	seen := make(map[string]bool, len(entries))
	for _, e := range entries {
		name := e.Name()
		if d.seen[name] {
			seen[name] = true // those that are gone are forgotten
			continue
		}
		if err := d.read(filepath.Join(dir, name), since, a); err != nil {
			return err
		}
		seen[name] = true
	}
	d.seen, d.changed = seen, changed
	return nil
}

// read looks into one file, and deletes it if it is a probe of ours.
func (d *mailFolder) read(path string, since time.Time, a *arrivals) error {
	header, err := mailHeader(path, func(i fs.FileInfo) bool { return i.ModTime().After(since) })
	if errors.Is(err, fs.ErrNotExist) { // moved meanwhile
		return nil
	}
	if err != nil {
		return err
	}
	token := field(header, tokenHeader)
	if !isToken(token) || !a.tell(token, outcome{where: "Maildir", header: header, hops: parseReceived(header)}) {
		return nil
	}
	if err := gone(os.Remove(path)); err != nil {
		return err
	}
	a.deleted(token)
	return nil
}

// sweep deletes what crashed runs left behind; see [mailbox.sweep].
func (m *maildir) sweep(from string, before time.Time) error {
	left := sweepFiles
	for name := range m.dirs {
		entries, err := os.ReadDir(filepath.Join(m.path, name))
		if err != nil {
			return err
		}
		for _, e := range entries {
			if left--; left < 0 {
				return nil
			}
			path := filepath.Join(m.path, name, e.Name())
			header, err := mailHeader(path, func(i fs.FileInfo) bool { return i.ModTime().Before(before) })
			if err != nil || !isOurs(header, from) {
				continue // of others, whatever it is
			}
			if err := gone(os.Remove(path)); err != nil {
				return fmt.Errorf("leftovers: %w", err)
			}
		}
	}
	return nil
}

// mailHeader reads the beginning of a file, if it is a plain one that may be a
// probe; "" if not.
func mailHeader(path string, of func(fs.FileInfo) bool) (string, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() || info.Size() > maxProbe || !of(info) {
		return "", nil
	}
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxProbe))
	return string(text), err
}

// gone is no error if a file is not there any more.
func gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
