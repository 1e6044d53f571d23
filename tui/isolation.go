package tui

import (
	"fmt"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"mxcutover/plan"
	"mxcutover/report"
	"mxcutover/state"
)

// A wall is what the old server's firewall answered when it was asked.
type wall struct {
	at      time.Time // zero = it was not asked
	rules   report.Rules
	refused []report.Refused
	why     string // it could not be asked
	asking  bool
}

// wallMsg is its answer.
type wallMsg wall

// askWall asks the firewall what is loaded and whom it refused, outside of Update.
func (m *model) askWall() tea.Cmd {
	if m.do.rules == nil || m.wall.asking {
		return nil
	}
	m.wall.asking = true
	rules, refused, now, stage := m.do.rules, m.do.refused, m.now, m.stage()
	return func() tea.Msg {
		w := wallMsg{}
		var err error
		if w.rules, err = rules(stage); err == nil && w.rules.Asked && refused != nil {
			w.refused, err = refused()
		}
		if err != nil {
			w.why = err.Error()
		}
		w.at = now()
		return w
	}
}

// stage is the set of ports that is closed next, or was closed last, from 1.
func (m *model) stage() int {
	stage, sets := 1, 0
	for _, s := range m.plan.Isolate {
		switch s.Kind {
		case plan.Arm:
			sets++
		case plan.Confirm:
			if m.status().Isolation.Steps[s.ID].Done {
				stage++
			}
		}
	}
	return max(min(stage, sets), 1)
}

// isolationContent is how the old server's isolation stands: each condition with its
// evidence, what the firewall has and would have, who still calls, and when it opens
// by itself.
func (m *model) isolationContent() content {
	i := &m.status().Isolation
	var body []string
	if i.Reason != "" {
		t := report.ToneOf(i.State)
		if i.Held {
			t = report.Bad
		}
		body = append(body, wrapped(" "+m.painted(t, report.Harmless(i.Reason)), m.width-1, " ")...)
	}
	body = append(body, m.deadMan()...)
	body = append(body, m.rule("What must hold", "and of when the evidence is"))
	body = append(body, m.conditions()...)
	body = append(body, m.rule("The firewall", m.wallEnd()))
	body = append(body, m.wallLines()...)
	body = append(body, m.rule("Who still calls, and is refused", ""))
	body = append(body, m.callers()...)
	body = append(body, m.rule("Evidence, the last of each", ""))
	body = append(body, m.checks(i.Findings)...)
	c := text(body)
	word := string(i.State)
	if i.Held {
		word += ", held"
	}
	c.title = "Isolate the old server: " + word
	c.keys = "esc back  A approve  C confirm  L lift  T retry  a ask anew  H hold  U resume  y copy the next command  ? help"
	switch {
	case strings.HasPrefix(i.Asks, state.OpeningTable):
		c.keys = "esc back  L it is open again  T retry  a ask anew  y copy the next command  ? help"
	case m.asked() != "":
		c.keys = "esc back  D it is loaded  L lift  H hold  U resume  T retry  y copy the next command  ? help"
	}
	return c
}

// deadMan counts down to when the kernel opens the ports by itself.
func (m *model) deadMan() []string {
	i := &m.status().Isolation
	switch {
	case !i.Closed || i.Until.IsZero() || i.State == state.IsolationConfirmed:
		return nil
	case strings.HasPrefix(i.Asks, state.OpeningTable): // the time is over
		return nil
	}
	left := i.Until.Sub(m.clock())
	if left <= 0 {
		over := " the time is over: the kernel has opened it, unless it was renewed"
		if i.Hand {
			over = " the time is over, and nothing opens by itself: take the rules away, then L"
		}
		return []string{" " + m.painted(report.Wary, m.p.Symbol(report.Wary)+over)}
	}
	within := 10 * time.Minute
	for id, r := range i.Steps {
		if plan.KindOf(id) == plan.Arm && r.Intent.Wait > 0 {
			within = r.Intent.Wait
		}
	}
	words := "unless it is confirmed: C"
	switch {
	case i.Stuck():
		words = "; T begins anew"
	case i.Keep:
		words = "; a person confirmed it, and it is being proven once more"
	case i.State != state.IsolationProven:
		words = "; it is being proven"
	}
	return wrapped(fmt.Sprintf(" %s %s %s", m.painted(report.Wary, m.p.Bar(float64(left)/float64(max(within, left)), 20)),
		m.style.title.Render(m.opens()+" "+report.Span(left)), words), m.width-1, "   ")
}

// detailIndent is beneath a condition's words.
const detailIndent = "              "

