package logfile

import (
	"bytes"
	"errors"
	"io"

	"mxcutover/traffic"
)

// A cutter cuts what it reads into segments of whole lines. Of a line that is longer
// than any that counts, it keeps as much as shows that.
type cutter struct {
	r    io.Reader
	size int    // of a segment, about
	rest []byte // of the last one: a line that has not ended
	err  error
}

// next fills a segment, in buf if there is room. io.EOF is the end; any other error
// comes after all whole lines before it.
func (c *cutter) next(buf []byte) ([]byte, error) {
	buf = append(buf[:0], c.rest...)
	c.rest = c.rest[:0]
	for c.err == nil {
		from := len(buf)
		if cap(buf)-from < c.size {
			buf = append(make([]byte, 0, from+c.size+traffic.MaxLine), buf...)
		}
		buf = c.fill(buf, from)
		whole := bytes.LastIndexByte(buf[from:], '\n') + 1
		if whole > 0 {
			whole += from
		}
		if most := whole + traffic.MaxLine + 1; len(buf) > most {
			buf = buf[:most] // too long however it ends
		}
		if whole > 0 {
			c.rest = append(c.rest, buf[whole:]...)
			return buf[:whole], nil
		}
	}
	if errors.Is(c.err, io.EOF) && len(buf) > 0 {
		return buf, nil // the last line has no end
	}
	return nil, c.err
}

// fill reads a segment's worth behind what is in buf.
func (c *cutter) fill(buf []byte, from int) []byte {
	to := buf[from : from+c.size]
	n := 0
	for n < len(to) && c.err == nil {
		var k int
		k, c.err = c.r.Read(to[n:])
		n += k
	}
	return buf[:from+n]
}
