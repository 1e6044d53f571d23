package logfile

import (
	"cmp"
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

// Bounds of finding files.
const (
	maxFiles = 65536
	peeked   = 64 << 10 // bytes of a file in which its first time is looked for
)

// A source is one file to read.
type source struct {
	path  string
	log   string // it is a part of
	info  fs.FileInfo
	begin time.Time // of its lines, or when it was last written to
	err   error
}

// find are the files that paths mean: those of one log together, in their order in
// time; the logs in the order in which they were named.
func find(ctx context.Context, paths []string, o Options) ([]*source, error) {
	var all []*source
	add := func(path string, regular bool) {
		s := &source{path: path, log: traffic.LogName(path)}
		if path != "-" {
			s.info, s.err = os.Stat(path)
		}
		if s.err == nil && s.info != nil {
			if regular && !s.info.Mode().IsRegular() {
				return
			}
			if slices.ContainsFunc(all, func(x *source) bool { return x.info != nil && os.SameFile(x.info, s.info) }) {
				return
			}
		}
		all = append(all, s)
	}
	for _, path := range paths {
		if err := expand(path, add); err != nil {
			all = append(all, &source{path: path, log: path, err: err})
		}
		if len(all) > maxFiles {
			return nil, fmt.Errorf("more than %d logs", maxFiles)
		}
	}
	at := map[string]int{}
	for i, s := range all {
		if _, ok := at[s.log]; !ok {
			at[s.log] = i
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		s.date(o)
	}
	slices.SortStableFunc(all, func(a, b *source) int {
		return cmp.Or(cmp.Compare(at[a.log], at[b.log]), a.begin.Compare(b.begin))
	})
	return all, nil
}

// expand adds what a path means.
func expand(path string, add func(path string, regular bool)) error {
	if path == "-" {
		add(path, false)
		return nil
	}
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		entries, err := os.ReadDir(path)
		if err != nil {
			return plain(err)
		}
		n := 0
		for _, e := range entries {
			if !strings.HasPrefix(e.Name(), ".") && !e.IsDir() {
				add(filepath.Join(path, e.Name()), true)
				n++
			}
		}
		if n == 0 {
			return errors.New("no file is in this directory")
		}
		return nil
	case err == nil:
		add(path, false)
		return nil
	case !errors.Is(err, fs.ErrNotExist) || !strings.ContainsAny(path, "*?["):
		return plain(err)
	}
	found, err := filepath.Glob(path)
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return errors.New("no file matches")
	}
	for _, p := range found {
		add(p, true)
	}
	return nil
}

// plain is an error without the path, which is told with it.
func plain(err error) error {
	if p := (*fs.PathError)(nil); errors.As(err, &p) {
		return p.Err
	}
	return err
}

// date finds when a regular file begins.
func (s *source) date(o Options) {
	if s.err != nil || s.info == nil || !s.info.Mode().IsRegular() {
		s.begin = o.Now
		return
	}
	s.begin = s.info.ModTime()
	f, err := os.Open(s.path)
	if err != nil {
		s.err = plain(err)
		return
	}
	defer f.Close()
	in, err := unpack(f)
	if err != nil {
		return // told when it is read
	}
	defer in.close()
	text, _ := io.ReadAll(io.LimitReader(in, peeked)) // the same
	if at, ok := traffic.Begins(text, traffic.Options{Format: o.Format, Zone: o.Zone, Now: s.info.ModTime()}); ok {
		s.begin = at
	}
}

// open opens a source.
func (s *source) open(ctx context.Context, o Options) (io.ReadCloser, error) {
	switch {
	case s.err != nil:
		return nil, s.err
	case s.path == "-" && o.Stdin == nil:
		return nil, errors.New("there is no standard input")
	case s.path == "-":
		return patiently(ctx, o.Stdin), nil
	}
	f, err := os.Open(s.path)
	if err != nil {
		return nil, plain(err)
	}
	return f, nil
}
