package traffic

import (
	"bytes"
	"cmp"
	"hash/maphash"
	"slices"
	"strings"
	"time"
)

// A Domain is what one recipient domain had, by a [Table]: mail from outside alone,
// see [Tally].
type Domain struct {
	Name      string     // lower case, no final dot
	Messages  uint64     // that were taken over for at least one of its recipients
	Delivered uint64     // recipients, each of each message once
	Rejected  uint64     // refusals for good: not traffic, but told apart
	Bytes     uint64     // of those messages, as far as the log tells sizes
	First     time.Time  // of messages; if there are none, of refusals
	Last      time.Time  // the same
	Hours     [24]uint32 // messages by the hour of the day
}

// Peak is the hour of the day with most messages, the earliest of several; false =
// there were no messages.
func (d *Domain) Peak() (hour int, ok bool) {
	for h, n := range d.Hours {
		if n > d.Hours[hour] {
			hour = h
		}
	}
	return hour, d.Messages > 0
}

// A Table ranks recipient domains by their mail, over all the time that it is given.
//
// Domains are found by a hash of 64 bits with a secret seed, which stands for the name:
// among [MaxRanked] of them two have the same with a likelihood of one in ten million.
type Table struct {
	Wanted       func(domain []byte) bool // lower case, no final dot; nil = all
	Always       func(domain []byte) bool // are counted however many others there are; nil = none
	Since, Until time.Time                // what is counted; zero = not bounded
	Zone         *time.Location           // of the hours of the day; nil = UTC

	First, Last time.Time // of what was counted
	Left        uint64    // records of domains that found no room, and domains that were forgotten
	Others      Domain    // what they had; without a name

	slots   []uint64      // of rows: a half of the hash, and the row's number from 1; 0 = free
	chunks  []*[chunk]row // of rows
	n       int           // rows
	bounded int           // of those, domains that are not always counted
	search  int           // in so many records no room is looked for
	names   strings.Builder
	name    []byte
	quarter int64 // of an hour since 1970, of which the hour is known
	hour    int
}

// A row is a domain with its hash.
type row struct {
	Domain
	key    uint64
	always bool
}

// chunk is how many rows are made at once.
const chunk = 512

// MaxRanked bounds the domains of a Table that are not always counted.
const MaxRanked = 1 << 21

// Add counts a record, if it is of mail from outside, or may be.
func (t *Table) Add(r *Record) {
	if r.Origin == Internal || r.Origin == Submitted || !t.Since.IsZero() && r.At.Before(t.Since) || !t.Until.IsZero() && !r.At.Before(t.Until) {
		return
	}
	taken := r.Domain && r.Event != Rejected
	if !taken && (r.Again || r.Event != Delivered && r.Event != Rejected) {
		return
	}
	key := r.domain
	if key == 0 {
		t.name = lowerDomain(t.name[:0], r.Recipient)
		key = maphash.Bytes(seed, t.name)
	}
	d := t.find(key)
	if d == nil {
		i := bytes.LastIndexByte(r.Recipient, '@')
		if i < 0 || len(r.Recipient)-i > 256 {
			return
		}
		t.name = lowerDomain(t.name[:0], r.Recipient)
		if len(t.name) == 0 || t.Wanted != nil && !t.Wanted(t.name) {
			return
		}
		always := t.Always != nil && t.Always(t.name)
		if !always && !t.room(taken) {
			t.Left++
			d = &t.Others
		} else {
			d = t.enter(key, t.name, always)
		}
	}
	t.count(d, r, taken)
}

// lowerDomain appends an address's domain in lower case, without a final dot. What has
// none is told from all domains.
func lowerDomain(to, address []byte) []byte {
	i := bytes.LastIndexByte(address, '@')
	if i < 0 {
		to = append(to, 0)
	}
	return lower(to, bytes.TrimSuffix(address[i+1:], []byte{'.'}))
}

// find gives the counts of a hash; nil = there are none.
func (t *Table) find(key uint64) *Domain {
	if len(t.slots) == 0 {
		return nil
	}
	for i := key & t.mask(); t.slots[i] != 0; i = (i + 1) & t.mask() {
		if s := t.slots[i]; s>>32 == key>>32 {
			if r := t.row(int(s&0xffffffff) - 1); r.key == key {
				return &r.Domain
			}
		}
	}
	return nil
}

func (t *Table) mask() uint64 { return uint64(len(t.slots) - 1) }

func (t *Table) row(i int) *row { return &t.chunks[i/chunk][i%chunk] }

// enter makes a row of a name.
func (t *Table) enter(key uint64, name []byte, always bool) *Domain {
	if 2*(t.n+1) > len(t.slots) {
		t.slots = make([]uint64, max(2*len(t.slots), 1024))
		for i := range t.n {
			t.place(i)
		}
	}
	if t.n == len(t.chunks)*chunk {
		t.chunks = append(t.chunks, new([chunk]row))
	}
	r := t.row(t.n)
	*r = row{Domain: Domain{Name: t.keep(name)}, key: key, always: always}
	t.place(t.n)
	t.n++
	if !always {
		t.bounded++
	}
	return &r.Domain
}

