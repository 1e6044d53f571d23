package traffic

import (
	"bytes"
	"cmp"
	"hash/maphash"
	"math"
	"slices"
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

	Left uint64 // records of domains that found no room, and domains that were forgotten

	rows    rows
	most    int  // that bounded may be; 0 = MaxRanked
	bounded int  // rows that are not always counted
	search  int  // in so many records no room is looked for
	others  *row // what those had that are Left; nil = there are none
	some    bool // was counted, from first to last
	first   int64
	last    int64
	name    []byte
	quarter int64 // of an hour since 1970, of which the hour is known
	hour    int
}

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
	d := t.rows.find(key)
	if d == nil {
		if d = t.enter(key, r.Recipient, taken); d == nil {
			return
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

// enter finds room for a domain; nil = it does not count.
func (t *Table) enter(key uint64, address []byte, taken bool) *row {
	i := bytes.LastIndexByte(address, '@')
	if i < 0 || len(address)-i > 256 {
		return nil
	}
	t.name = lowerDomain(t.name[:0], address)
	if len(t.name) == 0 || t.Wanted != nil && !t.Wanted(t.name) {
		return nil
	}
	always := t.Always != nil && t.Always(t.name)
	if !always && !t.room(taken) {
		t.Left++
		return t.left()
	}
	if !always {
		t.bounded++
	}
	return t.rows.enter(key, t.name, always)
}

// left is what counts all that finds no room. Hours are not counted of it.
func (t *Table) left() *row {
	if t.others == nil {
		t.others = &row{first: math.MaxInt64, last: math.MinInt64}
	}
	return t.others
}

// room makes room for one more domain, if need be, for mail that was taken over, by
// forgetting those that never had any: names that only spammers use. It looks
// through all of them, so not again soon if it found few.
func (t *Table) room(taken bool) bool {
	if t.bounded < cmp.Or(t.most, MaxRanked) {
		return true
	}
	if t.search > 0 {
		t.search--
		return false
	}
	if !taken {
		return false
	}
	t.rows.retain(func(r *row) bool { return r.always || r.some() }, func(r *row) {
		t.Left++
		t.bounded--
		t.left().merge(r)
	})
	most := cmp.Or(t.most, MaxRanked)
	if t.bounded > most-most/8 {
		t.search = most / 8
	}
	return t.bounded < most
}

func (t *Table) count(d *row, r *Record, taken bool) {
	at := r.At.UnixMicro()
	t.stretch(at, at)
	if r.Event == Rejected {
		d.rejected++
		if !d.some() {
			d.stretch(at, at)
		}
		return
	}
	if !d.some() {
		d.first, d.last = at, at
	}
	d.stretch(at, at)
	if r.Event == Delivered && !r.Again {
		d.delivered++
	}
	if taken {
		d.messages++
		d.bytes += uint64(r.Size)
		if d != t.others {
			t.rows.hoursOf(int(d.number))[t.hourOf(at)]++
		}
	}
}

// stretch widens the time of what was counted.
func (t *Table) stretch(first, last int64) {
	if !t.some {
		t.some, t.first, t.last = true, first, last
	}
	t.first, t.last = min(t.first, first), max(t.last, last)
}

// hourOf is the hour of the day. Zones differ by quarters of an hour.
func (t *Table) hourOf(at int64) int {
	const width = 15 * 60 * 1e6
	q := at / width
	if at < 0 {
		q--
	}
	if q != t.quarter {
		t.quarter = q
		t.hour = t.time(at).Hour()
	}
	return t.hour
}

func (t *Table) time(at int64) time.Time {
	return time.UnixMicro(at).In(cmp.Or(t.Zone, time.UTC))
}

// merge adds what another row has, but its hours.
func (r *row) merge(o *row) {
	switch {
	case r.some() == o.some():
		r.stretch(o.first, o.last)
	case o.some():
		r.first, r.last = o.first, o.last
	}
	r.messages += o.messages
	r.delivered += o.delivered
	r.rejected += o.rejected
	r.bytes += o.bytes
}

// Part is an empty table that counts the same way.
func (t *Table) Part() *Table {
	return &Table{Wanted: t.Wanted, Always: t.Always, Since: t.Since, Until: t.Until, Zone: t.Zone, most: t.most}
}

// Reset empties a table.
func (t *Table) Reset() {
	p := t.Part()
	p.rows, p.name = t.rows, t.name
	p.rows.reset()
	*t = *p
}

// Fits tells whether there is room for all domains of a part, and for some more.
func (t *Table) Fits(part *Table, more int) bool {
	return part.Left == 0 && t.bounded+part.bounded+more <= cmp.Or(t.most, MaxRanked)
}

// Merge adds what a part has counted, which [Table.Fits].
func (t *Table) Merge(part *Table) {
	if !part.some {
		return
	}
	t.stretch(part.first, part.last)
	for i := range part.rows.n {
		o := part.rows.at(i)
		r := t.rows.find(o.key)
		if r == nil {
			t.name = append(t.name[:0], *part.rows.nameOf(i)...)
			if r = t.rows.enter(o.key, t.name, o.always); !o.always {
				t.bounded++
			}
		}
		r.merge(o)
		hours := t.rows.hoursOf(int(r.number))
		for h, n := range part.rows.hoursOf(i) {
			hours[h] += n
		}
	}
}

// First is the time of the first record that was counted; zero = none was.
func (t *Table) First() time.Time { return t.bound(t.first) }

// Last is that of the last one.
func (t *Table) Last() time.Time { return t.bound(t.last) }

func (t *Table) bound(at int64) time.Time {
	if !t.some {
		return time.Time{}
	}
	return t.time(at)
}

// Len is how many domains there are.
func (t *Table) Len() int { return t.rows.n }

// Get gives a domain's counts; nil = it had nothing.
func (t *Table) Get(domain string) *Domain {
	r := t.rows.find(maphash.String(seed, domain))
	if r == nil {
		return nil
	}
	d := t.domain(r)
	return &d
}

func (t *Table) domain(r *row) Domain {
	d := Domain{Messages: r.messages, Delivered: r.delivered, Rejected: r.rejected, Bytes: r.bytes}
	if r.first <= r.last {
		d.First, d.Last = t.time(r.first), t.time(r.last)
	}
	if r != t.others {
		d.Name, d.Hours = *t.rows.nameOf(int(r.number)), *t.rows.hoursOf(int(r.number))
	}
	return d
}

// Others is what all domains had that are not in the table for want of room: those that
// were [Table.Left]. It has no name and no hours.
func (t *Table) Others() Domain {
	if t.others == nil {
		return Domain{}
	}
	return t.domain(t.others)
}

// Ranked are all domains, the most messages first.
func (t *Table) Ranked() []*Domain {
	all := make([]Domain, t.rows.n)
	out := make([]*Domain, len(all))
	for i := range all {
		all[i] = t.domain(t.rows.at(i))
		out[i] = &all[i]
	}
	slices.SortFunc(out, func(a, b *Domain) int {
		return cmp.Or(cmp.Compare(b.Messages, a.Messages), cmp.Compare(b.Delivered, a.Delivered), cmp.Compare(b.Rejected, a.Rejected), cmp.Compare(a.Name, b.Name))
	})
	return out
}
