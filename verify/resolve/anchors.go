package resolve

import (
	"fmt"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// Anchors are what a chain of trust begins with: DS records of zones.
type Anchors []*dns.DS

// rootAnchors are the keys of the root zone, KSK-2017 and KSK-2024, as IANA
// publishes them (https://data.iana.org/root-anchors/root-anchors.xml, RFC 9718);
// the same stand in Debian's package dns-root-data.
const rootAnchors = `. IN DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D
. IN DS 38696 8 2 683D2D0ACB8C9B712A1948B27F741219298D0A450D612C483AF444A4C0FB2B16`

// maxAnchors bounds a file of trust anchors, in records.
const maxAnchors = 100

// RootAnchors are those of the root zone.
func RootAnchors() (Anchors, error) { return ParseAnchors(rootAnchors) }

// ParseAnchors reads DS and DNSKEY records as they stand in a master file, of any
// zones, as dnssec-dsfromkey, dig and unbound-anchor write them.
func ParseAnchors(text string) (Anchors, error) {
	var out Anchors
	p := dns.NewZoneParser(strings.NewReader(text), ".", "")
	p.SetDefaultTTL(3600)
	for rr, ok := p.Next(); ok; rr, ok = p.Next() {
		var ds *dns.DS
		switch v := rr.(type) {
		case *dns.DS:
			ds = v
		case *dns.DNSKEY:
			if v.Flags&dns.SEP == 0 {
				continue // a key that signs the zone, and that changes often
			}
			ds = v.ToDS(dns.SHA256)
		}
		if ds == nil || ds.Digest == "" || len(out) == maxAnchors {
			return nil, fmt.Errorf("trust anchor %.100q: at most %d DS or DNSKEY records were expected", rr.String(), maxAnchors)
		}
		ds.Hdr.Name = dns.CanonicalName(ds.Hdr.Name)
		out = append(out, ds)
	}
	if err := p.Err(); err != nil {
		return nil, fmt.Errorf("trust anchors: %w", err)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("trust anchors: no DS record, and no DNSKEY record of a key-signing key (257)")
	}
	return out, nil
}

// above are the anchors of the closest zone at or above a name.
func (a Anchors) above(name string) (zone string, ds []*dns.DS) {
	for up := name; ; up = parentOf(up) {
		for _, d := range a {
			if d.Hdr.Name == up {
				ds = append(ds, d)
			}
		}
		if len(ds) > 0 || up == "." {
			return up, ds
		}
	}
}

// usable are the DS records that can be followed; none: the zone counts as
// unsigned (RFC 4035 section 5.2). Digests by SHA-1 count only where there is no
// other (RFC 4509 section 3): resolvers pass them over, so an old one does not save
// a zone whose other DS records are wrong.
func usable(ds []*dns.DS) []*dns.DS {
	ds = slices.DeleteFunc(slices.Clone(ds), func(d *dns.DS) bool { return !supported(d.Algorithm) || !supportedDigest(d.DigestType) })
	old := func(d *dns.DS) bool { return d.DigestType == dns.SHA1 }
	if slices.ContainsFunc(ds, func(d *dns.DS) bool { return !old(d) }) {
		ds = slices.DeleteFunc(ds, old)
	}
	return ds
}
