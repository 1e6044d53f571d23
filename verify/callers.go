package verify

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"time"

	"mxcutover/plan"
	"mxcutover/traffic"
)

// Callers count what the old server's firewall has seen of each source since it was
// told to note who comes.
type Callers func(context.Context) (map[netip.Addr]uint64, error)

// Bounds of knocking at a port of the old server: so many connections a round, rounds
// until one source alone has spoken in each of them, and rounds with a silence after
// each where several do.
const (
	knocks   = 3
	rounds   = 4
	silences = 6
)

// TrueSources connects to ports of the old server from each vantage, and wants its
// firewall to see each by an address of its own, of either family, which is not among
// those that stay let in. Behind a NAT all the world has one address there: whoever
// trusts it lets everybody in, and whoever does not shuts the gateway out. A Received
// line is no proof of this, since a proxy may tell the server what the firewall does
// not see.
func (c *Checker) TrueSources(ctx context.Context, ports []uint16, trust []netip.Prefix, callers Callers) []plan.Finding {
	var found []plan.Finding
	for _, a := range c.OldAddresses {
		for _, port := range ports {
			from := c.waysTo(a)
			seen := make([]source, len(from))
			for i, v := range from {
				seen[i] = c.noted(ctx, v, a, port, trust, callers)
			}
			found = append(found, notedFrom(netip.AddrPortFrom(a, port).String(), from, seen, trust)...)
		}
	}
	if len(found) == 0 {
		found = append(found, unknown("old.addresses", "none to connect to"))
	}
	return c.stamp(found, "old.source", "RFC 9293 section 3.10.7", "")
}

// waysTo are the vantages from which a way may lead to an address: those that are bound
// to one of the other family are left out, if that leaves any.
func (c *Checker) waysTo(a netip.Addr) []Vantage {
	ways := slices.DeleteFunc(slices.Clone(c.Vantages), func(v Vantage) bool {
		return v.Source.IsValid() && v.Source.Unmap().Is4() != a.Unmap().Is4()
	})
	if len(ways) == 0 {
		return c.Vantages
	}
	return ways
}

// noted is what the firewall took for a vantage's address: what spoke in each round.
func (c *Checker) noted(ctx context.Context, v Vantage, a netip.Addr, port uint16, trust []netip.Prefix, callers Callers) (s source) {
	var spoke []netip.Addr
	for n := range rounds {
		now, local, err := c.round(ctx, v, a, port, callers)
		if err != nil {
			s.trial = unknown("", "it cannot be seen: %v", err)
			return s
		}
		if s.own = v.Source.Unmap(); !s.own.IsValid() {
			s.own = local
		}
		if n > 0 {
			now = slices.DeleteFunc(now, func(x netip.Addr) bool { return !slices.Contains(spoke, x) })
		}
		spoke = now
		switch {
		case slices.Contains(spoke, s.own):
			s.seen = s.own
			return s
		case len(spoke) == 0 && n == 0:
			s.trial = fail("", "the firewall that is asked does not see who connects there: it is another machine's, or something before it answers; closing it would close nothing")
			return s
		case len(spoke) == 1 && n > 0:
			s.seen = spoke[0]
			return s
		}
	}
	// The gateway is always busy, and is not taken for a vantage if another may be it.
	others := slices.DeleteFunc(slices.Clone(spoke), func(x netip.Addr) bool { return traffic.Within(trust, x) })
	if len(others) > 1 {
		var err error
		if others, err = c.onlyWithUs(ctx, v, a, port, callers, others); err != nil {
			s.trial = unknown("", "it cannot be seen: %v", err)
			return s
		}
	}
	if len(others) != 1 {
		s.trial = unknown("", "%d sources spoke at once, and it is not known which of them is this vantage: give its source in vantages, or try again", len(spoke))
		return s
	}
	s.seen = others[0]
	return s
}

