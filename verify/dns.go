package verify

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"mxcutover/plan"
	"mxcutover/rrset"
	"mxcutover/verify/resolve"
)

// dnsChecks ask name servers and caches.
func dnsChecks() []Check {
	ends, around := []When{Before, After}, []When{Before, During}
	checks := []Check{
		{ID: "mx.target", Title: "every MX host has an address, is no alias, and is not the old server", RFC: "RFC 5321 section 5.1", When: always, Run: mxTarget},
		{ID: "mx.null", Title: "a null MX stands alone, or not at all", RFC: "RFC 7505 section 3", When: ends, Run: mxNull},
		{ID: "mx.implicit", Title: "mail follows an MX, and not the domain's own address", RFC: "RFC 5321 section 5.1", When: ends, Run: mxImplicit},
		{ID: "mx.wildcard", Title: "a wildcard answers as planned, and loses nothing", RFC: "RFC 4592 section 3.3.1", When: ends, Run: mxWildcard},
		{ID: "mx.views", Title: "no other view of the DNS leads to the old server", RFC: "RFC 9499 section 6", When: always, Run: mxViews, Advice: true, Lacks: lacksViews},
		{ID: "mx.duplicate", Title: "each MX host stands once, and is a machine of its own", RFC: "RFC 5321 section 5.1", When: ends, Run: mxDuplicate},
		{ID: "ns.delegation", Title: "parent and zone name the same servers, and each answers", RFC: "RFC 1034 section 4.2.2", When: always, Run: nsDelegation},
		{ID: "ns.sync", Title: "every authoritative server answers with the same RRset", RFC: "RFC 1034 section 4.3.5", When: always, Run: nsSync},
		{ID: "ns.ttl", Title: "the TTLs that are served", RFC: "RFC 2181 section 5.2", When: around, Run: nsTTL, Advice: true},
		{ID: "ns.negative", Title: "how long caches may hold that there is no MX", RFC: "RFC 2308 section 5", When: around, Run: nsNegative, Advice: true},
		{ID: "cache.resolver", Title: "what each resolver answers, and when it must ask again", RFC: "RFC 1035 section 7.4", When: always, Run: cacheResolver, Advice: true},
		{ID: "dnssec.valid", Title: "signatures validate, at every authoritative server", RFC: "RFC 4035 section 5", When: always, Run: dnssecValid, Lacks: func(c *Checker) string {
			if len(c.Anchors) == 0 {
				return "dns.anchors"
			}
			return ""
		}},
	}
	for i := range checks {
		checks[i].Run = fromHere(checks[i].Run)
	}
	return checks
}

type run = func(context.Context, *Checker, When, plan.Cutover) ([]plan.Finding, error)

// fromHere says from which vantage DNS was asked.
func fromHere(r run) run {
	return func(ctx context.Context, c *Checker, when When, cut plan.Cutover) ([]plan.Finding, error) {
		found, err := r(ctx, c, when, cut)
		for i := range found {
			found[i].Vantage = c.here().Name
		}
		return found, err
	}
}

// NegativeTTL is for how many seconds caches may hold that a name of the zone
// has no such RRset (RFC 2308 section 5).
func (c *Checker) NegativeTTL(ctx context.Context, zone string) (uint32, error) {
	servers, err := c.dns.Servers(ctx, zone)
	if err != nil {
		return 0, err
	}
	for _, s := range servers {
		var a resolve.Answer
		if a, err = c.dns.Authoritative(ctx, s, zone, "SOA"); err == nil {
			return a.Negative, nil
		}
	}
	return 0, err
}

// Served asks every authoritative server of a zone, at each address, for one
// RRset. A server that is silent or lame has a finding instead of an entry.
func (c *Checker) Served(ctx context.Context, zone, name, typ string) (map[string]rrset.Set, []plan.Finding) {
	return c.served(ctx, zone, name, typ, func(a resolve.Answer) { c.caches.saw(a, c.Now()) })
}

