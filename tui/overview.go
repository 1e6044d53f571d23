package tui

import (
	"fmt"
	"strings"

	"mxcutover/plan"
	"mxcutover/report"
	"mxcutover/state"
)

// A layout is how the overview's height is shared out.
type layout struct{ needs, waves, gate, rows, latency, events int }

// layout gives to the domains at least a third, and what is left.
func (m *model) layout() layout {
	h := m.height - len(m.heads()) - 1 // the foot
	l := layout{
		needs: min(len(m.needs), max(h/8, 1)),
		waves: min(len(m.status().Waves)+1, max(h/5, 2)),
	}
	if h >= 20 {
		l.gate, l.latency = 1, 1
	}
	l.events = max(min((h-8)/4, 8), 1)
	fixed := l.waves + 1 + l.gate + 2 + l.latency + l.events + 1 // with their rules, and the table's head
	if l.needs > 0 {
		fixed += l.needs
	}
	l.rows = min(h-fixed, len(m.status().Domains)+1) // what is left over is for more events
	if l.rows < 3 {
		l.events = max(l.events-(3-l.rows), 1)
		l.rows = 3
	}
	return l
}

// tableRows is how many domains are shown at once: one row is for why the chosen one
// is as it is.
func (m *model) tableRows() int { return max(m.layout().rows-1, 1) }

func (m *model) overviewView() []string {
	l := m.layout()
	lines := m.heads()
	lines = append(lines, m.needLines(l.needs)...)
	lines = append(lines, m.rule("Waves", m.backWords()))
	lines = append(lines, m.waves(l.waves)...)
	if l.gate > 0 {
		lines = append(lines, m.gateLine())
	}
	lines = append(lines, m.rule(m.tableTitle(), m.tableEnd()))
	lines = append(lines, m.style.dim.Render(m.tableHead()))
	body := m.table(l.rows)
	lines = append(lines, fill(body, l.rows)...)
	if l.latency > 0 {
		lines = append(lines, m.rule("Arrival", m.arrivals.words(max(min(m.width-68, mostArrivals), 8), m.width-15)))
	}
	if l.latency == 0 {
		lines = append(lines, m.rule("Events", ""))
	}
	lines = append(lines, m.lastEvents(m.height-1-len(lines))...)
	return append(fill(lines, m.height-1), m.foot("enter open  A approve  R,W back  H hold  / filter  : all  q detach  T retry  space mark  i isolate  l log  ? help"))
}

// needLines are what waits for a person, the most urgent first.
func (m *model) needLines(n int) []string {
	var out []string
	for i := range n {
		need := m.needs[i]
		line := " " + m.mark(need.Tone()) + " " + need.Words()
		if left := len(m.needs) - n; i == n-1 && left > 0 {
			more := fmt.Sprintf("  and %d more: r", left)
			line = m.cut(line, m.width-len(more)) + m.style.dim.Render(more)
		}
		out = append(out, line)
	}
	return out
}

// backWords say what going back would take now.
func (m *model) backWords() string {
	n, ttl := 0, uint32(0)
	if len(m.status().Domains) > fewDomains {
		return ""
	}
	for i := range m.status().Domains {
		if d := &m.status().Domains[i]; d.TTL > 0 {
			n++
			ttl = max(ttl, d.TTL)
		}
	}
	if n == 0 {
		return "nothing is published yet"
	}
	return fmt.Sprintf("all back: %d writes, caches let go within %s", n, seconds(ttl))
}

// waves are the waves that fit, those that are not live first to be seen, and
// isolation.
func (m *model) waves(n int) []string {
	all := m.status().Waves
	first := 0
	for first < len(all) && all[first].State == state.Live && len(all)-first >= n {
		first++
	}
	var out []string
	for i := first; i < len(all) && len(out) < n-1; i++ {
		out = append(out, m.waveLine(i))
	}
	return append(fill(out, n-1), m.isolationLine())
}

func (m *model) waveLine(i int) string {
	w := &m.status().Waves[i]
	t := report.ToneOf(w.State)
	what := report.Harmless(w.Reason)
	switch {
	case what != "":
	case w.State == state.WaveWaiting && !w.Approved && m.waitsOn(i):
		what = m.painted(report.Wary, "A approves it")
	case w.State == state.WaveWaiting && !w.Approved:
		what = "to be approved"
	case w.State == state.WaveWaiting:
		what = "approved"
	}
	troubles := ""
	if w.Held > 0 {
		troubles += m.painted(report.Bad, fmt.Sprintf("%d held  ", w.Held))
	}
	if w.Failed > 0 {
		troubles += m.painted(report.Wary, fmt.Sprintf("%d back  ", w.Failed))
	}
	bar := ""
	if m.width >= 90 {
		bar = m.painted(t, m.p.Bar(float64(w.Live)/float64(max(w.Total, 1)), 12)) + " "
	}
	return fmt.Sprintf(" %s %s %s %s%s  %s%s", m.mark(t), m.pad(report.Harmless(w.Name), 10), m.painted(t, m.pad(string(w.State), 9)),
		bar, m.pad(fmt.Sprintf("%s/%s live", report.Number(w.Live), report.Number(w.Total)), 10), troubles, what)
}

