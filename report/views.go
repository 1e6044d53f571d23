package report

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"mxcutover/plan"
	"mxcutover/rrset"
)

// leadsTo says where a domain's mail leads, and where in other views, if that is
// elsewhere, or the old server.
func leadsTo(d plan.Domain) string {
	out := string(d.PointsTo)
	if d.View != "" {
		out = d.View + ": " + out
	}
	for _, e := range d.Elsewhere {
		if e.PointsTo != d.PointsTo || e.ToOld() {
			out += "; " + e.View + ": " + string(e.PointsTo)
		}
	}
	return out
}

// disparities writes what differs between views, what matters first.
func (p Printer) disparities(w io.Writer, inv plan.Inventory) {
	if len(inv.Views) < 2 {
		return
	}
	rows := [][]string{{"NAME", "DIFFERS IN", strings.ToUpper(inv.Views[0]), "VIEW", "THERE", "WHY"}}
	minor := 0
	for _, wanted := range []bool{false, true} {
		for _, x := range inv.Disparities {
			if x.Minor != wanted {
				continue
			}
			kind := string(x.Kind)
			if x.Minor {
				kind += " (minor)"
				minor++
			}
			rows = append(rows, []string{rrset.Bare(x.Name), kind, plan.Side(x.Here), x.View, plan.Side(x.There), x.Why})
		}
	}
	if len(rows) > 1 {
		fmt.Fprintln(w)
		table(w, rows)
	}
	fmt.Fprintf(w, "view %s, in which domains move, beside %s: %d differences, %d of them minor\n",
		Harmless(inv.Views[0]), Harmless(strings.Join(inv.Views[1:], ", ")), len(inv.Disparities), minor)
	for _, v := range inv.Views[1:] {
		if n := toOldIn(inv, v); n > 0 {
			fmt.Fprintf(w, "%s in view %s %d names lead to the old server, and this migration does not move them there: it cannot be closed before somebody does\n",
				p.paint(Wary, p.Symbol(Wary)), Harmless(v), n)
		}
	}
}

// toOldIn counts the names that lead to the old server in a view in which nothing moves.
func toOldIn(inv plan.Inventory, view string) (n int) {
	for _, d := range inv.Domains {
		here := d.View == view && d.PointsTo.Old()
		if here || slices.ContainsFunc(d.Elsewhere, func(e plan.Elsewhere) bool { return e.View == view && e.ToOld() }) {
			n++
		}
	}
	return n
}

// savedView is where a domain leads in another view, as the inventory's JSON has it.
type savedView struct {
	View     string        `json:"view"`
	Zone     string        `json:"zone"` // "" = it was asked for by DNS alone
	Provider string        `json:"provider"`
	MX       []savedMX     `json:"mx"`
	TTL      uint32        `json:"ttl"`
	PointsTo plan.PointsTo `json:"points_to"`
	Why      string        `json:"why"`
}

// savedDisparity is what differs between views, as the inventory's JSON has it.
type savedDisparity struct {
	Name  string             `json:"name"`
	View  string             `json:"view"`
	What  plan.DisparityKind `json:"what"`
	Minor bool               `json:"minor"`
	Here  []string           `json:"here"`
	There []string           `json:"there"`
	Why   string             `json:"why"`
}

func savedViews(d plan.Domain) (out []savedView) {
	for _, e := range d.Elsewhere {
		s := savedView{View: e.View, Provider: e.Provider, MX: savedMXs(e.MX), TTL: e.MX.TTL, PointsTo: e.PointsTo, Why: e.Why}
		if e.Zone != "" {
			s.Zone = rrset.Bare(e.Zone)
		}
		out = append(out, s)
	}
	return out
}

func savedDisparities(inv plan.Inventory) (out []savedDisparity) {
	for _, x := range inv.Disparities {
		out = append(out, savedDisparity{
			Name: rrset.Bare(x.Name), View: x.View, What: x.Kind, Minor: x.Minor, Here: list(x.Here), There: list(x.There), Why: x.Why,
		})
	}
	return out
}

// elsewhere reads a view's part of a domain.
func (s savedView) elsewhere(name string) (e plan.Elsewhere, err error) {
	e = plan.Elsewhere{View: s.View, Provider: s.Provider, PointsTo: s.PointsTo, Why: s.Why}
	if e.Zone, err = readZone(s.Zone); err != nil {
		return e, err
	}
	e.MX, err = readMX(name, s.TTL, s.MX)
	return e, err
}

// viewCells are the columns of a CSV about other views: the one that alone has a
// domain, where it leads in others, and what differs there.
func viewCells(d plan.Domain, differs map[string][]string) []string {
	var others []string
	for _, e := range d.Elsewhere {
		others = append(others, e.View+": "+string(e.PointsTo))
	}
	return []string{d.View, strings.Join(others, "; "), strings.Join(differs[d.Name], "; ")}
}

// disparityCells are what differs at each name, in short.
func disparityCells(inv plan.Inventory) map[string][]string {
	out := map[string][]string{}
	for _, x := range inv.Disparities {
		kind := string(x.Kind)
		if x.Minor {
			kind += " (minor)"
		}
		out[x.Name] = append(out[x.Name], x.View+" "+kind+": "+plan.Side(x.There))
	}
	return out
}

// hostRows are those of hosts that differ, and that are no domains themselves.
func hostRows(inv plan.Inventory, differs map[string][]string) (rows [][]string) {
	told := make(map[string]bool, len(inv.Domains))
	for _, d := range inv.Domains {
		told[d.Name] = true
	}
	for _, x := range inv.Disparities {
		if !told[x.Name] {
			told[x.Name] = true
			rows = append(rows, []string{
				rrset.Bare(x.Name), "", "", "-", "", "", "", "-", "mail leads to this host; " + plan.Side(x.Here), "", "", strings.Join(differs[x.Name], "; "),
			})
		}
	}
	return rows
}
