package plan

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"mxcutover/rrset"
)

// byUse sorts cutovers, the least used first. Of two that are used alike, a name
// below its zone's apex comes before an apex, since it is less to lose, and then
// names decide. If no mail was counted, names alone do.
func byUse(cuts []Cutover, known bool) {
	apex := func(c Cutover) int {
		if known && c.Domain == c.Zone {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(cuts, func(a, b Cutover) int {
		return cmp.Or(cmp.Compare(a.Messages, b.Messages), cmp.Compare(apex(a), apex(b)), strings.Compare(a.Domain, b.Domain))
	})
}

// counted tells whether mail was counted for any.
func counted(cuts []Cutover) bool {
	return slices.ContainsFunc(cuts, func(c Cutover) bool { return c.Messages > 0 })
}

// divide puts cutovers into waves: pins where they belong, then canaries, then the
// least used first; First in the first wave, then Growth times as many, never more
// than Max. The waves come after those that there are already; what these show
// needs no canary.
func divide(all []Cutover, set Settings, have []Wave) ([]Wave, error) {
	known := counted(all)
	sorted := slices.Clone(all)
	byUse(sorted, known)
	pinned, err := pins(set)
	if err != nil {
		return nil, err
	}
	if err := pinnedBefore(pinned, have); err != nil {
		return nil, err
	}
	byWave := map[string][]Cutover{}
	free := make([]Cutover, 0, len(sorted))
	for _, c := range sorted {
		if w, ok := pinned[c.Domain]; ok {
			byWave[w] = append(byWave[w], c)
			delete(pinned, c.Domain)
		} else {
			free = append(free, c)
		}
	}
	if len(pinned) > 0 {
		names := slices.Sorted(maps.Keys(pinned))
		return nil, fmt.Errorf("waves.pin: %s: the plan moves no such domain; see: mxcutover inventory", rrset.Bare(names[0]))
	}
	met := map[Trait]bool{}
	for _, c := range slices.Concat(byWave[nameOfWave(have)], Plan{Waves: have}.Cutovers()) {
		for _, t := range c.AllTraits() {
			met[t] = true
		}
	}
	free = canariesFirst(free, met, known)
	last := byWave[LastWave]
	delete(byWave, LastWave)
	waves, old := slices.Clone(have), len(have)
	for size := float64(max(set.First, 1)); len(free) > 0 || len(byWave) > 0; size *= max(set.Growth, 1) {
		name := nameOfWave(waves)
		members := byWave[name]
		delete(byWave, name)
		room := int(math.Ceil(min(size, float64(max(set.Max, 1))))) - len(members)
		n := min(max(room, 0), len(free))
		members = append(members, free[:n]...)
		free = free[n:]
		if len(members) == 0 && len(free) == 0 {
			return nil, fmt.Errorf("waves.pin: there are only %d waves besides %q: no wave %s", len(waves), LastWave, strings.Join(slices.Sorted(maps.Keys(byWave)), ", "))
		}
		if len(members) > 0 {
			byUse(members, known)
			waves = append(waves, wave(name, members, set.Gate))
		}
	}
	if len(last) > 0 {
		waves = append(waves, wave(LastWave, last, set.Gate))
	}
	return waves[old:], nil
}

func wave(name string, members []Cutover, g Gate) Wave {
	for i := range members {
		members[i].Wave = name
	}
	return Wave{Name: name, Gate: g, Cutovers: members}
}

// pins tells each pinned domain's wave.
func pins(set Settings) (map[string]string, error) {
	out := map[string]string{}
	for w, names := range set.Pin {
		if n, ok := strings.CutPrefix(w, "wave-"); w != FirstWave && w != LastWave {
			if i, err := strconv.Atoi(n); !ok || err != nil || i < 2 || i > 10000 {
				return nil, fmt.Errorf(`waves.pin: wave %q: expected "pilot", "last" or "wave-N" with N from 2`, w)
			}
		}
		for _, d := range names {
			if o, twice := out[d]; twice && o != w {
				return nil, fmt.Errorf("waves.pin: %s is pinned to %s and to %s", rrset.Bare(d), o, w)
			}
			out[d] = w
		}
	}
	return out, nil
}
