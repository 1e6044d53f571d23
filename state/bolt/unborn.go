package bolt

import (
	"bytes"
	"encoding/binary"
	"hash/fnv"
	"io"
	"os"
)

const (
	sector     = 512 // what a disk writes whole
	firstPages = 4   // what bbolt writes to a new file
	metaFlag   = 0x04
)

// unborn tells whether a file is what a lost power, or a full disk, may leave of
// the very first write to it: each sector is as bbolt writes it, or zeros. No
// transaction was ever in it, so it can be begun anew; a whole one need not be.
func unborn(f *os.File, size int64) (bool, error) {
	first := firstWrite(os.Getpagesize())
	if size > int64(len(first)) || size%sector != 0 {
		return false, nil
	}
	have, err := io.ReadAll(io.NewSectionReader(f, 0, size))
	if err != nil {
		return false, err
	}
	zeros := make([]byte, sector)
	for at := 0; at < len(have); at += sector {
		if s := have[at:][:sector]; !bytes.Equal(s, zeros) && !bytes.Equal(s, first[at:][:sector]) {
			return false, nil
		}
	}
	return !bytes.Equal(have, first), nil
}

// firstWrite is two meta pages, an empty list of free pages, an empty tree.
func firstWrite(size int) []byte {
	e, b := binary.NativeEndian, make([]byte, firstPages*size)
	for i, flags := range []uint16{metaFlag, metaFlag, freelistPage, leafPage} {
		e.PutUint64(b[i*size:], uint64(i))
		e.PutUint16(b[i*size+8:], flags)
	}
	for i := range 2 {
		m := b[i*size+pageHeader:][:metaSize]
		e.PutUint32(m, magic)
		e.PutUint32(m[4:], fileVersion)
		e.PutUint32(m[8:], uint32(size))
		e.PutUint64(m[16:], 3) // the tree
		e.PutUint64(m[32:], 2) // the list
		e.PutUint64(m[40:], firstPages)
		e.PutUint64(m[48:], uint64(i))
		h := fnv.New64a()
		_, _ = h.Write(m[:metaSize-8]) // a hash takes all
		e.PutUint64(m[metaSize-8:], h.Sum64())
	}
	return b
}
