package tui

import (
	"fmt"
	"strings"

	"mxcutover/report"
	"mxcutover/rrset"
	"mxcutover/state"
)

func (m *model) dialogView() []string {
	d := m.dialog
	lines := append(m.heads(), m.rule(report.Harmless(d.title), "esc cancels"))
	ask := m.askLines(d)
	same := "the same as"
	if n := len(d.asks); n > 1 {
		same = fmt.Sprintf("the same as this, and %d more like it", n-1)
	}
	under := append([]string{m.rule(same, "Ctrl+O copies it")}, wrapped(" "+m.style.title.Render(report.Harmless(m.commands(d)[0])), m.width-1, "   ")...)
	room := m.height - len(lines) - len(ask) - len(under)
	var about []string
	for _, a := range m.about(d) {
		about = append(about, m.aspect(a)...)
	}
	if room >= 8 {
		lines, room = append(lines, ""), room-1
	}
	if over := len(about) - room; over > 0 && room > 0 {
		first := min(d.scroll, over)
		about = append([]string(nil), about[first:first+room]...)
		if first < over {
			about[room-1] = m.style.dim.Render("   more: arrow down")
		}
	}
	if len(about) < room {
		about = append(about, "")
	}
	lines = append(append(lines, about...), ask...)
	return append(fill(lines, m.height-len(under)), under...)
}

// askLines are the last lines of a dialog: what is to be typed, and the key.
func (m *model) askLines(d *dialog) []string {
	var out []string
	if d.need != "" {
		out = append(out, " Type "+m.style.title.Render(report.Harmless(d.need))+" to go on: "+m.style.in.Render(report.Harmless(d.typed)+"_"))
	}
	switch {
	case d.busy && len(d.asks) > 1:
		out = append(out, m.painted(report.Busy, fmt.Sprintf(" %d of %d sent to the engine ...  esc sends no more", d.sent, len(d.asks))))
	case d.busy:
		out = append(out, m.painted(report.Busy, " sent ..."))
	case d.typed == d.need:
		out = append(out, " "+m.style.cursor.Render(" Ctrl+Y ")+" carries it out     "+m.style.title.Render("esc")+" cancels")
	default:
		out = append(out, m.style.dim.Render(" Ctrl+Y is locked until that is typed     esc cancels"))
	}
	if d.err != "" {
		out = append(out, wrapped(m.painted(report.Bad, " "+report.Harmless(d.err)), m.width-1, " ")...)
	}
	return append(out[:min(len(out), 5)], "")
}

// commands are the lines that do the same.
func (m *model) commands(d *dialog) []string {
	if len(d.asks) == 0 {
		return []string{"mxcutover run"}
	}
	var out []string
	for _, a := range d.asks {
		out = append(out, m.commandOf(a))
	}
	return out
}

func (m *model) commandOf(d state.Decision) string {
	switch d.Verb {
	case state.Take:
		return "any command, with --take-control"
	case state.Keep:
		return "mxcutover isolate confirm --confirm isolate"
	case state.Lift:
		return "mxcutover isolate lift"
	case state.Loaded:
		return "mxcutover isolate done --confirm " + report.Quote(d.Confirm)
	case state.Quit:
		if e := m.status().Running; e != nil && e.PID > 0 {
			return fmt.Sprintf("kill -TERM %d", e.PID)
		}
		return "kill -TERM the engine's process"
	}
	kind, _, _ := strings.Cut(d.Target, ":")
	line := fmt.Sprintf("mxcutover %s --%s", d.Verb, kind)
	if kind != d.Target {
		line += " " + report.Quote(state.ConfirmName(d.Target))
	}
	if d.Drift != "" {
		line += " --" + string(d.Drift)
	}
	if d.Destroys() {
		line += " --confirm " + report.Quote(state.ConfirmName(d.Target))
	}
	return line
}

// bareList names a few domains.
func bareList(all []*state.DomainStatus, most int) string {
	var names []string
	for _, d := range all[:min(len(all), most)] {
		names = append(names, rrset.Bare(d.Domain))
	}
	line := strings.Join(names, ", ")
	if n := len(all) - len(names); n > 0 {
		line += fmt.Sprintf(" and %s more", report.Number(n))
	}
	return line
}
