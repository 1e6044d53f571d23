package tui

import (
	"strings"

	"charm.land/lipgloss/v2"

	"mxcutover/report"
)

// styles are made once.
type styles struct {
	tone                   [5]lipgloss.Style
	title, dim, cursor, hd lipgloss.Style
}

func newStyles() styles {
	fg := func(c string) lipgloss.Style { return lipgloss.NewStyle().Foreground(lipgloss.Color(c)) }
	return styles{
		tone:  [5]lipgloss.Style{fg("8"), fg("6"), fg("2"), fg("3"), fg("1").Bold(true)},
		title: lipgloss.NewStyle().Bold(true), dim: fg("8"),
		cursor: lipgloss.NewStyle().Reverse(true), hd: fg("8").Bold(true),
	}
}

// mark is a tone's symbol in its colour.
func (m model) mark(t report.Tone) string { return m.style.tone[t].Render(m.p.Symbol(t)) }

func (m model) painted(t report.Tone, s string) string { return m.style.tone[t].Render(s) }

// rule is a line across the screen, with a title in it.
func (m model) rule(title string) string {
	dash := "─"
	if m.p.ASCII {
		dash = "-"
	}
	if title != "" {
		title = " " + title + " "
	}
	n := m.width - 2 - len([]rune(title))
	return m.style.dim.Render(dash+dash) + m.style.hd.Render(title) + m.style.dim.Render(strings.Repeat(dash, max(n, 0)))
}

// fill adds empty lines up to a height, so that what follows stands at the foot.
func fill(lines []string, height int) []string {
	for len(lines) < height {
		lines = append(lines, "")
	}
	return lines[:max(min(len(lines), height), 0)]
}
