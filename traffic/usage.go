package traffic

import "time"

// maxUsed bounds the domains of a Usage.
const maxUsed = 1 << 20

// A Usage counts, for each domain, the recipients to whom mail from outside was
// delivered, and the hours of the day. It is what waves are made by: a [Tally] knows
// more of fewer domains.
type Usage struct {
	Zone    *time.Location // of the hours; nil = UTC
	Left    uint64         // records of domains beyond those that can be kept
	domains map[string]*used
	tally   Tally // for its reading of addresses
}

type used struct{ hours [24]uint32 }

// Add counts a record, if it tells of a delivery.
func (u *Usage) Add(r *Record) {
	if r.Event != Delivered || r.Again || r.Origin == Internal || r.Origin == Submitted {
		return
	}
	domain := u.tally.domain(r.Recipient)
	if len(domain) == 0 {
		return
	}
	x := u.domains[string(domain)]
	if x == nil {
		if len(u.domains) >= maxUsed {
			u.Left++
			return
		}
		if u.domains == nil {
			u.domains = map[string]*used{}
		}
		x = &used{}
		u.domains[string(domain)] = x
	}
	zone := u.Zone
	if zone == nil {
		zone = time.UTC
	}
	x.hours[r.At.In(zone).Hour()]++
}

// Each gives each domain, in lower case without the final dot, in no order, with its
// recipients and the hour of the day that has most of them.
func (u *Usage) Each(yield func(domain string, recipients uint64, peak int)) {
	for name, x := range u.domains {
		sum, peak := uint64(0), 0
		for h, n := range x.hours {
			sum += uint64(n)
			if n > x.hours[peak] {
				peak = h
			}
		}
		yield(name, sum, peak)
	}
}
