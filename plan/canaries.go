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
func traitsOf(d Domain, c Cutover) (out []Trait) {
	switch {
	case strings.HasPrefix(d.Name, "*."):
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
	if slices.ContainsFunc(c.After().MX(), func(m rrset.MX) bool { return slices.Contains(d.Third, m.Host) }) {
		out = append(out, ThirdParty)
	}
	return out
}

// AllTraits are a cutover's, with its provider and its gateway.
func (c Cutover) AllTraits() []Trait {
	var hosts []string
	before := c.Before().MX()
	for _, m := range c.After().MX() {
		if !slices.ContainsFunc(before, func(b rrset.MX) bool { return b.Host == m.Host }) {
			hosts = append(hosts, strings.TrimSuffix(m.Host, "."))
		}
	}
	return append([]Trait{Trait("provider " + c.Provider), Trait("gateway " + strings.Join(hosts, " "))}, c.Traits...)
}

// canariesFirst puts some cutovers before the others, which stay in their order,
// the least used first: those that show, as early as can be, every trait that the
// plan has. met are those that pinned domains of the first wave show already.
// Only the less used half can be a canary, if it is known which that is: nobody's
// main domain moves early only because it is odd.
func canariesFirst(sorted []Cutover, met map[Trait]bool, known bool) []Cutover {
	few := len(sorted)
	if known {
		few = (few + 1) / 2
	}
	var kinds [][]Trait // each once, with the least used domain that has just these
	var least []int
	seen := map[string]bool{}
	for i, c := range sorted[:few] {
		traits := c.AllTraits()
		if k := fmt.Sprint(traits); !seen[k] {
			seen[k] = true
			kinds, least = append(kinds, traits), append(least, i)
		}
	}
	first, taken := make([]Cutover, 0, len(sorted)), make([]bool, few)
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
func (p Plan) Coverage() []Coverage {
	var out []Coverage
	at := map[Trait]int{}
	for _, w := range p.Waves {
		for _, c := range w.Cutovers {
			for _, t := range c.AllTraits() {
				i, seen := at[t]
				if !seen {
					i = len(out)
					at[t] = i
					out = append(out, Coverage{Trait: t, Wave: w.Name, Domain: c.Domain})
				}
				out[i].Domains++
			}
		}
	}
	return out
}

// lateTraits warns of traits that several domains have and no early wave shows.
func (p Plan) lateTraits() (found []Finding) {
	if len(p.Waves) < 3 {
		return nil
	}
	early := []string{p.Waves[0].Name, p.Waves[1].Name}
	for _, c := range p.Coverage() {
		if c.Domains > 1 && !slices.Contains(early, c.Wave) {
			found = append(found, Finding{
				Check: "plan.canaries", Target: c.Wave, Severity: Warn, At: p.Made,
				Detail: fmt.Sprintf("%d domains have the trait %q, and none of them moves before wave %s, with %s; if one is little used, pin it to an earlier wave (waves.pin)",
					c.Domains, c.Trait, c.Wave, strings.TrimSuffix(c.Domain, ".")),
			})
		}
	}
	return found
}
