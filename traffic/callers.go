package traffic

import (
	"bytes"
	"hash/maphash"
	"net/netip"
	"slices"
	"time"
)

// Bounds of what is remembered of those who call the old server directly. A pair
// of domain and source takes about 700 bytes with its senders, so all of them some
// 25 MB; the longest senders make that 50.
const (
	maxPairs   = 1 << 15 // of a domain and a source
	maxSenders = 4       // of a pair, as text
	maxSender  = 128     // bytes of one
	maxApart   = 32      // recipients, and domains of senders, of a pair that are told apart
	callerBins = 32      // spans of time of a pair
)

// callerSpan is how long the spans are at first; they double when they are full.
const callerSpan = 15 * time.Minute

type pair struct {
	domain string
	source netip.Addr
}

// A caller is what was seen of one source for one domain since that moved.
type caller struct {
	accepted, refused, deferred uint64 // recipients
	nobody                      uint64 // of the refused: it is nobody's address
	moved, first, last          time.Time
	senders                     []string
	more                        bool // senders than these
	domains, to, unknown        distinct
	gaps                        gaps
	bins                        [callerBins]uint32 // of recipients, from moved on
	width                       time.Duration
}

// distinct tells a few texts apart, by hashes.
type distinct struct{ hashes []uint64 }

func (a *distinct) add(h uint64) {
	if len(a.hashes) < maxApart && !slices.Contains(a.hashes, h) {
		a.hashes = append(a.hashes, h)
	}
}

func (a *distinct) count() int { return len(a.hashes) }

// gaps are the intervals from one event to the next (Welford's sums).
type gaps struct {
	n          uint64
	mean, squa float64 // seconds, and the sum of squared deviations
}

func (g *gaps) add(d time.Duration) {
	g.n++
	x := d.Seconds()
	before := x - g.mean
	g.mean += before / float64(g.n)
	g.squa += before * (x - g.mean)
}

// A Standing is what the plan says of a recipient's domain.
type Standing uint8

// The standings.
const (
	Elsewhere Standing = iota // nothing is known of it: another site's, or missing from the plan
	Unplanned                 // the old server has it, and the plan does not move it
	Waiting                   // the plan moves it, and has not yet
	HasMoved                  // its mail goes to the gateway
)

// A Name is what is known of a recipient's domain.
type Name struct {
	Domain   string // of the plan, to which it belongs: itself, or a wildcard
	Standing Standing
	Moved    time.Time // when its mail began to go to the gateway, if it has moved
}

// Left counts what was left out of a list for want of room.
type Left struct {
	Accepted uint64 `json:"accepted"` // recipients whose mail was taken, or put off
	Refused  uint64 `json:"refused"`
}

// Stragglers counts who hands mail to the old server directly though the domain has
// moved, by domain and source. There is room for 32,768 pairs of the two: when it
// is full those go of whom nothing was ever taken, and those that are silent for
// Quiet; what comes of others after that is counted without its source.
type Stragglers struct {
	Look    func(name string) Name // lower case, without a final dot
	Skip    func(*Record) bool     // what is no real mail, as our probes are; nil = nothing
	Trusted func(netip.Addr) bool  // may come directly, as the gateway does, and takes no room; nil = nobody
	Quiet   time.Duration          // who is silent for so long is of no interest; 0 = everybody is
	Latest  time.Time              // what is later than that has a wrong time, and does not count for Last; zero = nothing is

	Last time.Time // of the log's records
	Left Left

	seed    maphash.Seed
	pairs   map[pair]*caller
	refused int       // pairs of whom nothing was ever taken
	thinned time.Time // when there was no room last, by the log
	buf     []byte
}

// came tells whether a record is of a recipient for whom another server handed
// mail over, or wanted to, once for each of them.
func came(r *Record) bool {
	if !r.Peer.IsValid() || itself(r.Peer) || len(r.Recipient) == 0 {
		return false
	}
	switch {
	case r.Event == Rejected, r.Event == Deferred && len(r.Queue) == 0:
		return r.Origin == Outside
	}
	return r.Origin == Outside && r.First
}

// Add counts a record.
func (s *Stragglers) Add(r *Record) {
	if r.At.After(s.Last) && (s.Latest.IsZero() || !r.At.After(s.Latest)) {
		s.Last = r.At
	}
	if !came(r) || s.Skip != nil && s.Skip(r) || s.trusts(r.Peer) {
		return
	}
	name := s.domainOf(r.Recipient)
	if name == "" {
		return
	}
	of := s.Look(name)
	if of.Standing != HasMoved || r.At.Before(of.Moved) {
		return
	}
	if c := s.caller(pair{of.Domain, r.Peer.Unmap()}, of.Moved, r); c != nil {
		s.count(c, r)
	}
}

