package tui

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"mxcutover/plan"
	"mxcutover/report"
	"mxcutover/rrset"
	"mxcutover/state"
)

// domainContent shows all that is known of one domain.
func (m *model) domainContent() content {
	d := m.selected()
	if d == nil {
		return content{title: "no domain", keys: "esc back"}
	}
	cut, _ := m.status().Cutover(d.Domain)
	t := report.ToneOf(d.State)
	title := fmt.Sprintf("%s  wave %s  %s", name(d.Domain), report.Harmless(d.Wave), strings.ToUpper(string(d.State)))
	body := []string{fmt.Sprintf(" %s %s%s%s", m.mark(t), m.painted(t, string(d.State)), m.forSpan(d.Since), m.leftWords(d))}
	if why := m.why(d); why != "" {
		body = append(body, wrapped("   "+m.painted(t, why), m.width-1, "   ")...)
	}
	section := func(title, end string, lines []string) {
		body = append(append(body, m.rule(title, end)), lines...)
	}
	section("Timeline", "", m.timeline(d, cut))
	section("DNS by name server", m.sightEnd(d), m.servers(d, cut))
	section("Before and after: a rollback restores the first", "", m.diff(d, cut))
	section("Probes and checks, the last of each", "", m.checks(d.Findings))
	c := text(body)
	c.title, c.end = title, fmt.Sprintf("%d of %d", m.at[overview].cursor+1, len(m.list.rows))
	c.keys = "esc back  e explain  R roll back  H hold  T retry  U resume  a ask servers  [,] neighbours  y copy dig  l log  ? help"
	return c
}

func (m *model) leftWords(d *state.DomainStatus) string {
	out := ""
	if !d.Until.IsZero() {
		if left := d.Until.Sub(m.clock()); left > 0 {
			out = ", " + report.Span(left) + " left"
		}
	}
	if !d.Gone.IsZero() && d.Gone.After(m.clock()) {
		out += ", caches have the gateway for " + report.Span(d.Gone.Sub(m.clock()))
	}
	if d.Attempt > 1 {
		out += fmt.Sprintf(", attempt %d", d.Attempt)
	}
	return out
}

// timeline is each step of the plan, with when it was done, and what befell the domain
// besides.
func (m *model) timeline(d *state.DomainStatus, cut plan.Cutover) []string {
	var out []string
	for _, s := range cut.Steps {
		tone, when, words := report.Quiet, "--:--:--", report.StepWords(s.Kind, false)
		r, begun := d.Steps[s.ID]
		switch {
		case r.Done:
			tone, when, words = report.Good, report.Clock(r.DoneAt.At), report.StepWords(s.Kind, true)
			if took := r.DoneAt.At.Sub(r.Begun.At); took >= time.Second {
				words += ", after " + report.Span(took)
			}
		case d.Step == s.ID:
			tone, when = report.Busy, report.Clock(r.Begun.At)
			if !d.Until.IsZero() {
				words += ", until " + report.Clock(d.Until)
			}
		case begun:
			tone, when = report.Wary, report.Clock(r.Begun.At)
		}
		line := fmt.Sprintf(" %s %s %s %s", m.mark(tone), when, m.pad(s.ID, 10), words)
		if tone == report.Quiet {
			line = m.style.dim.Render(line)
		}
		out = append(out, line)
	}
	return append(out, m.troubles(d.Domain)...)
}

// mostTroubles bounds what is told of a domain beside its steps.
const mostTroubles = 6

// troubles are the last events of a domain that its steps do not tell.
func (m *model) troubles(domain string) []string {
	var out []string
	for i := len(m.log.all) - 1; i >= 0 && len(out) < mostTroubles; i-- {
		if e := m.log.all[i]; e.Domain == domain && (report.Told(e) || e.Kind == state.Undone) {
			t := report.ToneOfEvent(e)
			words := strings.TrimPrefix(m.p.Words(e), m.p.Symbol(t)+" ")
			out = append(out, fmt.Sprintf(" %s %s %s %s", m.mark(t), report.Clock(e.At), m.pad(report.Harmless(e.Step), 10), m.painted(t, words)))
		}
	}
	slices.Reverse(out)
	return out
}

// checks are findings, those that did not pass first.
func (m *model) checks(found []plan.Finding) []string {
	var out []string
	for _, s := range []plan.Severity{plan.Fail, plan.Unknown, plan.Warn, plan.Pass} {
		for _, f := range found {
			if f.Severity != s {
				continue
			}
			t := report.ToneOfSeverity(s)
			from := ""
			if f.Vantage != "" {
				from = " from " + report.Harmless(f.Vantage)
			}
			line := fmt.Sprintf(" %s %s %s %s: %s%s", m.mark(t), m.painted(t, m.pad(string(s), 7)), m.pad(report.Harmless(f.Check), 14), name(f.Target), report.Harmless(f.Detail), from)
			if s != plan.Pass {
				out = append(out, wrapped(line, m.width-1, "           ")...)
				continue
			}
			out = append(out, line)
		}
	}
	if len(out) == 0 {
		return []string{m.style.dim.Render("   nothing was checked yet")}
	}
	return out
}

func (m *model) diff(d *state.DomainStatus, cut plan.Cutover) []string {
	return m.paintDiff(m.p.Diff(report.Restores(*d, cut), cut.After(), "   "))
}

func (m *model) paintDiff(lines []string) []string {
	for i, l := range lines {
		t := report.Good
		if strings.HasPrefix(strings.TrimLeft(l, " "), "-") {
			t = report.Bad
		}
		lines[i] = m.painted(t, l)
	}
	return lines
}

// explainContent says why a domain is in its state, and what can be done: the words of
// mxcutover status --domain.
func (m *model) explainContent() content {
	d := m.selected()
	if d == nil {
		return content{title: "no domain", keys: "esc back"}
	}
	cut, _ := m.status().Cutover(d.Domain)
	var lines []string
	for _, l := range m.toned(m.text.Explain(*d, cut)) {
		lines = append(lines, wrapped(" "+l, m.width-1, "      ")...)
	}
	c := text(lines)
	c.title = "Why " + name(d.Domain) + " is " + string(d.State) + ", and what can be done"
	c.keys = "esc back  R roll back  H hold  T retry  U resume  y copy the command  [,] neighbours  ? help"
	return c
}

// dig is the command that asks one of a domain's name servers, or else the resolver.
func dig(d *state.DomainStatus) string {
	at := ""
	for _, r := range d.Steps {
		for s := range r.Intent.Served {
			if _, addr, ok := strings.Cut(s, " "); ok && (at == "" || addr < at) {
				at = addr
			}
		}
	}
	line := "dig +norecurse " + report.Quote(rrset.Bare(d.Domain)) + " MX"
	if at == "" {
		return "dig " + report.Quote(rrset.Bare(d.Domain)) + " MX"
	}
	return line + " " + report.Quote("@"+at)
}

// forSpan is for how long something has been so.
func (m *model) forSpan(since time.Time) string {
	if since.IsZero() {
		return ""
	}
	return " for " + report.Span(m.clock().Sub(since))
}
