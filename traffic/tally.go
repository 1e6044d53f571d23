package traffic

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
	"time"
)

// Counts of one domain's mail that came from outside: of recipients, each of each
// message once.
type Counts struct {
	Accepted  uint64 // taken over
	Delivered uint64 // passed on, or put into a mailbox
	Deferred  uint64 // put off at least once, after they were accepted
	Bounced   uint64 // given up after they were accepted
	Rejected  uint64 // refused for good: not traffic, but told apart
	Known     uint64 // of those, as nobody's, recipients that are known to have had mail
	Postponed uint64 // refused for now, at RCPT, as greylisting does
}

// Add adds other counts.
func (c *Counts) Add(o Counts) {
	c.Accepted += o.Accepted
	c.Delivered += o.Delivered
	c.Deferred += o.Deferred
	c.Bounced += o.Bounced
	c.Rejected += o.Rejected
	c.Known += o.Known
	c.Postponed += o.Postponed
}

// Bounds of a Tally.
const (
	maxDomains = 1 << 17 // without those that are always counted
	maxSpans   = 32      // of a domain: then each covers twice the time
	firstSpan  = 5 * time.Minute
)

// A Tally counts records by recipient domain and time. The time is kept in spans of
// at least five minutes, at most 32 a domain.
type Tally struct {
	Wanted func(domain []byte) bool // lower case, no final dot; nil = all
	Always func(domain []byte) bool // are counted however many others there are; nil = none
	Skip   func(*Record) bool       // is not counted, as probes are; nil = none
	Known  *Addresses               // that are known to have mail; nil = none

	First, Last time.Time // of the records, whoever they are for
	Left        uint64    // records left out, and domains forgotten, since there were too many
	Others      Counts    // of those, at any time
	domains     map[string]*series
	search      int // in so many records no room is looked for
	name        []byte
}

// A series is one domain's counts.
type series struct {
	width time.Duration
	spans []span // in the order of time
}

type span struct {
	at int64 // in widths since 1970
	Counts
}

// Add counts a record, if it is of mail from outside, or may be.
func (t *Tally) Add(r *Record) {
	if r.Origin == Internal || r.Origin == Submitted || t.Skip != nil && t.Skip(r) {
		return
	}
	if t.First.IsZero() || r.At.Before(t.First) {
		t.First = r.At
	}
	if r.At.After(t.Last) {
		t.Last = r.At
	}
	domain := t.domain(r.Recipient)
	if len(domain) == 0 || t.Wanted != nil && !t.Wanted(domain) {
		return
	}
	c := t.counts(r)
	if c == (Counts{}) {
		return
	}
	s := t.domains[string(domain)]
	if s == nil {
		if !t.room(c.Accepted > 0) && (t.Always == nil || !t.Always(domain)) {
			t.Left++
			t.Others.Add(c)
			return
		}
		s = &series{width: firstSpan}
		t.domains[string(domain)] = s
	}
	s.add(r.At, c)
}

// counts are what one record counts for.
func (t *Tally) counts(r *Record) (c Counts) {
	if r.First && r.Event != Rejected {
		c.Accepted = 1
	}
	if r.Again {
		return c
	}
	switch r.Event {
	case Delivered:
		c.Delivered = 1
	case Bounced:
		c.Bounced = 1
	case Deferred:
		if len(r.Queue) == 0 {
			c.Postponed = 1
		} else {
			c.Deferred = 1
		}
	case Rejected:
		c.Rejected = 1
		if t.Known != nil && Nobody(r.Status) && t.Known.Has(r.Recipient) {
			c.Known = 1
		}
	}
	return c
}

// domain is an address's, in lower case.
func (t *Tally) domain(address []byte) []byte {
	i := bytes.LastIndexByte(address, '@')
	if i < 0 || len(address)-i > 256 {
		return nil
	}
	t.name = lower(t.name[:0], bytes.TrimSuffix(address[i+1:], []byte{'.'}))
	return t.name
}

// lower appends b in ASCII lower case.
func lower(to, b []byte) []byte {
	for _, c := range b {
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		to = append(to, c)
	}
	return to
}

// room makes room for one more domain, if need be, for mail that was accepted, by
// forgetting those of which nothing ever was: names that only spammers use. It looks
// through all of them, so not again soon if it found few.
func (t *Tally) room(accepted bool) bool {
	if t.domains == nil {
		t.domains = map[string]*series{}
	}
	if len(t.domains) < maxDomains {
		return true
	}
	if t.search > 0 {
		t.search--
		return false
	}
	if !accepted {
		return false
	}
	for name, s := range t.domains {
		if c := s.total(); c.Accepted == 0 && (t.Always == nil || !t.Always([]byte(name))) {
			delete(t.domains, name)
			t.Left++
			t.Others.Add(c)
		}
	}
	if len(t.domains) > maxDomains-maxDomains/8 {
		t.search = maxDomains / 8
	}
	return len(t.domains) < maxDomains
}

func (s *series) total() (c Counts) {
	for i := range s.spans {
		c.Add(s.spans[i].Counts)
	}
	return c
}

func (s *series) add(at time.Time, c Counts) {
	key := at.Unix() / int64(s.width/time.Second)
	i, there := slices.BinarySearchFunc(s.spans, key, func(x span, k int64) int { return cmp.Compare(x.at, k) })
	if !there {
		s.spans = slices.Insert(s.spans, i, span{at: key})
	}
	s.spans[i].Add(c)
	for len(s.spans) > maxSpans {
		s.widen()
	}
}

// widen puts pairs of spans together.
func (s *series) widen() {
	s.width *= 2
	out := s.spans[:0]
	for _, x := range s.spans {
		x.at /= 2
		if n := len(out); n > 0 && out[n-1].at == x.at {
			out[n-1].Add(x.Counts)
		} else {
			out = append(out, x)
		}
	}
	s.spans = out
}

// Between are a domain's counts from one time to another, to the spans around them;
// zero times do not bound. A name that begins with "*." means all names below.
func (t *Tally) Between(domain string, from, to time.Time) (c Counts) {
	domain = strings.ToLower(strings.TrimSuffix(domain, "."))
	if below, ok := strings.CutPrefix(domain, "*"); ok {
		for name, s := range t.domains {
			if strings.HasSuffix(name, below) && len(name) > len(below) {
				c.Add(s.between(from, to))
			}
		}
		return c
	}
	if s := t.domains[domain]; s != nil {
		c = s.between(from, to)
	}
	return c
}

// Total are the counts of all domains.
func (t *Tally) Total(from, to time.Time) (c Counts) {
	for _, s := range t.domains {
		c.Add(s.between(from, to))
	}
	return c
}

func (s *series) between(from, to time.Time) (c Counts) {
	w := int64(s.width / time.Second)
	for i := range s.spans {
		x := &s.spans[i]
		if (from.IsZero() || (x.at+1)*w > from.Unix()) && (to.IsZero() || x.at*w < to.Unix()) {
			c.Add(x.Counts)
		}
	}
	return c
}
