package tui

import (
	"unicode"

	tea "charm.land/bubbletea/v2"

	"mxcutover/state"
)

// key acts on one key. Lower-case letters look; upper-case letters ask for a
// change, in a dialog.
func (m model) key(k tea.KeyPressMsg) (tea.Model, tea.Cmd) {
	switch {
	case k.String() == "ctrl+c":
		return m, tea.Quit
	case m.dialog != nil:
		return m.dialogKey(k)
	case m.filtering:
		m.filterKey(k)
		return m, nil
	}
	switch k.String() {
	case "q":
		return m, tea.Quit
	case "esc", "alt+esc":
		m.back()
	case "?":
		m.screen = help
	case "/":
		m.filtering, m.screen = true, overview
	case "enter":
		if m.screen == overview && m.selected() != nil {
			m.screen, m.scroll = domain, 0
		}
	default:
		if !m.move(k.String()) {
			m.ask(k.String())
		}
	}
	m.keepInView()
	return m, nil
}

func (m *model) back() {
	if m.screen != overview {
		m.screen = overview
		return
	}
	m.filter, m.note = "", ""
	m.refilter()
}

// move moves the cursor, or scrolls; it tells whether the key was one of these.
func (m *model) move(k string) bool {
	by, known := map[string]int{
		"j": 1, "down": 1, "k": -1, "up": -1, "pgdown": m.tableRows(), "pgup": -m.tableRows(), "space": m.tableRows(),
		"g": -len(m.rows), "home": -len(m.rows), "G": len(m.rows), "end": len(m.rows), "]": 1, "[": -1,
	}[k]
	if !known {
		return false
	}
	if m.screen == overview || k == "]" || k == "[" {
		m.cursor, m.scroll = max(min(m.cursor+by, len(m.rows)-1), 0), 0
	} else {
		m.scroll = max(m.scroll+by, 0)
	}
	return true
}

func (m *model) filterKey(k tea.KeyPressMsg) {
	switch k.String() {
	case "enter":
		m.filtering = false
	case "esc", "alt+esc":
		m.filtering, m.filter = false, ""
	case "backspace":
		if r := []rune(m.filter); len(r) > 0 {
			m.filter = string(r[:len(r)-1])
		}
	default:
		m.filter += typed(k, len(m.filter))
	}
	m.refilter()
}

// maxInput bounds what is typed into an input, in bytes.
const maxInput = 256

// typed is the text of a key, if it is printable and there is room.
func typed(k tea.KeyPressMsg, have int) string {
	if have+len(k.Text) > maxInput {
		return ""
	}
	for _, r := range k.Text {
		if !unicode.IsPrint(r) {
			return ""
		}
	}
	return k.Text
}

// ask opens the dialog of a change.
func (m *model) ask(k string) {
	d := m.selected()
	switch k {
	case "A":
		m.askApprove()
	case "D":
		m.open(state.Loaded, state.Isolate)
	case "C":
		m.open(state.Keep, state.Isolate)
	case "O":
		m.open(state.Take, state.All)
	case "H", "U", "T", "R":
		if d != nil {
			m.open(map[string]state.Verb{"H": state.Hold, "U": state.Resume, "T": state.Retry, "R": state.Rollback}[k], state.DomainTarget(d.Domain))
		}
	case "W":
		if d != nil {
			m.open(state.Rollback, state.WaveTarget(d.Wave))
		}
	}
}

// askApprove asks about the first wave that is not approved, then isolation.
func (m *model) askApprove() {
	for _, w := range m.status.Waves {
		if !w.Approved {
			m.open(state.Approve, state.WaveTarget(w.Name))
			return
		}
	}
	m.open(state.Approve, state.Isolate)
}
