package tui

import (
	"fmt"
	"sort"
	"strings"

	"github.com/charmbracelet/x/ansi"

	"mxcutover/plan"
	"mxcutover/report"
	"mxcutover/rrset"
)

// planContent is the plan: what each wave carries, what is left with its questions,
// and each domain's change. Its lines are found by counting: there may be very many.
func (m *model) planContent() content {
	head := m.planHead()
	first := make([]int, len(m.plan.Waves)) // the line of each wave's title
	n := len(head)
	for i, w := range m.plan.Waves {
		first[i] = n
		n += 1 + len(w.Cutovers)
	}
	c := content{n: n, picks: true, line: func(i int) string {
		if i < len(head) {
			return head[i]
		}
		w := sort.SearchInts(first, i+1) - 1
		if i == first[w] {
			return m.planWave(w)
		}
		return m.planDomain(&m.plan.Waves[w].Cutovers[i-first[w]-1])
	}}
	c.title = fmt.Sprintf("Plan %.12s of %s", m.plan.ID, m.plan.Made.UTC().Format("2006-01-02 15:04Z"))
	if m.width < 100 {
		c.title = fmt.Sprintf("Plan %.12s", m.plan.ID)
	}
	c.end = fmt.Sprintf("%s in %s, %s left", report.Counted(len(m.status().Domains), "domain"), report.Counted(len(m.plan.Waves), "wave"), report.Number(len(m.plan.Left)))
	c.keys = "esc back  enter its domain  / search  n next  arrows sideways  y copy  ? help"
	if !m.begun() {
		c.keys = "B begin  enter its domain  / search  n next  y copy  q leave  ? help"
	}
	if i := m.at[planned].cursor; i >= 0 && i < n {
		c.under = m.planUnder(i, first, len(head), c.line(i))
	}
	return c
}

// planHead is what comes before the waves.
func (m *model) planHead() []string {
	loads, counted := m.loads, m.counted
	what := "of all mail that was counted"
	if !counted {
		what = "of the domains, since no mail was counted"
	}
	var out []string
	sum := 0.0
	for i, l := range loads {
		sum += l.Share
		out = append(out, fmt.Sprintf("%s %s %8s domains %12s messages %5.1f%% %s", m.mark(report.ToneOf(m.status().Waves[min(i, len(m.status().Waves)-1)].State)),
			m.pad(report.Harmless(l.Wave), 10), report.Number(l.Domains), report.Number(int(l.Messages)), 100*l.Share, m.p.Bar(l.Share, max(min(m.width-66, 30), 0)))) //nolint:gosec // a count of messages
	}
	if len(out) > 0 {
		out = append(out, m.style.dim.Render("  shares "+what))
	}
	for _, f := range m.plan.Findings {
		if f.Severity != plan.Pass {
			t := report.ToneOfSeverity(f.Severity)
			out = append(out, wrapped(m.painted(t, fmt.Sprintf("%s %s %s: %s", m.p.Symbol(t), report.Harmless(f.Check), name(f.Target), report.Harmless(f.Detail))), m.width-2, "  ")...)
		}
	}
	for _, l := range m.plan.Left {
		t, word := report.Quiet, "left as it is"
		if l.Question {
			t, word = report.Wary, "a question for you"
		}
		out = append(out, m.mark(t)+" "+m.painted(t, fmt.Sprintf("%s (%s), %s: %s", name(l.Domain), l.PointsTo, word, report.Harmless(l.Reason))))
	}
	if ports := m.portsToClose(); ports != "" {
		out = append(out, m.style.dim.Render("  then "+ports+" of the old server is closed to all but trusted networks"))
	}
	return out
}

// portsToClose are the ports that isolation closes, set by set.
func (m *model) portsToClose() string {
	var sets []string
	for _, s := range m.plan.Isolate {
		if s.Kind == plan.Arm {
			sets = append(sets, "port "+strings.Trim(strings.ReplaceAll(fmt.Sprint(s.Ports), " ", ", "), "[]"))
		}
	}
	return strings.Join(sets, ", then ")
}

func (m *model) planWave(i int) string {
	w := &m.plan.Waves[i]
	return m.style.hd.Render(fmt.Sprintf("%s: %s", report.Harmless(w.Name), report.Counted(len(w.Cutovers), "domain"))) + m.style.dim.Render("  "+report.GateWords(w.Gate))
}

func (m *model) planDomain(c *plan.Cutover) string {
	more := ""
	if n := len(c.Companions()); n > 0 {
		more = "  and " + report.Counted(n, "other record")
	}
	arrow := "→"
	if m.p.ASCII {
		arrow = "->"
	}
	set := inShort
	if m.width < 100 {
		set = hosts
	}
	return fmt.Sprintf("  %s %s %s %s%s", m.pad(name(c.Domain), max(min(m.width/3, 34), 18)), m.style.dim.Render(report.Harmless(set(c.Before()))), arrow,
		m.painted(report.Good, report.Harmless(set(c.After()))), m.style.dim.Render(more))
}

// hosts are those of an MX RRset, without preferences.
func hosts(s rrset.Set) string {
	var out []string
	for _, d := range s.Data {
		_, host, found := strings.Cut(d, " ")
		if !found {
			return inShort(s)
		}
		out = append(out, rrset.Bare(host))
	}
	if s.Absent() {
		return inShort(s)
	}
	return strings.Join(out, ", ")
}

// inShort is a RRset on one line.
func inShort(s rrset.Set) string {
	if s.Absent() {
		return s.InLine()
	}
	return fmt.Sprintf("%s TTL %d", s.InLine(), s.TTL)
}

// planUnder is the whole change of the chosen domain, or the whole of a long line of
// the head.
func (m *model) planUnder(i int, first []int, head int, line string) []string {
	room := max(min((m.height-6)/3, 7), 1)
	if i < head && ansi.StringWidth(line) > m.width-1 { // it has no room
		return append([]string{m.rule("", "")}, fill(wrapped(" "+line, m.width-1, "   "), room)...)
	}
	if i < head || len(first) == 0 {
		return nil
	}
	w := sort.SearchInts(first, i+1) - 1
	if i == first[w] {
		return nil
	}
	c := &m.plan.Waves[w].Cutovers[i-first[w]-1]
	out := []string{m.rule(name(c.Domain), fmt.Sprintf("zone %s at %s, %s messages", report.Harmless(c.Zone), report.Harmless(c.Provider), report.Number(int(c.Messages))))} //nolint:gosec // a count of messages
	lines := m.paintDiff(m.p.Diff(c.Before(), c.After(), "   "))
	for _, s := range c.Companions() {
		lines = append(lines, m.style.dim.Render("   and, at "+report.Harmless(s.Provider)+": "+report.Harmless(s.Why)))
		lines = append(lines, m.paintDiff(m.p.Diff(s.Change.Before, s.Change.After, "   "))...)
	}
	return append(out, fill(lines, room)...)
}

// openPlanned goes to the domain of the chosen line.
func (m *model) openPlanned() {
	i := m.at[planned].cursor - len(m.planHead())
	for _, w := range m.plan.Waves {
		if i--; i >= 0 && i < len(w.Cutovers) {
			m.openDomain(w.Cutovers[i].Domain)
			return
		}
		i -= len(w.Cutovers)
	}
}
