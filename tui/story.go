package tui

import (
	"bytes"
	"strings"
)

// tellStory makes the lines of the report.
func (m *model) tellStory() {
	var b bytes.Buffer
	p := m.text
	p.Width = m.width
	_ = p.Story(&b, m.fold, false) // a buffer takes all
	m.told = m.toned(strings.Split(strings.TrimRight(b.String(), "\n"), "\n"))
	m.toldAt = m.status().Seq
}

// storyContent is the report, in the words of mxcutover report.
func (m *model) storyContent() content {
	lines := m.told
	c := content{n: len(lines), line: func(i int) string { return " " + lines[i] }}
	c.title = "Report"
	if m.toldAt < m.status().Seq {
		c.end = "there are newer events: a"
	}
	c.keys = "esc back  arrows sideways  / search  n next  a anew  y copy the command for a file  ? help"
	return c
}
