package traffic

import (
	"bytes"
	"errors"
	"io"
)

// MaxLine bounds a line, in bytes. The rest of a longer one is skipped.
const MaxLine = 64 << 10

// Lines cuts what is written to it into lines. A last line without its end is
// kept until the rest of it comes; see [Lines.Rest].
type Lines struct {
	Each func(line []byte) // without the line's end; good until the next one
	Long uint64            // lines that were cut

	part []byte // of a line whose end has not come
	over bool   // part is as long as it may be, and the rest is skipped
}

// Write takes the next bytes of a log. It never fails.
func (l *Lines) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			l.keep(p)
			break
		}
		if len(l.part) == 0 && i <= MaxLine {
			l.Each(trim(p[:i]))
		} else {
			l.keep(p[:i])
			l.end()
		}
		p = p[i+1:]
	}
	return n, nil
}

// keep adds to the part of a line.
func (l *Lines) keep(p []byte) {
	if room := MaxLine - len(l.part); len(p) > room {
		p, l.over = p[:room], true
	}
	l.part = append(l.part, p...)
}

func (l *Lines) end() {
	if l.over {
		l.Long++
	}
	l.Each(trim(l.part))
	l.part, l.over = l.part[:0], false
}

// Rest gives the last line, if it has no end.
func (l *Lines) Rest() {
	if len(l.part) > 0 {
		l.end()
	}
}

// Drop forgets a line whose end has not come: the file it is from is gone.
func (l *Lines) Drop() { l.part, l.over = l.part[:0], false }

// trim takes a carriage return away.
func trim(line []byte) []byte { return bytes.TrimSuffix(line, []byte{'\r'}) }

// read passes all of a reader on.
func (l *Lines) read(r io.Reader) error {
	buf := make([]byte, 256<<10)
	for {
		n, err := r.Read(buf)
		_, _ = l.Write(buf[:n]) // never fails
		switch {
		case errors.Is(err, io.EOF):
			l.Rest()
			return nil
		case err != nil:
			l.Drop() // half a line may name another domain
			return err
		}
	}
}