// place lets a row be found.
func (t *Table) place(i int) {
	key := t.row(i).key
	at := key & t.mask()
	for t.slots[at] != 0 {
		at = (at + 1) & t.mask()
	}
	t.slots[at] = key>>32<<32 | uint64(i+1)
}

// keep is a name that stays, beside others.
func (t *Table) keep(name []byte) string {
	if t.names.Cap()-t.names.Len() < len(name) {
		t.names = strings.Builder{}
		t.names.Grow(32 << 10)
	}
	from := t.names.Len()
	_, _ = t.names.Write(name)
	return t.names.String()[from:]
}

// room makes room for one more domain, if need be, for mail that was taken over, by
// forgetting those that never had any: names that only spammers use. It looks
// through all of them, so not again soon if it found few.
func (t *Table) room(taken bool) bool {
	if t.bounded < MaxRanked {
		return true
	}
	if t.search > 0 || !taken {
		t.search = max(t.search-1, 0)
		return false
	}
	n := t.n
	t.n, t.bounded = 0, 0
	clear(t.slots)
	for i := range n {
		r := t.row(i)
		if !r.always && r.Messages+r.Delivered == 0 {
			t.Left++
			t.Others.merge(&r.Domain)
			continue
		}
		*t.row(t.n) = *r
		t.place(t.n)
		t.n++
		if !r.always {
			t.bounded++
		}
	}
	if t.bounded > MaxRanked-MaxRanked/8 {
		t.search = MaxRanked / 8
	}
	return t.bounded < MaxRanked
}

func (t *Table) count(d *Domain, r *Record, taken bool) {
	stretch(&t.First, &t.Last, r.At, r.At)
	switch {
	case r.Event == Rejected:
		d.Rejected++
		if d.Messages == 0 && d.Delivered == 0 {
			stretch(&d.First, &d.Last, r.At, r.At)
		}
		return
	case d.Messages == 0 && d.Delivered == 0:
		d.First, d.Last = r.At, r.At
	}
	stretch(&d.First, &d.Last, r.At, r.At)
	if r.Event == Delivered && !r.Again {
		d.Delivered++
	}
	if taken {
		d.Messages++
		d.Bytes += uint64(r.Size)
		d.Hours[t.hourOf(r.At)]++
	}
}

// stretch widens a time.
func stretch(first, last *time.Time, from, to time.Time) {
	if first.IsZero() || from.Before(*first) {
		*first = from
	}
	if to.After(*last) {
		*last = to
	}
}

// Part is an empty table that counts the same way.
func (t *Table) Part() *Table {
	return &Table{Wanted: t.Wanted, Always: t.Always, Since: t.Since, Until: t.Until, Zone: t.Zone}
}

// Reset empties a table. What was given of it before is not good any more.
func (t *Table) Reset() {
	p := t.Part()
	clear(t.slots)
	p.slots, p.chunks, p.name = t.slots, t.chunks, t.name
	*t = *p
}

// Fits tells whether there is room for all domains of a part, and for some more.
func (t *Table) Fits(part *Table, more int) bool {
	return part.Left == 0 && t.bounded+part.bounded+more <= MaxRanked
}

// Merge adds what a part has counted, which [Table.Fits].
func (t *Table) Merge(part *Table) {
	if !part.First.IsZero() {
		stretch(&t.First, &t.Last, part.First, part.Last)
	}
	for i := range part.n {
		r := part.row(i)
		d := t.find(r.key)
		if d == nil {
			t.name = append(t.name[:0], r.Name...)
			d = t.enter(r.key, t.name, r.always)
		}
		d.merge(&r.Domain)
	}
}

func (d *Domain) merge(o *Domain) {
	switch was, is := d.Messages+d.Delivered > 0, o.Messages+o.Delivered > 0; {
	case o.First.IsZero():
	case was == is:
		stretch(&d.First, &d.Last, o.First, o.Last)
	case is:
		d.First, d.Last = o.First, o.Last
	}
	d.Messages += o.Messages
	d.Delivered += o.Delivered
	d.Rejected += o.Rejected
	d.Bytes += o.Bytes
	for i, n := range o.Hours {
		d.Hours[i] += n
	}
}

// hourOf is the hour of the day. Zones differ by quarters of an hour.
func (t *Table) hourOf(at time.Time) int {
	if q := at.Unix() / 900; q != t.quarter {
		t.quarter = q
		t.hour = at.In(cmp.Or(t.Zone, time.UTC)).Hour()
	}
	return t.hour
}

// Len is how many domains there are.
func (t *Table) Len() int { return t.n }

// Get gives a domain's counts; nil = it had nothing.
func (t *Table) Get(domain string) *Domain { return t.find(maphash.String(seed, domain)) }

// Ranked are all domains, the most messages first.
func (t *Table) Ranked() []*Domain {
	out := make([]*Domain, t.n)
	for i := range out {
		out[i] = &t.row(i).Domain
	}
	slices.SortFunc(out, func(a, b *Domain) int {
		return cmp.Or(cmp.Compare(b.Messages, a.Messages), cmp.Compare(b.Delivered, a.Delivered), cmp.Compare(b.Rejected, a.Rejected), cmp.Compare(a.Name, b.Name))
	})
	return out
}
