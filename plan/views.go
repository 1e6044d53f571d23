package plan

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"mxcutover/rrset"
)

// PublicView is the view of the DNS that the world has.
const PublicView = "public"

// A View is the DNS as some resolvers see it (RFC 9499 section 6), with what was read
// and asked in it.
type View struct {
	Name      string    // as the configuration calls it
	Zones     []Zone    // that were read
	Named     []Named   // names that were asked for by DNS alone
	Addresses Addresses // as resolved in this view
	Holder    func(name string) (zone, provider string, ok bool)
}

// An Elsewhere is where a domain's mail leads in a view in which it does not move.
type Elsewhere struct {
	View     string
	Zone     string // canonical; "" = it was asked for by DNS alone
	Provider string
	MX       rrset.Set // absent: it has none there
	PointsTo PointsTo
	Third    []string // MX hosts of a third party beside the old server's
	Why      string
}

// In is a domain as this view has it.
func (e Elsewhere) In(d Domain) Domain {
	return Domain{Name: d.Name, Zone: e.Zone, Provider: e.Provider, MX: e.MX, PointsTo: e.PointsTo, Third: e.Third, Why: "in view " + e.View + ": " + e.Why, Traffic: d.Traffic, View: e.View}
}

// ToOld tells whether mail for a name leads to the old server in this view.
func (e Elsewhere) ToOld() bool { return e.PointsTo.Old() }

// OldElsewhere names the first other view in which a domain's mail leads to the old
// server, and by what.
func (d Domain) OldElsewhere() (Elsewhere, bool) {
	i := slices.IndexFunc(d.Elsewhere, Elsewhere.ToOld)
	if i < 0 {
		return Elsewhere{}, false
	}
	return d.Elsewhere[i], true
}

// A Disparity is what two views say of one name that receives mail, or of a host that
// mail leads to, where they do not say the same.
type Disparity struct {
	Name  string // canonical
	View  string // the other one, beside the one in which domains move
	Kind  DisparityKind
	Minor bool     // mail goes the same way in both
	Here  []string // in the view in which domains move: data, "A 192.0.2.1", "TTL 300"; none = nothing
	There []string // in the other one
	Why   string
}

// A DisparityKind is what differs.
type DisparityKind string

// The kinds.
const (
	DiffersInMX       DisparityKind = "mx"       // other members
	DiffersInNull     DisparityKind = "null"     // one accepts no mail (RFC 7505)
	DiffersInImplicit DisparityKind = "implicit" // one has an MX; in the other mail follows the address (RFC 5321 section 5.1)
	DiffersInAlias    DisparityKind = "cname"    // an alias in one alone, or of another name
	DiffersInAddress  DisparityKind = "address"  // of an MX host, or of a name without MX
	InOneOnly         DisparityKind = "only"     // receives mail, or has an address, in one alone
	DiffersInLeading  DisparityKind = "leads"    // the same records lead to the old server in one alone
	DiffersInTTL      DisparityKind = "ttl"      // nothing but that
	NotCompared       DisparityKind = "unread"   // one of them is not known
)

// Beside holds an inventory of the view in which domains move beside other views, as
// far as these hold the same names: each domain learns where its mail leads there, and
// what differs is told record by record. Names that only another view has are added,
// with that view; the plan does not move them.
func Beside(inv Inventory, moves View, others []View, site Site) Inventory {
	if len(others) == 0 {
		return inv
	}
	c := comparison{inv: inv, here: lookInto(moves, site)}
	c.inv.Views = []string{moves.Name}
	for _, o := range others {
		c.inv.Views = append(c.inv.Views, o.Name)
		c.with(o, site)
	}
	sortDomains(c.inv.Domains)
	slices.SortFunc(c.inv.Disparities, func(a, b Disparity) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.View, b.View), strings.Compare(string(a.Kind), string(b.Kind)))
	})
	return c.inv
}

// A comparison of the view in which domains move with one after the other.
type comparison struct {
	inv         Inventory
	here, there *sight
	hosts       [2]map[string]bool // that MX lead to, here and there
	told        map[string]DisparityKind
}

