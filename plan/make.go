package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"

	"mxcutover/rrset"
)

// Settings shape a plan.
type Settings struct {
	Migration string
	Config    string            // hash of the settings
	Made      time.Time         // the plan's date; part of its ID
	Fixed     string            // hash of those settings that must stay once it is begun
	Kinds     map[string]string // provider -> its kind
	Selected  func(domain string) bool
	Planned   []rrset.MX
	Templates map[string][]rrset.MX // other records for named domains
	Keep      []string              // third-party MX hosts that stay
	First     int                   // domains in the first wave
	Growth    float64               // each wave is this many times the one before
	Max       int                   // domains in a wave at most
	Share     float64               // of all mail; a wave that carries more is warned of; 0 = none is
	Pin       map[string][]string   // wave name -> domains
	Gate      Gate
	LowTTL    uint32     // seconds
	Ports     []uint16   // to be closed at the old server; none = no isolation
	Stages    [][]uint16 // more of them, each closed after the one before is for good

	Companions map[string][]Companion // by domain: what else its cutover needs
	Zones      []Zone                 // as they are, to tell where a companion can be written, and what was planned still stands
	Findings   []Finding              // of looking for companions
}

// The names of waves that pins may use besides "wave-N".
const (
	FirstWave = "pilot"
	LastWave  = "last"
)

// Make makes the plan of an inventory. What leads to the old server and may be
// changed is put into waves, the least used first; all else is left, with the
// reason. It fails only where the settings cannot be satisfied.
func Make(inv Inventory, set Settings) (Plan, error) {
	d, err := NewDraft(inv, set)
	if err != nil {
		return Plan{}, err
	}
	return d.Plan(), nil
}

// moving are the domains of an inventory that move, and what is left of it, and why.
// had are those that are planned already.
func (set Settings) moving(inv Inventory, had []Cutover) (moving []mover, left []Left) {
	moving = make([]mover, 0, len(inv.Domains))
	kinds := newKinds(set)
	for i := range inv.Domains {
		m, why := set.mover(&inv.Domains[i], kinds)
		if why != nil {
			left = append(left, *why)
			continue
		}
		moving = append(moving, m)
	}
	moving, again := oneZoneEach(moving)
	moving, asking := set.companions(moving, had)
	return moving, slices.Concat(left, again, asking)
}

// addFindings takes findings over. When they were made would make another plan of
// the same.
func (p *Plan) addFindings(found []Finding) {
	for _, f := range found {
		f.At = p.Made
		p.Findings = append(p.Findings, f)
	}
}

func utcSecond(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }

// stage is the run of steps that closes a set of ports. The first one's steps have
// the kinds' own IDs, a later one's their number behind.
func stage(i int, ports []uint16) (steps []Step) {
	for _, k := range []Kind{Observe, Arm, Prove, Confirm} {
		id := string(k)
		if i > 0 {
			id += ":" + strconv.Itoa(i+1)
		}
		steps = append(steps, Step{ID: id, Kind: k, Ports: ports})
	}
	return steps
}

// mover tells that a domain moves, or why it is left.
func (set Settings) mover(d *Domain, kinds *kinds) (mover, *Left) {
	leave := func(question bool, reason string) (mover, *Left) {
		l := d.left(question, reason)
		return mover{}, &l
	}
	if e, ok := d.OldElsewhere(); ok && !d.PointsTo.Old() && (set.Selected == nil || set.Selected(d.Name)) {
		return leave(true, "in view "+e.View+", which this migration does not move, it leads to the old server: "+e.Why+"; change it there")
	}
	switch {
	case d.PointsTo == ToNull || d.PointsTo == ToNew:
		return leave(false, d.Why)
	case d.PointsTo == ToOther || d.PointsTo == ToUnknown:
		return leave(d.Blocked != "", cmp.Or(d.Blocked, d.Why))
	case set.Selected != nil && !set.Selected(d.Name):
		return leave(false, "excluded by domains.include and domains.exclude, and it leads to the old server")
	case d.Blocked != "":
		return leave(true, d.Blocked)
	case d.PointsTo == ToBoth:
		return leave(true, "it has the gateway and the old server both, which may be a backup-MX arrangement: "+d.Why)
	}
	k, odd := kinds.of(d)
	if odd != "" {
		return leave(true, "its MX RRset also has "+odd+"; name it in mx.keep to keep it, or take it out first")
	}
	return mover{Domain: d, kind: k}, nil
}

