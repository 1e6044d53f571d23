package plan

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"mxcutover/rrset"
)

// byUse sorts movers, the least used first; see [use.compare].
func byUse(movers []mover, known bool) {
	slices.SortStableFunc(movers, func(a, b mover) int { return a.use().compare(b.use(), known) })
}

// counted tells whether mail was counted for any.
func counted(movers []mover) bool {
	return slices.ContainsFunc(movers, func(m mover) bool { return m.Messages > 0 })
}

// divide puts cutovers into waves: pins where they belong, then canaries, then the
// least used first; First in the first wave, then Growth times as many, never more
// than Max. The waves come after those that there are already; what these show
// needs no canary.
func divide(all []mover, set Settings, have []Wave) ([]draftWave, error) {
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
	byWave := map[string][]mover{}
	free := make([]mover, 0, len(sorted))
	for _, m := range sorted {
		if w, ok := pinned[m.Name]; ok {
			byWave[w] = append(byWave[w], m)
			delete(pinned, m.Name)
		} else {
			free = append(free, m)
		}
	}
	if len(pinned) > 0 {
		return nil, fmt.Errorf("waves.pin: %s: the plan moves no such domain; see: mxcutover inventory", rrset.Bare(slices.Min(slices.Collect(maps.Keys(pinned)))))
	}
	met := map[Trait]bool{}
	names := namesOf(have)
	for _, m := range byWave[nameOfWave(names)] {
		for _, t := range m.traits() {
			met[t] = true
		}
	}
	for c := range (Plan{Waves: have}).each() {
		for _, t := range c.AllTraits() {
			met[t] = true
		}
	}
	free = canariesFirst(free, met, known)
	last := byWave[LastWave]
	delete(byWave, LastWave)
	var waves []draftWave
	add := func(name string, members []mover) {
		names, waves = append(names, name), append(waves, draftWave{name, members})
	}
	for size := float64(max(set.First, 1)); len(free) > 0 || len(byWave) > 0; size *= max(set.Growth, 1) {
		name := nameOfWave(names)
		members := byWave[name]
		delete(byWave, name)
		room := int(math.Ceil(min(size, float64(max(set.Max, 1))))) - len(members)
		n := min(max(room, 0), len(free))
		members = append(members, free[:n]...)
		free = free[n:]
		if len(members) == 0 && len(free) == 0 {
			return nil, fmt.Errorf("waves.pin: there are only %d waves besides %q: no wave %s", len(names), LastWave, strings.Join(slices.Sorted(maps.Keys(byWave)), ", "))
		}
		if len(members) > 0 {
			byUse(members, known)
			add(name, members)
		}
	}
	if len(last) > 0 {
		add(LastWave, last)
	}
	return waves, nil
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
