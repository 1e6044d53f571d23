package resolve

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// Bounds of one validation. A zone can be made such that each question costs the
// validator millions of signatures or hashes (KeyTrap, CVE-2023-50387); an honest
// one needs a few.
const (
	maxKeys       = 32  // of a DNSKEY RRset that are looked at
	maxSignatures = 16  // of an RRset that are looked at
	maxTries      = 8   // signatures times keys of the same tag, for one RRset
	maxVerified   = 100 // signatures, for one chain
	maxIterations = 100 // of NSEC3; above, the zone is as good as unsigned (RFC 9276 section 3.2)
	maxHashes     = 200 // of NSEC3, for one proof
	maxDenials    = 24  // NSEC or NSEC3 records of one answer that are looked at
)

// A bogusError says why what is signed, or should be, does not validate.
type bogusError struct{ why string }

func (e *bogusError) Error() string { return e.why }

func bogus(format string, args ...any) error { return &bogusError{fmt.Sprintf(format, args...)} }

// supported are the algorithms that are validated (RFC 8624 section 3.1); a zone
// with others alone counts as unsigned (RFC 4035 section 5.2).
func supported(algorithm uint8) bool {
	switch algorithm {
	case dns.RSASHA1, dns.RSASHA1NSEC3SHA1, dns.RSASHA256, dns.RSASHA512, dns.ECDSAP256SHA256, dns.ECDSAP384SHA384, dns.ED25519:
		return true
	}
	return false
}

// supportedDigest are the digests of DS records that are validated.
func supportedDigest(t uint8) bool { return t == dns.SHA1 || t == dns.SHA256 || t == dns.SHA384 }

// A budget counts the signatures of one chain.
type budget struct{ left int }

var errBudget = errors.New("it has so many keys and signatures that it is not validated any further")

// verify holds an RRset to its signatures by a zone's keys: one that is good is
// enough. It gives that.
func (b *budget) verify(set []dns.RR, sigs []*dns.RRSIG, zone string, keys []*dns.DNSKEY, now time.Time) (*dns.RRSIG, error) {
	if len(set) == 0 {
		return nil, bogus("nothing is there that could be signed")
	}
	h := set[0].Header()
	what := dns.CanonicalName(h.Name) + " " + dns.TypeToString[h.Rrtype]
	why := bogus("%s has no signature", what)
	tries := 0
	for i, s := range sigs {
		if i == maxSignatures {
			break
		}
		if s.TypeCovered != h.Rrtype || dns.CanonicalName(s.Hdr.Name) != dns.CanonicalName(h.Name) {
			continue
		}
		if err := plausible(s, h, zone, now); err != nil {
			why = bogus("%s: %v", what, err)
			continue
		}
		found := false
		for _, k := range keys {
			if k.KeyTag() != s.KeyTag || k.Algorithm != s.Algorithm || k.Flags&dns.ZONE == 0 || k.Flags&dns.REVOKE != 0 {
				continue
			}
			found = true
			if tries++; tries > maxTries || b.left == 0 {
				return nil, errBudget
			}
			b.left--
			if err := s.Verify(k, set); err == nil {
				return s, nil
			}
			why = bogus("%s: the signature by key %d is wrong", what, s.KeyTag)
		}
		if !found {
			why = bogus("%s is signed by key %d, which %s does not have", what, s.KeyTag, zone)
		}
	}
	return nil, why
}

