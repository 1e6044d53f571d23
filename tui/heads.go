package tui

import (
	"fmt"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"

	"mxcutover/report"
)

// heads are the first lines of every screen: how the engine stands and who decides,
// and in a second line what must not be missed.
func (m *model) heads() []string {
	if b := m.banner(); b != "" {
		return []string{m.head(), b}
	}
	return []string{m.head()}
}

// head names the migration, the engine's state, who decides, how far it is, and the
// time. What does not fit is left out, the last first.
func (m *model) head() string {
	parts := []string{m.engineWords(), m.controlWords(), m.progressWords(), report.Clock(m.now()) + "Z"}
	room := m.width - 2
	for n := len(parts); n >= 1; n-- {
		line := strings.Join(parts[:n], m.bar())
		left := room - ansi.StringWidth(line) - ansi.StringWidth(m.bar())
		if left >= 8 || n == 1 {
			who := m.cut(report.Harmless(m.plan.Migration), max(min(left, 32), 0))
			if left >= ansi.StringWidth(who)+10 {
				who = "mxcutover " + who
			}
			if who != "" {
				line = m.style.title.Render(who) + m.bar() + line
			}
			return " " + line
		}
	}
	return ""
}

// bar stands between the parts of a line.
func (m *model) bar() string {
	if m.p.ASCII {
		return m.style.dim.Render(" | ")
	}
	return m.style.dim.Render(" │ ")
}

func (m *model) engineWords() string {
	switch {
	case m.status().Over:
		return m.painted(report.Good, m.p.Symbol(report.Good)+" DONE")
	case m.line == broken:
		return m.style.alarm.Render(fmt.Sprintf("%s ENGINE LOST %s ago", m.p.Symbol(report.Bad), m.age()))
	case m.line == noEngine:
		return m.style.alarm.Render(m.p.Symbol(report.Wary) + " NO ENGINE")
	case m.line == dialling:
		return m.painted(report.Wary, m.p.Symbol(report.Wary)+" connecting")
	case m.status().Seq < m.until:
		return m.painted(report.Busy, fmt.Sprintf("%s reading the journal, %d%%", m.p.Symbol(report.Busy), 100*m.status().Seq/max(m.until, 1)))
	case m.status().Engine != "running":
		return m.painted(report.Wary, m.p.Symbol(report.Wary)+" engine stopped")
	}
	if m.width < 72 {
		return m.painted(report.Good, m.p.Symbol(report.Good)+" running")
	}
	return m.painted(report.Good, m.p.Symbol(report.Good)+" engine running")
}

// age is how old what is shown is.
func (m *model) age() string { return report.Span(m.now().Sub(m.seen)) }

func (m *model) controlWords() string {
	switch {
	case m.line != linked:
		return m.painted(report.Quiet, "nobody decides")
	case m.have:
		return m.painted(report.Good, "you decide")
	case m.readOnly() != "":
		return m.painted(report.Wary, "READ-ONLY")
	}
	return "anybody decides"
}

func (m *model) progressWords() string {
	live, held, back := m.counts()
	line := fmt.Sprintf("%s/%s live", report.Number(live), report.Number(len(m.status().Domains)))
	if held > 0 {
		line += "  " + m.painted(report.Bad, fmt.Sprintf("%s%s held", m.p.Symbol(report.Bad), report.Number(held)))
	}
	if back > 0 {
		line += "  " + m.painted(report.Wary, fmt.Sprintf("%s%s back", m.p.Symbol(report.Wary), report.Number(back)))
	}
	return line
}

// counts are those of all waves: live, held, and gone back.
func (m *model) counts() (live, held, back int) {
	for i := range m.status().Waves {
		w := &m.status().Waves[i]
		live, held, back = live+w.Live, held+w.Held, back+w.Failed
	}
	return live, held, back
}

// banner is what must not be missed; "" = nothing.
func (m *model) banner() string {
	line, tone := "", report.Wary
	switch {
	case m.status().Over:
	case m.line == broken:
		tone = report.Bad
		line = fmt.Sprintf("what you see is of %s, %s ago; tried again in %s: %s", stampOf(m.seen), m.age(), report.Span(m.again.Sub(m.now())), m.trouble)
	case m.line == noEngine && m.begun():
		line = "no engine runs, so nothing goes on; what you see is what the journal has." + m.startHint("S starts one that outlives this terminal")
	case m.line == noEngine:
		line = "the migration was not begun; this is its plan." + m.startHint("B begins it")
	case m.line == dialling && m.trouble != "":
		line = "the engine does not answer yet: " + m.trouble
	case m.readOnly() != "":
		line = "read-only: " + m.readOnly() + "; O takes over; H, R, L work"
	case m.status().DiskLow != "":
		tone, line = report.Bad, "the disk is full, and only rollbacks start: "+m.status().DiskLow
	}
	if line == "" {
		return ""
	}
	return m.painted(tone, " "+m.p.Symbol(tone)+" "+report.Harmless(line))
}

func (m *model) startHint(words string) string {
	if m.do.start == nil {
		return ""
	}
	return " " + words
}

// stampOf is a time of the day, with its day if that was not today.
func stampOf(t time.Time) string { return t.UTC().Format("01-02 15:04:05Z") }

// brief is the one line of a screen that is too small for more.
func (m *model) brief() string {
	live, held, back := m.counts()
	line := fmt.Sprintf("mxcutover %d/%d live %d held %d back", live, len(m.status().Domains), held, back)
	if m.readOnly() != "" {
		line = "READ-ONLY " + line
	}
	if m.line == broken {
		line = "ENGINE LOST " + m.age() + " " + line
	}
	if m.line == noEngine {
		line = "NO ENGINE " + line
	}
	if m.dialog != nil {
		line = "esc cancels; " + line
	}
	return line
}

// foot is the last line: what is typed, what was just decided, or the keys.
func (m *model) foot(keys string) string {
	switch {
	case m.input != nil && m.input.filter:
		return " filter: " + m.style.in.Render(harmlessInput(m.input.text)+"_") + m.style.dim.Render("   enter keeps it, esc puts back what was")
	case m.input != nil:
		return " search: " + m.style.in.Render(harmlessInput(m.input.text)+"_") + m.style.dim.Render("   enter finds, then n the next")
	case m.note != "":
		return m.painted(report.Wary, " "+report.Harmless(m.note))
	}
	return m.keysLine(keys)
}

// keysLine prints "key word" pairs, which are divided by two spaces; a key is bold.
func (m *model) keysLine(keys string) string {
	var b strings.Builder
	width := 0
	pairs := strings.Split(keys, "  ")
	last := len(pairs) - 1
	for i, pair := range pairs {
		k, what, _ := strings.Cut(pair, " ")
		w := 1 + ansi.StringWidth(pair)
		rest := 0
		if i < last {
			rest = 2 + ansi.StringWidth(pairs[last]) // help stays to be seen
		}
		if i < last && width+w+rest > m.width {
			continue
		}
		width += w + 1
		b.WriteString(" " + m.style.title.Render(k))
		if what != "" {
			b.WriteString(" " + m.style.dim.Render(what))
		}
		if i < last {
			b.WriteByte(' ')
		}
	}
	return b.String()
}

// harmlessInput is what was typed, fit for the screen.
func harmlessInput(s string) string { return report.Harmless(s) }
