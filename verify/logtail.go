package verify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
)

// Bounds of following a log.
const (
	maxLogLine = 16 << 10  // bytes; what is longer is skipped
	maxRead    = 64 << 20  // bytes in one look
	chunk      = 256 << 10 // bytes read at once
	maxLast    = 256       // bytes by which a file is known again
)

// errSilent means that a log did not grow: nothing in it is no answer then.
var errSilent = errors.New("nothing was written to it since the probe was sent")

// A logTail follows one log file as it is written. It goes with the file when it is
// rotated by renaming, and starts again when it is cut off (copytruncate).
type logTail struct {
	path string
	line func(text string, a *arrivals) // is given each whole line
	file *os.File
	at   int64  // what was read of the file
	last []byte // the end of what was read: other bytes there are another file's
	part []byte // the beginning of a line whose end is not written yet
	skip bool   // the rest of a line that is too long
	grew bool   // it was written to since mark
}

// mark remembers where the log ends: what is before belongs to others.
func (l *logTail) mark() {
	if l.open() != nil {
		return // what is written to it later is all new
	}
	end, err := l.file.Seek(0, io.SeekEnd)
	if err != nil {
		l.close() // looked at from its beginning
		return
	}
	l.at = end
	l.last = make([]byte, min(end, maxLast))
	if _, err := l.file.ReadAt(l.last, end-int64(len(l.last))); err != nil {
		l.last = nil // it is being cut off
	}
}

// cut tells whether the file does not hold any more what was read of it, though it
// may have grown beyond that again.
func (l *logTail) cut() bool {
	now := make([]byte, len(l.last))
	n, _ := l.file.ReadAt(now, l.at-int64(len(now))) // what cannot be read is missing
	return !bytes.Equal(now[:n], l.last)
}

func (l *logTail) open() error {
	l.close()
	f, err := os.Open(l.path)
	if err != nil {
		return err
	}
	l.file, l.at, l.last, l.part, l.skip = f, 0, nil, nil, false
	return nil
}

func (l *logTail) rest(context.Context) {} // lookAgain is short enough

func (l *logTail) close() {
	if l.file != nil {
		_ = l.file.Close() // was only read
		l.file = nil
	}
}

// look reads what was written since.
func (l *logTail) look(ctx context.Context, a *arrivals) error {
	if l.file == nil {
		if err := l.open(); err != nil { // between two files of a rotation, or it was never there
			return err
		}
	}
	info, err := l.file.Stat()
	if err != nil {
		return err
	}
	if l.cut() {
		l.at, l.last, l.part, l.skip = 0, nil, nil, false
	}
	if err := l.read(ctx, a); err != nil {
		return err
	}
	now, err := os.Stat(l.path)
	if err != nil || !os.SameFile(info, now) { // rotated: the rest of the old one is read by now
		if err := l.read(ctx, a); err != nil { // what was written between the two
			return err
		}
		if err := l.open(); err != nil {
			return err
		}
		l.grew = true
		return l.read(ctx, a)
	}
	if !l.grew {
		return errSilent
	}
	return nil
}

// read reads to the end.
func (l *logTail) read(ctx context.Context, a *arrivals) error {
	buf := make([]byte, chunk)
	for total := 0; total < maxRead && ctx.Err() == nil; {
		n, err := l.file.ReadAt(buf, l.at)
		l.at += int64(n)
		total += n
		l.grew = l.grew || n > 0
		if n > 0 {
			l.last = append(l.last, buf[max(0, n-maxLast):n]...)
			l.last = slices.Clone(l.last[max(0, len(l.last)-maxLast):])
		}
		l.lines(buf[:n], a)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read: %w", err)
		}
	}
	return nil
}

// lines takes whole lines out of what was read.
func (l *logTail) lines(text []byte, a *arrivals) {
	for len(text) > 0 {
		line, rest, whole := bytes.Cut(text, []byte("\n"))
		text = rest
		if len(l.part)+len(line) > maxLogLine {
			l.skip = true
		}
		if !l.skip {
			l.part = append(l.part, line...)
		}
		if !whole {
			return
		}
		if !l.skip {
			l.line(string(bytes.TrimRight(l.part, "\r")), a)
		}
		l.part, l.skip = l.part[:0], false
	}
}
