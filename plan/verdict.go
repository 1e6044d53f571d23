package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"mxcutover/rrset"
)

// A Verdict says whether the plan moves a name, and why not.
type Verdict struct {
	Wave     string // "" = it is left
	Question bool   // a person must decide first
	Reason   string // why it is left
}

// String is the wave's name, "question" or "left".
func (v Verdict) String() string {
	switch {
	case v.Wave != "":
		return v.Wave
	case v.Question:
		return "question"
	}
	return "left"
}

// Verdicts tell of every name that a plan knows. A name that stands in several
// zones has one.
func (p Plan) Verdicts() map[string]Verdict { return p.Draft().Verdicts() }

// Verdicts tell what [Plan.Verdicts] tell.
func (d *Draft) Verdicts() map[string]Verdict {
	out := make(map[string]Verdict, len(d.head.Left))
	for _, l := range d.head.Left {
		if v, ok := out[l.Domain]; !ok || l.Question && !v.Question {
			out[l.Domain] = Verdict{Question: l.Question, Reason: l.Reason}
		}
	}
	for _, w := range d.waves() {
		for u := range w.uses {
			out[u.domain] = Verdict{Wave: w.name}
		}
	}
	return out
}

// Explain tells all that is known of one name, line by line: where it stands, where
// its mail goes and how that was found, whether the plan moves it, and why it is in
// the plan or not. zones are those that were read.
func Explain(name string, zones []Zone, inv Inventory, d *Draft) (lines []string) {
	say := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	known := false
	for _, x := range inv.Domains {
		if x.Name != name {
			continue
		}
		known = true
		if x.Zone == "" {
			say("it stands in no zone of ours; it was %s", cmp.Or(map[Source]string{FromList: "listed", FromMail: "seen to receive mail"}[x.Source], "named"))
		} else {
			say("it stands in zone %s at %s%s", rrset.Bare(x.Zone), x.Provider, inView(x.View))
		}
		if x.MX.Absent() {
			say("it has no MX")
		} else {
			say("its MX: %s (TTL %d)", strings.Join(x.MX.Data, ", "), x.MX.TTL)
		}
		say("it leads to %s: %s", x.PointsTo, x.Why)
		say("messages counted: %d", x.Messages)
		for _, e := range x.Elsewhere {
			mx := "no MX"
			if !e.MX.Absent() {
				mx = fmt.Sprintf("MX %s (TTL %d)", strings.Join(e.MX.Data, ", "), e.MX.TTL)
			}
			say("in view %s it has %s, and leads to %s: %s", e.View, mx, e.PointsTo, e.Why)
		}
	}
	if !known {
		lines = append(lines, absent(name, zones, inv)...)
	}
	for _, x := range inv.Disparities {
		if x.Name != name {
			continue
		}
		minor := ""
		if x.Minor {
			minor = ", which is minor"
		}
		say("views %s and %s differ in %s%s: %s and %s: %s", inv.Views[0], x.View, x.Kind, minor, Side(x.Here), Side(x.There), x.Why)
	}
	switch v, ok := d.Verdicts()[name]; {
	case !ok:
		say("so the plan does not have it")
	case v.Wave != "":
		say("the plan moves it, in wave %s", v.Wave)
		if c, ok := d.cutover(name); ok {
			say("to: %s", strings.Join(c.After().Data, ", "))
			for _, t := range c.AllTraits() {
				say("trait: %s", t)
			}
		}
	case v.Question:
		say("the plan does not move it before you decide: %s", v.Reason)
	default:
		say("the plan leaves it: %s", v.Reason)
	}
	return lines
}

// inView goes after a place, if that is in a view in which nothing moves.
func inView(view string) string {
	if view == "" {
		return ""
	}
	return ", in view " + view + " alone"
}

// absent tells why a name is not in an inventory.
func absent(name string, zones []Zone, inv Inventory) (lines []string) {
	say := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	for _, d := range inv.Delegated {
		if rrset.Below(name, d.Name) {
			say("it is at or below %s, which zone %s delegates to another zone; that is not listed under providers, so nothing in it is known", rrset.Bare(d.Name), rrset.Bare(d.Zone))
			return lines
		}
	}
	i := -1
	for k, z := range zones {
		if rrset.Below(name, z.Name) && (i < 0 || len(z.Name) > len(zones[i].Name)) {
			i = k
		}
	}
	if i < 0 {
		say("no zone that is listed under providers has it")
		return lines
	}
	z := zones[i]
	var types []string
	for _, s := range z.Sets {
		if s.Name == name {
			types = append(types, s.Type)
		}
	}
	if len(types) > 0 {
		slices.Sort(types)
		say("it is in zone %s at %s, with %s, but with no MX, and with no address of the old server: it receives no mail there", rrset.Bare(z.Name), z.Provider, strings.Join(types, ", "))
		return lines
	}
	say("zone %s at %s has no such name", rrset.Bare(z.Name), z.Provider)
	for n := name; n != z.Name; n = rrset.Parent(n) {
		wild := "*." + rrset.Parent(n)
		if slices.ContainsFunc(inv.Domains, func(d Domain) bool { return d.Name == wild && d.Zone == z.Name }) {
			say("its mail follows the wildcard %s, unless a name between hides that (RFC 4592); look at: mxcutover inventory --explain '%s'", rrset.Bare(wild), rrset.Bare(wild))
			break
		}
	}
	return lines
}
