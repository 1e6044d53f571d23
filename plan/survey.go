package plan

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"mxcutover/rrset"
)

// A Site says what is old and what is new, and whose traffic was counted.
type Site struct {
	OldHosts     []string     // canonical names
	OldAddresses []netip.Addr // of the old server
	Planned      []rrset.MX   // of the gateway, templates' records included
	OwnName      []string     // canonical names that may get an MX though mail is relayed to them by name
	Traffic      map[string]Traffic
	Named        []Named                                            // names that were asked for by DNS alone
	Holder       func(name string) (zone, provider string, ok bool) // who holds a name, by the configuration; nil = nobody
}

// Hosts lists every name whose addresses [Survey] wants to know: the targets of
// all MX records, of CNAMEs, and the planned hosts.
func Hosts(zones []Zone, site Site) []string {
	set := map[string]bool{}
	for _, m := range site.Planned {
		set[m.Host] = true
	}
	seen := map[string]bool{} // most names have one MX alone, and the same one
	add := func(s rrset.Set) {
		if len(s.Data) == 1 && seen[s.Data[0]] {
			return
		}
		for _, m := range s.MX() {
			seen[m.String()] = true
			if !m.Null() {
				set[m.Host] = true
			}
		}
	}
	for _, z := range zones {
		for _, s := range z.Sets {
			add(s)
		}
	}
	for _, n := range site.Named {
		add(n.MX)
	}
	out := make([]string, 0, len(set))
	for h := range set {
		out = append(out, h)
	}
	slices.Sort(out)
	return out
}

// Survey makes the inventory: every name in the zones that receives mail, and
// where it leads, judged by addresses and not by names alone. Names at and
// below a delegation are another zone's (RFC 1034 section 4.2.1).
func Survey(zones []Zone, addrs Addresses, site Site) Inventory {
	s := newSurvey(zones, addrs, site)
	inv := Inventory{Domains: make([]Domain, 0, mostNames(zones))}
	for _, z := range zones {
		inv.Domains = s.zone(inv.Domains, z)
	}
	s.aliases(zones, &inv)
	s.named(&inv)
	for name, zone := range s.cuts {
		if !s.ours[name] {
			inv.Delegated = append(inv.Delegated, Delegated{Name: name, Zone: zone})
		}
	}
	slices.SortFunc(inv.Delegated, func(a, b Delegated) int { return strings.Compare(a.Name, b.Name) })
	sortDomains(inv.Domains)
	return inv
}

func sortDomains(list []Domain) {
	slices.SortFunc(list, func(a, b Domain) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Zone, b.Zone), strings.Compare(a.Provider, b.Provider))
	})
}

// mostNames is how many names zones have with an MX.
func mostNames(zones []Zone) (n int) {
	for _, z := range zones {
		for i := range z.Sets {
			if z.Sets[i].Type == "MX" {
				n++
			}
		}
	}
	return n
}

type survey struct {
	site     Site
	old      map[netip.Addr]bool
	oldHosts map[string]bool
	newHosts map[string]bool
	newAddrs map[netip.Addr]bool
	addrs    map[string][]netip.Addr
	targets  map[string]bool // targets of any MX, and old hosts
	ownName  map[string]bool
	cuts     map[string]string // delegated name -> the zone that delegates it
	cutters  map[string]bool   // zones that delegate names
	ours     map[string]bool   // zones that were read
	judged   map[string]Domain // by the data of an MX RRset: what is told of a name with it
	parsed   map[string]bool   // data of MX records whose host is a target
}

func newSurvey(zones []Zone, addrs Addresses, site Site) *survey {
	s := &survey{
		site: site, old: map[netip.Addr]bool{}, oldHosts: set(site.OldHosts), newHosts: map[string]bool{},
		newAddrs: map[netip.Addr]bool{}, addrs: map[string][]netip.Addr{}, targets: set(site.OldHosts),
		ownName: set(site.OwnName), cuts: map[string]string{}, cutters: map[string]bool{}, ours: map[string]bool{},
		judged: map[string]Domain{}, parsed: map[string]bool{},
	}
	for _, a := range site.OldAddresses {
		s.old[a.Unmap()] = true
	}
	for h, as := range addrs {
		for _, a := range as {
			s.addrs[h] = append(s.addrs[h], a.Unmap())
		}
	}
	for _, z := range zones {
		s.ours[z.Name] = true
		s.readZone(z)
	}
	for _, m := range site.Planned {
		s.newHosts[m.Host] = true
		for _, a := range s.addrs[m.Host] {
			s.newAddrs[a] = true
		}
	}
	return s
}

