package bolt

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"os"

	"mxcutover/state"
)

// The layout of a bbolt file of version 2, in the machine's byte order. A page
// begins with its number (8 bytes), flags (2), count (2), overflow (4).
const (
	pageHeader  = 16
	elementSize = 16
	metaSize    = 64 // magic 4, version 4, page size 4, flags 4, root 16, freelist 8, pages 8, transaction 8, hash 8
	magic       = 0xED0CDAED
	fileVersion = 2

	branchPage   = 0x01
	leafPage     = 0x02
	freelistPage = 0x10
	bucketEntry  = 0x01

	noFreelist = ^uint64(0)
	maxDepth   = 64
	minPage    = 1 << 10
	maxPage    = 64 << 10
)

// A checker walks a file's pages by reading them. bbolt maps the file and
// trusts it: a page that is cut off or that points astray would end the process
// with a fault, so it is found before.
type checker struct {
	file   *os.File
	size   uint64 // of a page
	pages  uint64
	owners map[uint64]bool // pages in use

	largest int64 // bytes of a page with its overflow
}

type metaPage struct {
	size, root, freelist, pages, txid uint64
}

// checkFile checks the pages of a file that is locked, and gives the size of the
// largest, in bytes. An empty file is a new one, in which there is nothing to read.
func checkFile(f *os.File, readOnly bool) (largest int64, err error) {
	info, err := f.Stat()
	switch {
	case err != nil:
		return 0, err
	case info.Size() == 0 && readOnly:
		return 0, state.ErrNone
	case info.Size() == 0:
		return 0, nil
	}
	switch torn, err := unborn(f, info.Size()); {
	case err != nil:
		return 0, err
	case torn && readOnly:
		return 0, state.ErrNone
	case torn:
		return 0, f.Truncate(0)
	}
	m, err := findMeta(f)
	if err != nil {
		return 0, err
	}
	if have := uint64(info.Size()); have/m.size < m.pages {
		return 0, fmt.Errorf("%w: it was cut off: %d bytes, and %d pages of %d were expected", ErrDamaged, have, m.pages, m.size)
	}
	c := &checker{file: f, size: m.size, pages: m.pages, owners: map[uint64]bool{0: true, 1: true}}
	if err := c.tree(m.root, 0, &order{}); err != nil {
		return 0, err
	}
	if m.freelist != noFreelist {
		err = c.freelist(m.freelist)
	}
	return c.largest, err
}

// findMeta gives the newer of the two meta pages that are whole.
func findMeta(f *os.File) (metaPage, error) {
	best, err := readMeta(f, 0)
	sizes := []uint64{best.size}
	if err != nil {
		for s := uint64(minPage); s <= maxPage; s *= 2 {
			sizes = append(sizes, s)
		}
	}
	for _, s := range sizes {
		if s == 0 {
			continue
		}
		if m, err2 := readMeta(f, int64(s)); err2 == nil && m.size == s && (err != nil || m.txid > best.txid) {
			best, err = m, nil
		}
	}
	if err != nil {
		return metaPage{}, fmt.Errorf("%w: it is no bbolt file: %w", ErrDamaged, err)
	}
	return best, nil
}

func readMeta(f *os.File, at int64) (metaPage, error) {
	b := make([]byte, metaSize)
	if _, err := f.ReadAt(b, at+pageHeader); err != nil {
		return metaPage{}, err
	}
	e := binary.NativeEndian
	h := fnv.New64a()
	_, _ = h.Write(b[:metaSize-8]) // a hash takes all
	switch {
	case e.Uint32(b) != magic:
		return metaPage{}, fmt.Errorf("its mark is missing")
	case e.Uint32(b[4:]) != fileVersion:
		return metaPage{}, fmt.Errorf("its version is %d", e.Uint32(b[4:]))
	case e.Uint64(b[metaSize-8:]) != h.Sum64():
		return metaPage{}, fmt.Errorf("the hash of its first page differs")
	}
	m := metaPage{
		size: uint64(e.Uint32(b[8:])), root: e.Uint64(b[16:]), freelist: e.Uint64(b[32:]),
		pages: e.Uint64(b[40:]), txid: e.Uint64(b[48:]),
	}
	if m.size < minPage || m.size > maxPage || m.size&(m.size-1) != 0 {
		return metaPage{}, fmt.Errorf("its pages have %d bytes", m.size)
	}
	return m, nil
}

// page reads a page with its overflow, and notes that it is in use.
func (c *checker) page(id uint64) (flags, count uint16, body []byte, err error) {
	broken := func(what string) error { return fmt.Errorf("%w: page %d %s", ErrDamaged, id, what) }
	if id < 2 || id >= c.pages {
		return 0, 0, nil, broken("is pointed to and is not in the file")
	}
	head := make([]byte, pageHeader)
	if _, err := c.file.ReadAt(head, int64(id*c.size)); err != nil {
		return 0, 0, nil, fmt.Errorf("page %d: %w", id, err)
	}
	e := binary.NativeEndian
	n := uint64(e.Uint32(head[12:])) + 1
	switch {
	case e.Uint64(head) != id:
		return 0, 0, nil, broken("is not itself")
	case n > c.pages-id:
		return 0, 0, nil, broken("reaches beyond the file")
	}
	for i := range n {
		if c.owners[id+i] {
			return 0, 0, nil, broken("is in use twice")
		}
		c.owners[id+i] = true
	}
	c.largest = max(c.largest, int64(n*c.size))
	body = make([]byte, n*c.size)
	if _, err := c.file.ReadAt(body, int64(id*c.size)); err != nil {
		return 0, 0, nil, fmt.Errorf("page %d: %w", id, err)
	}
	return e.Uint16(head[8:]), e.Uint16(head[10:]), body, nil
}

