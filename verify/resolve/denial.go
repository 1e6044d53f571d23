package resolve

import (
	"bytes"
	"errors"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// A denial is the NSEC or NSEC3 records of an answer, whose signatures are good:
// what they prove of names and types that are not there (RFC 4035 section 5.4,
// RFC 5155 section 8).
type denial struct {
	zone   string
	nsec   []*dns.NSEC
	nsec3  []*dns.NSEC3
	hashes int
}

// A proof is what a denial says of a name.
type proof struct {
	exists bool // the name does
	cut    bool // the name is a delegation
	optOut bool // there may be an unsigned delegation in its place (RFC 5155 section 6)
}

var (
	errNotProven  = errors.New("no NSEC or NSEC3 record proves it")
	errIterations = errors.New("its NSEC3 records want so many iterations that validators pass them over (RFC 9276 section 3.2)")
)

// absent proves that a name has no records of a type.
func (d *denial) absent(name string, qtype uint16) (proof, error) {
	if len(d.nsec3) > 0 {
		return d.hashed(name, qtype)
	}
	for _, n := range d.nsec {
		if dns.CanonicalName(n.Hdr.Name) == name {
			return lacks(name, n.TypeBitMap, qtype)
		}
	}
	for _, n := range d.nsec {
		if !covers(n, name) {
			continue
		}
		if strictlyBelow(dns.CanonicalName(n.NextDomain), name) {
			return proof{exists: true}, nil // an empty non-terminal
		}
		encloser := longer(common(name, n.Hdr.Name), common(name, n.NextDomain))
		_, err := d.wildcard(encloser, qtype)
		return proof{}, err
	}
	return proof{}, errNotProven
}

// wildcard proves that no wildcard at the closest encloser answers for a type.
func (d *denial) wildcard(encloser string, qtype uint16) (proof, error) {
	star := "*." + strings.TrimPrefix(encloser, ".")
	for _, n := range d.nsec {
		switch {
		case dns.CanonicalName(n.Hdr.Name) == star:
			return lacks(star, n.TypeBitMap, qtype)
		case covers(n, star):
			return proof{}, nil
		}
	}
	return proof{}, errNotProven
}

// lacks judges the types of a name that exists. The record of a delegation is its
// parent's, and says nothing about other types; that of an apex says nothing
// about DS (RFC 6840 section 4.1).
func lacks(name string, types []uint16, qtype uint16) (proof, error) {
	has := func(t uint16) bool { return slices.Contains(types, t) }
	switch {
	case has(qtype), has(dns.TypeCNAME):
		return proof{}, bogus("%s exists with that type, says the record that should deny it", name)
	case qtype == dns.TypeDS && has(dns.TypeSOA) && name != ".":
		return proof{}, bogus("the denial of DS at %s comes from the zone itself, and not from its parent", name)
	case qtype != dns.TypeDS && has(dns.TypeNS) && !has(dns.TypeSOA):
		return proof{}, bogus("the denial at %s comes from its parent", name)
	}
	return proof{exists: true, cut: has(dns.TypeNS)}, nil
}

// notCloser proves that nothing exists between a name and the encloser whose
// wildcard answered for it (RFC 4035 section 5.3.4, RFC 5155 section 8.8).
func (d *denial) notCloser(name, encloser string) (proof, error) {
	for _, n := range d.nsec {
		if covers(n, name) && !strictlyBelow(dns.CanonicalName(n.NextDomain), name) {
			return proof{}, nil
		}
	}
	if len(d.nsec3) == 0 {
		return proof{}, errNotProven
	}
	n, err := d.cover(nextCloser(name, encloser))
	if err != nil || n == nil {
		return proof{}, errors.Join(errNotProven, err)
	}
	return proof{optOut: n.Flags&1 == 1}, nil
}

// hashed is absent with NSEC3.
func (d *denial) hashed(name string, qtype uint16) (proof, error) {
	n, err := d.match(name)
	if err != nil {
		return proof{}, err
	}
	if n != nil {
		return lacks(name, n.TypeBitMap, qtype)
	}
	encloser, closer := "", name
	for up := name; up != d.zone && up != "." && encloser == ""; {
		closer, up = up, parentOf(up)
		n, err := d.match(up)
		switch {
		case err != nil:
			return proof{}, err
		case n == nil:
		case slices.Contains(n.TypeBitMap, dns.TypeDNAME), slices.Contains(n.TypeBitMap, dns.TypeNS) && !slices.Contains(n.TypeBitMap, dns.TypeSOA):
			return proof{}, bogus("%s is delegated; its parent cannot deny names below it", up)
		default:
			encloser = up
		}
	}
	if encloser == "" {
		return proof{}, errNotProven
	}
	cover, err := d.cover(closer)
	if err != nil || cover == nil {
		return proof{}, errors.Join(errNotProven, err)
	}
	p := proof{optOut: cover.Flags&1 == 1}
	if qtype == dns.TypeDS && p.optOut {
		return p, nil
	}
	star := "*." + strings.TrimPrefix(encloser, ".")
	if n, err = d.match(star); err != nil {
		return p, err
	}
	if n != nil {
		_, err = lacks(star, n.TypeBitMap, qtype)
		return p, err
	}
	if n, err = d.cover(star); err != nil || n == nil {
		return p, errors.Join(errNotProven, err)
	}
	return p, nil
}

// match finds the NSEC3 record of a name; cover that which leaves it out. None
// and no error: there is none.
func (d *denial) match(name string) (*dns.NSEC3, error) {
	return d.find(name, func(owner, _, hash string) bool { return owner == hash })
}

func (d *denial) cover(name string) (*dns.NSEC3, error) {
	return d.find(name, func(owner, next, hash string) bool {
		if owner >= next { // the last one leads back to the first
			return hash > owner || hash < next
		}
		return owner < hash && hash < next
	})
}

func (d *denial) find(name string, fits func(owner, next, hash string) bool) (*dns.NSEC3, error) {
	hash, from := "", (*dns.NSEC3)(nil)
	for _, n := range d.nsec3 {
		if n.Hash != dns.SHA1 || n.Flags&^1 != 0 { // RFC 5155 section 8.1, 8.2
			continue
		}
		if n.Iterations > maxIterations {
			return nil, errIterations
		}
		if from == nil || from.Iterations != n.Iterations || from.Salt != n.Salt {
			if d.hashes++; d.hashes > maxHashes {
				return nil, errBudget
			}
			hash, from = dns.HashName(name, n.Hash, n.Iterations, n.Salt), n
		}
		owner, zone, _ := strings.Cut(n.Hdr.Name, ".")
		if dns.CanonicalName(dns.Fqdn(zone)) == d.zone && hash != "" && fits(strings.ToUpper(owner), strings.ToUpper(n.NextDomain), hash) {
			return n, nil
		}
	}
	return nil, nil
}

// covers tells whether an NSEC record leaves a name out. That of a delegation, or
// of a DNAME, says nothing about names below it (RFC 6840 section 4.1).
func covers(n *dns.NSEC, name string) bool {
	owner, next := dns.CanonicalName(n.Hdr.Name), dns.CanonicalName(n.NextDomain)
	has := func(t uint16) bool { return slices.Contains(n.TypeBitMap, t) }
	if strictlyBelow(name, owner) && (has(dns.TypeDNAME) || has(dns.TypeNS) && !has(dns.TypeSOA)) {
		return false
	}
	if compareNames(owner, next) >= 0 { // the last one leads back to the apex
		return compareNames(owner, name) < 0 && (next == name || dns.IsSubDomain(next, name)) && next != name
	}
	return compareNames(owner, name) < 0 && compareNames(name, next) < 0
}

// compareNames orders names as RFC 4034 section 6.1 does.
func compareNames(a, b string) int {
	x, y := rightToLeft(a), rightToLeft(b)
	for i := range min(len(x), len(y)) {
		if c := bytes.Compare(x[i], y[i]); c != 0 {
			return c
		}
	}
	return len(x) - len(y)
}

// rightToLeft are a name's labels in lower case, the last first.
func rightToLeft(name string) (out [][]byte) {
	var wire [256]byte
	end, err := dns.PackDomainName(dns.CanonicalName(name), wire[:], 0, nil, false)
	if err != nil {
		return nil
	}
	for at := 0; at < end-1; at += 1 + int(wire[at]) {
		out = append(out, bytes.Clone(wire[at+1:at+1+int(wire[at])]))
	}
	slices.Reverse(out)
	return out
}

func strictlyBelow(name, above string) bool {
	return name != above && dns.IsSubDomain(above, name)
}

// common is the closest name above, or at, both.
func common(a, b string) string {
	a = dns.CanonicalName(a)
	for !dns.IsSubDomain(a, dns.CanonicalName(b)) {
		a = parentOf(a)
	}
	return a
}

func longer(a, b string) string {
	if dns.CountLabel(a) >= dns.CountLabel(b) {
		return a
	}
	return b
}

// parentOf is a name without its first label; the root's is the root.
func parentOf(name string) string {
	if i, end := dns.NextLabel(name, 0); !end {
		return name[i:]
	}
	return "."
}

// nextCloser is the name one label longer than its encloser.
func nextCloser(name, encloser string) string {
	for name != "." && parentOf(name) != encloser {
		name = parentOf(name)
	}
	return name
}
