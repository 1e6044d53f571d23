package plan

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"mxcutover/rrset"
)

// ErrChanges means that something of what was begun would change.
var ErrChanges = errors.New("the plan cannot be extended")

// ErrNothingNew means that a plan has nothing to be extended by.
var ErrNothingNew = errors.New("there is nothing new: no domain that the plan does not have, and no other settings")

// Extend makes the plan of a migration that was begun longer: domains of the
// inventory that it does not have go into new waves after all of its own. Nothing
// of what was planned changes; where the settings would change it, that is
// ErrChanges, which says what, and how to keep it. ErrNothingNew: there is nothing
// to add.
func Extend(base Plan, inv Inventory, set Settings) (Plan, error) {
	d, err := ExtendedDraft(base, inv, set)
	if err != nil {
		return Plan{}, err
	}
	return d.Plan(), nil
}

// ExtendedDraft is [Extend] without the new steps.
func ExtendedDraft(base Plan, inv Inventory, set Settings) (*Draft, error) {
	if err := set.keep(base, inv); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrChanges, err)
	}
	had := map[string]bool{}
	for c := range base.each() {
		had[c.Domain] = true
	}
	var fresh Inventory
	for _, d := range inv.Domains {
		if !had[d.Name] {
			fresh.Domains = append(fresh.Domains, d)
		}
	}
	p := base
	p.ID, p.Config, p.Made, p.Fixed, p.Kinds = "", set.Config, utcSecond(set.Made), set.Fixed, set.Kinds
	moving, left := set.moving(fresh, base.Cutovers())
	p.Left = left
	more, err := divide(moving, set, base.Waves)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrChanges, err)
	}
	if len(more) == 0 && p.Config == base.Config {
		return nil, ErrNothingNew
	}
	p.Findings = slices.Clone(base.Findings)
	p.addFindings(set.Findings)
	p.addFindings(half(fresh, moving))
	d := &Draft{head: p, gate: set.Gate, low: set.LowTTL, more: more}
	for _, f := range loadFindings(p, d.waves(), set.Share) {
		if slices.ContainsFunc(more, func(w draftWave) bool { return w.name == f.Target }) {
			d.head.Findings = append(d.head.Findings, f)
		}
	}
	return d, nil
}

// Extends tells whether a plan has all of another one, unchanged and in its place,
// and what differs if not.
func (p Plan) Extends(base Plan) error {
	switch {
	case p.ID == base.ID:
		return errors.New("it is the same plan")
	case p.Migration != base.Migration:
		return fmt.Errorf("it is of migration %s, not of %s", p.Migration, base.Migration)
	case p.Config != base.Config && (base.Fixed == "" || p.Fixed != base.Fixed):
		return errSettings
	case len(p.Waves) < len(base.Waves):
		return fmt.Errorf("it has %d waves, and the plan that was begun has %d", len(p.Waves), len(base.Waves))
	case !sameJSON(p.Isolate, base.Isolate):
		return errors.New("it isolates the old server in another way")
	}
	for name, kind := range base.Kinds {
		if p.Kinds[name] != kind {
			return fmt.Errorf("provider %s was of kind %s", name, kind)
		}
	}
	for i, w := range base.Waves {
		if o := p.Waves[i]; o.Name != w.Name || !sameJSON(o.Gate, w.Gate) || len(o.Cutovers) != len(w.Cutovers) {
			return fmt.Errorf("wave %s is not as it was planned", w.Name)
		}
		for k, c := range w.Cutovers {
			if !sameJSON(c, p.Waves[i].Cutovers[k]) {
				return fmt.Errorf("%s is not as it was planned", rrset.Bare(c.Domain))
			}
		}
	}
	return nil
}

var errSettings = errors.New("it was made from settings that must stay as they were when the migration was begun: migration, old, mx.records, gate, ttl, isolate.ports, the domain of probe.from; put them back, or extend with the very same file")

