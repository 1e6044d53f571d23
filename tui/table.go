package tui

import (
	"fmt"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"

	"mxcutover/plan"
	"mxcutover/report"
	"mxcutover/state"
)

// columns are what the overview's table has room for.
type columns struct{ name, wave, since, probes int }

func (m *model) columns() columns {
	c := columns{name: max(min(m.width-44, 32), 18)}
	if m.width >= 76 {
		c.probes = 15
		c.name = max(min(m.width-57, 30), 19)
	}
	if m.width >= 96 {
		c.wave, c.since = 9, 6
		c.name = max(min(m.width-70, 32), 22)
	}
	c.name = min(c.name, max(m.list.widest, 18)) // the rest is for why
	return c
}

func (m *model) tableHead() string {
	c := m.columns()
	return "   " + m.pad("DOMAIN", c.name) + " " + m.optional("WAVE", c.wave) + m.pad("STATE", 12) + " " + m.optional("SINCE", c.since) +
		m.pad("LEFT", 6) + " " + m.optional("PROBES ARRIVAL", c.probes) + "WHY"
}

// optional is a column that a narrow screen has not.
func (m *model) optional(s string, width int) string {
	if width == 0 {
		return ""
	}
	return m.pad(s, width) + " "
}

// table builds the visible rows, and no others. Beneath the chosen one it says why
// that is as it is.
func (m *model) table(height int) []string {
	at := m.at[overview]
	var out []string
	for r := at.top; r < len(m.list.rows) && len(out) < height; r++ {
		i := m.list.rows[r]
		out = append(out, m.chosen(m.row(i), r == at.cursor))
		if why := m.whyLine(i); r == at.cursor && why != "" && len(out) < height {
			out = append(out, why)
		}
	}
	if len(m.list.rows) == 0 && len(m.status().Domains) > 0 {
		out = append(out, m.style.dim.Render("   no domain is so; esc takes the filter away"))
	}
	return out
}

func (m *model) row(i int) string {
	d := &m.status().Domains[i]
	t, c := report.ToneOf(d.State), m.columns()
	mark := m.mark(t)
	if m.list.marks[i] {
		mark = m.style.cursor.Render("*")
	}
	left := ""
	if !d.Until.IsZero() && d.Until.After(m.clock()) {
		left = report.Span(d.Until.Sub(m.clock()))
	}
	since := ""
	if !d.Since.IsZero() {
		since = report.Span(m.clock().Sub(d.Since))
	}
	return mark + " " + m.pad(report.Harmless(m.list.names[i]), c.name) + " " + m.optional(report.Harmless(d.Wave), c.wave) +
		m.painted(t, m.pad(string(d.State), 12)) + " " + m.optional(since, c.since) + m.pad(left, 6) + " " +
		m.optional(m.probeWords(i, d), c.probes) + m.why(d)
}

// why is what a domain waits for, or what befell it.
func (m *model) why(d *state.DomainStatus) string {
	why := report.Harmless(strings.TrimPrefix(d.Reason, d.Domain+" MX: ")) // whose it is stands before it
	switch {
	case d.Asked != "":
		why = report.Harmless(d.Asked)
	case why == "" && d.Step != "":
		why = report.StepWords(plan.KindOf(d.Step), false)
	}
	if d.Paused {
		why = strings.TrimSuffix("on hold: "+why, ": ")
	}
	return why
}

// whyLine is the whole of why, where the row has no room for it.
func (m *model) whyLine(i int) string {
	d := &m.status().Domains[i]
	why, c := m.why(d), m.columns()
	room := m.width - 3 - c.name - 1 - 13 - 7
	for _, w := range []int{c.wave, c.since, c.probes} {
		if w > 0 {
			room -= w + 1
		}
	}
	if ansi.StringWidth(why) <= room {
		return ""
	}
	corner := "└ "
	if m.p.ASCII {
		corner = "` "
	}
	return "   " + m.style.dim.Render(corner) + m.painted(report.ToneOf(d.State), why)
}

// probeWords are how many of a domain's probes arrived, and how long the last took.
func (m *model) probeWords(i int, d *state.DomainStatus) string {
	p := m.list.probes[i]
	if p.all == 0 {
		return ""
	}
	words := fmt.Sprintf("%d/%d", p.arrived, p.all)
	for _, f := range d.Findings {
		if f.Check != probeCheck || f.Target != d.Domain {
			continue
		}
		if took, ok := report.Legs(f.Evidence)[plan.LegArrived]; ok && f.Severity == plan.Pass {
			words = m.pad(words, 6) + " " + report.Took(took)
		} else if f.Severity != plan.Pass {
			words = m.pad(words, 6) + " " + m.painted(report.ToneOfSeverity(f.Severity), string(f.Severity))
		}
	}
	return words
}

// seconds is a TTL as a span of time.
func seconds(n uint32) string { return report.Span(time.Duration(n) * time.Second) }

// ago is how long ago something was, in short.
func (m *model) ago(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return report.Span(m.clock().Sub(t)) + " ago"
}
