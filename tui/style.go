package tui

import (
	"strings"

	"charm.land/lipgloss/v2"
	"github.com/charmbracelet/x/ansi"

	"mxcutover/report"
)

// styles are made once. They are of the terminal's own 16 colours, which its theme
// makes legible; what is of less weight is faint and not grey, since some themes have
// grey as their background.
type styles struct {
	tone                              [5]ink
	title, dim, cursor, hd, alarm, in ink
}

// An ink is a style's sequences, found once: they are printed for each cell of a table.
type ink struct{ open, end string }

func inkOf(s lipgloss.Style) ink {
	open, end, _ := strings.Cut(s.Render("x"), "x")
	return ink{open, end}
}

// Render is a text in the ink; nothing stays nothing.
func (i ink) Render(s string) string {
	if s == "" {
		return ""
	}
	return i.open + s + i.end
}

func newStyles() styles { return stylesOn(true) }

// stylesOn are for a dark or a light background: yellow on white cannot be read.
func stylesOn(dark bool) styles {
	fg := func(c string) lipgloss.Style { return lipgloss.NewStyle().Foreground(lipgloss.Color(c)) }
	wary := fg("3")
	if !dark {
		wary = fg("5")
	}
	plain := lipgloss.NewStyle()
	return styles{
		tone:  [5]ink{inkOf(plain.Faint(true)), inkOf(fg("6")), inkOf(fg("2")), inkOf(wary), inkOf(fg("1").Bold(true))},
		title: inkOf(plain.Bold(true)), dim: inkOf(plain.Faint(true)), cursor: inkOf(plain.Reverse(true)), hd: inkOf(plain.Bold(true)),
		alarm: inkOf(fg("1").Bold(true).Reverse(true)), in: inkOf(plain.Underline(true)),
	}
}

// mark is a tone's symbol in its colour.
func (m *model) mark(t report.Tone) string { return m.style.tone[t].Render(m.p.Symbol(t)) }

func (m *model) painted(t report.Tone, s string) string { return m.style.tone[t].Render(s) }

// toned are lines that report painted, in colours that can be read on this background.
func (m *model) toned(lines []string) []string {
	if wary := m.style.tone[report.Wary].open; wary != reportWary {
		for i := range lines {
			lines[i] = strings.ReplaceAll(lines[i], reportWary, wary)
		}
	}
	return lines
}

// reportWary is the colour of report's wary words.
const reportWary = "\x1b[33m"

// rule is a line across the screen, with a title in it, and what is said at its end.
func (m *model) rule(title, end string) string {
	dash := "─"
	if m.p.ASCII {
		dash = "-"
	}
	if title != "" {
		title = " " + title + " "
	}
	if end != "" {
		end = " " + end + " "
	}
	title = m.cut(title, max(m.width-4, 0))
	end = m.cut(end, max(m.width-4-ansi.StringWidth(title), 0))
	n := max(m.width-2-ansi.StringWidth(title)-ansi.StringWidth(end), 0)
	return m.style.dim.Render(dash+dash) + m.style.hd.Render(title) + m.style.dim.Render(strings.Repeat(dash, n)) + end
}

// dots are the mark of what was cut.
func (m *model) dots() string {
	if m.p.ASCII {
		return "~"
	}
	return "…"
}

// cut shortens a painted line to a width, in columns.
func (m *model) cut(s string, width int) string {
	if width <= 0 {
		return ""
	}
	return ansi.Truncate(s, width, m.dots())
}

// pad cuts or fills harmless text to a width, in columns.
func (m *model) pad(s string, width int) string {
	s = m.cut(s, width)
	return s + strings.Repeat(" ", max(width-ansi.StringWidth(s), 0))
}

// noBreak is a space at which a line is not broken.
const noBreak = "\u00a0"

// wrapped breaks a painted line between words into lines of a width; those after the
// first are indented, and have its colours.
func wrapped(s string, width int, indent string) []string {
	out := broke(s, width, indent)
	for i, l := range out {
		out[i] = strings.ReplaceAll(l, noBreak, " ")
	}
	return out
}

func broke(s string, width int, indent string) []string {
	if width <= len(indent)+8 || ansi.StringWidth(s) <= width {
		return []string{s}
	}
	var out []string
	line, has, open := "", false, ""
	end := func() {
		if open != "" {
			line += reset
		}
		out = append(out, line)
		line, has = indent+open, false
	}
	for i, word := range strings.Split(s, " ") {
		for has && ansi.StringWidth(line)+1+ansi.StringWidth(word) > width {
			end()
		}
		if i > 0 && (has || len(out) == 0) {
			line += " "
		}
		for ansi.StringWidth(line)+ansi.StringWidth(word) > width { // a word that is longer than a line
			room := width - ansi.StringWidth(line)
			line += ansi.Truncate(word, room, "")
			open = opened(open, word)
			word = ansi.TruncateLeft(word, room, "")
			end()
		}
		line, has, open = line+word, has || word != "", opened(open, word)
	}
	return append(out, line)
}

const reset = "\x1b[m"

// opened is the style that is open after some text.
func opened(was, s string) string {
	for {
		i := strings.Index(s, "\x1b[")
		if i < 0 {
			return was
		}
		end := strings.IndexByte(s[i:], 'm')
		if end < 0 {
			return was
		}
		if was = s[i : i+end+1]; was == reset || was == "\x1b[0m" {
			was = ""
		}
		s = s[i+end+1:]
	}
}

// fill adds empty lines up to a height, so that what follows stands at the foot.
func fill(lines []string, height int) []string {
	for len(lines) < height {
		lines = append(lines, "")
	}
	return lines[:max(min(len(lines), height), 0)]
}