// keep refuses settings that would change what was planned.
func (set Settings) keep(base Plan, inv Inventory) error {
	if set.Config != base.Config && (base.Fixed == "" || set.Fixed != base.Fixed) {
		return errSettings
	}
	for name, kind := range base.Kinds {
		if k, ok := set.Kinds[name]; !ok || k != kind {
			return fmt.Errorf("providers.%s: it was of kind %s when the migration was begun, and its domains cannot go back without it", name, kind)
		}
	}
	at := map[string]string{} // where an existing domain is
	for _, c := range base.Cutovers() {
		at[c.Domain] = c.Zone + " at " + c.Provider
		if err := set.keeps(c); err != nil {
			return err
		}
	}
	for _, d := range inv.Domains {
		if was, ok := at[d.Name]; ok && d.View == "" && was != d.Zone+" at "+d.Provider {
			return fmt.Errorf("%s is planned in zone %s, and now it also stands in zone %s at %s; list only the one that is to be changed", rrset.Bare(d.Name), was, d.Zone, d.Provider)
		}
	}
	for w, names := range set.Pin {
		for _, n := range names {
			was := slices.IndexFunc(base.Waves, func(x Wave) bool {
				return slices.ContainsFunc(x.Cutovers, func(c Cutover) bool { return c.Domain == n })
			})
			if was >= 0 && base.Waves[was].Name != w {
				return fmt.Errorf("waves.pin: %s is in wave %s already; pin it there, or not at all", rrset.Bare(n), base.Waves[was].Name)
			}
		}
	}
	return nil
}

// keeps refuses settings that would change one domain.
func (set Settings) keeps(c Cutover) error {
	name := rrset.Bare(c.Domain)
	if set.Selected != nil && !set.Selected(c.Domain) {
		return fmt.Errorf("domains: %s is planned, and now it is excluded; keep it, or leave it out of the migration by a decision: mxcutover rollback --domain %s --confirm %s", name, name, name)
	}
	places := map[string]bool{c.Zone + " at " + c.Provider: true}
	for _, s := range c.Companions() {
		places[s.Change.Zone+" at "+s.Provider] = true
	}
	for p := range places {
		if !slices.ContainsFunc(set.Zones, func(z Zone) bool { return z.Name+" at "+z.Provider == p }) {
			return fmt.Errorf("providers: zone %s is no longer listed, and %s is planned in it", p, name)
		}
	}
	planned := set.planned(c.Domain)
	after, before := c.After().MX(), c.Before().MX()
	for _, m := range planned {
		if !slices.Contains(after, m) {
			return fmt.Errorf("mx: %s is planned without %s; a domain's records cannot be changed once the migration is begun", name, rrset.Bare(m.Host))
		}
	}
	for _, m := range after {
		if !slices.Contains(planned, m) && (!slices.Contains(before, m) || !slices.Contains(set.Keep, m.Host)) {
			return fmt.Errorf("mx: %s is planned with %s; keep that in mx.keep, or in mx.templates", name, rrset.Bare(m.Host))
		}
	}
	return nil
}

// NewWaves are those that a plan has beyond another.
func (p Plan) NewWaves(base Plan) []Wave { return p.Waves[min(len(base.Waves), len(p.Waves)):] }

func namesOf(waves []Wave) (names []string) {
	for _, w := range waves {
		names = append(names, w.Name)
	}
	return names
}

// nameOfWave is the next wave's name.
func nameOfWave(have []string) string {
	if len(have) == 0 {
		return FirstWave
	}
	for n := len(have) + 1; ; n++ {
		name := fmt.Sprintf("wave-%d", n)
		if !slices.Contains(have, name) {
			return name
		}
	}
}

// pinnedBefore takes the pins of domains that are in waves already out, and
// refuses those that would put a new domain into a wave there is.
func pinnedBefore(pinned map[string]string, have []Wave) error {
	for _, w := range have {
		for _, c := range w.Cutovers {
			delete(pinned, c.Domain)
		}
	}
	var names []string
	for d, w := range pinned {
		if slices.ContainsFunc(have, func(x Wave) bool { return x.Name == w }) {
			names = append(names, rrset.Bare(d)+" to "+w)
		}
	}
	if len(names) > 0 {
		slices.Sort(names)
		return fmt.Errorf("waves.pin: %s: those waves were planned before; pin to %s or a later one, or not at all", strings.Join(names, ", "), nameOfWave(namesOf(have)))
	}
	return nil
}
