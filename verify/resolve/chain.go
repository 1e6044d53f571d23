package resolve

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// ErrBogus means that what is signed, or should be, does not validate: resolvers
// that do so too answer SERVFAIL.
var ErrBogus = errors.New("does not validate")

// errUnaware means that no resolver gives signatures, so that nothing is proven.
var errUnaware = errors.New("the resolvers give no signatures: they do not know DNSSEC")

// A Chain of trust leads from an anchor to a zone.
type Chain struct {
	Zone     string
	Insecure string    // why it ends before the zone: "no DS at example."; "" = the zone is signed
	ds       []*dns.DS // of the zone
	budget   *budget
	keys     *serverKeys
}

// serverKeys are the keys of a chain's zone that each server was found to have.
type serverKeys struct {
	mu sync.Mutex
	of map[netip.AddrPort][]*dns.DNSKEY
}

// Chain follows DS and DNSKEY records from the closest anchor down to a zone, as
// the resolvers give them unjudged (CD). [ErrBogus]: it is broken. Other errors
// mean that it could not be followed.
func (c *Client) Chain(ctx context.Context, anchors Anchors, zone string, now time.Time) (Chain, error) {
	at, ds := anchors.above(zone)
	if len(ds) == 0 {
		return Chain{}, fmt.Errorf("no trust anchor is above %s", zone)
	}
	out := Chain{Zone: zone, budget: &budget{left: maxVerified}, keys: &serverKeys{of: map[netip.AddrPort][]*dns.DNSKEY{}}}
	for first := true; at != zone; first = false {
		if ds = usable(ds); len(ds) == 0 {
			out.Insecure = "the algorithms of " + at + " are not known"
			return out, nil
		}
		keys, err := c.keysOf(ctx, at, ds, out.budget, now, first)
		if err != nil {
			return out, err
		}
		if at, ds, out.Insecure, err = c.down(ctx, at, zone, keys, out.budget, now); err != nil || out.Insecure != "" {
			return out, err
		}
	}
	if out.ds = usable(ds); len(out.ds) == 0 {
		out.Insecure = "the algorithms of " + zone + " are not known"
	}
	return out, nil
}

// keysOf are a zone's keys, vouched for by its DS records. A resolver that gives
// no signatures at the anchor does not know DNSSEC, which proves nothing.
func (c *Client) keysOf(ctx context.Context, zone string, ds []*dns.DS, b *budget, now time.Time, anchor bool) ([]*dns.DNSKEY, error) {
	m, err := c.unjudged(ctx, zone, dns.TypeDNSKEY, func(m *dns.Msg) bool { return !anchor || signed(m) })
	if err != nil {
		return nil, err
	}
	keys, err := trusted(m, zone, ds, b, now)
	return keys, asBogus(err)
}

// trusted are the keys of a DNSKEY answer, if one that a DS record vouches for
// has signed them all (RFC 4035 section 5.2).
func trusted(m *dns.Msg, zone string, ds []*dns.DS, b *budget, now time.Time) ([]*dns.DNSKEY, error) {
	set, sigs := pick(m.Answer, zone, dns.TypeDNSKEY)
	if len(set) == 0 {
		return nil, bogus("%s has no DNSKEY, and its parent says it is signed", zone)
	}
	var keys []*dns.DNSKEY
	for _, rr := range set[:min(len(set), maxKeys)] {
		if k, ok := rr.(*dns.DNSKEY); ok {
			keys = append(keys, k)
		}
	}
	vouched := matches(ds, keys)
	if len(vouched) == 0 {
		return nil, bogus("none of the keys of %s is one that its DS records name (%s)", zone, tags(ds))
	}
	if _, err := b.verify(set, sigs, zone, vouched, now); err != nil {
		return nil, err
	}
	return keys, nil
}

func tags(ds []*dns.DS) string {
	out := ""
	for i, d := range ds {
		if i > 0 {
			out += ", "
		}
		out += fmt.Sprint(d.KeyTag)
	}
	return out
}

// down finds the next signed zone between one and the zone wanted, or why there
// is none.
func (c *Client) down(ctx context.Context, from, to string, keys []*dns.DNSKEY, b *budget, now time.Time) (string, []*dns.DS, string, error) {
	for n := dns.CountLabel(from) + 1; n <= dns.CountLabel(to); n++ {
		name := to
		for dns.CountLabel(name) > n {
			name = parentOf(name)
		}
		m, err := c.unjudged(ctx, name, dns.TypeDS, nil)
		if err != nil {
			return "", nil, "", err
		}
		ds, insecure, err := delegation(m, from, name, keys, b, now)
		switch {
		case err != nil:
			return "", nil, "", asBogus(err)
		case insecure != "":
			return "", nil, insecure, nil
		case len(ds) > 0:
			return name, ds, "", nil
		}
	}
	return "", nil, "", asBogus(bogus("%s proves that it does not delegate %s", from, to))
}

