package tui

import (
	"strings"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"mxcutover/report"
)

// maxInput bounds what is typed into an input, in bytes.
const maxInput = 256

// An input is a filter, of domains or of the log, or a search on another screen.
type input struct {
	text   string
	filter bool
	was    string // what esc puts back
}

func (m *model) startInput() {
	switch m.screen {
	case overview:
		m.input = &input{filter: true, was: m.list.filter}
	case events:
		m.input = &input{filter: true, was: m.log.filter}
	default:
		m.input = &input{was: m.find}
	}
	m.input.text = m.input.was
}

// inputKey types into the input. Enter ends it and keeps what it says; esc puts back
// what was.
func (m *model) inputKey(k tea.KeyPressMsg, name string) {
	in := *m.input
	done := false
	switch name {
	case "enter":
		done = true
	case "esc":
		in.text, done = in.was, true
	case "backspace":
		in.text = shorter(in.text)
	case "ctrl+u":
		in.text = ""
	default:
		in.text += typed(k, len(in.text))
	}
	m.typedIn(in, done)
}

func (m *model) typedIn(in input, done bool) {
	m.input = &in
	if done {
		m.input = nil
	}
	switch {
	case in.filter && m.screen == events:
		m.log.choose(m.log.level, in.text, m.p)
	case in.filter:
		m.refilter(in.text)
	case done:
		m.find = strings.ToLower(in.text)
		m.nextFrom(m.at[m.screen].cursor)
	}
}

// paste goes into filters and searches, and never into a decision.
func (m *model) paste(text string) {
	if first, _, more := strings.Cut(text, "\n"); more {
		text = strings.TrimRight(first, "\r")
	}
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, text)
	switch {
	case m.dialog != nil:
		d := *m.dialog
		d.err = "Nothing can be pasted here: type it."
		m.dialog = &d
	case m.palette != nil:
		m.pasteIntoPalette(text)
	case m.input != nil && len(m.input.text)+len(text) <= maxInput:
		in := *m.input
		in.text += text
		m.typedIn(in, false)
	default:
		m.note = "what was pasted was ignored"
	}
}

// shorter is a text without its last character.
func shorter(s string) string {
	if r := []rune(s); len(r) > 0 {
		return string(r[:len(r)-1])
	}
	return ""
}

// next goes to the next line that has what was searched for.
func (m *model) next() { m.nextFrom(m.focus() + 1) }

// focus is the line that is looked at.
func (m *model) focus() int {
	if m.chooses() {
		return m.at[m.screen].cursor
	}
	return m.at[m.screen].top
}

func (m *model) nextFrom(from int) {
	if m.find == "" || m.screen == overview {
		return
	}
	c := m.content()
	for i := range c.n {
		at := (from + i) % c.n
		if strings.Contains(strings.ToLower(ansi.Strip(c.line(at))), m.find) {
			m.at[m.screen].cursor, m.at[m.screen].top = at, at
			return
		}
	}
	m.note = "nothing here has " + report.Quote(m.find)
}
