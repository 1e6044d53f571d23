package tui

import (
	"fmt"
	"strings"
	"time"

	"mxcutover/report"
	"mxcutover/rrset"
	"mxcutover/state"
)

// head is the first line of every screen.
func (m model) head() string {
	engine := m.painted(report.Good, "engine running")
	switch {
	case m.status.Over:
		engine = m.painted(report.Good, m.p.Symbol(report.Good)+" DONE")
	case m.lost != nil:
		engine = m.painted(report.Bad, fmt.Sprintf("%s ENGINE LOST, last seen %s ago", m.p.Symbol(report.Bad), report.Span(m.now().Sub(m.seen))))
	case m.status.Engine != "running":
		engine = m.painted(report.Wary, "engine stopped")
	}
	live := 0
	for _, w := range m.status.Waves {
		live += w.Live
	}
	who := ""
	if m.readOnly != "" {
		who = "  " + m.painted(report.Wary, "read-only")
		if m.status.Control != "" {
			who = "  " + m.painted(report.Wary, fmt.Sprintf("read-only: %s has control since %s", report.Harmless(m.status.Control), report.Clock(m.status.Since)))
		}
	}
	return fmt.Sprintf(" %s %s  %s  %d/%d live  %sZ%s", m.style.title.Render("mxcutover"), report.Harmless(m.status.Migration),
		engine, live, len(m.status.Domains), report.Clock(m.now()), who)
}

func (m model) brief() string {
	live, held := 0, 0
	for _, w := range m.status.Waves {
		live, held = live+w.Live, held+w.Held+w.Failed
	}
	return fmt.Sprintf("mxcutover %d/%d live %d held", live, len(m.status.Domains), held)
}

// shares of the overview's height.
func (m model) waveRows() int  { return min(len(m.status.Waves)+1, max(m.height/4, 2)) }
func (m model) eventRows() int { return max(min((m.height-8)/3, 10), 2) }

// tableRows is how many domains are shown at once.
func (m model) tableRows() int {
	return max(m.height-m.waveRows()-m.eventRows()-6, 1)
}

func (m model) overviewView() []string {
	lines := []string{m.head()}
	lines = append(lines, m.rule("Waves"))
	lines = append(lines, m.waves()...)
	title := fmt.Sprintf("Domains %d", len(m.rows))
	if m.filter != "" || m.filtering {
		title = fmt.Sprintf("Domains %d of %d  /%s", len(m.rows), len(m.status.Domains), report.Harmless(m.filter))
		if m.filtering {
			title += "_"
		}
	}
	lines = append(lines, m.rule(title))
	lines = append(lines, m.style.hd.Render("   "+report.Pad("DOMAIN", m.nameWidth())+" "+report.Pad("WAVE", 9)+" "+report.Pad("STATE", 12)+" "+report.Pad("LEFT", 6)+" WHY"))
	lines = append(lines, m.table()...)
	lines = fill(lines, m.height-m.eventRows()-2)
	lines = append(lines, m.rule("Events"))
	lines = append(lines, m.lastEvents()...)
	return append(fill(lines, m.height-1), m.foot(" enter open A approve R,W back H hold U resume T retry / filter ? help q detach"))
}

// foot is the last line: the keys, or what was just decided.
func (m model) foot(keys string) string {
	if m.note != "" {
		return m.painted(report.Wary, " "+report.Harmless(m.note))
	}
	return m.style.dim.Render(keys)
}

func (m model) nameWidth() int { return max(min(m.width-54, 40), 16) }

// waves are the waves that fit, those that are not live first to be seen.
func (m model) waves() []string {
	var all []string
	first := 0
	for i, w := range m.status.Waves {
		t := report.ToneOf(w.State)
		what := report.Harmless(w.Reason)
		if w.State == state.WaveWaiting && !w.Approved {
			what = "A approves it"
		}
		if w.State == state.Live {
			first = min(i, max(len(m.status.Waves)+1-m.waveRows(), 0))
		}
		all = append(all, fmt.Sprintf(" %s %s %s %d/%d live  %d held  %d back  %s", m.mark(t), report.Pad(report.Harmless(w.Name), 10),
			m.painted(t, report.Pad(string(w.State), 9)), w.Live, w.Total, w.Held, w.Failed, what))
	}
	i := m.status.Isolation
	t := report.ToneOf(i.State)
	what := report.Harmless(i.Reason)
	if !i.Until.IsZero() && i.State != state.IsolationConfirmed {
		opens := "opens by itself in"
		if i.Hand {
			opens = "you are to open it in"
		}
		what = fmt.Sprintf("%s %s  %s", opens, report.Span(i.Until.Sub(m.now())), what)
	}
	if i.Asks != "" && !strings.HasPrefix(i.Asks, state.OpeningTable) && !i.Held {
		what = "D says that " + report.Harmless(i.Asks) + " is loaded  " + what
	}
	if i.State == state.IsDrifted {
		what = "closed for good, and not any more: mxcutover retry --isolate  " + what
	}
	all = append(all, fmt.Sprintf(" %s %s %s %s", m.mark(t), report.Pad("isolate", 10), m.painted(t, report.Pad(string(i.State), 9)), what))
	first = min(first, max(len(all)-m.waveRows(), 0))
	return all[first:min(first+m.waveRows(), len(all))]
}

// table builds the visible rows, and no others.
func (m model) table() []string {
	var out []string
	for r := m.top; r < min(m.top+m.tableRows(), len(m.rows)); r++ {
		d := m.status.Domains[m.rows[r]]
		line := m.row(d)
		if r == m.cursor {
			line = m.style.cursor.Render(">") + line[1:]
		}
		out = append(out, line)
	}
	return out
}

func (m model) row(d state.DomainStatus) string {
	t := report.ToneOf(d.State)
	left := ""
	if !d.Until.IsZero() && d.Until.After(m.now()) {
		left = report.Span(d.Until.Sub(m.now()))
	}
	why := d.Reason
	switch {
	case d.Paused:
		why = "on hold " + why
	case why == "" && d.Step != "":
		why = d.Step
	}
	return fmt.Sprintf(" %s %s %s %s %s %s", m.mark(t), report.Pad(report.Harmless(rrset.Bare(d.Domain)), m.nameWidth()),
		report.Pad(report.Harmless(d.Wave), 9), m.painted(t, report.Pad(string(d.State), 12)), report.Pad(left, 6), report.Harmless(why))
}

func (m model) lastEvents() []string {
	n := m.eventRows()
	var out []string
	for i := len(m.events) - 1; i >= 0 && len(out) < n; i-- {
		if e := m.events[i]; e.Kind != state.Intended && e.Kind != state.Undoing {
			out = append(out, " "+m.p.Line(e))
		}
	}
	return out
}

// ago is how long ago something was, in short.
func (m model) ago(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return report.Span(m.now().Sub(t)) + " ago"
}
