package lab

import (
	"maps"
	"slices"

	"github.com/miekg/dns"
)

// A reply is what a zone says to a question.
type reply struct {
	rcode         int
	authoritative bool
	answer        []dns.RR
	authority     []dns.RR
	additional    []dns.RR
}

// maxChain bounds how many CNAME records are followed.
const maxChain = 8

// lookup answers as RFC 1034 section 4.3.2 says, with wildcards as in RFC 4592
// and negative answers as in RFC 2308. CNAMEs are followed within the zone.
func (c *contents) lookup(qname string, qtype uint16) reply {
	r := reply{authoritative: true}
	for range maxChain {
		if r.delegated(c, qname, qtype) {
			return r
		}
		owner := c.source(qname)
		if owner == "" {
			r.rcode = dns.RcodeNameError
			r.negative(c)
			return r
		}
		n := c.nodes[owner]
		if cname := n[dns.TypeCNAME]; len(cname) > 0 && qtype != dns.TypeCNAME && qtype != dns.TypeANY {
			r.answer = append(r.answer, ownedBy(qname, cname)...)
			qname = dns.CanonicalName(cname[0].(*dns.CNAME).Target)
			if !dns.IsSubDomain(c.origin, qname) {
				return r
			}
			continue
		}
		found := n[qtype]
		if qtype == dns.TypeANY {
			for _, typ := range slices.Sorted(maps.Keys(n)) {
				found = append(found, n[typ]...)
			}
		}
		if len(found) == 0 {
			r.negative(c)
		}
		r.answer = append(r.answer, ownedBy(qname, found)...)
		return r
	}
	return r
}

// source is the name whose records answer for qname: itself, or the wildcard
// at its closest encloser (RFC 4592 section 3.3.1); "" if it does not exist.
func (c *contents) source(qname string) string {
	if c.exists(qname) {
		return qname
	}
	encloser := parent(qname)
	for !c.exists(encloser) && encloser != c.origin {
		encloser = parent(encloser)
	}
	wildcard := "*." + encloser
	if encloser == "." {
		wildcard = "*."
	}
	if c.exists(wildcard) {
		return wildcard
	}
	return ""
}

// delegated makes a referral if qname is at or below a zone cut. DS at the cut
// is the parent's (RFC 4035 section 3.1.4.1).
func (r *reply) delegated(c *contents, qname string, qtype uint16) bool {
	cut := ""
	for name := qname; name != c.origin && name != "."; name = parent(name) {
		if len(c.nodes[name][dns.TypeNS]) > 0 && (name != qname || qtype != dns.TypeDS) {
			cut = name
		}
	}
	if cut == "" {
		return false
	}
	if len(r.answer) == 0 {
		r.authoritative = false
	}
	r.authority = c.nodes[cut][dns.TypeNS]
	for _, rr := range r.authority {
		r.additional = append(r.additional, c.nodes[dns.CanonicalName(rr.(*dns.NS).Ns)][dns.TypeA]...)
	}
	return true
}

// negative adds the SOA record by which caches keep the answer (RFC 2308 section 3).
func (r *reply) negative(c *contents) {
	soa := dns.Copy(c.soa()).(*dns.SOA)
	soa.Hdr.Ttl = min(soa.Hdr.Ttl, soa.Minttl)
	r.authority = []dns.RR{soa}
}

// ownedBy gives records the name that was asked for, where a wildcard answers.
func ownedBy(name string, rrs []dns.RR) []dns.RR {
	if len(rrs) == 0 || rrs[0].Header().Name == name {
		return rrs
	}
	out := make([]dns.RR, len(rrs))
	for i, rr := range rrs {
		out[i] = dns.Copy(rr)
		out[i].Header().Name = name
	}
	return out
}
