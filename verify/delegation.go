package verify

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"mxcutover/plan"
	"mxcutover/rrset"
	"mxcutover/verify/resolve"
)

// nsDelegation asks once for each zone; whether the domain is in that zone at all
// is asked for each domain.
func nsDelegation(ctx context.Context, c *Checker, _ When, cut plan.Cutover) ([]plan.Finding, error) {
	found, err := c.shared(ctx, "ns.delegation "+cut.Zone, func(ctx context.Context) ([]plan.Finding, error) {
		return c.delegation(ctx, cut.Zone)
	})
	if err != nil {
		return found, err
	}
	inside, err := c.inside(ctx, cut)
	return append(found, inside...), err
}

// delegation compares what the parent says with what the zone says, and asks each
// server at each address.
func (c *Checker) delegation(ctx context.Context, zone string) ([]plan.Finding, error) {
	d, err := c.dns.Delegation(ctx, zone)
	if err != nil {
		return nil, err
	}
	var found []plan.Finding
	bare := rrset.Bare(zone)
	if d.Silent == "" {
		if only := without(d.Parent, d.Child); len(only) > 0 {
			found = append(found, warn(bare, "its parent delegates to %s, which the zone does not name", bareList(only)))
		}
		if only := without(d.Child, d.Parent); len(only) > 0 {
			found = append(found, warn(bare, "it names %s, which its parent does not delegate to", bareList(only)))
		}
	}
	for _, n := range d.Nameless {
		found = append(found, warn(rrset.Bare(n), "this name server of %s has no address", bare))
	}
	found = append(found, c.glue(ctx, d)...)
	found = append(found, c.eachServer(ctx, d)...)
	if plan.Judge(append(found, pass("", ""))) == plan.Pass {
		why := "parent and zone agree on them"
		if d.Silent != "" {
			why = "not compared with the parent: " + d.Silent
		}
		found = append(found, pass(bare, "%d addresses of %s answer with authority; %s", len(d.Servers), bareList(d.Child), why))
	}
	return found, nil
}

// glue compares the addresses that the parent gives with those that the zone gives.
func (c *Checker) glue(ctx context.Context, d resolve.Delegation) (found []plan.Finding) {
	for _, n := range d.Parent {
		if !rrset.Below(n, d.Zone) {
			continue
		}
		addrs, err := c.Addresses(ctx, n)
		switch glue := d.Glue[n]; {
		case err != nil:
			found = append(found, unknown(rrset.Bare(n), "%v", err))
		case len(glue) == 0:
			found = append(found, warn(rrset.Bare(n), "it is within the zone that it serves, and the parent gives no address for it (glue)"))
		default:
			for _, a := range glue {
				if !slices.Contains(addrs, a) {
					found = append(found, warn(rrset.Bare(n), "the parent gives its address as %s (glue), the zone as %s", a, list(addrs)))
				}
			}
		}
	}
	return found
}

// eachServer asks each address for the zone's NS RRset, with authority.
func (c *Checker) eachServer(ctx context.Context, d resolve.Delegation) (found []plan.Finding) {
	answers, errs := make([]resolve.Answer, len(d.Servers)), make([]error, len(d.Servers))
	inParallel(len(d.Servers), func(i int) {
		answers[i], errs[i] = c.dns.Authoritative(ctx, d.Servers[i], d.Zone, "NS")
	})
	answered := map[string]bool{}
	for i, s := range d.Servers {
		answered[s.Name] = answered[s.Name] || errs[i] == nil
	}
	for i, s := range d.Servers {
		switch {
		case errs[i] != nil && unreachable(errs[i]) && answered[s.Name]:
			found = append(found, warn(s.String(), "not asked, there is no way to it from here; it answers at another address"))
		case errs[i] != nil:
			found = append(found, *c.refused(s, d.Zone, d.Zone, answers[i], errs[i], false))
		case !slices.Equal(answers[i].Set.Data, d.Child):
			found = append(found, warn(s.String(), "it names other servers of the zone than the others do: %s", bareList(answers[i].Set.Data)))
		}
	}
	return found
}

