package tui

import (
	"time"
	"unicode"

	tea "charm.land/bubbletea/v2"

	"mxcutover/state"
)

// A burst is keys that come faster than anybody types: something was pasted where
// nothing can be. They are ignored until there is a pause.
type burst struct {
	last time.Time
	key  string
	row  int // how many came so fast, one after the other
}

const (
	tooFast   = 15 * time.Millisecond  // between two different keys
	burstLen  = 3                      // so many of them are a burst
	quietTime = 300 * time.Millisecond // that ends one
	settleIn  = 400 * time.Millisecond // before a dialog can be confirmed
)

// add notes a key, and tells whether it is one of a burst. A key that is held down
// repeats as fast, and is none.
func (b *burst) add(k string, now time.Time) bool {
	gap := now.Sub(b.last)
	switch {
	case b.row >= burstLen && gap < quietTime, k != b.key && gap < tooFast:
		b.row++
	case k == b.key && gap < tooFast && b.row > 0:
	default:
		b.row = 0
	}
	b.last, b.key = now, k
	return b.row >= burstLen
}

// key acts on one key.
func (m *model) key(k tea.KeyPressMsg) tea.Cmd {
	name := k.String()
	switch name { // what an Alt before it makes of it, where Esc was pressed twice
	case "alt+esc":
		name = "esc"
	case "ctrl+c":
		return tea.Quit
	}
	burst := m.burst.add(name, m.now())
	switch {
	case m.shown != nil:
		m.shown = nil
		return nil
	case m.dialog != nil:
		return m.dialogKey(k, name, burst)
	case m.palette != nil:
		return m.paletteKey(k, name)
	case m.input != nil:
		m.inputKey(k, name)
		return nil
	case burst:
		m.note = "keys came faster than anybody types, as if pasted: they were ignored"
		return nil
	}
	m.note = ""
	return m.command(name)
}

// command acts on a key outside of inputs and dialogs.
func (m *model) command(k string) tea.Cmd {
	if m.move(k) {
		return nil
	}
	if cmd, known := m.screenKey(k); known {
		return cmd
	}
	switch k {
	case "q":
		return tea.Quit
	case "esc":
		m.back()
	case "?":
		m.show(help)
	case ":", "ctrl+p":
		m.palette = m.openPalette()
	case "/":
		m.startInput()
	case "n":
		m.next()
	case "y":
		return m.copySelected()
	case "o":
		m.show(overview)
	case "l":
		m.show(events)
	case "p":
		m.show(planned)
	case "c":
		m.show(findings)
	case "i":
		m.show(isolation)
		return m.askWall()
	case "r":
		m.show(story)
	case "e":
		if m.selected() != nil {
			m.show(explain)
		}
	case "[", "]":
		m.step(map[string]int{"[": -1, "]": 1}[k])
	default:
		m.ask(k)
	}
	return nil
}

// screenKey acts on keys that only one screen has.
func (m *model) screenKey(k string) (tea.Cmd, bool) {
	switch m.screen {
	case overview:
		return nil, m.overviewKey(k)
	case events:
		return nil, m.logKey(k)
	case findings:
		return nil, m.findingsKey(k)
	case planned:
		if k == "enter" {
			m.openPlanned()
			return nil, true
		}
	case domain:
		if k == "a" {
			return m.askServers(), true
		}
	case isolation:
		if k == "a" {
			return m.askWall(), true
		}
	case story:
		if k == "a" {
			m.tellStory()
			return nil, true
		}
	}
	return nil, false
}

// show goes to a screen, and makes what it shows.
func (m *model) show(s screen) {
	if s == m.screen {
		return
	}
	switch s {
	case help, explain:
		m.at[s] = place{}
		if m.screen != help && m.screen != explain {
			m.from = m.screen
		}
	case domain:
		m.at[s] = place{}
	case findings:
		m.gatherFindings()
	case story:
		m.tellStory()
	}
	m.screen, m.find = s, ""
}

// back goes one screen back; on the first, it takes the filter and then the marks away.
func (m *model) back() {
	switch {
	case m.screen == help || m.screen == explain:
		m.screen = m.from
	case m.screen == events && m.log.filter != "":
		m.log.choose(m.log.level, "", m.p)
	case m.screen != overview:
		m.screen = overview
	case m.list.filter != "":
		m.refilter("")
	default:
		m.list.unmark()
	}
}