// onlyWithUs are those sources that speak whenever the vantage does, and are silent
// whenever it is. Who never stops, as a spammer at a busy server, is none of them; nor is
// an address that the vantage shares with such a one, and then there is none.
func (c *Checker) onlyWithUs(ctx context.Context, v Vantage, a netip.Addr, port uint16, callers Callers, spoke []netip.Addr) ([]netip.Addr, error) {
	for n := 0; n < silences && len(spoke) > 0; n++ {
		begun := time.Now()
		now, _, err := c.round(ctx, v, a, port, callers)
		if err != nil {
			return nil, err
		}
		// As long as the round was, or up to twice: who comes at a fixed interval is not taken for us.
		long := time.Since(begun)
		others, err := silence(ctx, long+rand.N(long+1), callers)
		if err != nil {
			return nil, err
		}
		spoke = slices.DeleteFunc(spoke, func(x netip.Addr) bool { return others[x] || !slices.Contains(now, x) })
	}
	return spoke, nil
}

// silence tells who spoke at all while the vantage did not. A greeting that comes after
// the vantage hung up is answered by its kernel, which is waited for first.
func silence(ctx context.Context, long time.Duration, callers Callers) (spoke map[netip.Addr]bool, err error) {
	if err := sleepUntil(ctx, time.Now().Add(long)); err != nil {
		return nil, err
	}
	before, err := callers(ctx)
	if err != nil {
		return nil, err
	}
	if err := sleepUntil(ctx, time.Now().Add(long)); err != nil {
		return nil, err
	}
	after, err := callers(ctx)
	if err != nil {
		return nil, err
	}
	spoke = map[netip.Addr]bool{}
	for x, n := range after {
		spoke[x] = n > before[x]
	}
	return spoke, nil
}

// round connects some times, and tells who spoke meanwhile as often.
func (c *Checker) round(ctx context.Context, v Vantage, a netip.Addr, port uint16, callers Callers) (spoke []netip.Addr, local netip.Addr, err error) {
	before, err := callers(ctx)
	if err != nil {
		return nil, local, err
	}
	var refused error
	for range knocks {
		var conn net.Conn
		if conn, refused = c.dial(ctx, v, a, port); refused != nil {
			if unreachable(refused) || ctx.Err() != nil {
				return nil, local, refused
			}
			continue
		}
		if at, perr := netip.ParseAddrPort(conn.LocalAddr().String()); perr == nil && v.Dial == nil {
			local = at.Addr().Unmap()
		}
		_ = conn.Close() // that it came about is all that is wanted
	}
	after, err := callers(ctx)
	if err != nil {
		return nil, local, err
	}
	for x, n := range after {
		if x.Is4() == a.Unmap().Is4() && n >= before[x]+knocks {
			spoke = append(spoke, x)
		}
	}
	if len(spoke) == 0 && refused != nil { // it did not get so far
		return nil, local, fmt.Errorf("it is stopped before it comes there: %w", refused)
	}
	return spoke, local, ctx.Err()
}

// notedFrom judges what the firewall saw of each vantage at one address and port.
func notedFrom(at string, from []Vantage, seen []source, trust []netip.Prefix) (out []plan.Finding) {
	const hidden = "source addresses are hidden (NAT): a firewall there cannot tell the gateway from the rest of the world, and is not armed"
	for i, s := range seen {
		f := s.trial
		switch source := from[i].Source.Unmap(); {
		case f.Severity != "":
			f.Target = at
		case alike(seen, i):
			f = fail(at, "its firewall sees %s, as from another vantage: %s", s.seen, hidden)
		case traffic.Within(trust, s.seen):
			f = fail(at, "its firewall sees %s, which isolate.trust lets in: from here it would stay open, and whoever else has that address comes in, too", s.seen)
		case source.IsValid() && s.seen != source:
			f = fail(at, "its firewall sees %s, and the vantage has %s: %s", s.seen, source, hidden)
		case s.seen == s.own:
			f = pass(at, "its firewall sees %s, which is the vantage's own", s.seen)
		case len(seen) > 1:
			f = pass(at, "its firewall sees %s, and another address from each other vantage", s.seen)
		default:
			f = unknown(at, "its firewall sees %s; whether that is the vantage's own cannot be known from one vantage alone: give its source, or name another in vantages", s.seen)
		}
		f.Vantage = from[i].Name
		out = append(out, f)
	}
	return out
}