func (d *Domain) left(question bool, reason string) Left {
	return Left{Domain: d.Name, Zone: d.Zone, Provider: d.Provider, View: d.View, PointsTo: d.PointsTo, Question: question, Reason: reason}
}

// planned are the gateway's records for a domain.
func (set Settings) planned(domain string) []rrset.MX {
	if t, ok := set.Templates[domain]; ok {
		return t
	}
	return set.Planned
}

// members are the MX records after the cutover: the old server's go, the
// gateway's come, a third party's stays only if it is named.
func members(d Domain, set Settings) (after []rrset.MX, odd string) {
	after = slices.Clone(set.planned(d.Name))
	for _, m := range d.MX.MX() {
		if !slices.Contains(d.Third, m.Host) {
			continue
		}
		if !slices.Contains(set.Keep, m.Host) {
			return nil, m.Host
		}
		after = append(after, m)
	}
	return after, ""
}

// Wanted is the MX RRset that a domain is to have in the end, with the TTL that it
// has now, or an hour.
func (set Settings) Wanted(d Domain) rrset.Set {
	after, odd := members(d, set)
	if odd != "" {
		after = slices.Clone(set.Planned)
	}
	ttl := d.MX.TTL
	if d.MX.Absent() {
		ttl = 3600
	}
	out, err := rrset.MXSet(d.Name, ttl, after...)
	if err != nil {
		return rrset.Set{Name: d.Name, Type: "MX"} // there is nothing planned
	}
	return out
}

// steps are a domain's, which publish this data. RRsets with the same data share it.
func steps(d *Domain, data []string, low uint32) []Step {
	implicit := d.MX.Absent()
	if !implicit {
		low = min(low, d.MX.TTL)
	}
	set := func(ttl uint32, data []string) rrset.Set {
		if len(data) == 0 {
			ttl = 0
		}
		return rrset.Set{Name: d.Name, Type: "MX", TTL: ttl, Data: data}
	}
	change := func(before, after rrset.Set) *rrset.Change {
		return &rrset.Change{Zone: d.Zone, Before: before, After: after}
	}
	step := func(k Kind, c *rrset.Change) Step { return Step{ID: string(k), Kind: k, Change: c} }
	after := set(low, data)
	if implicit {
		return []Step{
			step(Preflight, nil), step(Publish, change(d.MX, after)), step(Propagate, nil),
			step(Probe, nil), step(Soak, nil),
		}
	}
	lowered := set(low, d.MX.Data)
	return []Step{
		step(Preflight, nil),
		step(LowerTTL, change(d.MX, lowered)), step(AwaitTTL, nil),
		step(Publish, change(lowered, after)), step(Propagate, nil),
		step(Probe, nil), step(Soak, nil),
		step(Settle, change(after, set(d.MX.TTL, data))),
	}
}

// oneZoneEach leaves a name that stands in two zones of ours: two views of one
// zone, or a parent's copy. A person must say which is meant.
func oneZoneEach(all []mover) (once []mover, left []Left) {
	count := make(map[string]int32, len(all))
	for _, m := range all {
		count[m.Name]++
	}
	if len(count) == len(all) {
		return all, nil
	}
	for _, m := range all {
		if count[m.Name] == 1 {
			once = append(once, m)
			continue
		}
		left = append(left, m.left(true, fmt.Sprintf("the name stands in %d zones of ours; list only the one to be changed", count[m.Name])))
	}
	return once, left
}
