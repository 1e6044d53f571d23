package tui

import (
	"strings"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"mxcutover/report"
	"mxcutover/rrset"
)

// copy puts a text into the terminal's clipboard (OSC 52). Not every terminal takes
// it, so the text is shown, too: by itself, to be taken by the mouse.
func (m *model) copy(text string) tea.Cmd {
	if text == "" {
		m.note = "there is nothing to copy here"
		return nil
	}
	m.shown = strings.Split(text, "\n")
	return tea.SetClipboard(text)
}

// copySelected copies what the screen is about.
func (m *model) copySelected() tea.Cmd {
	d := m.selected()
	switch m.screen {
	case overview:
		var names []string
		if i, ok := m.list.at(m.at[overview].cursor); ok {
			for _, j := range m.list.chosen(i) {
				names = append(names, report.Harmless(m.list.names[j]))
			}
		}
		return m.copy(strings.Join(names, "\n"))
	case domain:
		if d != nil {
			return m.copy(dig(d))
		}
	case explain:
		if d != nil {
			return m.copy("mxcutover status --domain " + report.Quote(rrset.Bare(d.Domain)))
		}
	case isolation:
		for _, l := range report.IsolationGate(&m.plan, m.status()) {
			if l.Command != "" {
				return m.copy(l.Command)
			}
		}
		return m.copy("mxcutover isolate status --all")
	case story:
		return m.copy("mxcutover report -o html --out report.html")
	}
	c := m.content()
	if at := m.focus(); c.n > 0 && at < c.n {
		return m.copy(strings.TrimSpace(ansi.Strip(c.line(at))))
	}
	return m.copy("")
}

// copyView shows what was copied, without anything beside it.
func (m *model) copyView() []string {
	lines := append(m.heads(), m.rule("Copied", "any key goes back"), m.style.dim.Render(" Where the terminal does not take that, mark it here:"), "")
	for _, l := range m.shown {
		for w := range strings.SplitSeq(ansi.Hardwrap(report.Harmless(l), max(m.width, 1), true), "\n") {
			lines = append(lines, w)
		}
	}
	return lines
}
