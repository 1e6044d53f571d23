package verify

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"mxcutover/plan"
	"mxcutover/rrset"
	"mxcutover/verify/resolve"
)

// answers are what every authoritative server serves as the domain's MX; none is
// an error.
func (c *Checker) answers(ctx context.Context, cut plan.Cutover) (map[string]rrset.Set, error) {
	served, found := c.servedOnce(ctx, cut)
	if len(served) > 0 {
		return served, nil
	}
	for _, f := range found {
		return nil, fmt.Errorf("no authoritative server answered: %s: %s", f.Target, f.Detail)
	}
	return nil, errors.New("no authoritative server answered")
}

// A memory is what one run of the checks knows already: several checks judge it, and
// the servers are asked once.
type memory struct {
	served  map[string]rrset.Set
	found   []plan.Finding
	random  memo[string] // addresses made up by chance, by server and domain
	answers memo[madeUp] // what was said of them, by vantage too
}

type memoryKey struct{}

// remembering is a context for one run at one domain.
func remembering(ctx context.Context) context.Context {
	return context.WithValue(ctx, memoryKey{}, &memory{})
}

// servedOnce is Served for the domain's MX, once in a run.
func (c *Checker) servedOnce(ctx context.Context, cut plan.Cutover) (map[string]rrset.Set, []plan.Finding) {
	m, _ := ctx.Value(memoryKey{}).(*memory)
	if m == nil {
		return c.Served(ctx, cut.Zone, cut.Domain, "MX")
	}
	if m.served == nil {
		m.served, m.found = c.Served(ctx, cut.Zone, cut.Domain, "MX")
	}
	return m.served, clone(m.found)
}

