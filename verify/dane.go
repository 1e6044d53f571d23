package verify

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"mxcutover/plan"
	"mxcutover/rrset"
	"mxcutover/verify/resolve"
)

// tlsaName is where the TLSA records of an MX host stand (RFC 7672 section 2.2.2).
func (c *Checker) tlsaName(host string) string { return fmt.Sprintf("_%d._tcp.%s", c.SMTPPort, host) }

// secure tells whether an RRset is signed and validates, by a chain of trust from
// the anchors, or, where there are none, in the resolver's words. Senders make nothing
// of TLSA records that are not (RFC 7672 section 2.1). Where the name is an alias, each
// one on the way must be, and what it leads to (RFC 7671 section 7). [resolve.ErrBogus]:
// it should validate, and does not.
func (c *Checker) secure(ctx context.Context, name, typ string) (bool, error) {
	if len(c.Anchors) == 0 {
		a, err := c.dns.Recurse(ctx, name, typ)
		return a.AD, err
	}
	for range maxAliases {
		if ok, err := c.secureAt(ctx, name, typ); !ok || err != nil {
			return false, err
		}
		a, err := c.dns.Recurse(ctx, name, typ)
		if err != nil || a.CNAME == "" {
			return err == nil, err
		}
		name = a.CNAME
	}
	return false, fmt.Errorf("%s: more than %d aliases in a row", rrset.Bare(name), maxAliases)
}

// maxAliases bounds how many aliases are followed.
const maxAliases = 8

// secureAt is secure for what stands at a name itself: the RRset, or an alias.
func (c *Checker) secureAt(ctx context.Context, name, typ string) (bool, error) {
	zone, err := c.zoneOf(ctx, name)
	if err != nil {
		return false, err
	}
	ch, err := c.chainOf(ctx, zone)
	if err != nil || ch.Insecure != "" {
		return false, err
	}
	servers, err := c.dns.Servers(ctx, zone)
	if err != nil {
		return false, err
	}
	err = fmt.Errorf("no name server of %s answers", rrset.Bare(zone))
	for _, s := range servers {
		var v resolve.Verdict
		if v, err = c.dns.Validate(ctx, ch, s.Addr, name, typ, c.Now()); err == nil || errors.Is(err, resolve.ErrBogus) {
			return err == nil && v.Insecure == "" && !v.Absent, err
		}
	}
	return false, err
}

// zoneOf is the zone that a name is in: the closest name with an SOA record.
func (c *Checker) zoneOf(ctx context.Context, name string) (string, error) {
	for up := name; ; up = rrset.Parent(up) {
		a, err := c.dns.Recurse(ctx, up, "SOA")
		if err != nil || up == "." || !a.Set.Absent() && a.CNAME == "" {
			return up, err
		}
	}
}

// daneFuture holds the TLSA records of the new hosts against the certificates
// that they really show: a sender that finds no match does not deliver.
func daneFuture(ctx context.Context, c *Checker, _ When, cut plan.Cutover) ([]plan.Finding, error) {
	var found []plan.Finding
	has := false
	for _, m := range cut.After().MX() {
		if m.Null() {
			continue
		}
		f, err := c.daneHost(ctx, m.Host)
		if err != nil {
			return found, err
		}
		has = has || f[0].Evidence != ""
		found = append(found, f...)
	}
	if has {
		return found, nil
	}
	for _, m := range cut.Before().MX() {
		if m.Null() {
			continue
		}
		old, err := c.daneOld(ctx, m.Host)
		if err != nil {
			return found, err
		}
		if old[0].Severity != plan.Pass {
			return append(found, old...), nil
		}
	}
	return found, nil
}

// daneOld tells, once for all domains, whether senders follow DANE at an old host.
func (c *Checker) daneOld(ctx context.Context, host string) ([]plan.Finding, error) {
	return c.shared(ctx, "dane old "+host, func(ctx context.Context) ([]plan.Finding, error) {
		set, err := c.tlsa(ctx, host)
		if err != nil && c.unsigned(ctx, host) {
			return []plan.Finding{pass(rrset.Bare(host), "its addresses are not signed")}, nil
		}
		if err != nil || set.Absent() {
			return []plan.Finding{pass(rrset.Bare(host), "it has no TLSA records")}, err
		}
		secure, err := c.secure(ctx, c.tlsaName(host), "TLSA")
		if err != nil || !secure {
			return []plan.Finding{pass(rrset.Bare(host), "its TLSA records are not signed")}, err
		}
		return []plan.Finding{warn(rrset.Bare(host), "the old MX host has TLSA records in a signed zone, and no new one has: DANE's protection ends with the move")}, nil
	})
}

func (c *Checker) tlsa(ctx context.Context, host string) (rrset.Set, error) {
	a, err := c.dns.Recurse(ctx, c.tlsaName(host), "TLSA")
	return a.Set, err
}

