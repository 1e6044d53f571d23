package verify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"mxcutover/plan"
	"mxcutover/rrset"
)

// A Server is asked for parity: one address of the old server, or of a planned host.
type Server struct {
	Name  string // without the final dot
	Addr  netip.Addr
	Old   bool
	Takes func(domain string) bool // whether it is planned for a domain, without the final dot; nil = for all
}

func (s Server) String() string { return s.Name + " " + s.Addr.String() }

func (s Server) takes(address string) bool {
	return s.Takes == nil || s.Takes(address[strings.LastIndexByte(address, '@')+1:])
}

// An Answer is what a server says to RCPT for an address.
type Answer struct {
	Server   string    `json:"server"`
	Address  string    `json:"address"`
	Code     int       `json:"code"`               // 250: accepted; 0: could not be asked, the text says why
	Enhanced string    `json:"enhanced,omitempty"` // "5.1.1"
	Text     string    `json:"text,omitempty"`     // the server's
	At       time.Time `json:"at"`
}

// Accepted tells whether a server takes an address.
func (a Answer) Accepted() bool { return a.Code >= 200 && a.Code < 300 }

// Refused tells whether it refuses it for good.
func (a Answer) Refused() bool { return a.Code >= 500 }

func (a Answer) String() string {
	if a.Accepted() {
		return "accepted"
	}
	return strings.Join(strings.Fields(fmt.Sprintf("%d %s %s", a.Code, a.Enhanced, a.Text)), " ")
}

// Asked are answers by server and address.
type Asked map[[2]string]Answer

// Add adds an answer, in place of an older one.
func (a Asked) Add(x Answer) { a[[2]string{x.Server, x.Address}] = x }

// A Parity is a question to several servers: what they say to the same recipients.
// Nothing is delivered.
type Parity struct {
	Servers   []Server
	Addresses []string           // each with an @
	Rate      float64            // questions a second at each server; 0 = as fast as it answers
	Known     Asked              // not asked again, unless they were put off
	Keep      func(Answer) error // takes each new answer, one at a time; an error ends it all; nil = nobody does
}

// A StopError means that a server wants no more questions: nobody is asked any more.
type StopError struct{ Answer }

func (e *StopError) Error() string {
	return fmt.Sprintf("%s wants no more questions: %s", e.Server, e.Answer)
}

// ParityServers are the old server at its first address, and every planned host at its
// first, or at all, IPv4 before IPv6.
func (c *Checker) ParityServers(ctx context.Context, hosts []rrset.MX, all bool) ([]Server, error) {
	if len(c.OldAddresses) == 0 || len(c.OldHosts) == 0 {
		return nil, errors.New("no old server to ask")
	}
	out := []Server{{Name: rrset.Bare(c.OldHosts[0]), Addr: c.OldAddresses[0], Old: true}}
	for _, m := range hosts {
		addrs, err := c.Addresses(ctx, m.Host)
		if err != nil {
			return nil, err
		}
		if len(addrs) == 0 {
			return nil, fmt.Errorf("planned host %s has no address", rrset.Bare(m.Host))
		}
		addrs = slices.SortedStableFunc(slices.Values(addrs), func(a, b netip.Addr) int { return cmp.Compare(a.BitLen(), b.BitLen()) })
		if !all {
			addrs = addrs[:1]
		}
		for _, a := range addrs {
			out = append(out, Server{Name: rrset.Bare(m.Host), Addr: a})
		}
	}
	return out, nil
}

// Parity asks. It gives all answers that it has, those known before too, also with
// an error: a [StopError], that of a server that cannot be asked, or of the context.
func (c *Checker) Parity(ctx context.Context, p Parity) (Asked, error) {
	got := Asked{}
	maps.Copy(got, p.Known)
	var mu sync.Mutex
	keep := func(a Answer) error {
		mu.Lock()
		defer mu.Unlock()
		got.Add(a)
		if p.Keep != nil {
			return p.Keep(a)
		}
		return nil
	}
	failed := make([]error, len(p.Servers))
	g, within := errgroup.WithContext(ctx)
	for i, s := range p.Servers {
		g.Go(func() error {
			err := newAsker(c, s, p, keep).run(within)
			var stop *StopError
			if err == nil || errors.As(err, &stop) || within.Err() != nil || errors.Is(err, errKeep) {
				return err
			}
			failed[i] = fmt.Errorf("%s: %w", s, err) // the others go on
			return nil
		})
	}
	err := g.Wait()
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return got, errors.Join(append([]error{err}, failed...)...)
}

