package verify

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"mxcutover/rrset"
)

// A stranger is an address for which the gateway should take no mail: it is ours, and
// its domain's mail goes elsewhere. A gateway that many customers share takes mail for
// every customer's domain, which is delivery and no relaying.
type stranger struct {
	address string
	here    bool   // its domain's mail goes to this very gateway
	why     string // that is so, or may be; "" = it goes elsewhere
}

// stranger is the first of our senders whose mail goes elsewhere; if there is none,
// one of which that is not certain, and else one whose mail goes to the gateway.
func (c *Checker) stranger(ctx context.Context, ends []endpoint) stranger {
	best := c.hosted(ctx, c.From, ends)
	if best.why == "" || c.StrictSender == "" {
		return best
	}
	if other := c.hosted(ctx, c.StrictSender, ends); other.why == "" || best.here {
		return other
	}
	return best
}

// hosted tells whether mail for an address goes to the gateway, by its domain's MX, or
// the domain itself if it has none (RFC 5321 section 5.1). One operator's gateway often
// has another name, and other addresses, for each customer.
func (c *Checker) hosted(ctx context.Context, address string, ends []endpoint) stranger {
	out := stranger{address: address}
	_, domain, _ := strings.Cut(address, "@")
	name, err := rrset.CanonicalName(domain)
	if err != nil {
		out.why = err.Error()
		return out
	}
	a, err := c.dns.Recurse(ctx, name, "MX")
	if err != nil {
		out.why = fmt.Sprintf("where mail for %s goes could not be asked: %v", domain, err)
		return out
	}
	members := a.Set.MX()
	if a.Set.Absent() {
		members = []rrset.MX{{Host: name}}
	}
	for _, m := range members {
		if m.Null() {
			continue
		}
		addrs, err := c.Addresses(ctx, m.Host)
		if err != nil {
			out.why = fmt.Sprintf("where %s, an MX host of %s, is could not be asked: %v", rrset.Bare(m.Host), domain, err)
		}
		for _, e := range ends {
			switch {
			case e.host == m.Host || slices.ContainsFunc(addrs, same(e.addr)):
				out.here, out.why = true, fmt.Sprintf("%s has the MX %s", domain, rrset.Bare(m.Host))
				return out
			case !c.ours(e.host) && akin(e.host, m.Host):
				out.why = fmt.Sprintf("%s has the MX %s, which may be the same operator's as %s", domain, rrset.Bare(m.Host), rrset.Bare(e.host))
			}
		}
	}
	return out
}

// ours tells whether one of our own providers holds a host's name: such a gateway is
// shared with nobody.
func (c *Checker) ours(host string) bool {
	if c.Holder == nil {
		return false
	}
	_, _, ok := c.Holder(host)
	return ok
}

// akin tells whether two hosts' names stand below one name, of two labels at the least,
// which the nearest name above one of them is.
func akin(a, b string) bool {
	near := func(up, name string) bool { return len(rrset.Labels(up)) >= 2 && strings.HasSuffix(name, "."+up) }
	return near(rrset.Parent(a), b) || near(rrset.Parent(b), a)
}