// served is Served; saw is told of each answer.
func (c *Checker) served(ctx context.Context, zone, name, typ string, saw func(resolve.Answer)) (map[string]rrset.Set, []plan.Finding) {
	served := map[string]rrset.Set{}
	servers, err := c.dns.Servers(ctx, zone)
	if err != nil {
		return served, c.stamp([]plan.Finding{unknown(zone, "%v", err)}, "ns.sync", "", name)
	}
	answered := map[string]bool{} // servers by name, at any address
	ask := make([]func() *plan.Finding, len(servers))
	var mu sync.Mutex
	inParallel(len(servers), func(i int) {
		s := servers[i]
		a, err := c.dns.Authoritative(ctx, s, name, typ)
		mu.Lock()
		defer mu.Unlock()
		if err == nil && a.CNAME == "" {
			served[s.String()], answered[s.Name] = a.Set, true
			saw(a)
		}
		ask[i] = func() *plan.Finding { return c.refused(s, zone, name, a, err, answered[s.Name]) }
	})
	var found []plan.Finding
	for _, f := range ask {
		if f := f(); f != nil {
			found = append(found, *f)
		}
	}
	return served, c.stamp(found, "ns.sync", "RFC 1034 section 4.3.5", name)
}

// refused is what is wrong with a server's answer; nil: nothing. An address that
// this machine has no way to (it has no IPv6, say) is passed over where the same
// server has answered at another.
func (c *Checker) refused(s resolve.Server, zone, name string, a resolve.Answer, err error, answered bool) *plan.Finding {
	var f plan.Finding
	switch {
	case errors.Is(err, resolve.ErrLame) && a.Zone != zone && a.Zone != "" && rrset.Below(a.Zone, zone):
		f = fail(s.String(), "it delegates %s to other servers; %s belongs to that zone, and not to %s", rrset.Bare(a.Zone), rrset.Bare(name), rrset.Bare(zone))
	case errors.Is(err, resolve.ErrLame):
		f = fail(s.String(), "it answers without authority for %s (lame delegation)", rrset.Bare(zone))
	case err != nil && unreachable(err) && answered:
		return nil
	case err != nil:
		f = unknown(s.String(), "%v", err)
	case a.CNAME != "":
		f = fail(s.String(), "%s is an alias for %s", rrset.Bare(name), rrset.Bare(a.CNAME))
	default:
		return nil
	}
	return &f
}

// old says why a host is the old server, or nothing.
func (c *Checker) old(host string, addrs []netip.Addr) string {
	if slices.Contains(c.OldHosts, host) {
		return rrset.Bare(host)
	}
	for _, a := range addrs {
		if slices.ContainsFunc(c.OldAddresses, func(o netip.Addr) bool { return o.Unmap() == a.Unmap() }) {
			return fmt.Sprintf("%s has %s", rrset.Bare(host), a)
		}
	}
	return ""
}

func list(addrs []netip.Addr) string {
	var out []string
	for _, a := range addrs {
		out = append(out, a.String())
	}
	return strings.Join(out, ", ")
}

func nsSync(ctx context.Context, c *Checker, when When, cut plan.Cutover) ([]plan.Finding, error) {
	want := cut.After()
	if when == Before {
		want = cut.Before()
	}
	served, found := c.servedOnce(ctx, cut)
	agreed := true
	for _, server := range slices.Sorted(maps.Keys(served)) {
		if s := served[server]; !s.SameData(want) {
			agreed = false
			f := fail(server, "it serves %s, and %s was expected", s.InLine(), want.InLine())
			f.Evidence = s.String()
			found = append(found, f)
		}
	}
	serials, err := c.serials(ctx, cut.Zone)
	if err != nil {
		return found, err
	}
	if found = append(found, serials...); agreed && len(served) > 0 {
		found = append(found, pass(cut.Domain, "%d servers serve %s", len(served), want.InLine()))
	}
	return found, nil
}

func nsTTL(ctx context.Context, c *Checker, _ When, cut plan.Cutover) ([]plan.Finding, error) {
	served, err := c.answers(ctx, cut)
	if err != nil {
		return nil, err
	}
	ttls := map[uint32]bool{}
	for _, s := range served {
		ttls[s.TTL] = true
	}
	seen := slices.Sorted(maps.Keys(ttls))
	if len(seen) > 1 {
		return []plan.Finding{warn(cut.Domain, "the servers serve several TTLs: %v seconds; waits count the highest", seen)}, nil
	}
	return []plan.Finding{pass(cut.Domain, "served with TTL %d seconds", seen[0])}, nil
}
