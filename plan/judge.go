package plan

import (
	"net/netip"
	"slices"
	"strings"

	"mxcutover/rrset"
)

// maxJudged bounds how many RRsets are remembered: where each name has another one,
// nothing is saved.
const maxJudged = 1 << 14

// judge tells where an MX RRset leads. Names with the same one share what is told.
func (s *survey) judge(m rrset.Set) Domain {
	key := strings.Join(m.Data, "\n")
	d, known := s.judged[key]
	if !known {
		d = s.judgeAnew(m)
		if len(s.judged) < maxJudged {
			s.judged[key] = d
		}
	}
	d.Name, d.MX = m.Name, m
	return d
}

func (s *survey) judgeAnew(m rrset.Set) Domain {
	d := Domain{PointsTo: ToOther}
	members := m.MX()
	if len(members) == 1 && members[0].Null() {
		d.PointsTo, d.Why = ToNull, "null MX (RFC 7505)"
		return d
	}
	var old, new, other, unresolved []string
	for _, x := range members {
		switch why := s.isOld(x.Host); {
		case why != "":
			old = append(old, why)
		case s.isNew(x.Host):
			new = append(new, x.Host)
		case len(s.addrs[x.Host]) == 0:
			unresolved = append(unresolved, x.Host)
		default:
			other = append(other, x.Host)
		}
	}
	switch {
	case len(old) > 0 && len(new) > 0:
		d.PointsTo, d.Why = ToBoth, strings.Join(old, ", ")+"; and the gateway "+strings.Join(new, ", ")
	case len(old) > 0:
		d.PointsTo, d.Why = ToOld, strings.Join(old, ", ")
	case len(new) > 0:
		d.PointsTo, d.Why = ToNew, "the gateway "+strings.Join(new, ", ")
	default:
		d.Why = "leads to " + strings.Join(append(other, unresolved...), ", ")
	}
	if len(old) > 0 {
		d.Third = append(slices.Clone(other), unresolved...)
	}
	if len(unresolved) > 0 {
		d.Why += "; no address found for " + strings.Join(unresolved, ", ")
		if d.PointsTo == ToOther {
			d.Blocked = "no address was found for " + strings.Join(unresolved, ", ") + ", so it may lead to the old server"
		}
	}
	return d
}

func (s *survey) isOld(host string) string {
	if s.oldHosts[host] {
		return host
	}
	for _, a := range s.addrs[host] {
		if s.old[a] {
			return host + " has " + a.String()
		}
	}
	return ""
}

func (s *survey) isNew(host string) bool {
	if s.newHosts[host] {
		return true
	}
	return slices.ContainsFunc(s.addrs[host], func(a netip.Addr) bool { return s.newAddrs[a] })
}

// implicit judges a name without MX by its own addresses (RFC 5321 section 5.1).
func (s *survey) implicit(name string) (Domain, bool) {
	for _, a := range s.addrs[name] {
		if s.old[a] {
			return Domain{
				Name: name, MX: rrset.Set{Name: name, Type: "MX"}, PointsTo: ToImplicit,
				Why: "no MX, and its own address is " + a.String(),
			}, true
		}
	}
	return Domain{}, false
}

// block adds why nothing may be written at a name, if so.
func (s *survey) block(d Domain, inZone func(host string) bool) Domain {
	if d.PointsTo != ToOld && d.PointsTo != ToImplicit {
		return d
	}
	switch {
	case d.Blocked != "":
	case s.targets[d.Name] && !s.ownName[d.Name]:
		d.Blocked = "mail is relayed to this host by its name, so it gets no MX of its own; if that is wanted, name it in domains.own_name"
	default:
		for _, m := range s.site.Planned {
			if rrset.Below(m.Host, d.Zone) && !inZone(m.Host) && !s.belowCut(m.Host, d.Zone) {
				d.Blocked = "the planned host " + m.Host + " lies in this zone and has no address there; add one first"
			}
		}
	}
	return d
}
