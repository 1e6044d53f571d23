package plan

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"mxcutover/rrset"
)

// A Companion is a Change of another RRset that a cutover needs, so that nobody
// refuses mail on its new way: the id of a MTA-STS policy (RFC 8461), an SPF
// record that no longer depends on the MX (RFC 7208), TLSA records of the
// gateway (RFC 7672). Package verify finds them, a plan carries them.
type Companion struct {
	Change   rrset.Change `json:"change"`
	Provider string       `json:"provider"`
	Late     bool         `json:"late,omitempty"`  // after the domain has settled; else before its MX is published
	Wait     Duration     `json:"wait"`            // from the last name server's serving it until the next step may build on it
	Check    string       `json:"check,omitempty"` // that fails until this is done; "" = none
	Why      string       `json:"why"`             // for people, with the RFC
}

// with puts companions' steps around those of a cutover: the early ones, each
// with its wait, right after the preflight, the late ones last.
func with(steps []Step, companions []Companion) []Step {
	var early, late []Step
	for _, isLate := range []bool{false, true} {
		for _, x := range companions {
			if x.Late != isLate {
				continue
			}
			n := ":" + strconv.Itoa((len(early)+len(late))/2+1)
			pair := []Step{
				{ID: string(WriteCompanion) + n, Kind: WriteCompanion, Change: &x.Change, Provider: x.Provider, Late: x.Late, Check: x.Check, Why: x.Why},
				{ID: string(AwaitCompanion) + n, Kind: AwaitCompanion, Late: x.Late, Wait: x.Wait},
			}
			if isLate {
				late = append(late, pair...)
			} else {
				early = append(early, pair...)
			}
		}
	}
	return slices.Concat(steps[:1], early, steps[1:], late)
}

// KindOf is the kind of the step with an ID: what stands before its number.
func KindOf(id string) Kind {
	kind, _, _ := strings.Cut(id, ":")
	return Kind(kind)
}

// Number is a step's own among those of its kind; "" if there is but one.
func (s Step) Number() string {
	_, n, _ := strings.Cut(s.ID, ":")
	return n
}

// Of is the ID of the step of another kind that has the same number.
func (s Step) Of(k Kind) string {
	if n := s.Number(); n != "" {
		return string(k) + ":" + n
	}
	return string(k)
}

// byID is the step of an ID.
func (c Cutover) byID(id string) (Step, bool) {
	i := slices.IndexFunc(c.Steps, func(s Step) bool { return s.ID == id })
	if i < 0 {
		return Step{}, false
	}
	return c.Steps[i], true
}

// Companions are the steps that write companions, in their order.
func (c Cutover) Companions() (out []Step) {
	for _, s := range c.Steps {
		if s.Kind == WriteCompanion && s.Change != nil {
			out = append(out, s)
		}
	}
	return out
}

// companions adds what the settings have for each cutover, or leaves it with a
// question.
func (set Settings) companions(all []mover, had []Cutover) (kept []mover, left []Left) {
	if set.Companions == nil {
		return all, nil
	}
	made := set.made(had)
	lists := map[string][]Companion{}
	for _, m := range all {
		lists[m.Name] = join(set.Companions[m.Name], m, made)
	}
	type want struct {
		domain string
		change rrset.Change
		late   bool
	}
	wanted := map[string]want{} // by RRset: what some domain makes of it
	torn := map[string]bool{}   // RRsets of which two domains want to make different things
	note := func(w want) {
		k := rrsetKey(w.change)
		if o, twice := wanted[k]; twice && o.domain != w.domain && (o.late || w.late || !o.change.Before.Equal(w.change.Before) || !o.change.After.Equal(w.change.After)) {
			torn[k] = true
		}
		wanted[k] = w
	}
	for _, c := range had {
		for _, s := range c.Companions() {
			note(want{c.Domain, *s.Change, s.Late})
		}
	}
	for _, m := range all {
		for _, x := range lists[m.Name] {
			note(want{m.Name, x.Change, x.Late})
		}
	}
	g := ground{zones: set.Zones, names: map[string]map[string][]string{}}
	for _, m := range all {
		list := lists[m.Name]
		if why := g.object(list, torn); why != "" {
			left = append(left, m.left(true, why))
			continue
		}
		m.companions = list
		kept = append(kept, m)
	}
	return kept, left
}

// made are, by the gateway's host, the TLSA records that domains which were planned
// before have as a companion, and that are there now.
func (set Settings) made(had []Cutover) map[string][]Companion {
	out, seen := map[string][]Companion{}, map[string]bool{}
	for _, c := range had {
		for _, s := range c.Companions() {
			k := rrsetKey(*s.Change)
			if s.Change.After.Type != "TLSA" || s.Late || seen[k] {
				continue
			}
			seen[k] = true
			i := slices.IndexFunc(set.Zones, func(z Zone) bool { return z.Name == s.Change.Zone && z.Provider == s.Provider })
			if i < 0 || !slices.ContainsFunc(set.Zones[i].Sets, func(x rrset.Set) bool {
				return x.Name == s.Change.After.Name && x.SameData(s.Change.After)
			}) {
				continue
			}
			host := rrset.Parent(rrset.Parent(s.Change.After.Name)) // below it are the port and the protocol (RFC 6698 section 3)
			x := Companion{Change: *s.Change, Provider: s.Provider, Check: s.Check, Why: s.Why}
			if await, ok := c.byID(s.Of(AwaitCompanion)); ok {
				x.Wait = await.Wait
			}
			out[host] = append(out[host], x)
		}
	}
	return out
}

