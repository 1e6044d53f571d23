package traffic

import (
	"math"
	"strings"
)

// rows are domains' counts, found by the hash of the name. They are made for speed:
// of a row that is counted on, one line of the processor's cache is touched, and one
// more for the hour; and a table that is emptied is filled again without new memory.
type rows struct {
	slots   []uint64 // half of a hash, and the row's number from 1; 0 = free
	rows    []*[chunk]row
	hours   []*[chunk][24]uint32
	strings []*[chunk]string
	n       int // rows
	names   strings.Builder
}

// chunk is how many rows are made at once.
const chunk = 512

// A row is 64 bytes.
type row struct {
	key                                  uint64
	messages, delivered, rejected, bytes uint64
	first, last                          int64 // microseconds since 1970; first > last: none
	number                               uint32
	always                               bool // counted however many others there are
}

// some tells whether there was mail, not refusals alone.
func (r *row) some() bool { return r.messages+r.delivered > 0 }

// stretch widens the time.
func (r *row) stretch(first, last int64) { r.first, r.last = min(r.first, first), max(r.last, last) }

func (t *rows) mask() uint64              { return uint64(len(t.slots) - 1) }
func (t *rows) at(i int) *row             { return &t.rows[i/chunk][i%chunk] }
func (t *rows) hoursOf(i int) *[24]uint32 { return &t.hours[i/chunk][i%chunk] }
func (t *rows) nameOf(i int) *string      { return &t.strings[i/chunk][i%chunk] }

// find gives the row of a hash; nil = there is none.
func (t *rows) find(key uint64) *row {
	if t.n == 0 {
		return nil
	}
	for i := key & t.mask(); t.slots[i] != 0; i = (i + 1) & t.mask() {
		if s := t.slots[i]; s>>32 == key>>32 {
			if r := t.at(int(s&math.MaxUint32) - 1); r.key == key {
				return r
			}
		}
	}
	return nil
}

// enter makes a row of a name.
func (t *rows) enter(key uint64, name []byte, always bool) *row {
	if 2*(t.n+1) > len(t.slots) {
		t.slots = make([]uint64, max(2*len(t.slots), 2*chunk))
		for i := range t.n {
			t.place(i)
		}
	}
	if t.n == len(t.rows)*chunk {
		t.rows = append(t.rows, new([chunk]row))
		t.hours = append(t.hours, new([chunk][24]uint32))
		t.strings = append(t.strings, new([chunk]string))
	}
	r := t.at(t.n)
	*r = row{key: key, first: math.MaxInt64, last: math.MinInt64, number: uint32(t.n), always: always}
	*t.hoursOf(t.n) = [24]uint32{}
	*t.nameOf(t.n) = t.keep(name)
	t.place(t.n)
	t.n++
	return r
}

// place lets a row be found.
func (t *rows) place(i int) {
	key := t.at(i).key
	s := key & t.mask()
	for t.slots[s] != 0 {
		s = (s + 1) & t.mask()
	}
	t.slots[s] = key>>32<<32 | uint64(i+1)
}

// keep is a name that stays, beside others.
func (t *rows) keep(name []byte) string {
	if t.names.Cap()-t.names.Len() < len(name) {
		t.names = strings.Builder{}
		t.names.Grow(32 << 10)
	}
	from := t.names.Len()
	_, _ = t.names.Write(name) // never fails
	return t.names.String()[from:]
}

// reset empties the rows.
func (t *rows) reset() {
	clear(t.slots)
	t.n, t.names = 0, strings.Builder{}
}

// retain keeps the rows for which keep is true, in their order, and gives the others up.
func (t *rows) retain(keep func(*row) bool, gone func(*row)) {
	n := t.n
	t.n = 0
	clear(t.slots)
	for i := range n {
		r := t.at(i)
		if !keep(r) {
			gone(r)
			continue
		}
		if to := t.n; to != i {
			*t.at(to), *t.hoursOf(to), *t.nameOf(to) = *r, *t.hoursOf(i), *t.nameOf(i)
			t.at(to).number = uint32(to)
		}
		t.place(t.n)
		t.n++
	}
}
