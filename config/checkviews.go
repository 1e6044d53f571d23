package config

import (
	"fmt"
	"maps"
	"slices"

	"mxcutover/plan"
	"mxcutover/rrset"
)

// providers checks that each zone has one provider in each view, and lists those
// zones that may be changed.
func (k *checker) providers() map[string]bool {
	holders, moved := map[string][]string{}, map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(k.c.Providers)) {
		p, key := k.c.Providers[name], inner("providers", name)
		if !plainKey.MatchString(name) {
			k.faultOfName(key, "is no name of a provider", "write letters, digits and dashes")
		}
		if p.Settings.doc == nil {
			p.Settings = Section{doc: k.doc, key: inner(key, "settings"), place: place{
				key: k.at[key].key, value: &node{kind: mappingKind, line: k.at[key].value.line, column: k.at[key].value.column},
			}}
			k.c.Providers[name] = p
		}
		if p.Writes < 0 {
			k.fault(inner(key, "writes"), "is below 0", "write 8")
		}
		for i, z := range p.Zones {
			if ki := item(inner(key, "zones"), i); k.good(ki) && k.mayHold(holders[z], name, z, ki) {
				holders[z] = append(holders[z], name)
				moved[z] = moved[z] || !p.Compared
			}
		}
	}
	maps.DeleteFunc(moved, func(_ string, moves bool) bool { return !moves })
	return moved
}

// mayHold tells whether a provider may hold a zone that others hold: each must be of
// a view of its own, and one of them alone may be changed.
func (k *checker) mayHold(others []string, name, zone, key string) bool {
	p := k.c.Providers[name]
	for _, other := range others {
		o := k.c.Providers[other]
		var message, cure string
		switch {
		case other == name:
			message, cure = "stands twice", "delete one of the two"
		case k.bad[viewKey(name)] || k.bad[viewKey(other)]:
			return false // what its view is, is told there
		case p.View == "" || o.View == "":
			message = fmt.Sprintf("is a zone of provider %s already", other)
			cure = "leave each zone to one provider; if these are two views of it, name the view of each (view: inside), and set compare_only: true at the one that is not moved"
		case p.View == o.View:
			message = fmt.Sprintf("is a zone of provider %s already, in the same view, %.40q", other, p.View)
			cure = "leave each zone to one provider in a view"
		case !p.Compared && !o.Compared:
			message = fmt.Sprintf("is moved at provider %s already, in view %.40q; one migration moves one view", other, o.View)
			cure = "set compare_only: true at the one that is only to be compared"
		default:
			continue
		}
		k.fault(key, fmt.Sprintf("%.80q %s", rrset.Bare(zone), message), cure)
		return false
	}
	return true
}

// views checks that each view can be asked, and that one alone moves.
func (k *checker) views() {
	var known []string
	for _, r := range k.c.Resolvers { // by view
		known = append(known, r.View)
	}
	known = slices.Compact(known)
	moves, mover, compared := "", "", false
	for _, name := range slices.Sorted(maps.Keys(k.c.Providers)) {
		p, key := k.c.Providers[name], inner("providers", name)
		at := viewKey(name)
		switch {
		case k.bad[at] || k.bad[inner(key, "compare_only")]:
		case p.Compared && p.View == "":
			k.fault(inner(key, "compare_only"), "of which view is not said", "write the view that its zones are seen in, as in view: inside")
		case p.View == "":
		case !slices.Contains(known, p.View) && k.good("resolvers"):
			k.fault(at, fmt.Sprintf("%.40q is no view of resolvers, so nobody could be asked what is seen in it", p.View), fmt.Sprintf("add a resolver of it, as in resolvers: {%s: [192.0.2.53]}", viewWord(p.View)))
		case p.Compared:
			compared = true
		case moves != "" && p.View != moves:
			k.fault(at, fmt.Sprintf("%.40q is another view than that of provider %s, %.40q; one migration moves one view", p.View, mover, moves), "set compare_only: true at the one that is only to be compared, or make two migrations of it")
		default:
			moves, mover = p.View, name
		}
	}
	if !compared {
		return
	}
	if moves == "" {
		moves = k.c.MovedView()
	}
	for _, name := range slices.Sorted(maps.Keys(k.c.Providers)) {
		p, at := k.c.Providers[name], viewKey(name)
		if p.Compared && p.View == moves && !k.bad[at] {
			k.fault(at, fmt.Sprintf("%.40q is the view in which domains move, so there is nothing to compare it with", p.View), "name another view, or the view that moves at the provider whose zones are to be changed")
		}
	}
	if !slices.ContainsFunc(slices.Collect(maps.Values(k.c.Providers)), func(p Provider) bool { return !p.Compared }) {
		k.fault("providers", "are all compare_only, so no domain could be moved", "delete compare_only at the provider whose zones are to be changed")
	}
}

func viewKey(provider string) string { return inner(inner("providers", provider), "view") }

// MovedView is the view of the DNS in which domains move: the one that a provider
// names whose zones may be changed, else the public one, else the resolvers' first.
func (c *Config) MovedView() string {
	for _, p := range c.Providers {
		if !p.Compared && p.View != "" {
			return p.View // no two differ in a file that was checked
		}
	}
	if len(c.Resolvers) == 0 || slices.ContainsFunc(c.Resolvers, func(r Resolver) bool { return r.View == plan.PublicView }) {
		return plan.PublicView
	}
	return c.Resolvers[0].View
}

// viewWord is a view's name as a cure shows it.
func viewWord(view string) string {
	if plainKey.MatchString(view) {
		return view
	}
	return fmt.Sprintf("%.40q", view)
}
