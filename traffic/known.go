package traffic

import "strings"

// Known is what a plan and its journal know of names; its Look serves [Stragglers].
// All names are lower case, without a final dot.
type Known struct {
	Names map[string]Name // wildcards as "*.example.org"
	Zones map[string]bool // what lies in one of these and is none of Names is unplanned
}

// Look finds a name: itself, or the closest wildcard above it, or the zone.
func (k Known) Look(name string) Name {
	if n, ok := k.Names[name]; ok {
		return n
	}
	in := k.Zones[name]
	for up := name; ; {
		_, rest, ok := strings.Cut(up, ".")
		if !ok {
			break
		}
		up = rest
		if n, ok := k.Names["*."+up]; ok {
			return n
		}
		in = in || k.Zones[up]
	}
	if in {
		return Name{Domain: name, Standing: Unplanned}
	}
	return Name{Domain: name}
}
