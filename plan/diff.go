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
	for _, c := range p.Cutovers() {
		for _, s := range c.Steps {
			if s.Change != nil && s.Kind != WriteCompanion {
				written[c.Domain] = append(written[c.Domain], s.Change.After)
			}
		}
	}
	old := map[string][]Domain{}
	for _, d := range before.Domains {
		old[d.Name] = append(old[d.Name], d)
	}
	var fresh []Domain
	compare := func(was, is Domain) {
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
		out = append(out, Difference{Kind: kind, Before: was, After: is, What: what})
	}
	for _, is := range after.Domains { // those in the same place first
		i := slices.IndexFunc(old[is.Name], func(d Domain) bool { return d.Zone == is.Zone && d.Provider == is.Provider })
		if i < 0 {
			fresh = append(fresh, is)
			continue
		}
		compare(old[is.Name][i], is)
		old[is.Name] = slices.Delete(old[is.Name], i, i+1)
	}
	for _, is := range fresh {
		if rest := old[is.Name]; len(rest) > 0 {
			compare(rest[0], is)
			old[is.Name] = rest[1:]
			continue
		}
		out = append(out, Difference{Kind: Added, After: is})
	}
	for _, rest := range old {
		for _, d := range rest {
			out = append(out, Difference{Kind: Removed, Before: d})
		}
	}
	slices.SortStableFunc(out, func(a, b Difference) int {
		return cmp.Or(strings.Compare(a.Name(), b.Name()), strings.Compare(a.Before.Zone, b.Before.Zone), strings.Compare(a.Before.Provider, b.Before.Provider))
	})
	return out
}

func sameElsewhere(a, b Elsewhere) bool {
	return a.View == b.View && a.PointsTo == b.PointsTo && slices.Equal(a.MX.Data, b.MX.Data)
}

// changes names what differs. Messages come and go, and are no change; nor is a TTL
// that a resolver counts down.
func changes(was, is Domain) (what []string) {
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