// A Cause is why two servers' answers differ.
type Cause string

// The causes, the worst first.
const (
	Lost        Cause = "lost"        // the gateway refuses what the old server accepts: mail is lost
	Backscatter Cause = "backscatter" // the gateway accepts what the old server refuses: it must bounce that
	PutOff      Cause = "deferred"    // one of them said "later" to the end
	NotAsked    Cause = "unknown"     // one of them could not be asked
	Reply       Cause = "reply"       // both refuse, with another code
)

// Causes are all of them, the worst first.
func Causes() []Cause { return []Cause{Lost, Backscatter, PutOff, NotAsked, Reply} }

// A Difference is an address that a gateway judges otherwise than the old server.
type Difference struct {
	Cause    Cause
	Address  string
	Server   Server // the gateway
	Old, New Answer // of Code 0: there is none
}

// Compare finds what is judged differently, the worst cause first, then in the order
// of the addresses. It tells of how many pairs of answers both are alike.
func (p Parity) Compare(got Asked) (diffs []Difference, alike int) {
	i := slices.IndexFunc(p.Servers, func(s Server) bool { return s.Old })
	if i < 0 {
		return nil, 0
	}
	old := p.Servers[i].String()
	for _, address := range p.Addresses {
		for _, s := range p.Servers {
			if s.Old || !s.takes(address) {
				continue
			}
			d := Difference{Address: address, Server: s, Old: got[[2]string{old, address}], New: got[[2]string{s.String(), address}]}
			if d.Cause = compare(d.Old, d.New); d.Cause == "" {
				alike++
			} else {
				diffs = append(diffs, d)
			}
		}
	}
	order := Causes()
	slices.SortStableFunc(diffs, func(a, b Difference) int {
		return cmp.Compare(slices.Index(order, a.Cause), slices.Index(order, b.Cause))
	})
	return diffs, alike
}

func compare(before, now Answer) Cause {
	switch {
	case before.Code == 0 || now.Code == 0:
		return NotAsked
	case before.Accepted() && now.Accepted():
		return ""
	case before.Accepted() && now.Refused():
		return Lost
	case before.Refused() && now.Accepted():
		return Backscatter
	case !before.Refused() && !before.Accepted() || !now.Refused() && !now.Accepted():
		return PutOff
	case before.Code != now.Code || before.Enhanced != "" && now.Enhanced != "" && before.Enhanced != now.Enhanced:
		return Reply
	}
	return ""
}

// parityChecks ask both servers the same.
func parityChecks() []Check {
	return []Check{{
		ID: "parity", Title: "old server and gateway judge the same addresses alike", RFC: "RFC 5321 section 3.3", When: []When{Before},
		Run: parity, Advice: true, Lacks: func(c *Checker) string {
			if c.Valid == nil {
				return "preflight.addresses"
			}
			return ""
		},
	}}
}

func parity(ctx context.Context, c *Checker, _ When, cut plan.Cutover) ([]plan.Finding, error) {
	addresses := c.Valid(mailDomain(cut.Domain))
	if len(addresses) == 0 {
		return []plan.Finding{unknown(cut.Domain, "the list of preflight.addresses has no address of it")}, nil
	}
	servers, err := c.ParityServers(ctx, cut.After().MX(), true)
	if err != nil {
		return nil, err
	}
	p := Parity{Servers: servers, Addresses: addresses}
	got, err := c.Parity(ctx, p)
	diffs, _ := p.Compare(got)
	var found []plan.Finding
	for _, s := range servers[1:] {
		f := pass(s.String(), "it judges %d addresses as the old server does", len(addresses))
		if i := slices.IndexFunc(diffs, func(d Difference) bool { return d.Server.String() == s.String() }); i >= 0 {
			f = diffs[i].finding()
		}
		f.Vantage = c.here().Name
		found = append(found, f)
	}
	return found, err
}

// finding is what a difference means for the domain.
func (d Difference) finding() plan.Finding {
	told := fmt.Sprintf("%s: the old server says: %s; this one: %s", d.Address, d.Old, d.New)
	f := unknown(d.Server.String(), "%s", told)
	switch d.Cause {
	case Lost:
		f = fail(d.Server.String(), "mail would be lost: %s", told)
	case Backscatter:
		f = fail(d.Server.String(), "mail would be bounced: %s", told)
	case Reply:
		f = warn(d.Server.String(), "both refuse, otherwise: %s", told)
	case PutOff, NotAsked:
	}
	f.Evidence = d.New.String()
	return f
}
