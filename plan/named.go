package plan

import (
	"net/netip"
	"slices"

	"mxcutover/rrset"
)

// named adds what was asked for by DNS alone and stands in no zone that was read.
// Of one that the configuration has no zone for nothing is written: its owner must.
func (s *survey) named(inv *Inventory) {
	have := map[string]bool{}
	for _, d := range inv.Domains {
		have[d.Name] = true
	}
	inv.Domains = slices.Grow(inv.Domains, len(s.site.Named))
	for _, n := range s.site.Named {
		if have[n.Name] {
			continue
		}
		have[n.Name] = true
		d := s.judgeNamed(n)
		if n.Source == FromMail && d.PointsTo == ToOther && d.Blocked == "" {
			continue // mail that was only relayed
		}
		d.Source, d.Traffic = n.Source, s.site.Traffic[n.Name]
		if s.site.Holder != nil {
			if zone, provider, ok := s.site.Holder(n.Name); ok && !s.delegatedBelow(n.Name, zone) {
				if s.ours[zone] {
					continue // a wildcard's answer is no name of its own (RFC 4592 section 2.2.1), nor is what is not in its zone
				}
				d.Zone, d.Provider, d.SubZone = zone, provider, s.subZone(zone)
			}
		}
		if d.Zone == "" && d.Blocked == "" && d.PointsTo.Old() {
			d.Blocked = "no zone that is listed under providers has it, so it is not ours to change: ask its owner, or list its zone"
		}
		if d.Zone != "" {
			d = s.block(d, func(host string) bool { return s.newHosts[host] }) // its zone was not read
		}
		inv.Domains = append(inv.Domains, d)
	}
}

// delegatedBelow tells whether a name of a zone lies in a sub-zone that was not read.
func (s *survey) delegatedBelow(name, zone string) bool {
	for n := name; n != zone && n != "."; n = rrset.Parent(n) {
		if _, cut := s.cuts[n]; cut {
			return true
		}
	}
	return false
}

// judgeNamed tells where a name leads that was asked for.
func (s *survey) judgeNamed(n Named) Domain {
	d := Domain{Name: n.Name, MX: rrset.Set{Name: n.Name, Type: "MX"}}
	switch {
	case n.Failed != "":
		d.PointsTo, d.Why = ToUnknown, n.Failed
		d.Blocked = "it could not be asked, so it may lead to the old server: " + n.Failed
		return d
	case !n.MX.Absent():
		d = s.judge(n.MX)
		d.Name = n.Name
	case slices.ContainsFunc(n.Addresses, func(a netip.Addr) bool { return s.old[a.Unmap()] }):
		d.PointsTo, d.Why = ToImplicit, "no MX, and its own address is the old server's"
	case n.Source == FromMail || len(n.Addresses) > 0:
		d.PointsTo, d.Why = ToOther, "no MX, and no address of the old server"
	default:
		d.PointsTo, d.Why = ToOther, "no MX and no address: it receives no mail"
	}
	if n.Alias != "" {
		d.Alias = n.Alias
		d.Why = "an alias of " + n.Alias + ": " + d.Why
		if d.PointsTo.Old() {
			d.Blocked = "it is a CNAME for " + n.Alias + ": its mail moves when that name's does"
			d.MX = rrset.Set{Name: n.Name, Type: "MX"}
		}
	}
	return d
}
