package traffic

import (
	"bytes"
	"cmp"
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
type Table struct {
	Wanted       func(domain []byte) bool // lower case, no final dot; nil = all
	Since, Until time.Time                // what is counted; zero = not bounded
	Zone         *time.Location           // of the hours of the day; nil = UTC

	First, Last time.Time // of what was counted
	Left        uint64    // records left out, since there were too many domains

	domains map[string]*Domain
	name    []byte
	quarter int64 // of an hour since 1970, of which the hour is known
	hour    int
}

// MaxRanked bounds the domains of a Table.
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
	i := bytes.LastIndexByte(r.Recipient, '@')
	if i < 0 || len(r.Recipient)-i > 256 {
		return
	}
	t.name = lower(t.name[:0], bytes.TrimSuffix(r.Recipient[i+1:], []byte{'.'}))
	if len(t.name) == 0 || t.Wanted != nil && !t.Wanted(t.name) {
		return
	}
	d := t.domains[string(t.name)]
	if d == nil {
		if len(t.domains) >= MaxRanked {
			t.Left++
			return
		}
		if t.domains == nil {
			t.domains = map[string]*Domain{}
		}
		d = &Domain{Name: string(t.name)}
		t.domains[d.Name] = d
	}
	t.count(d, r, taken)
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
	return &Table{Wanted: t.Wanted, Since: t.Since, Until: t.Until, Zone: t.Zone}
}

// Fits tells whether there is room for all domains of a part, and for some more.
func (t *Table) Fits(part *Table, more int) bool {
	return part.Left == 0 && len(t.domains)+len(part.domains)+more <= MaxRanked
}

// Merge adds what a part has counted, which is of no use after it.
func (t *Table) Merge(part *Table) {
	if !part.First.IsZero() {
		stretch(&t.First, &t.Last, part.First, part.Last)
	}
	if t.domains == nil {
		t.domains = make(map[string]*Domain, len(part.domains))
	}
	for name, o := range part.domains {
		if d := t.domains[name]; d != nil {
			d.merge(o)
		} else {
			t.domains[name] = o
		}
	}
}

func (d *Domain) merge(o *Domain) {
	switch was, is := d.Messages+d.Delivered > 0, o.Messages+o.Delivered > 0; {
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
func (t *Table) Len() int { return len(t.domains) }

// Get gives a domain's counts; nil = it had nothing.
func (t *Table) Get(domain string) *Domain { return t.domains[domain] }

// Ranked are all domains, the most messages first.
func (t *Table) Ranked() []*Domain {
	out := make([]*Domain, 0, len(t.domains))
	for _, d := range t.domains {
		out = append(out, d)
	}
	slices.SortFunc(out, func(a, b *Domain) int {
		return cmp.Or(cmp.Compare(b.Messages, a.Messages), cmp.Compare(b.Delivered, a.Delivered), cmp.Compare(b.Rejected, a.Rejected), cmp.Compare(a.Name, b.Name))
	})
	return out
}
