package plan

import (
	"cmp"
	"slices"
	"strings"

	"mxcutover/rrset"
)

// A Difference is what became of one name between two inventories.
type Difference struct {
	Kind   DifferenceKind
	Before Domain   // zero if it is added
	After  Domain   // zero if it is removed
	What   []string // of what is changed: mx, ttl, points_to, zone, provider, blocked, views
}

// Name is whose difference it is.
func (d Difference) Name() string { return cmp.Or(d.After.Name, d.Before.Name) }

// A DifferenceKind is what became of a name.
type DifferenceKind string

// The kinds. What the migration itself wrote is told apart, so that somebody who
// watches for surprises is not woken by it.
const (
	Added   DifferenceKind = "added"
	Removed DifferenceKind = "removed"
	Changed DifferenceKind = "changed"
	Ours    DifferenceKind = "planned" // its records are as a step of the plan writes them
)

// Diff compares two inventories, in the order of names. p is the plan that is being
// carried out; the zero plan if none is.
func Diff(before, after Inventory, p Plan) (out []Difference) {
	written := map[string][]rrset.Set{}
	for c := range p.each() {
		for _, s := range c.Steps {
			if s.Change != nil && s.Kind != WriteCompanion {
				written[c.Domain] = append(written[c.Domain], s.Change.After)
			}
		}
	}
	old := byName(before.Domains)
	var fresh []*Domain
	compare := func(was, is *Domain) {
		what := changes(was, is)
		if len(what) == 0 {
			return
		}
		kind := Changed
		sameMX := func(s rrset.Set) bool { return s.Equal(is.MX) }
		back := was.PointsTo == ToNew && is.PointsTo != ToNew // by us or by somebody else: it is told
		ours := !slices.ContainsFunc(what, func(w string) bool { return w != "mx" && w != "ttl" && w != "points_to" })
		if ours && !back && slices.ContainsFunc(written[is.Name], sameMX) {
			kind = Ours
		}
		out = append(out, Difference{Kind: kind, Before: *was, After: *is, What: what})
	}
	for i := range after.Domains { // those in the same place first
		is := &after.Domains[i]
		if was := old.take(is.Name, func(d *Domain) bool { return d.Zone == is.Zone && d.Provider == is.Provider }); was != nil {
			compare(was, is)
		} else {
			fresh = append(fresh, is)
		}
	}
	for _, is := range fresh {
		if was := old.take(is.Name, func(*Domain) bool { return true }); was != nil {
			compare(was, is)
		} else {
			out = append(out, Difference{Kind: Added, After: *is})
		}
	}
	for _, d := range old.all {
		if d != nil {
			out = append(out, Difference{Kind: Removed, Before: *d})
		}
	}
	slices.SortStableFunc(out, func(a, b Difference) int {
		return cmp.Or(strings.Compare(a.Name(), b.Name()), strings.Compare(a.Before.Zone, b.Before.Zone), strings.Compare(a.Before.Provider, b.Before.Provider))
	})
	return out
}

// namedDomains are domains by their names; nil is one that was taken.
type namedDomains struct {
	all   []*Domain
	first map[string]int32
}

func byName(domains []Domain) namedDomains {
	n := namedDomains{all: make([]*Domain, len(domains)), first: make(map[string]int32, len(domains))}
	for i := range domains {
		n.all[i] = &domains[i]
	}
	slices.SortStableFunc(n.all, func(a, b *Domain) int { return strings.Compare(a.Name, b.Name) })
	for i, d := range slices.Backward(n.all) {
		n.first[d.Name] = int32(i)
	}
	return n
}

// take takes the first of a name that fits.
func (n namedDomains) take(name string, fits func(*Domain) bool) *Domain {
	i, ok := n.first[name]
	for ; ok && int(i) < len(n.all); i++ {
		d := n.all[i]
		if d == nil {
			continue
		}
		if d.Name != name {
			break
		}
		if fits(d) {
			n.all[i] = nil
			return d
		}
	}
	return nil
}

func sameElsewhere(a, b Elsewhere) bool {
	return a.View == b.View && a.PointsTo == b.PointsTo && slices.Equal(a.MX.Data, b.MX.Data)
}

// changes names what differs. Messages come and go, and are no change; nor is a TTL
// that a resolver counts down.
func changes(was, is *Domain) (what []string) {
	for _, c := range []struct {
		name string
		same bool
	}{
		{"mx", slices.Equal(was.MX.Data, is.MX.Data)},
		{"ttl", was.MX.TTL == is.MX.TTL || was.Source != FromZone || is.Source != FromZone},
		{"points_to", was.PointsTo == is.PointsTo},
		{"zone", was.Zone == is.Zone},
		{"provider", was.Provider == is.Provider},
		{"blocked", was.Blocked == is.Blocked},
		{"views", was.View == is.View && slices.EqualFunc(was.Elsewhere, is.Elsewhere, sameElsewhere)},
	} {
		if !c.same {
			what = append(what, c.name)
		}
	}
	return what
}
