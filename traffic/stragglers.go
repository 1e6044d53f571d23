package traffic

import (
	"cmp"
	"net/netip"
	"slices"
	"time"
)

// A Guess is what a straggler seems to be.
type Guess string

// The guesses.
const (
	StaleResolver Guess = "stale-resolver" // it asks a cache that goes on with the old MX
	HardRoute     Guess = "hard-coded"     // somebody wrote the old server down as its route
	Monitoring    Guess = "monitoring"     // it looks whether the server is there
	Spammer       Guess = "spammer"        // it tries addresses
	Undetermined  Guess = "unknown"        // nothing of these, or too little to tell
	OnlyConnects  Guess = "only-connects"  // the firewall refuses it, and the log has no mail of it
)

// A Reverse is what is known from outside of an address's name.
type Reverse struct {
	Asked bool   // and answered: it has this name, or none
	Name  string // foreign; "" = none
}

// A Straggler is one source that hands mail for one moved domain to the old server
// directly. Its texts are foreign.
type Straggler struct {
	Domain   string // "" = of no domain: the firewall alone saw it
	Source   netip.Addr
	Reverse  Reverse
	Accepted uint64 // recipients whose mail was taken
	Deferred uint64 // for whom it was put off, without being taken
	Refused  uint64
	Nobody   uint64 // of the refused: the address is nobody's
	Blocked  uint64 // connections that the firewall refused
	First    time.Time
	Last     time.Time
	Moved    time.Time // the domain
	Senders  []string  // at most 4, each cut at 128 bytes; "<>" = the null sender
	More     bool      // senders than these

	Guess   Guess
	Numbers Numbers // on which the guess rests
}

// Count is for how many recipients it came.
func (s *Straggler) Count() uint64 { return s.Accepted + s.Deferred + s.Refused }

// Numbers are the evidence of a guess. Those of things told apart go to 32.
type Numbers struct {
	Observed      time.Duration `json:"-"` // from when the domain moved to the log's end
	Early         uint64        `json:"early"`
	Late          uint64        `json:"late"` // in the second half of that
	Recipients    int           `json:"recipients"`
	Unknown       int           `json:"unknown_recipients"`
	SenderDomains int           `json:"sender_domains"`
	Intervals     uint64        `json:"intervals"` // between one time and the next
	Interval      time.Duration `json:"-"`         // their mean
	Spread        float64       `json:"spread"`    // their standard deviation, as a share of the mean
}

// A Call says which stragglers are wanted.
type Call struct {
	Domain  string                                      // only of this one; "" = of all
	From    time.Time                                   // only those seen then or later; zero = all
	Trusted func(domain string, source netip.Addr) bool // nil = none is
	Reverse func(netip.Addr) Reverse                    // nil = not known
	Blocked map[netip.AddrPort]uint64                   // the firewall's refused connections, by source and closed port
}

// List are the stragglers, those of whom most was taken first.
func (s *Stragglers) List(q Call) (out []Straggler) {
	blocked := map[netip.Addr]uint64{}
	for a, n := range q.Blocked {
		blocked[a.Addr().Unmap()] += n
	}
	seen := map[netip.Addr]bool{}
	for p, c := range s.pairs {
		seen[p.source] = true
		if q.Domain != "" && p.domain != q.Domain || c.last.Before(q.From) || q.Trusted != nil && q.Trusted(p.domain, p.source) {
			continue
		}
		out = append(out, s.straggler(p, c, q, blocked[p.source]))
	}
	if q.Domain == "" {
		for a, n := range blocked {
			if !seen[a] && (q.Trusted == nil || !q.Trusted("", a)) {
				x := Straggler{Source: a, Blocked: n, Guess: OnlyConnects}
				if q.Reverse != nil {
					x.Reverse = q.Reverse(a)
				}
				out = append(out, x)
			}
		}
	}
	slices.SortFunc(out, func(a, b Straggler) int {
		return cmp.Or(cmp.Compare(b.Accepted, a.Accepted), cmp.Compare(b.Count(), a.Count()), cmp.Compare(b.Blocked, a.Blocked), cmp.Compare(a.Domain, b.Domain), a.Source.Compare(b.Source))
	})
	return out
}

// Sources are the addresses of List, each once, those of whom most was taken first.
func Sources(list []Straggler) (out []netip.Addr) {
	seen := map[netip.Addr]bool{}
	for _, x := range list {
		if !seen[x.Source] {
			seen[x.Source] = true
			out = append(out, x.Source)
		}
	}
	return out
}

func (s *Stragglers) straggler(p pair, c *caller, q Call, blocked uint64) Straggler {
	x := Straggler{
		Domain: p.domain, Source: p.source, Accepted: c.accepted, Deferred: c.deferred, Refused: c.refused, Nobody: c.nobody, Blocked: blocked,
		First: c.first, Last: c.last, Moved: c.moved, Senders: slices.Clone(c.senders), More: c.more,
	}
	if q.Reverse != nil {
		x.Reverse = q.Reverse(p.source)
	}
	x.Numbers = c.numbers(s.Last)
	x.Guess = guess(&x)
	return x
}