// waitsOn tells whether everything before a wave is live, so that only its approval is
// missing.
func (m *model) waitsOn(i int) bool { return i == 0 || m.status().Waves[i-1].State == state.Live }

// asked is the table that a person is asked to load into the firewall; "" = none.
func (m *model) asked() string {
	i := &m.status().Isolation
	if i.Held || strings.HasPrefix(i.Asks, state.OpeningTable) {
		return ""
	}
	return i.Asks
}

// opens says who opens the old server again. Nothing opens by itself where a person
// loads the rules.
func (m *model) opens() string {
	if m.status().Isolation.Hand {
		return "you are to open it in"
	}
	return "opens by itself in"
}

func (m *model) isolationLine() string {
	i := &m.status().Isolation
	t, what := report.ToneOf(i.State), report.Harmless(i.Reason)
	word := string(i.State)
	switch {
	case i.Held:
		t, word = report.Bad, "held"
	case m.asked() != "":
		t, what = report.Wary, "D says that "+report.Harmless(i.Asks)+" is loaded  "+what
	case i.State == state.IsDrifted:
		t, what = report.Bad, "closed for good, and not any more: mxcutover retry --isolate  "+what
	case !i.Until.IsZero() && i.State != state.IsolationConfirmed && i.Closed:
		t = report.Wary
		what = fmt.Sprintf("%s %s unless C confirms it  %s", m.opens(), report.Span(i.Until.Sub(m.clock())), what)
	case what == "" && i.State == state.IsolationObserved && !i.Approved:
		what = m.painted(report.Wary, "A approves it")
	case what == "" && i.Step != "":
		what = report.StepWords(plan.KindOf(i.Step), false)
	}
	return fmt.Sprintf(" %s %s %s %s", m.mark(t), m.pad("old server", 10), m.painted(t, m.pad(word, 9)), what)
}

// gateLine is the gate of the wave that moves now, or moves next.
func (m *model) gateLine() string {
	for i := range m.plan.Waves {
		if w := &m.status().Waves[i]; w.State != state.Live || i == len(m.plan.Waves)-1 {
			return m.style.dim.Render(fmt.Sprintf("   gate of %s: %s", report.Harmless(w.Name), report.GateWords(m.plan.Waves[i].Gate)))
		}
	}
	return ""
}

// lastEvents are the last ones that would be told, the newest first.
func (m *model) lastEvents(n int) []string {
	var out []string
	for i := len(m.log.all) - 1; i >= 0 && len(out) < n; i-- {
		if e := m.log.all[i]; e.Kind != state.Intended && e.Kind != state.Undoing && e.Kind != state.Observed {
			out = append(out, " "+m.eventLine(e))
		}
	}
	return out
}

func (m *model) eventLine(e state.Event) string {
	t := report.ToneOfEvent(e)
	return report.Clock(e.At) + " " + m.pad(report.Harmless(report.About(e)), 24) + " " + m.painted(t, m.p.Words(e))
}

// overviewKey acts on keys that only the overview has.
func (m *model) overviewKey(k string) bool {
	at := &m.at[overview]
	switch k {
	case "enter":
		if m.selected() != nil {
			m.show(domain)
		}
	case "space":
		if i, ok := m.list.at(at.cursor); ok {
			m.list.mark(i)
			at.cursor = min(at.cursor+1, len(m.list.rows)-1)
		}
	case "*":
		m.list.markAll()
	case "-":
		m.list.unmark()
	case "s":
		m.keeping(func() { m.list.sort((m.list.by + 1) % orders) })
		m.note = "sorted " + m.list.by.String()
	default:
		return false
	}
	return true
}

func (m *model) tableTitle() string {
	all, left := len(m.status().Domains), len(m.list.rows)
	title := "Domains " + report.Number(all)
	if left != all || m.list.filter != "" {
		title = fmt.Sprintf("Domains %s of %s with %s", report.Number(left), report.Number(all), harmlessInput(m.list.filter))
	}
	if m.list.by != byPlan {
		title += ", " + m.list.by.String()
	}
	return title
}

func (m *model) tableEnd() string {
	var parts []string
	if n := len(m.list.marks); n > 0 {
		parts = append(parts, m.painted(report.Busy, report.Number(n)+" marked"))
	}
	at := m.at[overview]
	shown := m.layout().rows
	if i, ok := m.list.at(at.cursor); ok && m.whyLine(i) != "" {
		shown--
	}
	if below := len(m.list.rows) - at.top - shown; below > 0 {
		parts = append(parts, fmt.Sprintf("row %s, %s below", report.Number(at.cursor+1), report.Number(below)))
	} else if at.top > 0 {
		parts = append(parts, "row "+report.Number(at.cursor+1))
	}
	return strings.Join(parts, "  ")
}
