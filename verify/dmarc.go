package verify

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/emersion/go-msgauth/dmarc"
	"golang.org/x/net/publicsuffix"

	"mxcutover/plan"
	"mxcutover/rrset"
)

// maxReporters bounds the places that a record wants reports sent to, and that we
// look at.
const maxReporters = 10

// dmarcRecord reads the policy that receivers follow for mail from the domain: its
// own, or that of its organizational domain (RFC 7489 section 6.6.3).
func dmarcRecord(ctx context.Context, c *Checker, _ When, cut plan.Cutover) ([]plan.Finding, error) {
	domain, name := cut.Domain, asked(cut.Domain)
	at, records := name, []string(nil)
	for _, try := range slices.Compact([]string{name, organization(name)}) {
		all, err := c.txts(ctx, "_dmarc."+try)
		if err != nil {
			return nil, err
		}
		at, records = try, slices.DeleteFunc(all, func(t string) bool { return !isDMARC(t) })
		if len(records) > 0 {
			break
		}
	}
	switch len(records) {
	case 0:
		return []plan.Finding{pass(domain, "no DMARC record")}, nil
	case 1:
	default:
		return []plan.Finding{warn(domain, "there are %d DMARC records at %s, and receivers go by none", len(records), rrset.Bare(at))}, nil
	}
	r, err := dmarc.Parse(records[0])
	if err != nil {
		return []plan.Finding{warn(domain, "receivers cannot use the DMARC record at %s: %v", rrset.Bare(at), err)}, nil
	}
	found := []plan.Finding{pass(domain, "DMARC at %s: %s", rrset.Bare(at), policyWords(r, at != name))}
	more, err := c.reports(ctx, domain, at, slices.Concat(r.ReportURIAggregate, r.ReportURIFailure))
	return append(found, more...), err
}

func isDMARC(text string) bool {
	version, _, _ := strings.Cut(text, ";")
	k, v, ok := strings.Cut(version, "=")
	return ok && blank(k) == "v" && blank(v) == "DMARC1"
}

// policyWords is what a record asks for, for names below its own too.
func policyWords(r *dmarc.Record, below bool) string {
	p := r.Policy
	if below && r.SubdomainPolicy != "" {
		p = r.SubdomainPolicy
	}
	words := "policy " + string(p)
	if r.Percent != nil && *r.Percent < 100 {
		words += fmt.Sprintf(", for %d of 100 messages", *r.Percent)
	}
	return words
}

// organization is a name's organizational domain by the public suffix list
// (RFC 7489 section 3.2).
func organization(name string) string {
	org, err := publicsuffix.EffectiveTLDPlusOne(rrset.Bare(name))
	if err != nil {
		return name // a public suffix is its own
	}
	return org + "."
}

// reports wants each foreign receiver of reports to have agreed to it: others'
// mail servers send none to those that have not (RFC 7489 section 7.1).
func (c *Checker) reports(ctx context.Context, domain, at string, uris []string) (found []plan.Finding, err error) {
	seen := map[string]bool{}
	for _, s := range uris[:min(len(uris), maxReporters)] {
		s, _, _ = strings.Cut(s, "!") // the largest size that is wanted
		u, err := url.Parse(s)
		if err != nil || u.Scheme != "mailto" || !strings.Contains(u.Opaque, "@") {
			found = append(found, warn(domain, "DMARC reports to %.80q can be sent to nobody: mailto:address was expected", s))
			continue
		}
		host, err := rrset.CanonicalName(u.Opaque[strings.LastIndexByte(u.Opaque, '@')+1:])
		if err != nil {
			found = append(found, warn(domain, "DMARC reports to %.80q can be sent to nobody: %v", s, err))
			continue
		}
		if seen[host] || organization(host) == organization(at) {
			continue
		}
		seen[host] = true
		all, err := c.txts(ctx, rrset.Bare(at)+"._report._dmarc."+host)
		if err != nil {
			return found, err
		}
		if !slices.ContainsFunc(all, isDMARC) {
			found = append(found, warn(domain, "DMARC reports to %s are not sent: there is no record v=DMARC1 at %s._report._dmarc.%s", rrset.Bare(host), rrset.Bare(at), rrset.Bare(host)))
		}
	}
	return found, nil
}
