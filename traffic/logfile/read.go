package logfile

import (
	"context"
	"io"
	"sync/atomic"
	"time"

	"mxcutover/traffic"
)

// maxSample bounds what is kept of a line that was not understood, in bytes.
const maxSample = 512

// A reading is one call of Read under way.
type reading struct {
	Options
	out   *Result
	read  atomic.Int64 // bytes of the files as they lie there
	total int64
	told  time.Time
}

// log reads the files of one log, one after the other.
func (r *reading) log(ctx context.Context, files []*source) error {
	var now *File
	l, err := traffic.NewLog(traffic.Options{Format: r.Format, Zone: r.Zone, Unknown: func(line []byte) { now.Samples = sample(now.Samples, r.Samples, line) }}, r.record)
	if err != nil {
		return err
	}
	for _, s := range files {
		now = &File{Path: s.path}
		before := l.Stats
		now.Err = r.file(ctx, l, s, now)
		now.Stats = l.Since(before)
		if now.Parsed > 0 {
			now.Format = l.Format()
		}
		r.out.Files = append(r.out.Files, *now)
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

func (r *reading) record(rec *traffic.Record) {
	if r.Records != nil {
		r.Records(rec)
	}
	r.out.Add(rec)
}

// file reads one file to its end, or to what keeps it from that.
func (r *reading) file(ctx context.Context, l *traffic.Log, s *source, f *File) error {
	file, err := s.open(ctx, r.Options)
	if err != nil {
		return err
	}
	defer file.Close()
	defer context.AfterFunc(ctx, func() { _ = file.Close() })() // ends a reading that waits
	in, err := unpack(&noted{file, r})
	f.Kind = in.kind
	if err != nil {
		return err
	}
	defer in.close()
	written := r.Now
	if s.info != nil && s.info.Mode().IsRegular() {
		written = s.info.ModTime()
	}
	l.File(written)
	unpacked := &counted{r: in}
	err = r.parts(ctx, l, unpacked, traffic.Options{Format: r.Format, Zone: r.Zone, Now: written}, f)
	f.Bytes = unpacked.n
	return plain(err)
}

// noted counts what is read of all files.
type noted struct {
	io.Reader
	of *reading
}

func (n *noted) Read(p []byte) (int, error) {
	k, err := n.Reader.Read(p)
	n.of.read.Add(int64(k))
	n.of.tell()
	return k, err
}

// tell shows how far the reading is, ten times a second at most.
func (r *reading) tell() {
	if r.Progress == nil || time.Since(r.told) < 100*time.Millisecond {
		return
	}
	r.told = time.Now()
	r.Progress(Status{Read: r.read.Load(), Total: r.total})
}

// sample keeps a line that was not understood, if there is room.
func sample(to []string, most int, line []byte) []string {
	if len(to) < most {
		to = append(to, string(line[:min(len(line), maxSample)]))
	}
	return to
}
