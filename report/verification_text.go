package report

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/charmbracelet/x/ansi"

	"mxcutover/plan"
)

// manyPassed is how many passed findings are shown one by one without being
// asked for.
const manyPassed = 200

// Verification writes findings for a terminal: by severity, the bad ones first,
// what is said of several targets once, and the summary last, where the eye is
// when it scrolls. Of many passed findings it counts, unless all are asked for.
func (p Printer) Verification(w io.Writer, v Verification, all bool) error {
	b := bufio.NewWriter(w)
	tally := Count(v.Findings)
	for _, s := range severities {
		n := tally.Of(s)
		if n == 0 || s == plan.Pass && v.Brief {
			continue
		}
		t := severityTone(s)
		fmt.Fprintf(b, "%s\n", p.paint(t, fmt.Sprintf("%s %s: %s", p.Symbol(t), severityWords(s), number(n))))
		if s == plan.Pass && n > manyPassed && !all {
			p.passed(b, v.Findings)
			continue
		}
		for _, g := range groups(v.Findings) {
			if severityOrder(g.severity) == severityOrder(s) {
				p.group(b, g)
			}
		}
	}
	if ids := mendable(v.Findings); len(ids) > 0 {
		fmt.Fprintf(b, "  what these ask, and how to mend it: mxcutover checks %s\n", strings.Join(ids, " "))
	}
	if left := v.leftWords(); left != "" {
		fmt.Fprintf(b, "%s %s\n", p.Symbol(Quiet), left)
	}
	for _, l := range v.notAsked() {
		fmt.Fprintf(b, "%s %s not asked, for want of %s\n", p.Symbol(Quiet), Pad(Harmless(l.Check), 15), Harmless(l.Lacks))
	}
	fmt.Fprintln(b, tally)
	return b.Flush()
}

// mostMendable is how many checks are named that have a page to read.
const mostMendable = 6

// mendable are the checks that did not pass, the worst first.
func mendable(found []Found) (ids []string) {
	for _, f := range found {
		if f.Severity != plan.Pass && len(ids) < mostMendable && !slices.Contains(ids, Quote(f.Check)) {
			ids = append(ids, Quote(f.Check))
		}
	}
	return ids
}

// mostTargets is how many targets of one group are named.
const mostTargets = 8

func (p Printer) group(w io.Writer, g group) {
	from := ""
	if g.vantage != "" {
		from = " (from " + Harmless(g.vantage) + ")" // apart from the words, which may end in anything
	}
	fmt.Fprintf(w, "    %s %s: %s%s\n", checkColumn(g.check), g.who(mostTargets), Harmless(g.detail), from)
}

// checkColumn is a check's name, never cut: it is what a person types after
// "mxcutover checks".
func checkColumn(id string) string {
	id = Harmless(id)
	return Pad(id, max(15, ansi.StringWidth(id)))
}

// passed counts passed findings by check.
func (p Printer) passed(w io.Writer, found []Found) {
	n := map[string]int{}
	for _, f := range found {
		if f.Severity == plan.Pass {
			n[f.Check]++
		}
	}
	var ids []string
	for id := range n {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		fmt.Fprintf(w, "    %s %s\n", checkColumn(id), number(n[id]))
	}
	fmt.Fprintf(w, "    each of them: the same command with --all\n")
}
