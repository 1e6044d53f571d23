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
	"runtime"
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
	Always func(domain []byte) bool // are counted however many others there are; nil = none; the same
	Stdin  io.Reader                // what "-" means
	Now    time.Time                // what Stdin was written before; zero = now

	Workers int // that read parts of a file at once; 0 = as many as there are processors
	Segment int // bytes of such a part; 0 = 8 MiB

	Records func(*traffic.Record) // is given each record too, of any domain and time, in their order: then parts are not read at once; it is good until that returns

	Samples  int             // lines that were not understood to keep, of each file
	Progress func(at Status) // called now and then
}

// A Status tells how far the reading is.
type Status struct {
	Read  int64 // bytes of the files as they lie there
	Total int64 // 0 = not known
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
	Samples []string // the first lines that were not understood: foreign, at most 512 bytes of each
	Err     error    // what kept it from being read to its end
}

// Read counts the mail of all logs by recipient domain. Paths are files, directories
// (all regular files in them), globs, and "-" for Stdin. Faults of single files are
// told with them in the Result. An error is given if nothing could be read, beside
// what is in the Result, or if the context ended.
func Read(ctx context.Context, paths []string, o Options) (*Result, error) {
	if o.Zone == nil {
		o.Zone = time.Local
	}
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.Segment <= 0 {
		o.Segment = 8 << 20
	}
	r := &reading{Options: o, out: &Result{Table: &traffic.Table{Wanted: o.Wanted, Always: o.Always, Since: o.Since, Until: o.Until, Zone: cmp.Or(o.Hours, o.Zone)}}}
	all, err := find(ctx, paths, o)
	if err != nil {
		return r.out, err
	}
	for _, s := range all {
		if s.info != nil && s.info.Mode().IsRegular() {
			r.total += s.info.Size()
		}
	}
	for len(all) > 0 {
		n := 1
		for n < len(all) && all[n].log == all[0].log {
			n++
		}
		if err := r.log(ctx, all[:n]); err != nil {
			return r.out, err
		}
		all = all[n:]
	}
	return r.out, r.out.sum()
}

// sum adds the files up; an error if nothing could be read.
func (r *Result) sum() error {
	var faults []error
	for _, f := range r.Files {
		r.Stats = r.Plus(f.Stats)
		if f.Err != nil {
			faults = append(faults, fmt.Errorf("log %s: %w", f.Path, f.Err))
		}
	}
	switch {
	case r.Parsed > 0:
		return nil
	case len(faults) > 0:
		return errors.Join(faults...)
	case r.Lines == 0:
		return errors.New("the logs are empty")
	}
	return fmt.Errorf("none of the %d lines is of a format that is known (%s)", r.Lines, strings.Join(traffic.Formats(), ", "))
}