// readZone takes the addresses, MX targets and cuts of one zone.
func (s *survey) readZone(z Zone) {
	for _, r := range z.Sets {
		switch r.Type {
		case "A", "AAAA":
			for _, d := range r.Data {
				if a, err := netip.ParseAddr(d); err == nil {
					s.addrs[r.Name] = append(s.addrs[r.Name], a.Unmap())
				}
			}
		case "MX":
			if len(r.Data) == 1 && s.parsed[r.Data[0]] {
				continue
			}
			for _, m := range r.MX() {
				s.targets[m.Host] = true
				s.parsed[m.String()] = true
			}
		case "NS":
			if r.Name != z.Name {
				s.cuts[r.Name] = z.Name
				s.cutters[z.Name] = true
			}
		}
	}
}

// belowCut tells whether a name of a zone belongs to a zone that it delegates.
func (s *survey) belowCut(name, zone string) bool {
	if !s.cutters[zone] {
		return false
	}
	for n := name; n != zone && n != "."; n = rrset.Parent(n) {
		if s.cuts[n] == zone {
			return true
		}
	}
	return false
}

// What stands at a name of a zone.
const (
	hasMX = 1 << iota
	hasCNAME
	hasAddress
	wasSeen // a name may have addresses of both families
)

// stands is that of a record type; 0 = nothing that is looked at.
func stands(typ string) uint8 {
	switch typ {
	case "MX":
		return hasMX
	case "CNAME":
		return hasCNAME
	case "A", "AAAA":
		return hasAddress
	}
	return 0
}

// zone adds the names of a zone that receive mail.
func (s *survey) zone(to []Domain, z Zone) []Domain {
	at := make(map[string]uint8, len(z.Sets))
	for i := range z.Sets {
		r := &z.Sets[i]
		if has := stands(r.Type); has != 0 && !s.belowCut(r.Name, z.Name) {
			at[r.Name] |= has
		}
	}
	signed, sub := isSigned(z), s.subZone(z.Name)
	inZone := func(host string) bool { return at[host]&hasAddress != 0 }
	add := func(d Domain) {
		d.Zone, d.Provider, d.Traffic, d.Signed, d.SubZone = z.Name, z.Provider, s.site.Traffic[d.Name], signed, sub
		to = append(to, s.block(d, inZone))
	}
	for i := range z.Sets {
		r := &z.Sets[i]
		has := at[r.Name]
		switch r.Type {
		case "MX":
			if has&hasMX == 0 { // below a cut
				continue
			}
			d := s.judge(*r)
			if has&hasCNAME != 0 {
				d.Blocked = "the name is the owner of a CNAME, which allows no MX beside it (RFC 2181 section 10.1)"
			}
			add(d)
		case "A", "AAAA":
			if has&hasAddress == 0 || has&(hasMX|hasCNAME|wasSeen) != 0 {
				continue
			}
			at[r.Name] |= wasSeen
			if d, ok := s.implicit(r.Name); ok {
				add(d)
			}
		}
	}
	return to
}

// isSigned tells whether a zone shows keys of DNSSEC. Providers with an API of
// their own often show none.
func isSigned(z Zone) bool {
	return slices.ContainsFunc(z.Sets, func(r rrset.Set) bool {
		return r.Type == "DNSKEY" || r.Type == "RRSIG" || r.Type == "NSEC3PARAM"
	})
}

// subZone tells whether another zone of ours lies above one.
func (s *survey) subZone(zone string) bool {
	for n := rrset.Parent(zone); n != "."; n = rrset.Parent(n) {
		if s.ours[n] {
			return true
		}
	}
	return false
}

// aliases adds the owners of CNAMEs whose canonical name leads to the old
// server: mail for them follows the CNAME (RFC 5321 section 5.1).
func (s *survey) aliases(zones []Zone, inv *Inventory) {
	canonical := map[string]bool{}
	for _, z := range zones {
		for i := range z.Sets {
			if r := &z.Sets[i]; r.Type == "CNAME" && len(r.Data) == 1 {
				canonical[r.Data[0]] = true
			}
		}
	}
	leads := map[string]Domain{}
	for i := range inv.Domains {
		if d := &inv.Domains[i]; canonical[d.Name] {
			leads[d.Name] = *d
		}
	}
	for _, z := range zones {
		for _, r := range z.Sets {
			if r.Type != "CNAME" || len(r.Data) != 1 || s.belowCut(r.Name, z.Name) {
				continue
			}
			t, ok := leads[r.Data[0]]
			if !ok || (t.PointsTo != ToOld && t.PointsTo != ToImplicit) {
				continue
			}
			inv.Domains = append(inv.Domains, Domain{
				Name: r.Name, Zone: z.Name, Provider: z.Provider, MX: rrset.Set{Name: r.Name, Type: "MX"},
				PointsTo: t.PointsTo, Why: "a CNAME for " + t.Name, Traffic: s.site.Traffic[r.Name],
				Blocked: "it is a CNAME for " + t.Name + ": its mail moves when that name's does",
			})
		}
	}
}

func set(names []string) map[string]bool {
	m := map[string]bool{}
	for _, n := range names {
		m[n] = true
	}
	return m
}