// delegation judges an answer to DS: the records, or why what is below is
// unsigned, or neither, if the name is no delegation.
func delegation(m *dns.Msg, zone, name string, keys []*dns.DNSKEY, b *budget, now time.Time) (ds []*dns.DS, insecure string, err error) {
	set, sigs := pick(m.Answer, name, dns.TypeDS)
	if len(set) > 0 {
		if _, err := b.verify(set, sigs, zone, keys, now); err != nil {
			return nil, "", err
		}
		for _, rr := range set {
			if d, ok := rr.(*dns.DS); ok {
				ds = append(ds, d)
			}
		}
		return ds, "", nil
	}
	if alias, err := b.alias(m, name, zone, keys, now); alias != nil || err != nil {
		return nil, "", err
	}
	d, err := denialOf(m, zone, keys, b, now)
	if err != nil {
		return nil, "", err
	}
	p, err := d.absent(name, dns.TypeDS)
	switch {
	case errors.Is(err, errIterations):
		return nil, zone + ": " + err.Error(), nil
	case err != nil:
		return nil, "", bogus("there is no DS at %s: %v", name, err)
	case p.cut:
		return nil, "no DS at " + name, nil
	case p.optOut:
		return nil, "no DS at " + name + " (opt-out)", nil
	}
	return nil, "", nil
}

// denialOf are the NSEC and NSEC3 records of an answer whose signatures are good.
func denialOf(m *dns.Msg, zone string, keys []*dns.DNSKEY, b *budget, now time.Time) (*denial, error) {
	d := &denial{zone: zone}
	seen := 0
	for _, rr := range m.Ns {
		t := rr.Header().Rrtype
		if rr.Header().Class != dns.ClassINET || t != dns.TypeNSEC && t != dns.TypeNSEC3 && t != dns.TypeSOA {
			continue
		}
		if seen++; seen > maxDenials {
			return nil, errBudget
		}
		name := dns.CanonicalName(rr.Header().Name)
		set, sigs := pick(m.Ns, name, t)
		s, err := b.verify(set, sigs, zone, keys, now)
		if err != nil {
			return nil, err
		}
		if _, wild := expanded(s); wild {
			return nil, bogus("%s %s was made by a wildcard", name, dns.TypeToString[t])
		}
		switch v := rr.(type) {
		case *dns.NSEC:
			d.nsec = append(d.nsec, v)
		case *dns.NSEC3:
			d.nsec3 = append(d.nsec3, v)
		}
	}
	return d, nil
}

// pick are the records of a name and type, without duplicates and with the name
// in its canonical form, and the signatures that cover them.
func pick(rrs []dns.RR, name string, t uint16) (set []dns.RR, sigs []*dns.RRSIG) {
	for _, rr := range rrs {
		h := rr.Header()
		if h.Class != dns.ClassINET || dns.CanonicalName(h.Name) != name {
			continue
		}
		h.Name = name
		if s, ok := rr.(*dns.RRSIG); ok && s.TypeCovered == t {
			sigs = append(sigs, s)
		} else if h.Rrtype == t {
			set = append(set, rr)
		}
	}
	return dns.Dedup(set, nil), sigs
}

func signed(m *dns.Msg) bool {
	for _, rr := range m.Answer {
		if rr.Header().Rrtype == dns.TypeRRSIG {
			return true
		}
	}
	return false
}

// asBogus marks what does not validate.
func asBogus(err error) error {
	var b *bogusError
	if errors.As(err, &b) || errors.Is(err, errBudget) || errors.Is(err, errNotProven) {
		return fmt.Errorf("%w: %w", ErrBogus, err)
	}
	return err
}

// unjudged asks the resolvers for signatures, not to judge them; the first counts
// whose answer is good.
func (c *Client) unjudged(ctx context.Context, name string, qtype uint16, good func(*dns.Msg) bool) (*dns.Msg, error) {
	err := errors.New("no resolver is configured")
	for _, r := range c.Resolvers {
		var m *dns.Msg
		if m, err = c.message(ctx, r, name, qtype, flags{recurse: true, signed: true, checking: true}); err == nil {
			if good == nil || good(m) {
				return m, nil
			}
			err = fmt.Errorf("%w: %w (%s of %s)", ErrNoAnswer, errUnaware, dns.TypeToString[qtype], name)
		}
	}
	return nil, err
}

// message asks one server and parses all that it says.
func (c *Client) message(ctx context.Context, server netip.AddrPort, name string, qtype uint16, f flags) (*dns.Msg, error) {
	p, err := c.exchange(ctx, server, name, qtype, f)
	m := new(dns.Msg)
	if err == nil {
		err = m.Unpack(p)
	}
	if err == nil && m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError {
		err = errors.New(dns.RcodeToString[m.Rcode])
	}
	if err != nil {
		return nil, fmt.Errorf("%w from %s: %s %s: %w", ErrNoAnswer, server, name, dns.TypeToString[qtype], err)
	}
	return m, nil
}