// with adds what one other view has.
func (c *comparison) with(o View, site Site) {
	c.there = lookInto(o, site)
	c.hosts, c.told = [2]map[string]bool{{}, {}}, map[string]DisparityKind{}
	have := make(map[string]bool, len(c.inv.Domains))
	for i := range c.inv.Domains {
		if d := &c.inv.Domains[i]; d.View == "" {
			have[d.Name] = true
			c.domain(d)
		}
	}
	own := site
	own.Named, own.Holder = o.Named, o.Holder
	other := Survey(o.Zones, o.Addresses, own)
	for _, d := range other.Domains {
		if have[d.Name] {
			continue
		}
		have[d.Name] = true
		d.View = o.Name
		if d.PointsTo.Old() {
			d.Blocked = "it leads to the old server in view " + o.Name + ", which this migration does not move: change it there"
		}
		c.only(d)
		c.inv.Domains = append(c.inv.Domains, d)
	}
	known := map[string]bool{}
	for _, d := range c.inv.Delegated {
		known[d.Name] = true
	}
	for _, d := range other.Delegated {
		if !known[d.Name] {
			d.View = o.Name
			c.inv.Delegated = append(c.inv.Delegated, d)
		}
	}
	c.addresses()
}

// domain compares one that the view in which it moves has.
func (c *comparison) domain(d *Domain) {
	there := c.there.lookup(d.Name)
	if !there.held {
		return // the other view has what the world has, or nothing is known of it
	}
	leads := c.there.leads(d.Name, there)
	d.Elsewhere = append(d.Elsewhere, Elsewhere{
		View: c.there.name, Zone: there.zone, Provider: there.provider, MX: there.mx, PointsTo: leads.PointsTo, Third: leads.Third, Why: leads.Why,
	})
	here := c.here.lookup(d.Name)
	if !here.held {
		here = answer{held: true, mx: d.MX, counted: d.Source != FromZone}
	}
	if here.mx.Absent() && there.mx.Absent() && !d.PointsTo.Old() && !leads.PointsTo.Old() {
		return // it receives no mail that matters in either
	}
	c.compare(d.Name, here, there, *d, leads)
}

// only tells of a name that the other view has, and that is no domain here.
func (c *comparison) only(d Domain) {
	here, there := c.here.lookup(d.Name), c.there.lookup(d.Name)
	if !here.held {
		c.refer(answer{}, there)
		c.tell(Disparity{Name: d.Name, Kind: InOneOnly, There: there.lines(), Why: "no zone of view " + c.here.name + " that is listed has this name"})
		return
	}
	c.compare(d.Name, here, there, c.here.leads(d.Name, here), d)
}

// compare tells what differs at one name, and to where it leads.
func (c *comparison) compare(name string, here, there answer, leadsHere, leadsThere Domain) {
	c.refer(here, there)
	x := Disparity{Name: name, Here: here.lines(), There: there.lines()}
	x.Kind, x.Why = c.differs(here, there)
	away := leadsHere.PointsTo != leadsThere.PointsTo
	switch {
	case x.Kind == "" && away:
		x.Kind, x.Why = DiffersInLeading, "the same records lead elsewhere"
	case x.Kind == DiffersInTTL && away:
		x.Kind, x.Why = DiffersInLeading, "records that differ in nothing but TTL lead elsewhere"
	case x.Kind == "":
		return
	}
	x.Minor = x.Kind == DiffersInTTL || x.Kind == DiffersInAddress && !away
	if x.Kind == DiffersInTTL {
		x.Here, x.There = here.ttl(), there.ttl()
	}
	ways := []string{"in " + c.here.name + " it leads to " + told(leadsHere), "in " + c.there.name + " it leads to " + told(leadsThere)}
	switch {
	case x.Minor, x.Kind == NotCompared:
	case x.Kind == InOneOnly && len(x.Here) == 0:
		x.Why += "; " + ways[1]
	case x.Kind == InOneOnly:
		x.Why += "; " + ways[0]
	default:
		x.Why += "; " + strings.Join(ways, "; ")
	}
	c.tell(x)
}

func told(d Domain) string { return string(d.PointsTo) + " (" + d.Why + ")" }

