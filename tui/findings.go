package tui

import (
	"fmt"
	"slices"
	"strings"

	"mxcutover/plan"
	"mxcutover/report"
	"mxcutover/rrset"
)

// A foundList is the last findings of the whole migration, as they were gathered.
type foundList struct {
	groups []report.Group
	shown  []int
	tally  report.Tally
	most   int // 1 = what failed, 2 = what could not be checked too, 3 = warned, 4 = all
	asOf   uint64
}

// gatherFindings takes the last findings of all domains.
func (m *model) gatherFindings() {
	all := m.fold.Findings(&m.plan)
	most := m.found.most
	if most == 0 {
		most = 3
	}
	m.found = foundList{groups: report.Groups(all), tally: report.Count(report.Gather(all)), most: most, asOf: m.status().Seq}
	m.found.choose(most)
}

// choose leaves what is at least so bad.
func (f *foundList) choose(most int) {
	f.most = most
	f.shown = f.shown[:0]
	order := []plan.Severity{plan.Fail, plan.Unknown, plan.Warn, plan.Pass}
	for i, g := range f.groups {
		if slices.Index(order, g.Severity) < most {
			f.shown = append(f.shown, i)
		}
	}
}

// parityCheck is the check of what both servers say to the same recipients.
const parityCheck = "parity"

func (m *model) findingsContent() content {
	c := content{
		n: len(m.found.shown), picks: true,
		line: func(i int) string { return m.groupLine(m.found.groups[m.found.shown[i]]) },
		keys: "esc back  1-4 failed, unknown, warned, all  enter its domain  a gather anew  / search  n next  y copy  ? help",
	}
	c.title = "Findings: " + m.found.tally.String()
	if m.found.asOf < m.status().Seq {
		c.end = m.painted(report.Wary, "there are newer events: a")
	}
	if at := m.at[findings].cursor; at >= 0 && at < c.n {
		c.under = m.groupDetails(m.found.groups[m.found.shown[at]])
	} else {
		c.under = []string{m.rule("", ""), " " + m.mark(report.Good) + " " + m.parityWords()}
	}
	return c
}

func (m *model) groupLine(g report.Group) string {
	t := report.ToneOfSeverity(g.Severity)
	return fmt.Sprintf("%s %s %s %s: %s", m.mark(t), m.painted(t, m.pad(string(g.Severity), 7)), m.pad(report.Harmless(g.Check), 14), g.Who, report.Harmless(g.Detail))
}

// groupDetails are all of a finding's words, and its targets.
func (m *model) groupDetails(g report.Group) []string {
	room := max(min((m.height-6)/3, 8), 2)
	from := "from here"
	if g.Vantage != "" {
		from = "from " + report.Harmless(g.Vantage)
	}
	out := []string{m.rule(report.Harmless(g.Check)+" "+from, "mxcutover checks "+report.Quote(g.Check))}
	var lines []string
	lines = append(lines, wrapped(" "+m.painted(report.ToneOfSeverity(g.Severity), report.Harmless(g.Detail)), m.width-1, " ")...)
	who := strings.Join(g.Targets[:min(len(g.Targets), 40)], ", ")
	lines = append(lines, wrapped(" "+report.Harmless(who), m.width-1, " ")...)
	if g.Check == parityCheck {
		lines = append(lines, " "+m.style.dim.Render(m.parityWords()))
	}
	return append(out, fill(lines, room)...)
}

// parityWords say where every recipient is compared.
func (m *model) parityWords() string {
	for _, g := range m.found.groups {
		if g.Check == parityCheck {
			return "each address that the servers judge differently: mxcutover parity --addresses FILE"
		}
	}
	return "recipients were not compared in this migration; see: mxcutover parity --help"
}

// findingsKey acts on keys that only the findings have.
func (m *model) findingsKey(k string) bool {
	switch k {
	case "1", "2", "3", "4":
		m.found.choose(int(k[0] - '0'))
	case "a":
		m.gatherFindings()
	case "enter":
		if at := m.at[findings].cursor; at >= 0 && at < len(m.found.shown) {
			for _, t := range m.found.groups[m.found.shown[at]].Targets {
				if n, err := rrset.CanonicalName(t); err == nil && m.status().Domain(n) != nil {
					m.openDomain(n)
					return true
				}
			}
			m.note = "it is about none of the plan's domains"
		}
	default:
		return false
	}
	return true
}
