package traffic

import (
	"bytes"
	"cmp"
	"hash/maphash"
	"slices"
)

// maxAddresses bounds the addresses that are remembered.
const maxAddresses = 1 << 20

// Addresses is a set of mail addresses, whatever their case, kept as 64-bit hashes.
// What is over its bound is not added.
type Addresses struct {
	seed maphash.Seed
	set  map[uint64]struct{}
	buf  []byte
}

// NewAddresses makes an empty set.
func NewAddresses() *Addresses {
	return &Addresses{seed: maphash.MakeSeed(), set: map[uint64]struct{}{}}
}

func (a *Addresses) hash(address []byte) uint64 {
	a.buf = lower(a.buf[:0], address)
	return maphash.Bytes(a.seed, a.buf)
}

// Add adds an address.
func (a *Addresses) Add(address []byte) {
	if len(a.set) < maxAddresses {
		a.set[a.hash(address)] = struct{}{}
	}
}

// Has tells whether an address is in the set.
func (a *Addresses) Has(address []byte) bool {
	_, ok := a.set[a.hash(address)]
	return ok
}

// maxRanked bounds the addresses that [Recipients] counts at once.
const maxRanked = 1 << 18

// Recipients counts how often addresses were asked for. There is room for 262,144;
// when it is full each loses one use, and those without any go.
type Recipients struct {
	Wanted func(domain []byte) bool // lower case, no final dot; nil = all

	uses map[string]uses
	buf  []byte
}

type uses struct{ accepted, refused int }

// Add counts a record's recipient.
func (r *Recipients) Add(rec *Record) {
	if len(rec.Recipient) == 0 || rec.Origin == Internal || rec.Event == Deferred && len(rec.Queue) == 0 {
		return
	}
	r.buf = lower(r.buf[:0], rec.Recipient)
	i := bytes.LastIndexByte(r.buf, '@')
	if i <= 0 || len(r.buf) > 320 || r.Wanted != nil && !r.Wanted(r.buf[i+1:]) {
		return
	}
	u, there := r.uses[string(r.buf)]
	if !there && len(r.uses) >= maxRanked {
		r.thin()
	}
	switch {
	case rec.Event == Rejected:
		u.refused++
	case rec.First || !there:
		u.accepted++
	}
	if r.uses == nil {
		r.uses = map[string]uses{}
	}
	r.uses[string(r.buf)] = u
}

func (r *Recipients) thin() {
	for a, u := range r.uses {
		u.accepted, u.refused = max(u.accepted-1, 0), max(u.refused-1, 0)
		if u == (uses{}) {
			delete(r.uses, a)
		} else {
			r.uses[a] = u
		}
	}
}

// Ranked are the addresses, in lower case: those that had mail first, the most used
// first.
func (r *Recipients) Ranked() []string {
	out := make([]string, 0, len(r.uses))
	for a := range r.uses {
		out = append(out, a)
	}
	slices.SortFunc(out, func(a, b string) int {
		x, y := r.uses[a], r.uses[b]
		return cmp.Or(cmp.Compare(y.accepted, x.accepted), cmp.Compare(y.refused, x.refused), cmp.Compare(a, b))
	})
	return out
}
