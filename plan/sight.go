package plan

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"mxcutover/rrset"
)

// A sight answers for names as the servers of one view's zones would, from what was
// read of them, and for names that were asked for as it was told.
type sight struct {
	name     string
	survey   *survey
	provider map[string]string    // zone -> who holds it
	at       map[string]*standing // by owner
	exists   map[string]bool      // owners of anything, and the names above them (RFC 4592 section 2.2.2)
	named    map[string]*Named
}

// A standing is what stands at a name, of what mail follows; it points into the zones.
type standing struct{ mx, alias, a, aaaa *rrset.Set }

// lookInto makes a sight of a view.
func lookInto(v View, site Site) *sight {
	g := &sight{
		name: v.Name, survey: newSurvey(v.Zones, v.Addresses, site), provider: map[string]string{},
		at: map[string]*standing{}, exists: map[string]bool{}, named: make(map[string]*Named, len(v.Named)),
	}
	for _, z := range v.Zones {
		g.provider[z.Name] = z.Provider
		g.exists[z.Name] = true
	}
	for _, z := range v.Zones {
		for i := range z.Sets {
			if r := &z.Sets[i]; g.zoneOf(r.Name) == z.Name && !g.survey.belowCut(r.Name, z.Name) {
				g.stand(r)
			}
		}
	}
	for i := range v.Named {
		g.named[v.Named[i].Name] = &v.Named[i]
	}
	return g
}

// stand notes what stands at a name, and that it exists.
func (g *sight) stand(r *rrset.Set) {
	for n := r.Name; !g.exists[n]; n = rrset.Parent(n) { // the apex exists
		g.exists[n] = true
	}
	s := g.at[r.Name]
	if s == nil {
		s = &standing{}
	}
	switch r.Type {
	case "MX":
		s.mx = r
	case "CNAME":
		s.alias = r
	case "A":
		s.a = r
	case "AAAA":
		s.aaaa = r
	default:
		return
	}
	g.at[r.Name] = s
}

// zoneOf is the closest zone of the view that has a name; "" = none has.
func (g *sight) zoneOf(name string) string {
	for n := name; n != "."; n = rrset.Parent(n) {
		if _, ok := g.provider[n]; ok {
			return n
		}
	}
	return ""
}

// An answer is what a view says of one name.
type answer struct {
	held           bool   // the view has an answer of its own
	unknown        string // why it is not known after all; "" = it is
	zone, provider string
	alias          string // canonical name that it is an alias of
	mx             rrset.Set
	addresses      []string // "A 192.0.2.1", in order
	addressTTL     uint32   // the lowest
	counted        bool     // TTLs are a cache's, which counts them down
}

// lookup answers for a name (RFC 1034 section 4.3.2): by what stands there, else by the
// wildcard below the closest name that exists (RFC 4592 section 3.3.1).
func (g *sight) lookup(name string) answer {
	zone := g.zoneOf(name)
	delegated := zone != "" && g.survey.belowCut(name, zone)
	if n := g.named[name]; n != nil && (zone == "" || delegated) {
		return asAnswer(n)
	}
	a := answer{held: zone != "", zone: zone, provider: g.provider[zone], mx: rrset.Set{Name: name, Type: "MX"}}
	if delegated {
		a.unknown = "it is in a sub-zone that is not listed"
	}
	if zone == "" || delegated {
		return a
	}
	s := g.at[name]
	if !g.exists[name] {
		closest := rrset.Parent(name)
		for !g.exists[closest] {
			closest = rrset.Parent(closest)
		}
		s = g.at["*."+closest]
	}
	if s == nil {
		return a
	}
	if s.alias != nil && len(s.alias.Data) == 1 {
		a.alias = s.alias.Data[0]
	}
	if s.mx != nil {
		a.mx = *s.mx
		a.mx.Name = name
	}
	for _, r := range []*rrset.Set{s.a, s.aaaa} {
		if r == nil {
			continue
		}
		for _, d := range r.Data {
			a.addresses = append(a.addresses, r.Type+" "+d)
		}
		if a.addressTTL == 0 || r.TTL < a.addressTTL {
			a.addressTTL = r.TTL
		}
	}
	return a
}