// differs names what differs in two answers, and says it; "" = nothing.
func (c *comparison) differs(here, there answer) (DisparityKind, string) {
	none := func(a answer) bool { return a.mx.Absent() && len(a.addresses) == 0 && a.alias == "" }
	switch {
	case here.unknown != "":
		return NotCompared, "in view " + c.here.name + " " + here.unknown
	case there.unknown != "":
		return NotCompared, "in view " + c.there.name + " " + there.unknown
	case none(here) && none(there):
		return "", ""
	case none(there):
		return InOneOnly, "in view " + c.there.name + " it has neither MX nor address, so mail for it is refused there"
	case none(here):
		return InOneOnly, "in view " + c.here.name + " it has neither MX nor address, so mail for it is refused there"
	case here.alias != there.alias:
		return DiffersInAlias, "mail follows an alias to the name that it stands for (RFC 5321 section 5.1)"
	case here.alias != "":
		return "", ""
	case here.mx.Absent() != there.mx.Absent():
		return DiffersInImplicit, "without an MX mail follows the name's own address (RFC 5321 section 5.1)"
	case here.mx.Absent():
		if !slices.Equal(here.addresses, there.addresses) {
			return DiffersInAddress, "it has no MX, and its addresses, which mail follows, differ"
		}
	case isNull(here.mx) != isNull(there.mx):
		return DiffersInNull, "one view says that it accepts no mail (RFC 7505)"
	case !slices.Equal(here.mx.Data, there.mx.Data):
		return DiffersInMX, "its MX records differ"
	}
	if a, b := here.ttl(), there.ttl(); !here.counted && !there.counted && !slices.Equal(a, b) {
		return DiffersInTTL, "nothing but the TTL differs"
	}
	return "", ""
}

func isNull(s rrset.Set) bool {
	m := s.MX()
	return len(m) == 1 && m[0].Null()
}

// refer remembers the hosts that mail leads to.
func (c *comparison) refer(here, there answer) {
	for i, a := range []answer{here, there} {
		for _, m := range a.mx.MX() {
			if !m.Null() {
				c.hosts[i][m.Host] = true
			}
		}
	}
}

// addresses compares the hosts that mail leads to, each once: whether they have
// addresses in the view that leads mail there, and whether these are the same server.
// Hosts of others may have addresses that change from one question to the next: of
// them only that is told which decides where mail goes.
func (c *comparison) addresses() {
	for host := range c.hosts[0] {
		here, in := c.here.addresses(host)
		there, too := c.there.addresses(host)
		x := Disparity{Name: host, Kind: DiffersInAddress, Here: here, There: there}
		switch {
		case len(here) == 0 && len(there) == 0:
			continue // its domains tell that there is none
		case len(here) == 0:
			x.Kind, x.Why = InOneOnly, "mail leads to this host, and in view "+c.here.name+" no address was found for it"
		case !c.hosts[1][host]:
			continue
		case len(there) == 0:
			x.Kind, x.Why = InOneOnly, "mail leads to this host, and in view "+c.there.name+" no address was found for it"
		case c.here.whose(host) != c.there.whose(host):
			x.Why = "in view " + c.here.name + " it is " + string(c.here.whose(host)) + ", in view " + c.there.name + " " + string(c.there.whose(host))
		case in && too && !slices.Equal(here, there):
			x.Minor, x.Why = true, "other addresses, of the same server by all that is known"
		default:
			continue
		}
		c.tell(x)
	}
	for host := range c.hosts[1] {
		here, _ := c.here.addresses(host)
		if there, _ := c.there.addresses(host); len(there) == 0 && len(here) > 0 && !c.hosts[0][host] {
			c.tell(Disparity{Name: host, Kind: InOneOnly, Here: here, Why: "mail leads to this host, and in view " + c.there.name + " no address was found for it"})
		}
	}
}

// tell notes a disparity. A host may be a domain as well, and is told once.
func (c *comparison) tell(x Disparity) {
	if c.told[x.Name] == x.Kind {
		return
	}
	c.told[x.Name], x.View = x.Kind, c.there.name
	c.inv.Disparities = append(c.inv.Disparities, x)
}

// Side is one side of a disparity in a line.
func Side(lines []string) string {
	if len(lines) == 0 {
		return "nothing"
	}
	return strings.Join(lines, ", ")
}

// half warns of domains that a plan moves in one view, and that lead to the old server
// in another one: one finding for each view.
func half(inv Inventory, moving []mover) (found []Finding) {
	moves := make(map[string]bool, len(moving))
	for _, c := range moving {
		moves[c.Name] = true
	}
	names := map[string][]string{}
	for _, d := range inv.Domains {
		for _, e := range d.Elsewhere {
			if moves[d.Name] && e.ToOld() {
				names[e.View] = append(names[e.View], rrset.Bare(d.Name))
			}
		}
	}
	for _, v := range slices.Sorted(maps.Keys(names)) {
		few := names[v][:min(len(names[v]), 5)]
		found = append(found, Finding{Check: "mx.views", Target: v, Severity: Warn, RFC: "RFC 9499 section 6", Detail: fmt.Sprintf(
			"%d domains lead to the old server in this view, too, and the plan does not move them there: %s%s; the old server cannot be closed before somebody does",
			len(names[v]), strings.Join(few, ", "), map[bool]string{true: ", ..."}[len(few) < len(names[v])],
		)})
	}
	return found
}
