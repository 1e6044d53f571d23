package verify

import (
	"context"

	"mxcutover/plan"
	"mxcutover/rrset"
)

// cacheResolver asks each resolver. A name that was never asked for by anybody is
// in no cache; a wildcard is asked for by a name that it makes up.
func cacheResolver(ctx context.Context, c *Checker, when When, cut plan.Cutover) ([]plan.Finding, error) {
	name := asked(cut.Domain)
	want := cut.After()
	if when == Before {
		want = cut.Before()
	}
	var found []plan.Finding
	for _, r := range c.Resolvers {
		target := r.View + " " + r.Addr.String()
		a, err := c.dns.Ask(ctx, r.Addr, name, "MX", true)
		if err != nil {
			found = append(found, unknown(target, "%v", err))
			continue
		}
		wait := a.Set.TTL
		if a.Set.Absent() {
			wait = a.Negative
		}
		got := a.Set
		got.Name = want.Name
		switch {
		case got.SameData(want):
			found = append(found, pass(target, "it answers %s, for %d more seconds", inLine(got), wait))
		case when == Before:
			found = append(found, warn(target, "it answers %s, for %d more seconds, and not what the servers serve", inLine(got), wait))
		default:
			found = append(found, warn(target, "it still answers %s; it must ask again in %d seconds", inLine(got), wait))
		}
	}
	return found, nil
}

// asked is a name to ask for: below a wildcard, one that only it answers.
func asked(domain string) string {
	if rrset.IsWildcard(domain) {
		return randomLabel() + domain[1:]
	}
	return domain
}
