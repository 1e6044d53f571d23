package tui

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"mxcutover/plan"
	"mxcutover/report"
	"mxcutover/rrset"
	"mxcutover/state"
)

// domainView shows all that is known of one domain.
func (m model) domainView() []string {
	d := m.selected()
	if d == nil {
		return []string{m.head(), " no domain"}
	}
	c, _ := m.status.Cutover(d.Domain)
	t := report.ToneOf(d.State)
	body := []string{fmt.Sprintf(" %s %s  %s  wave %s  since %s", m.mark(t), m.style.title.Render(report.Harmless(rrset.Bare(d.Domain))),
		m.painted(t, strings.ToUpper(string(d.State))), report.Harmless(d.Wave), m.ago(d.Since))}
	if d.Reason != "" {
		body = append(body, "   "+m.painted(t, report.Harmless(d.Reason)))
	}
	body = append(body, m.rule("Timeline"))
	body = append(body, m.timeline(d.Domain)...)
	body = append(body, m.rule("Before and after (a rollback restores the first)"))
	body = append(body, m.diff(c)...)
	body = append(body, m.rule("Why, and what can be done"))
	body = append(body, m.p.Explain(*d, c)...)
	body = append(body, m.rule("DNS by name server, when it was last written"))
	body = append(body, m.servers(d)...)
	body = append(body, m.rule("Checks and probes"))
	body = append(body, m.findings(d.Findings)...)
	room := m.height - 2
	top := max(min(m.scroll, len(body)-room), 0)
	lines := append([]string{m.head()}, body[top:min(top+room, len(body))]...)
	keys := " j/k scroll [ ] next R roll back H hold U resume T retry esc back"
	if len(body) > room {
		keys = fmt.Sprintf(" %d-%d of %d ", top+1, min(top+room, len(body)), len(body)) + keys
	}
	return append(fill(lines, m.height-1), m.foot(keys))
}

// timelineMost bounds the timeline's lines.
const timelineMost = 8

func (m model) timeline(name string) []string {
	var out []string
	for i := len(m.events) - 1; i >= 0 && len(out) < timelineMost; i-- {
		if e := m.events[i]; e.Domain == name && e.Kind != state.Undoing {
			e.Domain, e.Wave = "", ""
			out = append(out, " "+report.Clock(e.At)+" "+m.p.Words(e))
		}
	}
	slices.Reverse(out)
	if len(out) == 0 {
		return []string{" nothing has happened yet"}
	}
	return out
}

// servers are the answers that were journaled before the last write.
func (m model) servers(d *state.DomainStatus) []string {
	var last state.StepRecord
	for _, r := range d.Steps {
		if r.Intent.Served != nil && r.Begun.At.After(last.Begun.At) {
			last = r
		}
	}
	if last.Intent.Served == nil {
		return []string{" nothing was written yet"}
	}
	var out []string
	for _, s := range slices.Sorted(maps.Keys(last.Intent.Served)) {
		set := last.Intent.Served[s]
		answer := strings.Join(set.Data, ", ")
		if set.Absent() {
			answer = "no " + set.Type
		}
		out = append(out, fmt.Sprintf(" %s %s TTL %d  %s", report.Pad(report.Harmless(s), 34), report.Pad(report.Harmless(answer), 40), set.TTL, m.ago(last.Begun.At)))
	}
	return out
}

func (m model) findings(found []plan.Finding) []string {
	var out []string
	for _, f := range found {
		t := map[plan.Severity]report.Tone{plan.Pass: report.Good, plan.Fail: report.Bad}[f.Severity]
		if t == report.Quiet {
			t = report.Wary
		}
		out = append(out, fmt.Sprintf(" %s %s %s %s: %s", m.mark(t), report.Pad(string(f.Severity), 7), report.Pad(f.Check, 14),
			report.Harmless(rrset.Bare(f.Target)), report.Harmless(f.Detail)))
	}
	if len(out) == 0 {
		return []string{" nothing was checked yet"}
	}
	return out
}

func (m model) diff(c plan.Cutover) []string {
	lines := m.p.Diff(c.Before(), c.After(), " ")
	for i, l := range lines {
		t := report.Good
		if strings.HasPrefix(l, " -") {
			t = report.Bad
		}
		lines[i] = m.painted(t, l)
	}
	return lines
}