// daneHost asks once for all domains with this host. The evidence of the first
// finding is the TLSA RRset, if there is one; that of an address without a match
// is the record that it lacks.
func (c *Checker) daneHost(ctx context.Context, host string) ([]plan.Finding, error) {
	return c.shared(ctx, "dane "+host, func(ctx context.Context) ([]plan.Finding, error) {
		set, err := c.tlsa(ctx, host)
		switch {
		case err != nil && c.unsigned(ctx, host):
			return []plan.Finding{pass(rrset.Bare(host), "its addresses are not signed, so senders do not look for TLSA records; they could not be asked for: %v", err)}, nil
		case err != nil:
			return nil, err
		}
		if set.Absent() {
			return []plan.Finding{pass(rrset.Bare(host), "it has no TLSA records: senders do without DANE")}, nil
		}
		secure, err := c.daneSecure(ctx, host)
		switch {
		case errors.Is(err, resolve.ErrBogus):
			return []plan.Finding{fail(rrset.Bare(host), "its TLSA records or addresses should be signed, and %v: senders that follow DANE keep their mail back", err)}, nil
		case err != nil:
			return nil, err
		}
		has := pass(rrset.Bare(host), "it has TLSA records: %s", strings.Join(set.Data, ", "))
		has.Evidence = set.String()
		found, err := c.daneMatches(ctx, host, set, secure)
		return append([]plan.Finding{has}, found...), err
	})
}

// daneSecure wants the records and the addresses from signed zones: with insecure
// addresses a sender does not look for TLSA records (RFC 7672 section 2.2.2).
func (c *Checker) daneSecure(ctx context.Context, host string) (bool, error) {
	ok, err := c.secure(ctx, c.tlsaName(host), "TLSA")
	if !ok || err != nil {
		return false, err
	}
	ok, err = c.secure(ctx, host, "A")
	if ok || err != nil {
		return ok, err
	}
	return c.secure(ctx, host, "AAAA")
}

// unsigned tells whether it is proven, from an anchor, that a host's addresses are in
// an unsigned zone. Some name servers fail at what they do not know, TLSA among it.
func (c *Checker) unsigned(ctx context.Context, host string) bool {
	if len(c.Anchors) == 0 {
		return false
	}
	zone, err := c.zoneOf(ctx, host)
	if err != nil {
		return false
	}
	ch, err := c.chainOf(ctx, zone)
	return err == nil && ch.Insecure != ""
}

// daneMatches asks each address of a host for its certificate.
func (c *Checker) daneMatches(ctx context.Context, host string, set rrset.Set, secure bool) ([]plan.Finding, error) {
	records, odd := usable(set)
	var found []plan.Finding
	if len(odd) > 0 {
		found = append(found, warn(rrset.Bare(host), "senders cannot use these of its TLSA records: %s", strings.Join(odd, "; ")))
	}
	addrs, err := c.Addresses(ctx, host)
	if err != nil {
		return found, err
	}
	if len(addrs) == 0 {
		return found, fmt.Errorf("%s has no address", rrset.Bare(host))
	}
	for _, a := range addrs {
		f, err := c.daneAt(ctx, endpoint{host, a}, records, secure)
		if err != nil {
			return found, err
		}
		found = append(found, f...)
	}
	if !secure {
		found = append(found, warn(rrset.Bare(host), "its TLSA records are in no zone that validates (DNSSEC): senders make nothing of them"))
	}
	return found, nil
}

// daneAt asks one address for its certificate, from each vantage outside that has a
// way there. What all of them see alike is told once.
func (c *Checker) daneAt(ctx context.Context, e endpoint, records []*dns.TLSA, secure bool) (found []plan.Finding, err error) {
	var missed error
	for _, v := range c.reach(ctx, e) {
		chain, err := c.certificate(ctx, v, e)
		var f plan.Finding
		switch {
		case errors.Is(err, errNoTLS):
			f = unmet(secure)(e.String(), "%v, and it has TLSA records: senders that follow them want TLS", err)
		case err != nil:
			missed = err
			continue
		case len(records) == 0: // TLS is wanted, and no certificate is (RFC 7672 section 2.2)
			f = pass(e.String(), "it offers STARTTLS, and none of its TLSA records can be used")
		default:
			f = c.daneEndpoint(e, records, chain, secure)
		}
		f.Vantage = v.Name
		if !slices.ContainsFunc(found, func(o plan.Finding) bool { return o.Severity == f.Severity && o.Detail == f.Detail }) {
			found = append(found, f)
		}
	}
	if len(found) == 0 || missed != nil && !unreachable(missed) {
		return found, missed
	}
	return found, nil
}

// unmet is how bad it is that nothing matches. Where the records do not
// validate, a sender that trusts another anchor may follow them: that is no pass.
func unmet(secure bool) func(string, string, ...any) plan.Finding {
	if secure {
		return fail
	}
	return unknown
}