// inside looks for a zone cut between a zone and a name in it: a record in the
// zone above a cut is served to nobody.
func (c *Checker) inside(ctx context.Context, cut plan.Cutover) ([]plan.Finding, error) {
	servers, err := c.dns.Servers(ctx, cut.Zone)
	if err != nil || cut.Domain == cut.Zone {
		return nil, err
	}
	for _, s := range servers {
		a, err2 := c.dns.Authoritative(ctx, s, asked(cut.Domain), "SOA")
		if err = err2; err != nil && a.Zone == "" {
			continue
		}
		if a.Zone != "" && a.Zone != cut.Zone {
			return []plan.Finding{fail(cut.Domain, "it is in zone %s, and the plan changes zone %s, says %s", rrset.Bare(a.Zone), rrset.Bare(cut.Zone), s)}, nil
		}
		return []plan.Finding{pass(cut.Domain, "it is in zone %s", rrset.Bare(cut.Zone))}, nil
	}
	return nil, err
}

// serials compares the zone's versions at its servers. Another version that has
// the same RRset is no harm.
func (c *Checker) serials(ctx context.Context, zone string) ([]plan.Finding, error) {
	return c.shared(ctx, "ns.sync serial "+zone, func(ctx context.Context) ([]plan.Finding, error) {
		servers, err := c.dns.Servers(ctx, zone)
		if err != nil {
			return nil, err
		}
		at := map[uint32][]string{}
		var mu sync.Mutex
		inParallel(len(servers), func(i int) {
			a, err := c.dns.Authoritative(ctx, servers[i], zone, "SOA")
			if err != nil {
				return // told with the RRset
			}
			mu.Lock()
			defer mu.Unlock()
			at[a.Serial] = append(at[a.Serial], servers[i].String())
		})
		if len(at) < 2 {
			return []plan.Finding{pass(rrset.Bare(zone), "its servers have the same version")}, nil
		}
		var versions []string
		for _, serial := range slices.Sorted(maps.Keys(at)) {
			slices.Sort(at[serial])
			versions = append(versions, fmt.Sprintf("%d at %s", serial, strings.Join(at[serial], ", ")))
		}
		return []plan.Finding{warn(rrset.Bare(zone), "its servers have several versions: serial %s", strings.Join(versions, "; "))}, nil
	})
}

// maxNegative is the highest negative TTL that is no reason to wonder: RFC 2308
// section 5 advises one to three hours, and calls a day a problem.
const maxNegative = 24 * 60 * 60

func nsNegative(ctx context.Context, c *Checker, _ When, cut plan.Cutover) ([]plan.Finding, error) {
	return c.shared(ctx, "ns.negative "+cut.Zone, func(ctx context.Context) ([]plan.Finding, error) {
		servers, err := c.dns.Servers(ctx, cut.Zone)
		if err != nil {
			return nil, err
		}
		seen := map[uint32]bool{}
		for _, s := range servers {
			var a resolve.Answer
			if a, err = c.dns.Authoritative(ctx, s, cut.Zone, "SOA"); err == nil {
				seen[a.Negative] = true
			}
		}
		if len(seen) == 0 {
			return nil, err
		}
		bare := rrset.Bare(cut.Zone)
		switch ttls := slices.Sorted(maps.Keys(seen)); {
		case len(ttls) > 1:
			return []plan.Finding{warn(bare, "its servers let caches hold that there is no MX for %v seconds", ttls)}, nil
		case ttls[0] > maxNegative:
			return []plan.Finding{warn(bare, "caches may hold for %d seconds that there is no MX; a rollback to none, or a first MX, is seen as late", ttls[0])}, nil
		default:
			return []plan.Finding{pass(bare, "caches may hold for %d seconds that there is no MX", ttls[0])}, nil
		}
	})
}

func without(a, b []string) (out []string) {
	for _, x := range a {
		if !slices.Contains(b, x) {
			out = append(out, x)
		}
	}
	return out
}

func bareList(names []string) string {
	var out []string
	for _, n := range names {
		out = append(out, rrset.Bare(n))
	}
	return strings.Join(out, ", ")
}
