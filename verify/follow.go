package verify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"mxcutover/traffic"
)

// Bounds of following logs.
const (
	maxFollowed = 256 // files
	proofBytes  = 64  // before an offset, by which a file is known to be the same
	readBytes   = 1 << 20
)

// A follower reads logs that are still written to: what is new each time. A file
// that is renamed is read to its end; one that is truncated, or was written anew in
// its place, is read from its start. Files whose names differ only by what rotation
// adds are one log, the oldest first. Compressed files are left out.
type follower struct {
	globs  []string
	format string
	zone   *time.Location
	emit   func(*traffic.Record)

	files []*followed
	logs  map[string]*traffic.Log // by path without what rotation adds
}

// followed is one file. It stays open while it is followed, so that its inode is
// not given to another.
type followed struct {
	*os.File
	path   string
	of     *traffic.Log
	offset int64  // of what is read: whole lines
	proof  []byte // what stands before offset
	lost   bool   // no path leads to it
}

// poll reads what is new.
func (f *follower) poll(ctx context.Context) error {
	fresh, err := f.find()
	if err != nil {
		return err
	}
	for _, x := range append(slices.Clone(f.files), fresh...) {
		if slices.Contains(fresh, x) {
			f.files = append(f.files, x)
		}
		if err := f.read(ctx, x); err != nil {
			return fmt.Errorf("log %s: %w", x.path, err)
		}
	}
	f.files = slices.DeleteFunc(f.files, func(x *followed) bool {
		if x.lost {
			_ = x.Close() // it was read to its end
		}
		return x.lost
	})
	return nil
}

// close ends it.
func (f *follower) close() {
	for _, x := range f.files {
		_ = x.Close() // it was only read
	}
	f.files = nil
}

// find opens the files that are new, the oldest first, and marks those that are
// gone: they are read for the last time.
func (f *follower) find() (fresh []*followed, err error) {
	type there struct {
		path string
		info fs.FileInfo
	}
	var all []there
	for _, g := range f.globs {
		paths, err := filepath.Glob(g)
		if err != nil {
			return nil, fmt.Errorf("log %s: %w", g, err)
		}
		if len(paths) == 0 {
			if _, err := os.Stat(g); !strings.ContainsAny(g, "*?[") && !errors.Is(err, fs.ErrNotExist) {
				return nil, err
			}
		}
		for _, p := range paths {
			info, err := os.Stat(p)
			if errors.Is(err, fs.ErrNotExist) || err == nil && (!info.Mode().IsRegular() || compressed(p)) {
				continue
			}
			if err != nil {
				return nil, err
			}
			if !slices.ContainsFunc(all, func(o there) bool { return os.SameFile(o.info, info) }) {
				all = append(all, there{p, info})
			}
		}
	}
	if len(all) == 0 && len(f.files) == 0 {
		return nil, fmt.Errorf("no log is there: %s", strings.Join(f.globs, ", "))
	}
	if len(all) > maxFollowed {
		return nil, fmt.Errorf("%d logs; at most %d are followed", len(all), maxFollowed)
	}
	slices.SortStableFunc(all, func(a, b there) int { return a.info.ModTime().Compare(b.info.ModTime()) })
	for _, x := range f.files {
		x.lost = true
	}
	for _, a := range all {
		if i := slices.IndexFunc(f.files, func(x *followed) bool { return x.is(a.info) }); i >= 0 {
			f.files[i].path, f.files[i].lost = a.path, false
			continue
		}
		x, err := f.open(a.path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // rotated away just now: found by its new name the next time
		}
		if err != nil {
			return nil, err
		}
		fresh = append(fresh, x)
	}
	return fresh, nil
}

func (x *followed) is(info fs.FileInfo) bool {
	own, err := x.Stat()
	return err == nil && os.SameFile(own, info)
}

func compressed(path string) bool {
	return slices.Contains([]string{".gz", ".bz2", ".xz", ".zst", ".Z"}, filepath.Ext(path))
}

func (f *follower) open(path string) (*followed, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	name := traffic.LogName(path)
	if f.logs[name] == nil {
		l, err := traffic.NewLog(traffic.Options{Format: f.format, Zone: f.zone}, f.emit)
		if err != nil {
			_ = file.Close() // the error counts
			return nil, err
		}
		if f.logs == nil {
			f.logs = map[string]*traffic.Log{}
		}
		f.logs[name] = l
	}
	return &followed{File: file, path: path, of: f.logs[name]}, nil
}

// read reads a file's whole lines from its offset to its end.
func (f *follower) read(ctx context.Context, x *followed) error {
	info, err := x.Stat()
	if err != nil {
		return err
	}
	if info.Size() < x.offset || !x.same() {
		x.offset, x.proof = 0, nil
	}
	if info.Size() == x.offset {
		return nil
	}
	x.of.At(info.ModTime())
	buf := make([]byte, readBytes)
	for ctx.Err() == nil {
		n, err := x.ReadAt(buf, x.offset)
		whole := bytes.LastIndexByte(buf[:n], '\n') + 1
		if whole == 0 && (n == len(buf) || x.lost) {
			whole = n // a line that is too long, or the last one of all
		}
		_, _ = x.of.Write(buf[:whole]) // never fails
		x.offset += int64(whole)
		x.remember(buf[:whole])
		if errors.Is(err, io.EOF) || err == nil && whole == 0 {
			if x.lost {
				x.of.Drop()
			}
			return nil
		}
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

// same tells whether what stands before the offset is what was read.
func (x *followed) same() bool {
	buf := make([]byte, len(x.proof))
	n, _ := x.ReadAt(buf, x.offset-int64(len(buf)))
	return bytes.Equal(buf[:n], x.proof)
}

func (x *followed) remember(read []byte) {
	x.proof = append(x.proof, read[max(0, len(read)-proofBytes):]...)
	x.proof = slices.Clone(x.proof[max(0, len(x.proof)-proofBytes):])
}

// stats are those of all its logs.
// writes tells whether a server of a kind wrote some of the logs.
func (f *follower) writes(kind string) bool {
	for _, l := range f.logs {
		if strings.Contains(l.Format(), kind) {
			return true
		}
	}
	return false
}

func (f *follower) stats() (s traffic.Stats) {
	for _, l := range f.logs {
		s.Lines += l.Lines
		s.Parsed += l.Parsed
		s.Skipped += l.Skipped
		s.Long += l.Long
	}
	return s
}
