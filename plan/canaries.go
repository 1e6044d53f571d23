package plan

import (
	"fmt"
	"slices"
	"strings"

	"mxcutover/rrset"
)

// A Trait is what makes a cutover unlike others, so that one of its kind should
// move early, before many do.
type Trait string

// The traits that a cutover carries. Its provider and its gateway are traits too,
// and follow from the rest of it.
const (
	Wildcard    Trait = "wildcard"
	BelowApex   Trait = "host"         // a name below its zone's apex
	NoMX        Trait = "implicit"     // an MX is added where there was none
	SignedZone  Trait = "signed zone"  // DNSSEC
	SubZone     Trait = "sub-zone"     // its zone is delegated from another of ours
	Accompanied Trait = "companions"   // other records are written with its MX
	ThirdParty  Trait = "other member" // it keeps somebody else's MX beside the gateway's
)

// traitsOf are those of a cutover that is being made.
func traitsOf(d Domain, after []rrset.MX) (out []Trait) {
	switch {
	case rrset.IsWildcard(d.Name):
		out = append(out, Wildcard)
	case d.Name != d.Zone:
		out = append(out, BelowApex)
	}
	if d.MX.Absent() {
		out = append(out, NoMX)
	}
	if d.Signed {
		out = append(out, SignedZone)
	}
	if d.SubZone {
		out = append(out, SubZone)
	}
	if slices.ContainsFunc(after, func(m rrset.MX) bool { return slices.Contains(d.Third, m.Host) }) {
		out = append(out, ThirdParty)
	}
	return out
}

// AllTraits are a cutover's, with its provider and its gateway.
func (c Cutover) AllTraits() []Trait {
	return allTraits(c.Provider, c.Before().MX(), c.After().MX(), c.Traits)
}

func allTraits(provider string, before, after []rrset.MX, own []Trait) []Trait {
	var hosts []string
	for _, m := range after {
		if !slices.ContainsFunc(before, func(b rrset.MX) bool { return b.Host == m.Host }) {
			hosts = append(hosts, rrset.Bare(m.Host))
		}
	}
	return append([]Trait{Trait("provider " + provider), Trait("gateway " + strings.Join(hosts, " "))}, own...)
}

// canariesFirst puts some cutovers before the others, which stay in their order,
// the least used first: those that show, as early as can be, every trait that the
// plan has. met are those that pinned domains of the first wave show already.
// Only the less used half can be a canary, if it is known which that is: nobody's
// main domain moves early only because it is odd.
func canariesFirst(sorted []mover, met map[Trait]bool, known bool) []mover {
	few := len(sorted)
	if known {
		few = (few + 1) / 2
	}
	var kinds [][]Trait // each once, with the least used domain that has just these
	var least []int
	type key struct {
		*kind
		accompanied bool
	}
	spared, seen := map[key]bool{}, map[string]bool{}
	for i, m := range sorted[:few] {
		k := key{m.kind, len(m.companions) > 0}
		if spared[k] {
			continue
		}
		spared[k] = true
		traits := m.traits()
		if k := fmt.Sprint(traits); !seen[k] {
			seen[k] = true
			kinds, least = append(kinds, traits), append(least, i)
		}
	}
	first, taken := make([]mover, 0, len(sorted)), make([]bool, few)
	for {
		best, most := -1, 0
		for k, traits := range kinds {
			n := 0
			for _, t := range traits {
				if !met[t] {
					n++
				}
			}
			if n > most {
				best, most = k, n
			}
		}
		if best < 0 {
			break
		}
		for _, t := range kinds[best] {
			met[t] = true
		}
		taken[least[best]] = true
		first = append(first, sorted[least[best]])
	}
	for i, c := range sorted {
		if i >= few || !taken[i] {
			first = append(first, c)
		}
	}
	return first
}

// A Coverage tells by which domain, and in which wave, a trait is met first.
type Coverage struct {
	Trait   Trait  `json:"trait"`
	Wave    string `json:"wave"`
	Domain  string `json:"domain"`
	Domains int    `json:"domains"` // that have it, in the whole plan
}

// Coverage tells of each trait of a plan, in the order of the waves that meet it.
func (p Plan) Coverage() []Coverage { return coverage(p.usedWaves()) }

func coverage(waves []usedWave) []Coverage {
	var out []Coverage
	at := map[Trait]int{}
	for _, w := range waves {
		for u := range w.uses {
			for _, t := range u.traits() {
				i, seen := at[t]
				if !seen {
					i = len(out)
					at[t] = i
					out = append(out, Coverage{Trait: t, Wave: w.name, Domain: u.domain})
				}
				out[i].Domains++
			}
		}
	}
	return out
}

// lateTraits warns of traits that several domains have and no early wave shows.
func lateTraits(p Plan, waves []usedWave) (found []Finding) {
	if len(waves) < 3 {
		return nil
	}
	early := []string{waves[0].name, waves[1].name}
	for _, c := range coverage(waves) {
		if c.Domains > 1 && !slices.Contains(early, c.Wave) {
			found = append(found, Finding{
				Check: "plan.canaries", Target: c.Wave, Severity: Warn, At: p.Made,
				Detail: fmt.Sprintf("%d domains have the trait %q, and none of them moves before wave %s, with %s; if one is little used, pin it to an earlier wave (waves.pin)",
					c.Domains, c.Trait, c.Wave, rrset.Bare(c.Domain)),
			})
		}
	}
	return found
}
