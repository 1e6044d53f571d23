package firewall

import (
	"fmt"
	"net/netip"
	"slices"
)

// Difference is what would change if rules took the place of others, one line each:
// "+" comes, "-" goes. Nothing = they are the same.
func Difference(have, want Rules) (lines []string) {
	have, want = have.canonical(), want.canonical()
	if len(have.Ports) == 0 && len(want.Ports) == 0 {
		return nil // both are open, whatever else they say
	}
	each := func(sign, what string, all, not []string) {
		for _, x := range all {
			if !slices.Contains(not, x) {
				lines = append(lines, sign+" "+what+" "+x)
			}
		}
	}
	hp, wp := words(have.Ports), words(want.Ports)
	each("-", "closed port", hp, wp)
	each("+", "closed port", wp, hp)
	ht, wt := prefixes(have.Trust), prefixes(want.Trust)
	each("-", "trusted network", ht, wt)
	each("+", "trusted network", wt, ht)
	if have.Action != want.Action && len(have.Ports) > 0 && len(want.Ports) > 0 {
		lines = append(lines, "- action "+string(have.Action), "+ action "+string(want.Action))
	}
	return lines
}

func words(ports []uint16) (out []string) {
	for _, p := range ports {
		out = append(out, fmt.Sprint(p))
	}
	return out
}

func prefixes(all []netip.Prefix) (out []string) {
	for _, p := range all {
		out = append(out, p.String())
	}
	return out
}
