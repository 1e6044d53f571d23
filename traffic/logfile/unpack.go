package logfile

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/therootcompany/xz"
)

// Bounds of unpacking: what real logs need many times over, and what a bomb is.
const (
	maxWindow   = 128 << 20 // bytes that zstd may look back, what "zstd -d" takes; xz: half of it, as "xz -9" needs
	maxUnpacked = 1 << 40   // bytes of one file
	maxRatio    = 1000      // unpacked to packed; above it only
	freeOfRatio = 256 << 20 // bytes unpacked
)

// magics are how compressed files begin.
var magics = []struct {
	kind   string
	begins []byte
	open   func(io.Reader) (io.Reader, func(), error)
}{
	{"gzip", []byte{0x1f, 0x8b, 8}, func(r io.Reader) (io.Reader, func(), error) {
		z, err := gzip.NewReader(r)
		return z, func() {}, err
	}},
	{"zstd", []byte{0x28, 0xb5, 0x2f, 0xfd}, func(r io.Reader) (io.Reader, func(), error) {
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderMaxMemory(maxWindow))
		if err != nil {
			return nil, nil, err
		}
		return z, z.Close, nil
	}},
	{"xz", []byte{0xfd, '7', 'z', 'X', 'Z', 0}, func(r io.Reader) (io.Reader, func(), error) {
		z, err := xz.NewReader(r, maxWindow/2)
		return z, func() {}, err
	}},
	{"bzip2", []byte("BZh"), func(r io.Reader) (io.Reader, func(), error) { return bzip2.NewReader(r), func() {}, nil }},
	{"compress", []byte{0x1f, 0x9d}, func(io.Reader) (io.Reader, func(), error) {
		return nil, nil, errors.New("compressed by compress(1), which is not read: unpack it first, as in: uncompress FILE")
	}},
}

// A stream is a file's content, unpacked.
type stream struct {
	io.Reader
	kind  string // of compression; "" = none
	close func()
}

// unpack finds by its first bytes how a file is compressed.
func unpack(r io.Reader) (stream, error) {
	packed := &counted{r: r}
	b := bufio.NewReaderSize(packed, 64<<10)
	first, err := b.Peek(6)
	if err != nil && !errors.Is(err, io.EOF) {
		return stream{}, err
	}
	for _, m := range magics {
		if !bytes.HasPrefix(first, m.begins) {
			continue
		}
		z, end, err := m.open(b)
		if err != nil {
			return stream{kind: m.kind}, fmt.Errorf("%s: %w", m.kind, told(err))
		}
		return stream{&bounded{r: z, kind: m.kind, packed: packed}, m.kind, end}, nil
	}
	return stream{b, "", func() {}}, nil
}

// counted counts what is read.
type counted struct {
	r io.Reader
	n int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// bounded ends what unpacks to too much.
type bounded struct {
	r      io.Reader
	kind   string
	n      int64
	packed *counted
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	b.n += int64(n)
	switch {
	case err != nil && !errors.Is(err, io.EOF):
		return n, fmt.Errorf("%s: %w", b.kind, told(err))
	case b.n > maxUnpacked:
		return n, fmt.Errorf("%s: it unpacks to more than %d GiB", b.kind, maxUnpacked>>30)
	case b.n > freeOfRatio && b.n/maxRatio > b.packed.n:
		return n, fmt.Errorf("%s: it unpacks to more than %d times its size, as no log does", b.kind, maxRatio)
	}
	return n, err
}

// told says what an unpacker's error means for the one who has the file.
func told(err error) error {
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, xz.ErrBuf), errors.Is(err, io.EOF):
		return fmt.Errorf("it is cut off; what it held was read (%w)", io.ErrUnexpectedEOF)
	case errors.Is(err, xz.ErrMemlimit):
		return wide(maxWindow / 2)
	case errors.Is(err, zstd.ErrWindowSizeExceeded), errors.Is(err, zstd.ErrDecoderSizeExceeded):
		return wide(maxWindow)
	}
	return err
}

func wide(window int) error {
	return fmt.Errorf("it was compressed with a window above %d MiB; compress it anew with a smaller one", window>>20)
}
