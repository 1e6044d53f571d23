package providers

import (
	"errors"
	"fmt"
)

// errMoved means that a listing changed while its pages were read.
var errMoved = errors.New("it changed while its pages were read")

// A counted listing has pages that tell how many records there are in all. So
// one that changes between two pages, where records would be read twice or
// never, is not taken for a whole one.
type counted struct {
	have int
	all  int // as the pages before told
	seen map[string]bool
}

// page takes the IDs of one more page, and tells whether it was the last.
func (c *counted) page(all int, ids []string) (last bool, err error) {
	moved := c.have > 0 && all != c.all
	if c.seen == nil {
		c.seen = map[string]bool{}
	}
	for _, id := range ids {
		moved = moved || id == "" || c.seen[id]
		c.seen[id] = true
	}
	c.all, c.have = all, c.have+len(ids)
	if moved || c.have > all || c.have < all && len(ids) == 0 {
		return false, Transient(fmt.Errorf("%w: %d records of %d, of which %d are different", errMoved, c.have, all, len(c.seen)))
	}
	return c.have == all, nil
}

// settled reads a listing, and once more if it changed meanwhile.
func settled[T any](read func() (T, error)) (T, error) {
	v, err := read()
	if errors.Is(err, errMoved) {
		return read()
	}
	return v, err
}