// mxTarget asks in each view: mail from inside must not end at the old server
// either.
func mxTarget(ctx context.Context, c *Checker, _ When, cut plan.Cutover) ([]plan.Finding, error) {
	var found []plan.Finding
	for _, v := range c.views {
		for _, m := range cut.After().MX() {
			if m.Null() {
				continue // see mx.null
			}
			host := c.in(v, rrset.Bare(m.Host))
			a, err := v.dns.Recurse(ctx, m.Host, "A")
			if err != nil {
				return found, err
			}
			addrs, err := v.dns.Addresses(ctx, m.Host)
			if err != nil {
				return found, err
			}
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
	}
	return found, nil
}

// mxNull looks for a null MX beside others, which some senders take for a refusal
// of all mail, and for one that the cutover would take away.
func mxNull(ctx context.Context, c *Checker, when When, cut plan.Cutover) ([]plan.Finding, error) {
	null := func(s rrset.Set) bool { return slices.ContainsFunc(s.MX(), rrset.MX.Null) }
	if null(cut.After()) {
		return []plan.Finding{fail(cut.Domain, "the plan gives it a null MX: it would accept no mail")}, nil
	}
	served, err := c.answers(ctx, cut)
	if err != nil {
		return nil, err
	}
	var found []plan.Finding
	for _, server := range slices.Sorted(maps.Keys(served)) {
		switch s := served[server]; {
		case null(s) && len(s.MX()) > 1:
			found = append(found, fail(server, "it serves a null MX beside others: %s", s.InLine()))
		case null(s) && when == Before:
			found = append(found, warn(server, "it says that the domain accepts no mail; the cutover makes it accept some"))
		case null(s):
			found = append(found, fail(server, "it says that the domain accepts no mail"))
		}
	}
	if len(found) == 0 {
		found = append(found, pass(cut.Domain, "it has no null MX"))
	}
	return found, nil
}

// mxImplicit looks for a domain without MX, whose mail goes to its own address.
func mxImplicit(ctx context.Context, c *Checker, when When, cut plan.Cutover) ([]plan.Finding, error) {
	served, err := c.answers(ctx, cut)
	if err != nil {
		return nil, err
	}
	var without []string
	for server, s := range served {
		if s.Absent() {
			without = append(without, server)
		}
	}
	slices.Sort(without)
	if len(without) == 0 {
		return []plan.Finding{pass(cut.Domain, "its mail follows its MX")}, nil
	}
	addrs, err := c.Addresses(ctx, asked(cut.Domain))
	if err != nil {
		return nil, err
	}
	follows := "it has no MX and no address: nobody can send to it"
	if len(addrs) > 0 {
		follows = "it has no MX, so its mail goes to its own address " + list(addrs)
	}
	if why := c.old(cut.Domain, addrs); why != "" {
		follows += ", the old server"
	}
	if when == Before && cut.Before().Absent() {
		return []plan.Finding{pass(cut.Domain, "%s; the cutover gives it an MX", follows)}, nil
	}
	return []plan.Finding{fail(cut.Domain, "%s, say %s", follows, without[0])}, nil
}

// mxWildcard asks for a name that only the wildcard answers; of a name that a
// wildcard has answered for until now, it tells what an MX of its own takes away
// (RFC 4592 section 2.2.1: a name that exists is no wildcard's).
func mxWildcard(ctx context.Context, c *Checker, when When, cut plan.Cutover) ([]plan.Finding, error) {
	if rrset.IsWildcard(cut.Domain) {
		return c.below(ctx, when, cut)
	}
	if !cut.Before().Absent() || when != Before {
		return []plan.Finding{pass(cut.Domain, "it is no wildcard's")}, nil
	}
	lost, err := c.synthesized(ctx, cut)
	if err != nil {
		return nil, err
	}
	if len(lost) > 0 {
		return []plan.Finding{warn(cut.Domain, "a wildcard answers for it; with an MX of its own it loses %v from there", lost)}, nil
	}
	return []plan.Finding{pass(cut.Domain, "no wildcard answers for it")}, nil
}

// below holds the answer for a made-up name below a wildcard to the plan.
func (c *Checker) below(ctx context.Context, when When, cut plan.Cutover) ([]plan.Finding, error) {
	name, want := asked(cut.Domain), cut.After()
	if when == Before {
		want = cut.Before()
	}
	served, found := c.served(ctx, cut.Zone, name, "MX", func(resolve.Answer) {})
	for _, server := range slices.Sorted(maps.Keys(served)) {
		got := served[server]
		if got.Name = want.Name; !got.SameData(want) {
			found = append(found, fail(server, "for a name below the wildcard it serves %s, and %s was expected", got.InLine(), want.InLine()))
		}
	}
	if len(found) == 0 && len(served) > 0 {
		found = append(found, pass(cut.Domain, "names below it are answered with %s; names that exist below it have records of their own", want.InLine()))
	}
	return found, nil
}

// synthesized are the types that a wildcard answers for a name: those that a
// made-up name beside it has too.
func (c *Checker) synthesized(ctx context.Context, cut plan.Cutover) (lost []string, err error) {
	servers, err := c.dns.Servers(ctx, cut.Zone)
	if err != nil {
		return nil, err
	}
	if cut.Domain == cut.Zone {
		return nil, nil // an apex exists
	}
	beside := randomLabel() + "." + rrset.Parent(cut.Domain)
	for _, s := range servers {
		lost = nil
		for _, typ := range []string{"A", "AAAA", "TXT", "MX"} {
			a, err2 := c.dns.Authoritative(ctx, s, beside, typ)
			b, err3 := c.dns.Authoritative(ctx, s, cut.Domain, typ)
			if err = errors.Join(err2, err3); err != nil {
				break
			}
			if a.Set.Name = b.Set.Name; !a.Set.Absent() && a.Set.SameData(b.Set) {
				lost = append(lost, typ)
			}
		}
		if err == nil {
			return lost, nil
		}
	}
	return nil, err
}

// mxDuplicate tells hosts that stand twice, and hosts that are the same machine:
// the second gives no safety.
func mxDuplicate(ctx context.Context, c *Checker, _ When, cut plan.Cutover) ([]plan.Finding, error) {
	var found []plan.Finding
	hosts, at := map[string]bool{}, map[netip.Addr]string{}
	for _, m := range cut.After().MX() {
		if hosts[m.Host] {
			found = append(found, warn(rrset.Bare(m.Host), "it stands twice among the MX records"))
			continue
		}
		hosts[m.Host] = true
		addrs, err := c.Addresses(ctx, m.Host)
		if err != nil {
			return found, err
		}
		for _, a := range addrs {
			if other := at[a]; other != "" {
				found = append(found, warn(rrset.Bare(m.Host), "it has %s, as %s has; when one is down, both are", a, rrset.Bare(other)))
			}
			at[a] = m.Host
		}
	}
	if len(found) == 0 {
		found = append(found, pass(cut.Domain, "%d hosts, each with addresses of its own", len(hosts)))
	}
	return found, nil
}