// An order is what the next key of a bucket must not fall below. A branch's key
// may come again, as the first one of its child.
type order struct {
	last  string
	begun bool
	again bool
}

func (o *order) next(key []byte, branch bool) bool {
	ok := !o.begun || string(key) > o.last || o.again && string(key) == o.last
	o.last, o.begun, o.again = string(key), true, branch
	return ok
}

// tree checks a page of keys and all below it.
func (c *checker) tree(id uint64, depth int, o *order) error {
	flags, count, body, err := c.page(id)
	if err != nil {
		return err
	}
	where := fmt.Sprintf("page %d", id)
	switch {
	case depth > maxDepth:
		return fmt.Errorf("%w: %s lies too deep", ErrDamaged, where)
	case flags == leafPage:
		return c.leaf(body, int(count), depth, where, o)
	case flags != branchPage || count == 0:
		return fmt.Errorf("%w: %s holds no keys", ErrDamaged, where)
	}
	e := binary.NativeEndian
	for i := range int(count) {
		at := pageHeader + i*elementSize
		if at+elementSize > len(body) || !inside(body, at, e.Uint32(body[at:]), e.Uint32(body[at+4:]), 0) {
			return fmt.Errorf("%w: key %d of %s lies outside", ErrDamaged, i, where)
		}
		start := at + int(e.Uint32(body[at:]))
		if !o.next(body[start:start+int(e.Uint32(body[at+4:]))], true) {
			return fmt.Errorf("%w: key %d of %s is out of order", ErrDamaged, i, where)
		}
		if err := c.tree(e.Uint64(body[at+8:]), depth+1, o); err != nil {
			return err
		}
	}
	return nil
}

// leaf checks keys and values, and the buckets among them.
func (c *checker) leaf(body []byte, count, depth int, where string, o *order) error {
	e := binary.NativeEndian
	for i := range count {
		at := pageHeader + i*elementSize
		if at+elementSize > len(body) {
			return fmt.Errorf("%w: key %d of %s lies outside", ErrDamaged, i, where)
		}
		pos, ksize, vsize := e.Uint32(body[at+4:]), e.Uint32(body[at+8:]), e.Uint32(body[at+12:])
		if !inside(body, at, pos, ksize, vsize) {
			return fmt.Errorf("%w: value %d of %s lies outside", ErrDamaged, i, where)
		}
		start := at + int(pos) + int(ksize)
		if !o.next(body[start-int(ksize):start], false) {
			return fmt.Errorf("%w: key %d of %s is out of order", ErrDamaged, i, where)
		}
		if e.Uint32(body[at:])&bucketEntry == 0 {
			continue
		}
		if err := c.bucket(body[start:start+int(vsize)], depth, where); err != nil {
			return err
		}
	}
	return nil
}

// bucket checks a bucket's record: its root page (8), a sequence (8), and, if
// the root is 0, a leaf page inside the record.
func (c *checker) bucket(v []byte, depth int, where string) error {
	if len(v) < elementSize {
		return fmt.Errorf("%w: a bucket of %s is cut off", ErrDamaged, where)
	}
	e := binary.NativeEndian
	if root := e.Uint64(v); root != 0 {
		return c.tree(root, depth+1, &order{})
	}
	in := v[elementSize:]
	if len(in) < pageHeader || e.Uint16(in[8:]) != leafPage || depth > maxDepth {
		return fmt.Errorf("%w: a bucket of %s is cut off", ErrDamaged, where)
	}
	return c.leaf(in, int(e.Uint16(in[10:])), depth+1, where, &order{})
}

// inside tells whether a key and its value lie within the page. Positions count
// from the element that has them.
func inside(body []byte, at int, pos, ksize, vsize uint32) bool {
	return uint64(at)+uint64(pos)+uint64(ksize)+uint64(vsize) <= uint64(len(body))
}

// freelist checks that no page in use is listed as free: it would be written
// over. A count of 65535 means that the count is in the first entry.
func (c *checker) freelist(id uint64) error {
	flags, count, body, err := c.page(id)
	if err != nil {
		return err
	}
	e := binary.NativeEndian
	ids, n := body[pageHeader:], uint64(count)
	if count == 0xFFFF && len(ids) >= 8 {
		n, ids = e.Uint64(ids), ids[8:]
	}
	if flags != freelistPage || n > uint64(len(ids)/8) {
		return fmt.Errorf("%w: page %d is no list of free pages", ErrDamaged, id)
	}
	for i := range n {
		free := e.Uint64(ids[i*8:])
		if free < 2 || free >= c.pages || c.owners[free] {
			return fmt.Errorf("%w: page %d is in use and listed as free", ErrDamaged, free)
		}
		c.owners[free] = true
	}
	return nil
}