// asAnswer is what was asked for by DNS alone.
func asAnswer(n *Named) answer {
	a := answer{held: true, alias: n.Alias, mx: n.MX, counted: true}
	if n.Failed != "" {
		a.unknown = "it could not be asked: " + n.Failed
	}
	for _, d := range n.Addresses {
		a.addresses = append(a.addresses, addressLine(d))
	}
	slices.Sort(a.addresses)
	return a
}

func addressLine(a netip.Addr) string {
	if a = a.Unmap(); a.Is4() {
		return "A " + a.String()
	}
	return "AAAA " + a.String()
}

// lines are an answer as it is told: an alias, else MX, else addresses.
func (a answer) lines() []string {
	switch {
	case a.alias != "":
		return []string{"CNAME " + a.alias}
	case !a.mx.Absent():
		return a.mx.Data
	}
	return a.addresses
}

// ttl is that of what mail follows.
func (a answer) ttl() []string {
	switch {
	case a.alias != "":
		return nil
	case !a.mx.Absent():
		return []string{"TTL " + strconv.FormatUint(uint64(a.mx.TTL), 10)}
	case len(a.addresses) == 0:
		return nil
	}
	return []string{"TTL " + strconv.FormatUint(uint64(a.addressTTL), 10)}
}

// maxAliases bounds how many aliases are followed.
const maxAliases = 8

// leads judges where mail for a name goes in this view.
func (g *sight) leads(name string, a answer) Domain {
	first, alias := a, a.alias
	for n := 0; a.mx.Absent() && a.alias != "" && a.unknown == ""; n++ {
		alias = a.alias
		if n == maxAliases {
			a.unknown = "its aliases have no end"
			break
		}
		if a = g.lookup(alias); !a.held {
			a = answer{}
			for _, x := range g.survey.addrs[alias] { // it is elsewhere
				a.addresses = append(a.addresses, addressLine(x))
			}
			break
		}
	}
	d := Domain{Name: name, PointsTo: ToOther}
	old := slices.IndexFunc(a.addresses, g.ofOld)
	switch {
	case a.unknown != "":
		d.PointsTo, d.Why = ToUnknown, a.unknown
	case !a.mx.Absent():
		d = g.survey.judge(a.mx)
		d.Name = name
	case old >= 0:
		d.PointsTo, d.Why = ToImplicit, "no MX, and its own address is "+a.addresses[old]
	case len(a.addresses) > 0:
		d.Why = "no MX, and no address of the old server"
	default:
		d.Why = "no MX and no address: it receives no mail"
	}
	if first.alias != "" {
		d.Why = "a CNAME for " + cmp.Or(alias, first.alias) + ": " + d.Why
	}
	return d
}

// ofOld tells whether an address as an answer has it is the old server's.
func (g *sight) ofOld(line string) bool {
	_, text, _ := strings.Cut(line, " ")
	a, err := netip.ParseAddr(text)
	return err == nil && g.survey.old[a]
}

// addresses are those of a host, in order, and whether they stand in a zone that was
// read; else they were asked for.
func (g *sight) addresses(host string) (lines []string, read bool) {
	if a := g.lookup(host); a.held && !a.counted && a.unknown == "" && a.alias == "" {
		return a.addresses, true
	}
	for _, a := range g.survey.addrs[host] {
		lines = append(lines, addressLine(a))
	}
	slices.Sort(lines)
	return slices.Compact(lines), false
}

// whose says where a host leads, by its addresses in this view.
func (g *sight) whose(host string) PointsTo {
	switch {
	case g.survey.isOld(host) != "":
		return ToOld
	case g.survey.isNew(host):
		return ToNew
	}
	return ToOther
}
