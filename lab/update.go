package lab

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/miekg/dns"
)

// A refusal is why an update changed nothing: the response code.
type refusal int

func (r refusal) Error() string { return "refused with " + dns.RcodeToString[int(r)] }

// update does what an UPDATE message asks (RFC 2136 section 3), as a whole or
// not at all, and gives the response code.
func (z *zone) update(req *dns.Msg) int {
	err := z.edit(func(c *contents) error {
		if err := c.prerequisites(req.Answer); err != nil {
			return err
		}
		if err := c.prescan(req.Ns); err != nil {
			return err
		}
		for _, rr := range req.Ns {
			c.apply(rr)
		}
		return nil
	})
	if err == nil {
		return dns.RcodeSuccess
	}
	var r refusal
	if errors.As(err, &r) {
		return int(r)
	}
	return dns.RcodeServerFailure
}

// prerequisites holds the zone against the prerequisite section (RFC 2136
// section 3.2).
func (c *contents) prerequisites(rrs []dns.RR) error {
	type key struct {
		name string
		typ  uint16
	}
	want := map[key][]dns.RR{}
	for _, rr := range rrs {
		h := rr.Header()
		name := dns.CanonicalName(h.Name)
		if h.Ttl != 0 {
			return refusal(dns.RcodeFormatError)
		}
		if !dns.IsSubDomain(c.origin, name) {
			return refusal(dns.RcodeNotZone)
		}
		inUse, there := len(c.nodes[name]) > 0, len(c.nodes[name][h.Rrtype]) > 0
		empty := h.Rdlength == 0
		switch {
		case h.Class == dns.ClassINET && !empty:
			k := key{name, h.Rrtype}
			want[k] = append(want[k], rr)
		case h.Class != dns.ClassANY && h.Class != dns.ClassNONE || !empty:
			return refusal(dns.RcodeFormatError)
		case h.Class == dns.ClassANY && h.Rrtype == dns.TypeANY && !inUse:
			return refusal(dns.RcodeNameError)
		case h.Class == dns.ClassANY && h.Rrtype != dns.TypeANY && !there:
			return refusal(dns.RcodeNXRrset)
		case h.Class == dns.ClassNONE && h.Rrtype == dns.TypeANY && inUse:
			return refusal(dns.RcodeYXDomain)
		case h.Class == dns.ClassNONE && h.Rrtype != dns.TypeANY && there:
			return refusal(dns.RcodeYXRrset)
		}
	}
	for k, members := range want {
		if !sameMembers(members, c.nodes[k.name][k.typ]) {
			return refusal(dns.RcodeNXRrset)
		}
	}
	return nil
}

// prescan refuses an update section that is malformed (RFC 2136 section 3.4.1).
func (c *contents) prescan(rrs []dns.RR) error {
	for _, rr := range rrs {
		h := rr.Header()
		if !dns.IsSubDomain(c.origin, dns.CanonicalName(h.Name)) {
			return refusal(dns.RcodeNotZone)
		}
		meta := h.Rrtype >= 128 && h.Rrtype < 256 || h.Rrtype == dns.TypeOPT
		ok := false
		switch h.Class {
		case dns.ClassINET:
			ok = !meta && h.Rdlength > 0
		case dns.ClassANY:
			ok = h.Ttl == 0 && h.Rdlength == 0 && (!meta || h.Rrtype == dns.TypeANY)
		case dns.ClassNONE:
			ok = h.Ttl == 0 && !meta && h.Rdlength > 0
		}
		if !ok {
			return refusal(dns.RcodeFormatError)
		}
	}
	return nil
}

// apply does one record of the update section (RFC 2136 section 3.4.2).
func (c *contents) apply(rr dns.RR) {
	h := rr.Header()
	name := dns.CanonicalName(h.Name)
	apex := name == c.origin
	switch {
	case h.Class == dns.ClassINET:
		c.insert(name, rr)
	case h.Class == dns.ClassANY && h.Rrtype == dns.TypeANY:
		for _, typ := range slices.Collect(maps.Keys(c.nodes[name])) {
			if !apex || typ != dns.TypeSOA && typ != dns.TypeNS {
				c.replace(name, typ, nil)
			}
		}
	case h.Class == dns.ClassANY:
		if !apex || h.Rrtype != dns.TypeSOA && h.Rrtype != dns.TypeNS {
			c.replace(name, h.Rrtype, nil)
		}
	default: // NONE: this one record
		last := apex && h.Rrtype == dns.TypeNS && len(c.nodes[name][dns.TypeNS]) == 1
		if h.Rrtype != dns.TypeSOA && !last {
			rr = dns.Copy(rr)
			rr.Header().Class = dns.ClassINET
			c.remove(rr)
		}
	}
}

// insert adds a record, but ignores silently what RFC 2136 section 3.4.2.2
// says to ignore: CNAME beside other data, an older SOA.
func (c *contents) insert(name string, rr dns.RR) {
	n := c.nodes[name]
	switch soa, isSOA := rr.(*dns.SOA); {
	case isSOA:
		if name == c.origin && int32(soa.Serial-c.soa().Serial) > 0 {
			soa = dns.Copy(soa).(*dns.SOA)
			soa.Hdr.Name = name
			c.replace(name, dns.TypeSOA, []dns.RR{soa})
		}
	case rr.Header().Rrtype == dns.TypeCNAME:
		if len(n) == 0 {
			c.add(rr)
		} else if len(n[dns.TypeCNAME]) > 0 {
			c.replace(name, dns.TypeCNAME, nil)
			c.add(rr)
		}
	case len(n[dns.TypeCNAME]) == 0:
		c.add(rr)
	}
}

// Edit replaces a whole RRset at the primary, or in a zone above its own, as
// somebody else would who does not go through mxcutover. data are in presentation
// format; none deletes. The secondary follows after its lag.
func (w *World) Edit(zoneName, name, typ string, ttl uint32, data ...string) error {
	z := w.primary.zones[dns.CanonicalName(zoneName)]
	if z == nil {
		z = w.above.zones[dns.CanonicalName(zoneName)]
	}
	t, ok := dns.StringToType[typ]
	if z == nil || !ok {
		return fmt.Errorf("lab: edit %s %s: no such zone or type", zoneName, typ)
	}
	name = dns.CanonicalName(name)
	if !dns.IsSubDomain(z.origin, name) {
		return fmt.Errorf("lab: edit %s: not in zone %s", name, z.origin)
	}
	var rrs []dns.RR
	for _, d := range data {
		rr, err := dns.NewRR(fmt.Sprintf("%s %d IN %s %s", name, ttl, typ, d))
		if err != nil {
			return fmt.Errorf("lab: edit %s %s: %w", name, typ, err)
		}
		rrs = append(rrs, rr)
	}
	return z.edit(func(c *contents) error {
		c.replace(name, t, rrs)
		return nil
	})
}
