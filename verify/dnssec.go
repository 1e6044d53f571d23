package verify

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"mxcutover/plan"
	"mxcutover/rrset"
	"mxcutover/verify/resolve"
)

// chainOf is the chain of trust to a zone, which its domains share: followed at most
// once in Settings.Shared; one that is broken again after a tenth of that.
func (c *Checker) chainOf(ctx context.Context, zone string) (resolve.Chain, error) {
	return recall(ctx, c, &c.chains, zone, func(resolve.Chain) time.Duration { return c.Shared }, func(ctx context.Context) (resolve.Chain, error) {
		return c.dns.Chain(ctx, c.Anchors, zone, c.Now())
	})
}

// dnssecValid validates the MX RRset of every authoritative server, or the proof
// that there is none, and compares that with what validating resolvers say.
func dnssecValid(ctx context.Context, c *Checker, _ When, cut plan.Cutover) ([]plan.Finding, error) {
	name := asked(cut.Domain)
	ch, err := c.chainOf(ctx, cut.Zone)
	var found []plan.Finding
	switch {
	case errors.Is(err, resolve.ErrBogus):
		found = append(found, fail(rrset.Bare(cut.Zone), "%v; resolvers that validate answer SERVFAIL, and mail from there waits, then bounces", err))
	case err != nil && ctx.Err() != nil:
		return nil, err
	case err != nil: // the resolver gives no signatures, or cannot answer for what is above
		return c.unproven(ctx, cut.Zone, err)
	case ch.Insecure != "":
		found = append(found, pass(rrset.Bare(cut.Zone), "unsigned: %s", ch.Insecure))
	default:
		servers, err := c.dns.Servers(ctx, cut.Zone)
		if err != nil {
			return nil, err
		}
		found = c.validated(ctx, ch, servers, name)
	}
	return append(found, c.compared(ctx, name, found)...), ctx.Err()
}

// unproven judges a zone to which no chain can be followed, since no resolver gives
// signatures, or none answers for the zones above it: one that shows no key at any of
// its servers is unsigned, as far as can be told, and a new MX breaks no signature.
func (c *Checker) unproven(ctx context.Context, zone string, why error) ([]plan.Finding, error) {
	servers, err := c.dns.Servers(ctx, zone)
	if err != nil {
		return nil, err
	}
	ds, dsErr := c.dns.Recurse(ctx, zone, "DS")
	if dsErr == nil && !ds.Set.Absent() {
		return nil, why
	}
	for _, s := range servers {
		if a, err := c.dns.Authoritative(ctx, s, zone, "DNSKEY"); err != nil || !a.Set.Absent() {
			return nil, errors.Join(why, err)
		}
	}
	if dsErr != nil {
		return []plan.Finding{warn(rrset.Bare(zone), "it shows no key, so it seems to be unsigned; whether its parent has a DS record of it could not be asked: %v", dsErr)}, nil
	}
	return []plan.Finding{warn(rrset.Bare(zone), "it shows no key and no DS record, so it seems to be unsigned; not proven: %v", why)}, nil
}

// validated holds each server's answer to the chain.
func (c *Checker) validated(ctx context.Context, ch resolve.Chain, servers []resolve.Server, name string) []plan.Finding {
	found := make([]plan.Finding, len(servers))
	reached, errs := map[string]bool{}, make([]error, len(servers))
	var mu sync.Mutex
	inParallel(len(servers), func(i int) {
		target := servers[i].String()
		v, err := c.dns.Validate(ctx, ch, servers[i].Addr, name, "MX", c.Now())
		mu.Lock()
		defer mu.Unlock()
		errs[i] = err
		reached[servers[i].Name] = reached[servers[i].Name] || err == nil
		switch {
		case errors.Is(err, resolve.ErrBogus):
			found[i] = fail(target, "%v; resolvers that validate answer SERVFAIL", err)
		case err != nil:
			found[i] = unknown(target, "%v", err)
		case v.Insecure != "":
			found[i] = pass(target, "nothing is wrong, and nothing proven: %s", v.Insecure)
		case v.Absent:
			found[i] = pass(target, "it is proven that there is no MX")
		default:
			found[i] = pass(target, "its signature is good until %s", clock(v.Until))
		}
	})
	out := found[:0]
	for i, f := range found {
		if errs[i] != nil && unreachable(errs[i]) && reached[servers[i].Name] {
			continue // no IPv6 here, say; see ns.delegation
		}
		out = append(out, f)
	}
	return out
}

// compared asks the resolvers what they make of the signatures. One that is silent
// hides nothing where we validate ourselves and another one answers: it is a warning.
func (c *Checker) compared(ctx context.Context, name string, ours []plan.Finding) []plan.Finding {
	verdict := plan.Judge(ours)
	signed := slices.ContainsFunc(ours, func(f plan.Finding) bool { return f.Severity == plan.Pass && !strings.HasPrefix(f.Detail, "unsigned") })
	found := make([]plan.Finding, len(c.Resolvers))
	silent := make([]bool, len(c.Resolvers))
	inParallel(len(found), func(i int) {
		r := c.Resolvers[i]
		target := r.View + " " + r.Addr.String()
		v, err := c.dns.Validates(ctx, r.Addr, name, "MX")
		switch {
		case err != nil:
			silent[i] = true
			found[i] = unknown(target, "%v", err)
		case v.Bogus:
			found[i] = fail(target, "it refuses the answer, and gives it when it is told not to validate: for whoever asks it the domain has no mail")
		case v.AD && verdict == plan.Fail:
			found[i] = warn(target, "it says that the answer validates, and we find that it does not; it may hold an older answer")
		case v.AD && !signed:
			found[i] = warn(target, "it says that the answer validates, and we find no chain of signatures")
		case v.AD:
			found[i] = pass(target, "it validates the answer")
		case signed && verdict == plan.Pass && c.validating(ctx, r.Addr):
			found[i] = warn(target, "it validates other answers, and says of this one that it is not signed")
		default:
			found[i] = pass(target, "it answers, without saying that it has validated")
		}
	})
	if verdict == plan.Unknown || !slices.Contains(silent, false) {
		return found
	}
	for i := range found {
		if silent[i] {
			found[i].Severity = plan.Warn
			found[i].Detail = "the resolver does not answer; the zone was validated without it, and another resolver was asked. Mend it, or take it out of resolvers: " + found[i].Detail
		}
	}
	return found
}

// validating tells whether a resolver validates what lies at an anchor.
func (c *Checker) validating(ctx context.Context, r netip.AddrPort) bool {
	found, err := c.shared(ctx, "dnssec.valid "+r.String(), func(ctx context.Context) ([]plan.Finding, error) {
		v, err := c.dns.Validates(ctx, r, c.Anchors[0].Hdr.Name, "SOA")
		if err != nil || !v.AD {
			return []plan.Finding{unknown("", "")}, err
		}
		return []plan.Finding{pass("", "")}, nil
	})
	return err == nil && plan.Judge(found) == plan.Pass
}
