// Package logfile reads the mail logs that a site really has: rotated and
// compressed files, standard input, whole directories.
//
// It gives package traffic, which does no I/O, what the files hold, each server's
// rotated files as one log in their order. What cannot be read is told of its file
// and ends nothing else.
package logfile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"mxcutover/traffic"
)

// Options say what is read, and how.
type Options struct {
	Format string                   // of package traffic; "" = found, of each file
	Zone   *time.Location           // of times without one; nil = this machine's
	Hours  *time.Location           // of the hours of the day that are counted; nil = Zone
	Since  time.Time                // zero = from the beginning
	Until  time.Time                // zero = to the end; what is of this time is not counted
	Wanted func(domain []byte) bool // lower case, no final dot; nil = all; called by several at once
	Stdin  io.Reader                // what "-" means
	Now    time.Time                // what Stdin was written before; zero = now

	Samples  int             // lines that were not understood to keep, of each file
	Progress func(at Status) // called now and then
}

// A Status tells how far the reading is.
type Status struct {
	Read  int64  // bytes of the files as they lie there
	Total int64  // 0 = not known
	Lines uint64 // so far
}

// A Result is what was read.
type Result struct {
	*traffic.Table
	traffic.Stats
	Files []File
}

// A File is one file, in the order in which they were read.
type File struct {
	Path   string
	Kind   string // of compression: gzip, zstd, xz, bzip2; "" = none
	Format string // of package traffic; "" = none was found
	Bytes  int64  // decompressed
	traffic.Stats
	Samples []Sample // lines that were not understood, the first ones
	Err     error    // what kept it from being read to its end
}

// A Sample is a line that was not understood.
type Sample struct {
	Line uint64 // its number, from 1
	Text string // foreign; at most 512 bytes
}

// Read counts the mail of all logs by recipient domain. Paths are files, directories
// (all regular files in them), globs, and "-" for Stdin. Faults of single files are
// told with them in the Result. An error is given if nothing could be read, beside
// what is in the Result, or if the context ended.
func Read(ctx context.Context, paths []string, o Options) (*Result, error) {
	if o.Zone == nil {
		o.Zone = time.Local
	}
	out := &Result{Table: &traffic.Table{Wanted: o.Wanted, Since: o.Since, Until: o.Until, Zone: cmp.Or(o.Hours, o.Zone)}}
	for _, g := range paths {
		found, err := filepath.Glob(g)
		if err != nil || len(found) == 0 {
			return nil, fmt.Errorf("log %s: no such file", g)
		}
		for _, path := range found {
			out.Files = append(out.Files, one(ctx, path, o, out.Table))
		}
	}
	var faults []error
	for _, f := range out.Files {
		out.Lines, out.Parsed, out.Skipped, out.Long = out.Lines+f.Lines, out.Parsed+f.Parsed, out.Skipped+f.Skipped, out.Long+f.Long
		if f.Err != nil {
			faults = append(faults, fmt.Errorf("log %s: %w", f.Path, f.Err))
		}
	}
	if ctx.Err() != nil {
		return out, ctx.Err()
	}
	if out.Parsed == 0 {
		return out, errors.Join(append(faults, fmt.Errorf("none of %d lines is of a format that is known (%s)", out.Lines, strings.Join(traffic.Formats(), ", ")))...)
	}
	return out, nil
}

func one(ctx context.Context, path string, o Options, t *traffic.Table) (f File) {
	f.Path = path
	file, err := os.Open(path)
	if err != nil {
		f.Err = err
		return f
	}
	defer file.Close()
	defer context.AfterFunc(ctx, func() { _ = file.Close() })()
	info, err := file.Stat()
	if err != nil {
		f.Err = err
		return f
	}
	l, err := traffic.NewLog(traffic.Options{Format: o.Format, Zone: o.Zone, Now: info.ModTime()}, t.Add)
	if err != nil {
		f.Err = err
		return f
	}
	f.Err = l.Read(file)
	f.Stats = l.Stats
	return f
}