// refilter filters the domains, and stays at the selected one if it is left.
func (m *model) refilter(filter string) {
	m.keeping(func() { m.list.refilter(filter) })
}

// keeping does something to the rows, and stays at the selected domain.
func (m *model) keeping(f func()) {
	i, ok := m.list.at(m.at[overview].cursor)
	f()
	if ok {
		if row := m.list.row(i); row >= 0 {
			m.at[overview].cursor = row
		}
	}
}

// step goes to the next or the previous domain, whatever is shown of it.
func (m *model) step(by int) {
	at := &m.at[overview]
	at.cursor = max(min(at.cursor+by, len(m.list.rows)-1), 0)
	if m.screen == domain || m.screen == explain {
		m.at[m.screen].top = 0
	}
}

// move moves the cursor, or scrolls; it tells whether the key was one of these.
func (m *model) move(k string) bool {
	page := max(m.bodyHeight()-1, 1)
	by, known := map[string]int{"j": 1, "down": 1, "k": -1, "up": -1, "pgdown": page, "pgup": -page, "ctrl+f": page, "ctrl+b": -page}[k]
	at, n, chooses := &m.at[m.screen], m.length(), m.chooses()
	switch {
	case known && chooses:
		at.cursor = max(min(at.cursor+by, n-1), 0)
	case known:
		at.top = max(min(at.top+by, n-m.bodyHeight()), 0)
	case k == "g", k == "home", k == "end":
		last := n - 1
		if first := at.cursor == 0 && at.top == 0; k == "home" || k == "g" && !first {
			last = 0
		}
		at.cursor, at.top = max(last, 0), max(last, 0)
	case k == "right" && m.screen != overview:
		at.left = min(at.left+8, 400)
	case k == "left" && m.screen != overview:
		at.left = max(at.left-8, 0)
	default:
		return false
	}
	if m.screen == events {
		m.log.follow = at.cursor >= n-1
	}
	return true
}

// keepInView keeps the cursor on the screen, and the screen on what there is.
func (m *model) keepInView() {
	at, n, h := &m.at[m.screen], m.length(), max(m.bodyHeight(), 1)
	if m.screen == events && m.log.follow {
		at.cursor = n - 1
	}
	at.cursor = max(min(at.cursor, n-1), 0)
	if m.chooses() {
		at.top = min(max(at.top, at.cursor-h+1), at.cursor)
	}
	at.top = max(min(at.top, n-h), 0)
	if m.screen != overview { // its row is that of the domain screens
		o := &m.at[overview]
		o.cursor = max(min(o.cursor, len(m.list.rows)-1), 0)
	}
}

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
	verb := map[string]state.Verb{"H": state.Hold, "U": state.Resume, "T": state.Retry, "R": state.Rollback}[k]
	d := m.selected()
	switch {
	case k == "A":
		m.askApprove()
	case k == "C":
		m.open(state.Keep, state.Isolate)
	case k == "L":
		m.open(state.Lift, state.Isolate)
	case k == "D":
		m.open(state.Loaded, state.Isolate)
	case k == "O":
		m.open(state.Take, state.All)
	case k == "P":
		m.open(state.Hold, state.All)
	case k == "Q":
		m.open(state.Quit, state.All)
	case k == "S", k == "B":
		m.askStart()
	case m.screen == isolation && (k == "H" || k == "U" || k == "T"):
		m.open(verb, state.Isolate)
	case verb != "" && len(m.list.marks) > 0 && m.screen == overview:
		m.openMany(verb)
	case verb != "" && d != nil:
		m.open(verb, state.DomainTarget(d.Domain))
	case k == "W" && d != nil:
		m.open(state.Rollback, state.WaveTarget(d.Wave))
	}
}

// askApprove asks about the first wave that is not approved, or that waits since a
// crash, then isolation.
func (m *model) askApprove() {
	if m.screen != isolation {
		for _, w := range m.status().Waves {
			if !w.Approved || m.status().WavesWait && w.State == state.WaveWaiting {
				m.open(state.Approve, state.WaveTarget(w.Name))
				return
			}
		}
	}
	m.open(state.Approve, state.Isolate)
}
