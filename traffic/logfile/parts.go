package logfile

import (
	"context"
	"errors"
	"io"
	"sync"

	"mxcutover/traffic"
)

// A segment is a part of a file, which is read while others are.
type segment struct {
	text    []byte
	format  string // "" = not to be read apart
	part    *traffic.Part
	used    *traffic.Part // the one before
	table   *traffic.Table
	samples []string
	done    chan struct{}
}

// parts reads a file's content: one cuts it into segments, several read these, each
// into a table of its own, and they are joined in their order. What comes out is what
// one reader gets. At most two segments a worker, and one that is read, are in memory.
func (r *reading) parts(ctx context.Context, l *traffic.Log, in io.Reader, o traffic.Options, f *File) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	free := make(chan *segment, 2*r.Workers+1)
	for range cap(free) {
		free <- &segment{}
	}
	work, order := make(chan *segment, cap(free)), make(chan *segment, cap(free))
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	var fault error
	all.Go(func() {
		defer close(work)
		defer close(order)
		fault = r.cut(ctx, in, o, free, func(s *segment) {
			order <- s
			work <- s
		})
	})
	for range r.Workers {
		all.Go(func() {
			for s := range work {
				if ctx.Err() == nil {
					r.part(l, s, o)
				}
				close(s.done)
			}
		})
	}
	for s := range order {
		<-s.done
		if ctx.Err() == nil {
			r.join(l, s, f)
		}
		free <- s
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if errors.Is(fault, io.EOF) {
		return nil
	}
	return fault
}

// cut hands on segments of what it reads, until that ends.
func (r *reading) cut(ctx context.Context, in io.Reader, o traffic.Options, free <-chan *segment, hand func(*segment)) error {
	c := cutter{r: in, size: r.Segment}
	format, first := "", true
	for {
		var s *segment
		select {
		case s = <-free:
		case <-ctx.Done():
			return ctx.Err()
		}
		var err error
		if s.text, err = c.next(s.text); err != nil {
			return err
		}
		if first {
			if format, first = traffic.FormatOf(s.text, o); first {
				format = ""
			}
		}
		s.format, s.samples, s.used, s.part, s.done = format, nil, s.part, nil, make(chan struct{})
		hand(s)
	}
}

// part reads a segment apart.
func (r *reading) part(l *traffic.Log, s *segment, o traffic.Options) {
	if s.format == "" || r.Records != nil {
		return
	}
	if s.table == nil {
		s.table = r.out.Part()
	}
	s.table.Reset()
	o.Format = s.format
	o.Unknown = func(line []byte) { s.samples = sample(s.samples, r.Samples, line) }
	s.part = l.Part(o, s.table.Add, s.used)
	s.part.Read(s.text)
}

// join takes a segment up in its place: as it was read, or else anew.
func (r *reading) join(l *traffic.Log, s *segment, f *File) {
	if s.part == nil || !r.out.Fits(s.table, s.part.Records()) || !l.Join(s.part) {
		_, _ = l.Write(s.text) // never fails
		l.Rest()
		return
	}
	r.out.Merge(s.table)
	for _, line := range s.samples {
		f.Samples = sample(f.Samples, r.Samples, []byte(line))
	}
}