func (s *Stragglers) trusts(a netip.Addr) bool { return s.Trusted != nil && s.Trusted(a.Unmap()) }

// domainOf is a recipient's domain in lower case; "" = it has none that could be.
func (s *Stragglers) domainOf(recipient []byte) string {
	i := bytes.LastIndexByte(recipient, '@')
	if i < 0 || len(recipient)-i > 255 {
		return ""
	}
	s.buf = lower(s.buf[:0], recipient[i+1:])
	return string(bytes.TrimSuffix(s.buf, []byte{'.'}))
}

// caller gives what is known of a pair; nil = there is no room for it.
func (s *Stragglers) caller(p pair, moved time.Time, r *Record) *caller {
	if s.pairs == nil {
		s.pairs, s.seed = map[pair]*caller{}, maphash.MakeSeed()
	}
	c := s.pairs[p]
	if c != nil && !c.moved.Equal(moved) { // it went back, and moved again: what was between does not count
		s.drop(p, c)
		c = nil
	}
	if c == nil {
		if len(s.pairs) >= maxPairs && !s.thin() {
			if r.Event == Rejected {
				s.Left.Refused++
			} else {
				s.Left.Accepted++
			}
			return nil
		}
		c = &caller{moved: moved, width: callerSpan}
		s.pairs[p] = c
		s.refused++ // until something is taken
	}
	return c
}

func (s *Stragglers) drop(p pair, c *caller) {
	if !c.taken() {
		s.refused--
	}
	delete(s.pairs, p)
}

// taken tells whether anything ever was, or may have been the next time.
func (c *caller) taken() bool { return c.accepted+c.deferred > 0 }

// thin lets pairs go of whom nothing was ever taken, and those who are silent for
// Quiet. It looks through all of them: if an eighth at least were refused, or once in
// an hour of the log.
func (s *Stragglers) thin() bool {
	if s.refused < maxPairs/8 && !s.thinned.IsZero() && s.Last.Sub(s.thinned) < time.Hour {
		return false
	}
	s.thinned = s.Last
	for p, c := range s.pairs {
		if !c.taken() || s.Quiet > 0 && s.Last.Sub(c.last) >= s.Quiet {
			if !c.taken() {
				s.Left.Refused += c.refused
			}
			s.drop(p, c)
		}
	}
	return len(s.pairs) < maxPairs
}

func (s *Stragglers) count(c *caller, r *Record) {
	if r.Event != Rejected && !c.taken() {
		s.refused--
	}
	switch {
	case r.Event == Rejected:
		c.refused++
		if Nobody(r.Status) {
			c.nobody++
			s.buf = lower(s.buf[:0], r.Recipient)
			c.unknown.add(maphash.Bytes(s.seed, s.buf))
		}
	case r.Event == Deferred && len(r.Queue) == 0:
		c.deferred++
	default:
		c.accepted++
	}
	s.buf = lower(s.buf[:0], r.Recipient)
	c.to.add(maphash.Bytes(s.seed, s.buf))
	if r.Sender != nil {
		s.sender(c, r.Sender)
	}
	switch {
	case c.first.IsZero():
		c.first, c.last = r.At, r.At
	case r.At.After(c.last):
		c.gaps.add(r.At.Sub(c.last))
		c.last = r.At
	case r.At.Before(c.first): // logs that are read in another order than they were written in
		c.first = r.At
	}
	c.bin(r.At)
}

func (s *Stragglers) sender(c *caller, sender []byte) {
	s.buf = lower(s.buf[:0], sender)
	c.domains.add(maphash.Bytes(s.seed, s.buf[bytes.LastIndexByte(s.buf, '@')+1:]))
	text := "<>"
	if len(sender) > 0 {
		text = string(bytes.ToValidUTF8(sender[:min(len(sender), maxSender)], []byte("?")))
	}
	switch {
	case slices.Contains(c.senders, text):
	case len(c.senders) < maxSenders:
		c.senders = append(c.senders, text)
	default:
		c.more = true
	}
}

// bin counts a recipient at its time.
func (c *caller) bin(at time.Time) {
	i := int(at.Sub(c.moved) / c.width)
	for i >= callerBins {
		for j := range callerBins / 2 {
			c.bins[j] = c.bins[2*j] + c.bins[2*j+1]
		}
		clear(c.bins[callerBins/2:])
		c.width *= 2
		i = int(at.Sub(c.moved) / c.width)
	}
	c.bins[i]++
}

// halves are how many came in the first and in the second half of the time from
// when the domain moved to an end, to the spans.
func (c *caller) halves(end time.Time) (early, late uint64) {
	half := end.Sub(c.moved) / 2
	for i, n := range c.bins {
		if time.Duration(i)*c.width < half {
			early += uint64(n)
		} else {
			late += uint64(n)
		}
	}
	return early, late
}
