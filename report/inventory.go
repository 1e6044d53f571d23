package report

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"mxcutover/plan"
	"mxcutover/rrset"
)

// Inventory writes the table of names that receive mail; with verdicts, whether the
// plan moves them, and why not. No verdicts: no plan could be made.
func (p Printer) Inventory(w io.Writer, inv plan.Inventory, verdicts map[string]plan.Verdict) error {
	b := bufio.NewWriter(w)
	tableOf(b, func(yield func([]string) bool) {
		if !yield([]string{"DOMAIN", "LEADS TO", "TTL", "MESSAGES", "MX", "PLAN", "WHY"}) {
			return
		}
		row := make([]string, 7)
		for i := range inv.Domains {
			d := &inv.Domains[i]
			mx, ttl := strings.Join(d.MX.Data, ", "), strconv.FormatUint(uint64(d.MX.TTL), 10)
			if d.MX.Absent() {
				mx, ttl = "-", "-"
			}
			moves, why := judged(d, verdicts)
			row = append(row[:0], rrset.Bare(d.Name), leadsTo(*d), ttl, strconv.FormatUint(d.Messages, 10), mx, moves, why)
			if !yield(row) {
				return
			}
		}
	})
	count := map[plan.PointsTo]int{}
	for i := range inv.Domains {
		count[inv.Domains[i].PointsTo]++
	}
	fmt.Fprintf(b, "%d names:", len(inv.Domains))
	for _, k := range []plan.PointsTo{plan.ToOld, plan.ToImplicit, plan.ToBoth, plan.ToNew, plan.ToOther, plan.ToNull, plan.ToUnknown} {
		if count[k] > 0 {
			fmt.Fprintf(b, " %d %s", count[k], k)
		}
	}
	fmt.Fprintln(b)
	for _, d := range inv.Delegated {
		in := ""
		if d.View != "" {
			in = " in view " + Harmless(d.View)
		}
		fmt.Fprintf(b, "not known: %s and below, which zone %s delegates%s; list that zone under providers, if it is yours\n", Harmless(rrset.Bare(d.Name)), Harmless(rrset.Bare(d.Zone)), in)
	}
	p.disparities(b, inv)
	return b.Flush()
}

// judged are a domain's wave, or that it is left, and why: in the plan or not.
func judged(d *plan.Domain, verdicts map[string]plan.Verdict) (moves, why string) {
	v, ok := verdicts[d.Name]
	if !ok {
		return "-", cmp.Or(d.Blocked, d.Why)
	}
	return v.String(), cmp.Or(v.Reason, d.Blocked, d.Why)
}

// Differences writes what differs between two inventories.
func (p Printer) Differences(w io.Writer, found []plan.Difference) error {
	b := bufio.NewWriter(w)
	count := map[plan.DifferenceKind]int{}
	for _, d := range found {
		count[d.Kind]++
		mark := map[plan.DifferenceKind]string{plan.Added: "+", plan.Removed: "-", plan.Changed: "~", plan.Ours: p.Symbol(Good)}[d.Kind]
		fmt.Fprintf(b, "%s %s (%s): %s\n", mark, Harmless(rrset.Bare(d.Name())), d.Kind, Harmless(differs(d)))
	}
	fmt.Fprintf(b, "%d added, %d removed, %d changed, %d as the plan writes them\n", count[plan.Added], count[plan.Removed], count[plan.Changed], count[plan.Ours])
	return b.Flush()
}

func differs(d plan.Difference) string {
	tell := func(x plan.Domain) string {
		mx := "no MX"
		if !x.MX.Absent() {
			mx = strings.Join(x.MX.Data, ", ") + fmt.Sprintf(" (TTL %d)", x.MX.TTL)
		}
		return string(x.PointsTo) + ", " + mx
	}
	switch d.Kind {
	case plan.Added:
		return tell(d.After) + where(d.After)
	case plan.Removed:
		return tell(d.Before) + where(d.Before)
	}
	text := strings.Join(d.What, ", ") + ": " + tell(d.Before) + " -> " + tell(d.After)
	if slices.Contains(d.What, "zone") || slices.Contains(d.What, "provider") {
		text += "; was" + where(d.Before) + ", is" + where(d.After)
	}
	if slices.Contains(d.What, "blocked") {
		text += "; " + cmp.Or(d.After.Blocked, "nothing is in its way any more")
	}
	return text
}

func where(d plan.Domain) string {
	if d.Zone == "" {
		return " in no zone of ours"
	}
	return " in zone " + rrset.Bare(d.Zone) + " at " + d.Provider
}
