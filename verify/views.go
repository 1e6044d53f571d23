package verify

import (
	"net/netip"

	"mxcutover/verify/resolve"
)

// Public is the view of the DNS that the world has. Where no resolver has it, the
// first one's view is taken for it.
const Public = "public"

// A view is the DNS as some resolvers see it. What one says is never taken for
// what another would.
type view struct {
	name string
	dns  *resolve.Client
}

// see makes a client of each view, the public one first; all share the sockets.
func (c *Checker) see() {
	byName := map[string][]netip.AddrPort{}
	var names []string
	for _, r := range c.Resolvers {
		if byName[r.View] == nil {
			names = append(names, r.View)
		}
		byName[r.View] = append(byName[r.View], r.Addr)
	}
	public := names[0]
	if byName[Public] != nil {
		public = Public
	}
	from := c.here()
	c.dns = resolve.New(resolve.Settings{Port: c.DNSPort, Resolvers: byName[public], Rate: c.DNSRate, Source: from.Source, Dial: from.Dial})
	c.views = []view{{public, c.dns}}
	for _, n := range names {
		if n != public {
			c.views = append(c.views, view{n, c.dns.With(byName[n])})
		}
	}
}

// in names a target together with its view, where there are several.
func (c *Checker) in(v view, target string) string {
	if len(c.views) == 1 {
		return target
	}
	return target + " (" + v.name + ")"
}
