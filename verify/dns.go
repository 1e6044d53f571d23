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
	return []Check{
		{ID: "mx.target", Title: "every MX host has an address, is no alias, and is not the old server", RFC: "RFC 5321 section 5.1", When: always, Run: mxTarget},
		{ID: "ns.sync", Title: "every authoritative server answers with the same RRset", RFC: "RFC 1034 section 4.3.5", When: always, Run: nsSync},
		{ID: "ns.ttl", Title: "the TTLs that are served", RFC: "RFC 2181 section 5.2", When: []When{Before, During}, Run: nsTTL, Advice: true},
		{ID: "cache.resolver", Title: "what each resolver answers, and when it must ask again", RFC: "RFC 1035 section 7.4", When: always, Run: cacheResolver, Advice: true},
	}
}

// Addresses are a host's, by the first resolver that answers. None and no
// error: it has none.
func (c *Checker) Addresses(ctx context.Context, host string) ([]netip.Addr, error) {
	return c.dns.Addresses(ctx, host)
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
	served := map[string]rrset.Set{}
	servers, err := c.dns.Servers(ctx, zone)
	if err != nil {
		return served, c.stamp([]plan.Finding{unknown(zone, "%v", err)}, "ns.sync", "", name)
	}
	var mu sync.Mutex
	var found []plan.Finding
	var wg sync.WaitGroup
	for _, s := range servers {
		wg.Go(func() {
			a, err := c.dns.Authoritative(ctx, s, name, typ)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case errors.Is(err, resolve.ErrLame):
				found = append(found, fail(s.String(), "it answers without authority for %s (lame delegation)", rrset.Bare(zone)))
			case err != nil:
				found = append(found, unknown(s.String(), "%v", err))
			case a.CNAME != "":
				found = append(found, fail(s.String(), "%s is an alias for %s", rrset.Bare(name), rrset.Bare(a.CNAME)))
			default:
				served[s.String()] = a.Set
			}
		})
	}
	wg.Wait()
	return served, c.stamp(found, "ns.sync", "RFC 1034 section 4.3.5", name)
}

func mxTarget(ctx context.Context, c *Checker, _ When, cut plan.Cutover) ([]plan.Finding, error) {
	var found []plan.Finding
	for _, m := range cut.After().MX() {
		a, err := c.dns.Recurse(ctx, m.Host, "A")
		if err != nil {
			return found, err
		}
		addrs, err := c.Addresses(ctx, m.Host)
		if err != nil {
			return found, err
		}
		host := rrset.Bare(m.Host)
		switch why := c.old(m.Host, addrs); {
		case a.CNAME != "":
			found = append(found, fail(host, "it is an alias for %s; an MX host must have addresses of its own", rrset.Bare(a.CNAME)))
		case len(addrs) == 0:
			found = append(found, fail(host, "it has no address"))
		case why != "":
			found = append(found, fail(host, "it leads to the old server: %s", why))
		default:
			found = append(found, pass(host, "it has %s", list(addrs)))
		}
	}
	return found, nil
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
	served, found := c.Served(ctx, cut.Zone, cut.Domain, "MX")
	agreed := true
	for _, server := range slices.Sorted(maps.Keys(served)) {
		if s := served[server]; !s.SameData(want) {
			agreed = false
			f := fail(server, "it serves %s, and %s was expected", inLine(s), inLine(want))
			f.Evidence = s.String()
			found = append(found, f)
		}
	}
	if agreed && len(served) > 0 {
		found = append(found, pass(cut.Domain, "%d servers serve %s", len(served), inLine(want)))
	}
	return found, nil
}

func inLine(s rrset.Set) string {
	if s.Absent() {
		return "no " + s.Type
	}
	return strings.Join(s.Data, ", ")
}

func nsTTL(ctx context.Context, c *Checker, _ When, cut plan.Cutover) ([]plan.Finding, error) {
	served, _ := c.Served(ctx, cut.Zone, cut.Domain, "MX")
	if len(served) == 0 {
		return nil, errors.New("no authoritative server answered")
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

// LeadsToOld asks live DNS whether a name's mail still leads to the old server:
// by any authoritative server's MX at any preference, or without MX by the
// name's own address (RFC 5321 section 5.1). It says by what.
func (c *Checker) LeadsToOld(ctx context.Context, zone, name string) (bool, string, error) {
	served, found := c.Served(ctx, zone, name, "MX")
	for _, f := range found {
		if strings.Contains(f.Detail, "is an alias") {
			return false, "", nil // its mail follows the other name, which is asked about itself
		}
		if f.Severity != plan.Pass {
			return false, "", fmt.Errorf("%s: %s", f.Target, f.Detail)
		}
	}
	for server, s := range served {
		hosts := []string{}
		for _, m := range s.MX() {
			if !m.Null() {
				hosts = append(hosts, m.Host)
			}
		}
		if s.Absent() {
			hosts = append(hosts, name)
		}
		for _, h := range hosts {
			addrs, err := c.Addresses(ctx, h)
			if err != nil {
				return false, "", err
			}
			if why := c.old(h, addrs); why != "" {
				return true, why + ", says " + server, nil
			}
		}
	}
	return false, "", nil
}
