package plan

import (
	"cmp"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"

	"mxcutover/rrset"
)

// A Draft is a plan whose steps are made one domain after the other, when they are
// asked for: of many domains the steps are most of a plan. It tells what becomes of
// each name, and is written as a plan file; [Draft.Plan] makes the whole of it. It
// leads into the inventory that it was made from, which must stay as it is.
type Draft struct {
	head Plan // all but the new waves; Waves are those of a plan that it extends
	gate Gate
	low  uint32
	more []draftWave
}

// A draftWave is a new wave.
type draftWave struct {
	name    string
	members []mover
}

// A mover is a domain that a plan moves, whose steps are not made yet.
type mover struct {
	*Domain
	kind       *kind
	companions []Companion
}

// A kind is what many movers have in common.
type kind struct {
	data    []string   // of the MX RRset that is published, canonical
	members []rrset.MX // the same
	own     []Trait    // of the cutover itself
	all     []Trait    // with its provider and its gateway
}

// NewDraft is [Make] without the steps.
func NewDraft(inv Inventory, set Settings) (*Draft, error) {
	d := &Draft{head: Plan{Migration: set.Migration, Config: set.Config, Made: utcSecond(set.Made), Fixed: set.Fixed, Kinds: set.Kinds}, gate: set.Gate, low: set.LowTTL}
	moving, left := set.moving(inv, nil)
	d.head.Left = left
	d.head.addFindings(set.Findings)
	d.head.addFindings(half(inv, moving))
	var err error
	if d.more, err = divide(moving, set, nil); err != nil {
		return nil, err
	}
	waves := d.waves()
	d.head.Findings = append(d.head.Findings, loadFindings(d.head, waves, set.Share)...)
	d.head.Findings = append(d.head.Findings, lateTraits(d.head, waves)...)
	if len(set.Ports) > 0 {
		for i, ports := range append([][]uint16{set.Ports}, set.Stages...) {
			d.head.Isolate = append(d.head.Isolate, stage(i, ports)...)
		}
	}
	return d, nil
}

// Draft is a plan that is made, as a Draft.
func (p Plan) Draft() *Draft { return &Draft{head: p} }

// Foresee tells what a plan would say of the names of an inventory: it is that of
// the migration which was begun, with what is new, or a first one. On an error it is
// what was begun, alone.
func Foresee(begun Plan, inv Inventory, set Settings) (*Draft, error) {
	var d *Draft
	var err error
	if begun.ID == "" {
		d, err = NewDraft(inv, set)
	} else {
		d, err = ExtendedDraft(begun, inv, set)
	}
	if err != nil {
		return begun.Draft(), err
	}
	return d, nil
}

// Plan makes the whole plan.
func (d *Draft) Plan() Plan {
	p := d.head
	p.Waves = slices.Clone(d.head.Waves)
	for _, w := range d.more {
		x := Wave{Name: w.name, Gate: d.gate, Cutovers: make([]Cutover, 0, len(w.members))}
		for _, m := range w.members {
			x.Cutovers = append(x.Cutovers, m.cutover(w.name, d.low))
		}
		p.Waves = append(p.Waves, x)
	}
	p.ID = d.ID()
	return p
}

// ID is the plan's, worked out once.
func (d *Draft) ID() string {
	if d.head.ID == "" {
		head, cutovers := d.content()
		d.head.ID = head.hashOf(cutovers)
	}
	return d.head.ID
}

// Write writes what [Plan.Write] writes.
func (d *Draft) Write(w io.Writer) error {
	head, cutovers := d.content()
	return head.write(w, d.ID(), cutovers)
}

// content is what the plan's file says besides.
func (d *Draft) content() (head Plan, cutovers iter.Seq[Cutover]) {
	head = d.head
	head.Waves = slices.Clone(head.Waves)
	for _, w := range d.more {
		head.Waves = append(head.Waves, Wave{Name: w.name, Gate: d.gate})
	}
	return head, func(yield func(Cutover) bool) {
		for c := range d.head.each() {
			if !yield(c) {
				return
			}
		}
		for c := range d.New() {
			if !yield(c) {
				return
			}
		}
	}
}

// New walks the cutovers of the waves that the draft has beyond those of the plan
// that it extends.
func (d *Draft) New() iter.Seq[Cutover] {
	return func(yield func(Cutover) bool) {
		for _, w := range d.more {
			for _, m := range w.members {
				if !yield(m.cutover(w.name, d.low)) {
					return
				}
			}
		}
	}
}

// cutover is that of one domain.
func (d *Draft) cutover(name string) (Cutover, bool) {
	for c := range d.head.each() {
		if c.Domain == name {
			return c, true
		}
	}
	for _, w := range d.more {
		for _, m := range w.members {
			if m.Name == name {
				return m.cutover(w.name, d.low), true
			}
		}
	}
	return Cutover{}, false
}

// A Size counts what a draft has.
type Size struct {
	Domains, Waves, Companions int // in all
	NewDomains, NewWaves       int // beyond those of the plan that it extends
	Left, Questions            int
}

