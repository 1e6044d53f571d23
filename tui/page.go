package tui

import (
	"fmt"

	"github.com/charmbracelet/x/ansi"
)

// A content is the lines of a screen, built one by one: there may be very many. Lines
// are harmless and painted, and may be too wide.
type content struct {
	title string
	end   string // said at the end of the title's rule
	keys  string // of the foot
	n     int
	line  func(int) string
	picks bool     // a line can be chosen
	under []string // of the chosen line, beneath the rest
}

// text is the content that is so many ready lines.
func text(lines []string) content {
	return content{n: len(lines), line: func(i int) string { return lines[i] }}
}

// content is that of the screen.
func (m *model) content() content {
	switch m.screen {
	case domain:
		return m.domainContent()
	case explain:
		return m.explainContent()
	case events:
		return m.logContent()
	case planned:
		return m.planContent()
	case findings:
		return m.findingsContent()
	case isolation:
		return m.isolationContent()
	case story:
		return m.storyContent()
	case help:
		return m.helpContent()
	}
	return content{}
}

// length is how many lines there are; of the overview, how many domains.
func (m *model) length() int {
	if m.screen == overview {
		return len(m.list.rows)
	}
	return m.content().n
}

// chooses tells whether the screen has a cursor.
func (m *model) chooses() bool {
	return m.screen == overview || m.screen == events || m.screen == planned || m.screen == findings
}

// bodyHeight is how many lines are shown at once.
func (m *model) bodyHeight() int {
	if m.screen == overview {
		return m.tableRows()
	}
	return max(m.height-len(m.heads())-2-len(m.content().under), 1)
}

// pageView is every screen but the overview.
func (m *model) pageView() []string {
	c := m.content()
	at, h := m.at[m.screen], max(m.height-len(m.heads())-2-len(c.under), 1)
	lines := append(m.heads(), m.rule(c.title, m.position(c, h)))
	for i := at.top; i < min(at.top+h, c.n); i++ {
		l := c.line(i)
		if at.left > 0 {
			l = ansi.TruncateLeft(l, at.left, "")
		}
		if c.picks {
			l = m.chosen(l, i == at.cursor)
		}
		lines = append(lines, l)
	}
	lines = fill(lines, len(m.heads())+1+h)
	lines = append(lines, c.under...)
	return append(lines, m.foot(c.keys))
}

// chosen marks the line under the cursor in its first column.
func (m *model) chosen(l string, is bool) string {
	if is {
		return m.style.cursor.Render(">") + l
	}
	return " " + l
}

// position says where in a long text the screen is.
func (m *model) position(c content, h int) string {
	end := c.end
	if m.find != "" {
		end = "n: next " + m.cut(harmlessInput(m.find), 20)
	}
	if c.n > h {
		last := min(m.at[m.screen].top+h, c.n)
		where := fmt.Sprintf("%d%%", 100*last/c.n)
		if end != "" {
			where = end + "  " + where
		}
		return where
	}
	return end
}
