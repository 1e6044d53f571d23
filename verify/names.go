package verify

import (
	"context"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"mxcutover/plan"
	"mxcutover/rrset"
)

// gwPTR wants a name of each address that leads back to it. What the gateway sends,
// bounces first of all, is refused by many without.
func gwPTR(ctx context.Context, c *Checker, _ When, cut plan.Cutover) ([]plan.Finding, error) {
	return c.atEachOnce(ctx, cut, "gw.ptr", func(ctx context.Context, e endpoint) (plan.Finding, error) {
		reverse, err := dns.ReverseAddr(e.addr.Unmap().String())
		if err != nil {
			return plan.Finding{}, err
		}
		a, err := c.dns.Recurse(ctx, reverse, "PTR")
		if err != nil {
			return plan.Finding{}, err
		}
		if a.Set.Absent() {
			return warn(e.String(), "%s has no PTR record", rrset.Bare(reverse)), nil
		}
		for _, name := range a.Set.Data[:min(len(a.Set.Data), maxPTR)] {
			addrs, err := c.Addresses(ctx, name)
			if err != nil {
				return plan.Finding{}, err
			}
			if slices.ContainsFunc(addrs, same(e.addr)) {
				return pass(e.String(), "its name is %s", rrset.Bare(name)), nil
			}
		}
		return warn(e.String(), "its name, %s, does not lead back to it", a.Set.InLine()), nil
	})
}

// maxPTR bounds how many names of one address are looked up.
const maxPTR = 10

// gwHelo wants the names by which the gateway greets to lead to it. Receivers judge
// what it sends by them.
func gwHelo(ctx context.Context, c *Checker, _ When, cut plan.Cutover) ([]plan.Finding, error) {
	return c.atEachOnce(ctx, cut, "gw.helo", func(ctx context.Context, e endpoint) (plan.Finding, error) {
		l, err := c.look(ctx, c.toward(e.addr), e)
		if err != nil {
			return refusal(e.String(), err), nil
		}
		greets, _, _ := strings.Cut(l.banner, " ")
		for _, word := range slices.Compact([]string{greets, l.calls()}) {
			name, bad := rrset.CanonicalName(word)
			if bad != nil || !strings.Contains(word, ".") || strings.HasPrefix(word, "[") {
				return warn(e.String(), "it calls itself %q, which is no full name", word), nil //nolint:nilerr // the finding says it
			}
			addrs, err := c.Addresses(ctx, name)
			switch {
			case err != nil:
				return plan.Finding{}, err
			case len(addrs) == 0:
				return warn(e.String(), "it calls itself %s, which has no address", rrset.Bare(name)), nil
			case name != e.host && !slices.ContainsFunc(addrs, same(e.addr)):
				return warn(e.String(), "it calls itself %s, which is %s", rrset.Bare(name), list(addrs)), nil
			}
		}
		return pass(e.String(), "it calls itself %s", l.calls()), nil
	})
}

func same(a netip.Addr) func(netip.Addr) bool {
	return func(b netip.Addr) bool { return a.Unmap() == b.Unmap() }
}