// Size counts what the draft has.
func (d *Draft) Size() (s Size) {
	for _, w := range d.head.Waves {
		s.Domains += len(w.Cutovers)
		for _, c := range w.Cutovers {
			s.Companions += len(c.Companions())
		}
	}
	for _, w := range d.more {
		s.NewDomains += len(w.members)
		for _, m := range w.members {
			s.Companions += len(m.companions)
		}
	}
	s.NewWaves, s.Left = len(d.more), len(d.head.Left)
	s.Domains, s.Waves = s.Domains+s.NewDomains, len(d.head.Waves)+s.NewWaves
	for _, l := range d.head.Left {
		if l.Question {
			s.Questions++
		}
	}
	return s
}

// Findings are those of looking for companions, and of what the waves carry.
func (d *Draft) Findings() []Finding { return d.head.Findings }

// cutover makes a domain's steps.
func (m mover) cutover(wave string, low uint32) Cutover {
	c := Cutover{Domain: m.Name, Wave: wave, Zone: m.Zone, Provider: m.Provider, PointsTo: m.PointsTo, Traffic: m.Traffic, Traits: m.kind.own}
	c.Steps = steps(m.Domain, m.kind.data, low)
	if len(m.companions) > 0 {
		c.Steps = with(c.Steps, m.companions)
		c.Traits = append(slices.Clone(c.Traits), Accompanied)
	}
	return c
}

// traits are what [Cutover.AllTraits] are of the cutover.
func (m mover) traits() []Trait {
	if len(m.companions) == 0 {
		return m.kind.all
	}
	return append(slices.Clone(m.kind.all), Accompanied)
}

// kinds finds what movers have in common.
type kinds struct {
	set   Settings
	hosts map[string]bool // that are planned
	all   map[kindKey]*kind
}

type kindKey struct {
	provider, mx, third, template           string
	wildcard, apex, absent, signed, subZone bool
}

func newKinds(set Settings) *kinds {
	k := &kinds{set: set, hosts: map[string]bool{}, all: map[kindKey]*kind{}}
	add := func(members []rrset.MX) {
		for _, m := range members {
			k.hosts[m.Host] = true
		}
	}
	add(set.Planned)
	for _, t := range set.Templates {
		add(t)
	}
	return k
}

// of is a domain's kind, or what else than the old server's and ours its MX RRset
// has.
func (k *kinds) of(d *Domain) (*kind, string) {
	key := kindKey{
		provider: d.Provider, third: strings.Join(d.Third, "\n"),
		wildcard: rrset.IsWildcard(d.Name), apex: d.Name == d.Zone, absent: d.MX.Absent(), signed: d.Signed, subZone: d.SubZone,
	}
	if len(d.Third) > 0 || slices.ContainsFunc(d.MX.Data, k.planned) { // else all of it goes
		key.mx = strings.Join(d.MX.Data, "\n")
	}
	if _, ok := k.set.Templates[d.Name]; ok {
		key.template = d.Name
	}
	if x := k.all[key]; x != nil {
		return x, ""
	}
	members, odd := members(*d, k.set)
	if odd != "" {
		return nil, odd
	}
	after, err := rrset.MXSet(d.Name, 0, members...)
	if err != nil {
		panic(fmt.Sprintf("plan: %v", err)) // both parts are canonical already
	}
	x := &kind{data: after.Data, members: after.MX()}
	x.own = slices.Clip(traitsOf(*d, x.members))
	x.all = slices.Clip(allTraits(d.Provider, d.MX.MX(), x.members, x.own))
	k.all[key] = x
	return x, ""
}

// planned tells whether an MX record leads to a planned host.
func (k *kinds) planned(data string) bool {
	_, host, _ := strings.Cut(data, " ")
	return k.hosts[host]
}

// A use is what the order of waves, and what they carry, depends on, of one cutover.
type use struct {
	domain, zone string
	messages     uint64
	made         *Cutover // or else:
	drafted      mover
}

func (m mover) use() use { return use{domain: m.Name, zone: m.Zone, messages: m.Messages, drafted: m} }

func (c *Cutover) use() use {
	return use{domain: c.Domain, zone: c.Zone, messages: c.Messages, made: c}
}

func (u use) traits() []Trait {
	if u.made != nil {
		return u.made.AllTraits()
	}
	return u.drafted.traits()
}

// compare sorts the least used first. Of two that are used alike, a name below its
// zone's apex comes before an apex, since it is less to lose, and then names decide.
// If no mail was counted, names alone do.
func (u use) compare(o use, known bool) int {
	apex := func(x use) int {
		if known && x.domain == x.zone {
			return 1
		}
		return 0
	}
	return cmp.Or(cmp.Compare(u.messages, o.messages), cmp.Compare(apex(u), apex(o)), strings.Compare(u.domain, o.domain))
}

// A usedWave is a wave, made or not.
type usedWave struct {
	name string
	n    int
	uses iter.Seq[use]
}

func (p Plan) usedWaves() (out []usedWave) {
	for _, w := range p.Waves {
		out = append(out, usedWave{w.Name, len(w.Cutovers), func(yield func(use) bool) {
			for i := range w.Cutovers {
				if !yield(w.Cutovers[i].use()) {
					return
				}
			}
		}})
	}
	return out
}

func (d *Draft) waves() []usedWave {
	out := d.head.usedWaves()
	for _, w := range d.more {
		out = append(out, usedWave{w.name, len(w.members), func(yield func(use) bool) {
			for _, m := range w.members {
				if !yield(m.use()) {
					return
				}
			}
		}})
	}
	return out
}