func (m *model) conditions() []string {
	var out []string
	for _, l := range report.IsolationGate(&m.plan, m.status()) {
		t := report.ToneOfSeverity(l.Severity)
		when := ""
		switch {
		case !l.Until.IsZero() && l.Until.After(m.clock()):
			when = report.Span(l.Until.Sub(m.clock())) + " left"
		case !l.At.IsZero():
			when = m.ago(l.At)
		}
		head := fmt.Sprintf(" %s %s ", m.mark(t), m.pad(when, 10))
		switch line := head + m.pad(l.What, 48) + " " + report.Harmless(l.Detail); {
		case l.Detail == "":
			out = append(out, wrapped(head+l.What, m.width-1, detailIndent)...)
		case ansi.StringWidth(line) <= m.width-1:
			out = append(out, line)
		case l.Severity == plan.Pass:
			out = append(out, m.cut(head+l.What+": "+report.Harmless(l.Detail), m.width-1))
		default:
			out = append(out, wrapped(head+l.What+": "+m.painted(t, report.Harmless(l.Detail)), m.width-1, detailIndent)...)
		}
		if l.Command != "" {
			out = append(out, "   "+m.painted(report.Wary, "next: "+l.Command))
		}
	}
	return out
}

func (m *model) wallEnd() string {
	switch {
	case m.wall.asking:
		return "being asked ..."
	case m.wall.at.IsZero():
		return "not asked"
	}
	if m.wall.why == "" && !m.wall.rules.Asked {
		return "a person's"
	}
	return "asked " + report.Span(m.now().Sub(m.wall.at)) + " ago; a asks again"
}

// wallLines are what is loaded, and what would change.
func (m *model) wallLines() []string {
	switch {
	case m.do.rules == nil:
		return []string{m.style.dim.Render("   it cannot be asked from this screen; see: mxcutover isolate show")}
	case m.wall.why != "":
		return wrapped(" "+m.painted(report.Wary, m.p.Symbol(report.Wary)+" it could not be asked: "+report.Harmless(m.wall.why)), m.width-1, "   ")
	case m.wall.at.IsZero():
		return []string{m.style.dim.Render("   a asks it")}
	case !m.wall.rules.Asked:
		return m.handTable()
	}
	out := wrapped(" "+m.wall.rules.State(), m.width-1, "   ")
	for _, l := range m.wall.rules.Difference {
		t := report.Good
		if len(l) > 0 && l[0] == '-' {
			t = report.Bad
		}
		out = append(out, "   "+m.painted(t, report.Harmless(l)))
	}
	if len(m.wall.rules.Difference) == 0 {
		out = append(out, m.style.dim.Render("   no difference to what is to be loaded"))
	}
	return out
}

// handTable is what a person loads into a firewall that is theirs, and that nobody can
// ask: the table that is asked for just now or, before and after that, what would be.
func (m *model) handTable() []string {
	i := &m.status().Isolation
	table, head := m.wall.rules.Text, " a person loads it, and it cannot be asked. What it is to have, the first row that fits counts:"
	for _, f := range i.Findings {
		if f.Check == plan.HandFirewall && f.Target == i.Asks && f.Evidence != "" {
			table, head = f.Evidence, " a person is asked for "+report.Harmless(i.Asks)+"; the first row that fits counts:"
		}
	}
	out := wrapped(head, m.width-1, "   ")
	for l := range strings.Lines(table) {
		out = append(out, "   "+report.Harmless(strings.TrimRight(l, "\n ")))
	}
	return append(out, wrapped(m.style.dim.Render("   as nft, CSV or JSON: mxcutover isolate show -o nft; what opens again: mxcutover isolate show --open"), m.width-1, "   ")...)
}

// mostCallers bounds the list of who was refused.
const mostCallers = 50

func (m *model) callers() []string {
	switch {
	case m.wall.at.IsZero() || m.wall.why != "":
		return []string{m.style.dim.Render("   not known; see: mxcutover isolate watch, mxcutover traffic --stragglers")}
	case !m.wall.rules.Asked:
		return []string{m.style.dim.Render("   that firewall alone knows; from the old server's log: mxcutover traffic --stragglers")}
	case len(m.wall.refused) == 0:
		return []string{m.style.dim.Render("   nobody was refused")}
	}
	var out []string
	for i, r := range m.wall.refused {
		if i == mostCallers {
			out = append(out, fmt.Sprintf("   and %d more sources: mxcutover isolate watch", len(m.wall.refused)-i))
			break
		}
		out = append(out, fmt.Sprintf("   %s port %-5d %8s times", m.pad(r.Source.String(), 39), r.Port, report.Number(int(r.Count)))) //nolint:gosec // a count
	}
	return out
}