// join adds to what a cutover needs the companions that are there already, made for
// hosts that its MX is to lead to: it misses none of them, and none is to be taken
// from it when the others go back.
func join(list []Companion, m mover, made map[string][]Companion) []Companion {
	for _, to := range m.kind.members {
		for _, x := range made[to.Host] {
			if !slices.ContainsFunc(list, func(o Companion) bool { return o.Change.SameRRset(x.Change) }) {
				list = append(slices.Clip(list), x)
			}
		}
	}
	return list
}

func rrsetKey(c rrset.Change) string { return c.After.Name + " " + c.After.Type }

// A ground is the zones that companions are written to, as they are now.
type ground struct {
	zones []Zone
	names map[string]map[string][]string // by zone: the types at each name; none at an empty non-terminal
}

// object tells why a domain's companions cannot be written; "" if they can.
func (g ground) object(list []Companion, torn map[string]bool) string {
	last := map[string]rrset.Set{}
	for _, isLate := range []bool{false, true} {
		for _, x := range list {
			if x.Late != isLate {
				continue
			}
			k := rrsetKey(x.Change)
			what := fmt.Sprintf("it also needs a change of %s %s (%s)", rrset.Bare(x.Change.After.Name), x.Change.After.Type, x.Why)
			before, again := last[k]
			switch why := x.odd(); {
			case why != "":
				return what + ", " + why
			case torn[k]:
				return what + ", and other domains need another change of it: one domain's rollback would take theirs away; make that change by hand, then plan again, or give --no-companions"
			case again && !before.Equal(x.Change.Before):
				return what + ", and its changes do not follow one from the other"
			case !again:
				if why := g.at(x); why != "" {
					return what + ", " + why
				}
			}
			last[k] = x.Change.After
		}
	}
	return ""
}

// odd refuses a companion that none can be.
func (x Companion) odd() string {
	if x.Provider == "" {
		return "and the configuration has no provider of zone " + x.Change.Zone
	}
	if x.Wait < 0 {
		return "and its wait is negative"
	}
	if err := companionChange(x.Change); err != nil {
		return "which cannot be: " + err.Error()
	}
	if x.Change.Before.Equal(x.Change.After) {
		return "which stays as it is"
	}
	return ""
}

// companionChange refuses a change that would lead mail or a whole zone
// elsewhere: no companion may do that.
func companionChange(c rrset.Change) error {
	if err := checkChange(c); err != nil {
		return err
	}
	switch c.After.Type {
	case "MX", "NS", "SOA", "CNAME", "DNAME", "DS", "A", "AAAA":
		return fmt.Errorf("%s %s is no companion of a cutover", c.After.Name, c.After.Type)
	}
	return nil
}

// at tells what keeps a companion from being written at its name: a zone cut, a
// DNAME above it, a CNAME, or a wildcard that the new name would hide (RFC 4592 section 2.2.1).
func (g ground) at(x Companion) string {
	name := x.Change.After.Name
	names, ok := g.of(x.Change.Zone, x.Provider)
	if !ok {
		if x.Change.Before.Absent() {
			return "and zone " + x.Change.Zone + " at " + x.Provider + " was not read: list it, so that it is known whether a wildcard would be hidden"
		}
		return ""
	}
	for n := name; n != x.Change.Zone && n != "."; n = rrset.Parent(n) {
		if slices.Contains(names[n], "NS") {
			return "and " + rrset.Bare(n) + " is delegated to another zone"
		}
	}
	for n := name; n != x.Change.Zone && n != "."; {
		n = rrset.Parent(n) // a DNAME's own name is not redirected
		if slices.Contains(names[n], "DNAME") {
			return "and " + rrset.Bare(n) + " has a DNAME, which leads all names below it elsewhere (RFC 6672 section 2.4), so that nobody would see it there; make that change where the DNAME leads, then plan again"
		}
	}
	if slices.Contains(names[name], "CNAME") {
		return "and the name is the owner of a CNAME, which allows nothing beside it (RFC 2181 section 10.1)"
	}
	if _, exists := names[name]; exists || !x.Change.Before.Absent() {
		return ""
	}
	if strings.Contains(name, "*.") {
		return "which would make a wildcard"
	}
	encloser := rrset.Parent(name)
	for ; encloser != x.Change.Zone && encloser != "."; encloser = rrset.Parent(encloser) {
		if _, exists := names[encloser]; exists {
			break
		}
	}
	if _, wild := names["*."+strings.TrimPrefix(encloser, ".")]; wild {
		return "and creating that name would hide *." + rrset.Bare(encloser) + " from it and from all names between (RFC 4592 section 2.2.1); make that name by hand, then plan again"
	}
	return ""
}

// of are the names of a zone with their types, empty non-terminals too.
func (g ground) of(zone, provider string) (map[string][]string, bool) {
	key := provider + " " + zone
	if names, ok := g.names[key]; ok {
		return names, names != nil
	}
	i := slices.IndexFunc(g.zones, func(z Zone) bool { return z.Name == zone && z.Provider == provider })
	if i < 0 {
		g.names[key] = nil
		return nil, false
	}
	names := map[string][]string{zone: nil}
	for _, s := range g.zones[i].Sets {
		names[s.Name] = append(names[s.Name], s.Type)
		for n := rrset.Parent(s.Name); rrset.Below(n, zone) && n != zone; n = rrset.Parent(n) {
			if _, known := names[n]; !known {
				names[n] = nil
			}
		}
	}
	g.names[key] = names
	return names, true
}
