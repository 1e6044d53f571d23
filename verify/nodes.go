package verify

import (
	"context"
	"fmt"
	"net/netip"

	"mxcutover/plan"
	"mxcutover/rrset"
	"mxcutover/traffic"
)

// checkNodes is what is asked of each of the gateway's nodes before the old server is
// closed, and while it is.
const checkNodes = "old.trust"

// Nodes sends a message to each planned MX host at each of its addresses, and wants
// it to arrive at the old server from a source that stays let in there: trust is made
// from what the old server sees, not from what a plan says.
//
// Where callers are given, the firewall must have seen that source, too: a proxy before
// the old server may tell it a source that the firewall does not see.
func (c *Checker) Nodes(ctx context.Context, cut plan.Cutover, trust []netip.Prefix, callers Callers) []plan.Finding {
	return c.one(ctx, Check{ID: checkNodes, RFC: "RFC 5321 section 4.4", Run: func(ctx context.Context, c *Checker, _ When, cut plan.Cutover) ([]plan.Finding, error) {
		ends, err := c.endpoints(ctx, cut)
		if err != nil {
			return nil, err
		}
		found := make([]plan.Finding, len(ends))
		inParallel(len(ends), func(i int) {
			var seen netip.Addr
			found[i] = c.deliver(ctx, cut, ends[i:i+1], ends[i].String(), func(hops []hop) string {
				if why := c.chain(hops, ends); why != "" {
					return why
				}
				seen = c.fromNode(hops, ends)
				return distrusted(seen, trust)
			})
			if f := &found[i]; f.Severity == plan.Pass {
				f.Detail += fmt.Sprintf("; the old server saw it come from %s, which it trusts", seen)
				unnoted(ctx, f, seen, callers)
			}
		})
		return found, ctx.Err()
	}}, During, cut)
}

// unnoted judges a node whose source the firewall has not seen.
func unnoted(ctx context.Context, f *plan.Finding, seen netip.Addr, callers Callers) {
	if callers == nil {
		return
	}
	switch all, err := callers(ctx); {
	case err != nil:
		f.Severity, f.Detail = plan.Unknown, fmt.Sprintf("whether the old server's firewall saw %s cannot be read: %v", seen, err)
	case all[seen.Unmap()] == 0:
		f.Severity = plan.Fail
		f.Detail = fmt.Sprintf("the old server had it from %s, and its firewall saw nothing of that: something before it (a proxy, a NAT) hides source addresses, and closing it would cut this node off", seen)
	}
}

// Old are the old server's addresses.
func (c *Checker) Old() []netip.Addr { return c.OldAddresses }

// fromNode is the address from which the old server had a message of the gateway.
func (c *Checker) fromNode(hops []hop, planned []endpoint) netip.Addr {
	for _, h := range hops { // the newest first
		if isFrom(h, planned) || c.sends(h.from) {
			return h.from
		}
	}
	return netip.Addr{}
}

func distrusted(seen netip.Addr, trust []netip.Prefix) string {
	switch {
	case !seen.IsValid():
		return "its Received lines do not tell from which address the old server had it"
	case !traffic.Within(trust, seen):
		return fmt.Sprintf("from %s, which isolate.trust does not let in: closing the old server would cut this node off", seen)
	}
	return ""
}

// NodesOf are so many of the domains that each MX host is one of theirs, and none
// that adds no host.
func NodesOf(cuts []plan.Cutover) (out []plan.Cutover) {
	seen := map[string]bool{}
	for _, c := range cuts {
		hosts := c.After().MX()
		if len(hosts) == 0 {
			hosts = []rrset.MX{{}} // those of the plan, once
		}
		adds := false
		for _, m := range hosts {
			adds = adds || !seen[m.Host]
			seen[m.Host] = true
		}
		if adds {
			out = append(out, c)
		}
	}
	return out
}