// alias holds a name's CNAME record to its signatures; none: it has none. One that a
// DNAME record makes is not signed itself: the DNAME is, and must make just that
// (RFC 6672 section 5.3.1).
func (b *budget) alias(m *dns.Msg, name, zone string, keys []*dns.DNSKEY, now time.Time) (*dns.RRSIG, error) {
	set, sigs := pick(m.Answer, name, dns.TypeCNAME)
	if len(set) == 0 || len(sigs) > 0 {
		if len(set) == 0 {
			return nil, nil
		}
		return b.verify(set, sigs, zone, keys, now)
	}
	for up := name; up != zone && up != "."; {
		up = parentOf(up)
		made, sigs := pick(m.Answer, up, dns.TypeDNAME)
		if len(made) == 0 {
			continue
		}
		c, _ := set[0].(*dns.CNAME)
		d, _ := made[0].(*dns.DNAME)
		if c == nil || d == nil || len(set) > 1 || dns.CanonicalName(c.Target) != moved(name, up, d.Target) {
			return nil, bogus("%s is another alias than the DNAME record of %s makes", name, up)
		}
		s, err := b.verify(made, sigs, zone, keys, now)
		if err == nil && int(s.Labels) < dns.CountLabel(up) {
			err = bogus("the DNAME record of %s was made by a wildcard", up)
		}
		return s, err
	}
	return b.verify(set, sigs, zone, keys, now)
}

// moved is a name below another when that is moved elsewhere (RFC 6672 section 2.2).
func moved(name, from, to string) string {
	return dns.CanonicalName(strings.TrimSuffix(strings.TrimSuffix(name, from), ".") + "." + strings.TrimPrefix(dns.Fqdn(to), "."))
}

// plausible is what RFC 4035 section 5.3.1 asks of a signature beside being right.
func plausible(s *dns.RRSIG, h *dns.RR_Header, zone string, now time.Time) error {
	switch {
	case dns.CanonicalName(s.SignerName) != zone:
		return fmt.Errorf("signed by %s, and not by its zone %s", dns.CanonicalName(s.SignerName), zone)
	case int(s.Labels) > dns.CountLabel(h.Name):
		return errors.New("the signature is for a longer name")
	case !supported(s.Algorithm):
		return fmt.Errorf("the signature's algorithm %d is not known", s.Algorithm)
	case after(now, s.Expiration):
		return fmt.Errorf("the signature ended at %s", stamp(s.Expiration, now))
	case !after(now, s.Inception) && uint32(now.Unix()) != s.Inception:
		return fmt.Errorf("the signature begins at %s", stamp(s.Inception, now))
	}
	return nil
}

// after compares in serial number arithmetic (RFC 4034 section 3.1.5).
func after(now time.Time, stamp uint32) bool { return int32(uint32(now.Unix())-stamp) > 0 }

// stamp is a signature's time, near now, for people.
func stamp(t uint32, now time.Time) string {
	return now.Add(time.Duration(int32(t-uint32(now.Unix()))) * time.Second).UTC().Format("2006-01-02 15:04:05 UTC")
}

// expanded tells whether a signature shows that a wildcard made the name
// (RFC 4035 section 5.3.4), and which name is closest above it.
func expanded(s *dns.RRSIG) (encloser string, ok bool) {
	labels := dns.SplitDomainName(s.Hdr.Name)
	n := len(labels)
	if n > 0 && labels[0] == "*" {
		n--
	}
	if int(s.Labels) >= n {
		return "", false
	}
	return dns.CanonicalName(dns.Fqdn(strings.Join(labels[len(labels)-int(s.Labels):], "."))), true
}

// matches finds the keys of a zone that its DS records, or anchors, vouch for.
func matches(ds []*dns.DS, keys []*dns.DNSKEY) (out []*dns.DNSKEY) {
	for _, k := range keys {
		if k.Protocol != 3 || k.Flags&dns.ZONE == 0 || k.Flags&dns.REVOKE != 0 {
			continue
		}
		tag := k.KeyTag()
		for _, d := range ds {
			if d.KeyTag != tag || d.Algorithm != k.Algorithm || !supportedDigest(d.DigestType) {
				continue
			}
			if made := k.ToDS(d.DigestType); made != nil && strings.EqualFold(made.Digest, d.Digest) {
				out = append(out, k)
				break
			}
		}
	}
	return out
}
