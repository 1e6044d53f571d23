package verify

import (
	"context"
	"net/netip"

	"mxcutover/plan"
	"mxcutover/rrset"
)

// oldSource asks whether the old server sees true source addresses, by the Received
// line that it writes on a message from each vantage. Behind a NAT all the world has
// one address there, the gateway too: a firewall that spares that address spares
// everybody, and one that does not shuts the gateway out.
func oldSource(ctx context.Context, c *Checker, _ When, cut plan.Cutover) ([]plan.Finding, error) {
	rcpt, err := c.recipient(cut.Domain)
	if err != nil {
		return nil, err
	}
	asked := false
	found, err := c.rarely(ctx, "old.source", func(ctx context.Context) ([]plan.Finding, error) {
		asked = true
		var all []plan.Finding
		for _, a := range c.OldAddresses {
			from := c.waysTo(a)
			seen := make([]source, len(from))
			inParallel(len(seen), func(i int) { seen[i] = c.seenFrom(ctx, from[i], a, rcpt, rrset.Bare(cut.Domain)) })
			all = append(all, sources(a, from, seen)...)
		}
		return all, ctx.Err()
	})
	if !asked { // how long it took is told once
		for i := range found {
			found[i].Evidence = ""
		}
	}
	return found, err
}

// A source is what the old server took for a vantage's address.
type source struct {
	seen  netip.Addr
	own   netip.Addr   // by our own socket; invalid = not known
	trial plan.Finding // why that is not known; its severity is "" if it is
	took  string       // the legs of the message; "" = it did not arrive
}

func (c *Checker) seenFrom(ctx context.Context, v Vantage, a netip.Addr, rcpt, domain string) (s source) {
	sent, _, err := c.dispatchFrom(ctx, func(netip.Addr) Vantage { return v }, c.newProbe(rcpt, domain), []endpoint{{"old server", a}})
	switch {
	case err != nil: // it may well refuse a stranger's mail for its own reasons
		s.trial = unknown("", "it does not take a message from here: %v", err)
	case sent.err != nil:
		s.trial = unknown("", "%s", sent.missing("", endpoint{"old server", a}, c.Arrival).Detail)
	default:
		s.took = legs(nil, nil, sent.begun, sent.accepted, sent.arrived).String()
		for _, h := range sent.outcome.hops { // the first that tells is the server that saw us
			if h.from.IsValid() && !itself(h.from) {
				s.seen = h.from
			}
		}
		if v.Dial == nil {
			if l, err := c.look(ctx, v, endpoint{"", a}); err == nil {
				s.own = l.local
			}
		}
		if !s.seen.IsValid() {
			s.trial = unknown("", "its Received lines do not tell from where a message came")
		}
	}
	return s
}

// sources judges what one address of the old server saw.
func sources(old netip.Addr, from []Vantage, seen []source) []plan.Finding {
	at := old.String()
	var out []plan.Finding
	for i, s := range seen {
		v := from[i]
		f := s.trial
		switch {
		case f.Severity != "":
			f.Target = at
		case v.Source.IsValid() && s.seen != v.Source.Unmap():
			f = warn(at, "it sees %s, and the vantage has %s: with source addresses hidden (NAT), a firewall there cannot tell the gateway from the rest of the world", s.seen, v.Source)
		case alike(seen, i):
			f = warn(at, "it sees %s, as from another vantage: source addresses are hidden (NAT), and a firewall there cannot tell the gateway from the rest of the world", s.seen)
		case v.Source.IsValid():
			f = pass(at, "it sees %s, which is the vantage's own", s.seen)
		case s.own.IsValid() && s.seen == s.own:
			f = pass(at, "it sees %s, which is this machine's own", s.seen)
		case len(seen) > 1:
			f = pass(at, "it sees %s, and another address from each other vantage", s.seen)
		default:
			f = unknown(at, "it sees %s; whether that is this machine's own cannot be known from one vantage alone: give its source, or name another in vantages", s.seen)
		}
		f.Vantage, f.Evidence = v.Name, s.took
		out = append(out, f)
	}
	return out
}

// alike tells whether another vantage was seen with the same address.
func alike(seen []source, i int) bool {
	for j, s := range seen {
		if j != i && s.seen.IsValid() && s.seen == seen[i].seen {
			return true
		}
	}
	return false
}

// lacksSource tells what is missing to see what the old server sees.
func lacksSource(c *Checker) string {
	if len(c.OldAddresses) == 0 {
		return "old.addresses"
	}
	return lacksHeaders(c)
}

// itself tells whether a peer is the server itself, as a content filter is.
func itself(a netip.Addr) bool {
	return a.Unmap() == netip.AddrFrom4([4]byte{127, 0, 0, 1}) || a == netip.IPv6Loopback()
}
