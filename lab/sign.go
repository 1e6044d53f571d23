package lab

import (
	"crypto"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// A Fault is what is wrong with a signed zone, at both of its servers.
type Fault string

// The faults; a resolver that validates answers SERVFAIL with each.
const (
	Sound    Fault = ""         // none
	Expired  Fault = "expired"  // its signatures have ended
	Stripped Fault = "stripped" // it gives none, though its parent has its DS record
	Rekeyed  Fault = "rekeyed"  // it has another key than its DS record names
	Unproven Fault = "unproven" // its NSEC records are those of its apex
)

// A signer signs what a zone's servers answer, when they answer: with one ECDSA
// P-256 key (RFC 6605), and with NSEC records (RFC 4034 section 4).
type signer struct {
	zone  string
	key   *dns.DNSKEY
	makes crypto.Signer

	mu    sync.Mutex
	first *signer // with the key that the DS record names, while there is another; nil = it is this
	fault Fault
	kept  map[string]*dns.RRSIG
}

// validity is how long signatures hold, from a while ago.
const validity = 10 * 24 * time.Hour

func newSigner(zone string, ttl uint32) (*signer, error) {
	s := &signer{zone: zone, kept: map[string]*dns.RRSIG{}, key: &dns.DNSKEY{
		Hdr:   dns.RR_Header{Name: zone, Rrtype: dns.TypeDNSKEY, Class: dns.ClassINET, Ttl: ttl},
		Flags: dns.ZONE | dns.SEP, Protocol: 3, Algorithm: dns.ECDSAP256SHA256,
	}}
	private, err := s.key.Generate(256)
	if err != nil {
		return nil, fmt.Errorf("key of %s: %w", zone, err)
	}
	s.makes = private.(crypto.Signer)
	return s, nil
}

// signature is that of an RRset.
func (s *signer) signature(rrs []dns.RR) []dns.RR {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(rrs) == 0 || s.fault == Stripped {
		return nil
	}
	name := ""
	for _, rr := range rrs {
		name += rr.String() + "\n"
	}
	if kept := s.kept[name]; kept != nil {
		return []dns.RR{dns.Copy(kept)}
	}
	now := time.Now()
	if s.fault == Expired {
		now = now.Add(-2 * validity)
	}
	h := rrs[0].Header()
	sig := &dns.RRSIG{
		Hdr:       dns.RR_Header{Name: h.Name, Rrtype: dns.TypeRRSIG, Class: dns.ClassINET, Ttl: h.Ttl},
		Inception: uint32(now.Add(-time.Hour).Unix()), Expiration: uint32(now.Add(validity).Unix()),
		Algorithm: s.key.Algorithm, KeyTag: s.key.KeyTag(), SignerName: s.zone,
	}
	if err := sig.Sign(s.makes, rrs); err != nil {
		return nil // an RRset that cannot be signed is served without, and does not validate
	}
	if len(s.kept) >= maxCached {
		clear(s.kept)
	}
	s.kept[name] = sig
	return []dns.RR{dns.Copy(sig)}
}

// decorate adds signatures and denials to what was looked up.
func (s *signer) decorate(r *reply, c *contents, qname string) {
	if !r.authoritative {
		s.referral(r, c)
		return
	}
	var answer, authority []dns.RR
	for _, set := range sets(r.answer) {
		h := set[0].Header()
		owner := c.source(h.Name)
		sig := s.signature(c.nodes[owner][h.Rrtype])
		for _, rr := range sig {
			rr.Header().Name = h.Name
		}
		answer = append(append(answer, set...), sig...)
		if owner != h.Name {
			authority = append(authority, s.denial(c, h.Name)...)
		}
		qname = h.Name
		if cname, ok := set[0].(*dns.CNAME); ok {
			qname = dns.CanonicalName(cname.Target)
		}
	}
	if len(r.authority) > 0 { // a negative answer
		authority = append(append(authority, r.authority...), s.signature([]dns.RR{c.soa()})...)
		authority = append(authority, s.denial(c, qname)...)
		if !c.exists(qname) {
			encloser := parent(qname)
			for !c.exists(encloser) && encloser != c.origin {
				encloser = parent(encloser)
			}
			authority = append(authority, s.denial(c, "*."+trimRoot(encloser))...)
		}
	}
	r.answer, r.authority = answer, authority
}

func trimRoot(name string) string {
	if name == "." {
		return ""
	}
	return name
}

// referral adds the DS records of a delegation, or proves that it has none.
func (s *signer) referral(r *reply, c *contents) {
	if len(r.authority) == 0 {
		return
	}
	cut := r.authority[0].Header().Name
	if ds := c.nodes[cut][dns.TypeDS]; len(ds) > 0 {
		r.authority = append(slices.Clip(r.authority), append(slices.Clone(ds), s.signature(ds)...)...)
		return
	}
	r.authority = append(slices.Clip(r.authority), s.denial(c, cut)...)
}

// sets are RRsets in the order in which they stand.
func sets(rrs []dns.RR) (out [][]dns.RR) {
	for _, rr := range rrs {
		if n := len(out); n > 0 && out[n-1][0].Header().Name == rr.Header().Name && out[n-1][0].Header().Rrtype == rr.Header().Rrtype {
			out[n-1] = append(out[n-1], rr)
			continue
		}
		out = append(out, []dns.RR{rr})
	}
	return out
}

// denial is the NSEC record of a name, or that which leaves it out, signed.
func (s *signer) denial(c *contents, name string) []dns.RR {
	owners := c.owners()
	i, found := slices.BinarySearchFunc(owners, name, compareNames)
	if !found {
		i = (i - 1 + len(owners)) % len(owners)
	}
	s.mu.Lock()
	if s.fault == Unproven {
		i = 0
	}
	s.mu.Unlock()
	owner := owners[i]
	n := &dns.NSEC{
		Hdr:        dns.RR_Header{Name: owner, Rrtype: dns.TypeNSEC, Class: dns.ClassINET, Ttl: c.soa().Minttl},
		NextDomain: owners[(i+1)%len(owners)], TypeBitMap: []uint16{dns.TypeRRSIG, dns.TypeNSEC},
	}
	for t := range c.nodes[owner] {
		n.TypeBitMap = append(n.TypeBitMap, t)
	}
	slices.Sort(n.TypeBitMap)
	return append([]dns.RR{n}, s.signature([]dns.RR{n})...)
}

// owners are the names with records, in the order of RFC 4034 section 6.1, but
// for those below a delegation.
func (c *contents) owners() []string {
	c.ordered.Do(func() {
		for name := range c.nodes {
			glue := false
			for up := name; up != c.origin && up != "."; {
				up = parent(up)
				glue = glue || up != c.origin && len(c.nodes[up][dns.TypeNS]) > 0
			}
			if !glue {
				c.order = append(c.order, name)
			}
		}
		slices.SortFunc(c.order, compareNames)
	})
	return c.order
}

// compareNames compares labels from the right.
func compareNames(a, b string) int {
	x, y := dns.SplitDomainName(a), dns.SplitDomainName(b)
	slices.Reverse(x)
	slices.Reverse(y)
	return slices.Compare(x, y)
}

// signZones gives zones keys, and their parents the DS records.
func signZones(ttl uint32, chosen func(zone string) bool, all ...map[string]*zone) error {
	for _, zones := range all {
		for name, z := range zones {
			if !chosen(name) {
				continue
			}
			s, err := newSigner(name, ttl)
			if err != nil {
				return err
			}
			z.signer = s
			z.now.Load().add(s.key)
			if up := enclosingZone(name, all); up != nil {
				up.now.Load().add(s.key.ToDS(dns.SHA256))
			}
		}
	}
	return nil
}

func enclosingZone(name string, all []map[string]*zone) *zone {
	for up := name; up != "."; {
		up = parent(up)
		for _, zones := range all {
			if zones[up] != nil {
				return zones[up]
			}
		}
	}
	return nil
}

// Break gives a signed zone a fault, until it is [Sound] again.
func (w *World) Break(zone string, f Fault) error {
	z := w.primary.zones[dns.CanonicalName(zone)]
	if z == nil || z.signer == nil {
		return fmt.Errorf("lab: zone %q is not signed", zone)
	}
	s := z.signer
	s.mu.Lock()
	defer s.mu.Unlock()
	if f == Rekeyed || s.fault == Rekeyed {
		return s.rekey(z, f)
	}
	s.fault = f
	clear(s.kept)
	return nil
}

// rekey puts another key in the place of the zone's, or its own back; mu is held.
func (s *signer) rekey(z *zone, f Fault) error {
	if s.first == nil {
		s.first = &signer{key: s.key, makes: s.makes}
	}
	other := s.first
	if f == Rekeyed {
		var err error
		if other, err = newSigner(s.zone, s.key.Hdr.Ttl); err != nil {
			return err
		}
	}
	s.key, s.makes, s.fault = other.key, other.makes, f
	clear(s.kept)
	return z.edit(func(c *contents) error {
		c.replace(z.origin, dns.TypeDNSKEY, []dns.RR{s.key})
		return nil
	})
}