func (c *Checker) daneEndpoint(e endpoint, records []*dns.TLSA, chain []*x509.Certificate, secure bool) plan.Finding {
	n, counted := 0, false
	var why error
	for _, r := range records {
		err := matches(r, chain, rrset.Bare(e.host), c.Now())
		if err == nil {
			n++
			counted = counted || !weaker(r, records)
		} else if why == nil || errors.Is(why, errNoMatch) {
			why = err
		}
	}
	add := tlsaOf(chain[0], records)
	switch {
	case n == 0:
		f := unmet(secure)(e.String(), "its certificate matches none of its %d TLSA records (%v): senders that follow them do not deliver; add \"%s\", wait two TTLs, then let the MX move", len(records), why, add)
		f.Evidence = add
		return f
	case !counted:
		f := unmet(secure)(e.String(), "its certificate matches a TLSA record with SHA2-256 alone, and where others have SHA2-512 many senders look at those only (RFC 7671 section 9), and do not deliver; add \"%s\", wait two TTLs, then let the MX move", add)
		f.Evidence = add
		return f
	}
	words := "its certificate matches its TLSA record"
	if len(records) > 1 {
		words = fmt.Sprintf("its certificate matches %d of its %d TLSA records, the rest is for another", n, len(records))
	}
	return pass(e.String(), "%s", words)
}

// weaker tells whether senders that choose the strongest digest pass a record over
// (RFC 7671 section 9): SHA2-256 beside SHA2-512 of the same usage and selector.
func weaker(r *dns.TLSA, records []*dns.TLSA) bool {
	return r.MatchingType == 1 && slices.ContainsFunc(records, func(o *dns.TLSA) bool {
		return o.MatchingType == 2 && o.Usage == r.Usage && o.Selector == r.Selector
	})
}

// usable are the TLSA records that a sender can use: DANE-TA and DANE-EE with
// selectors and digests that it knows (RFC 7672 sections 3.1 and 5).
func usable(set rrset.Set) (out []*dns.TLSA, odd []string) {
	for _, d := range set.Data {
		rr, err := dns.NewRR(". TLSA " + d)
		r, ok := rr.(*dns.TLSA)
		if err != nil || !ok || r.Usage < 2 || r.Usage > 3 || r.Selector > 1 || r.MatchingType > 2 || !sized(r) {
			odd = append(odd, d)
			continue
		}
		out = append(out, r)
	}
	return out, odd
}

// sized tells whether a digest has its length.
func sized(r *dns.TLSA) bool {
	switch r.MatchingType {
	case 1:
		return len(r.Certificate) == 64
	case 2:
		return len(r.Certificate) == 128
	}
	return len(r.Certificate) > 0
}

// errNoMatch means that no certificate shown is the record's.
var errNoMatch = errors.New("another key or certificate")

// matches holds a chain against one record. DANE-EE says it all by the leaf: neither
// its name nor its dates count (RFC 7672 section 3.1.1). With DANE-TA the leaf must be
// valid for the name and issued by the record's authority, which the host must
// show too (section 3.1.2).
func matches(r *dns.TLSA, chain []*x509.Certificate, host string, now time.Time) error {
	if r.Usage == 3 {
		return carries(r, chain[0])
	}
	at := slices.IndexFunc(chain, func(x *x509.Certificate) bool { return carries(r, x) == nil })
	if at < 0 {
		return errNoMatch
	}
	anchor, rest := x509.NewCertPool(), x509.NewCertPool()
	anchor.AddCert(chain[at])
	for _, x := range chain[1:] {
		rest.AddCert(x)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{DNSName: host, Roots: anchor, Intermediates: rest, CurrentTime: now})
	return err
}

// carries tells whether a record stands for a certificate.
func carries(r *dns.TLSA, x *x509.Certificate) error {
	if digest, err := dns.CertificateToDANE(r.Selector, r.MatchingType, x); err != nil || !strings.EqualFold(digest, r.Certificate) {
		return errNoMatch
	}
	return nil
}

// advised begins the records of [tlsaOf].
const advised = "3 1 "

// tlsaOf is the record that RFC 7672 section 3.1 advises: DANE-EE(3) SPKI(1)
// SHA2-256(1); beside one with SHA2-512(2) such a one, so that it counts.
func tlsaOf(x *x509.Certificate, beside []*dns.TLSA) string {
	r := &dns.TLSA{Usage: 3, Selector: 1, MatchingType: 1}
	if weaker(r, beside) {
		r.MatchingType = 2
	}
	digest, err := dns.CertificateToDANE(r.Selector, r.MatchingType, x)
	if err != nil {
		return "" // the digest is a known one
	}
	return fmt.Sprintf("%s%d %s", advised, r.MatchingType, digest)
}
