package tui

import (
	"fmt"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"mxcutover/state"
)

// A dialog asks before something is changed.
type dialog struct {
	title  string
	asks   []state.Decision // sent one after the other; none = an engine is started
	drifts []state.Drift    // that can be chosen by Tab; "" = to look again
	need   string           // what must be typed; "" = nothing
	typed  string
	opened time.Time
	scroll int
	id     int
	busy   bool // it was sent, and not answered yet
	sent   int  // so many were answered
	failed []string
	err    string
}

// decidedMsg is the engine's answer to a decision.
type decidedMsg struct {
	id   int
	of   string // what was asked for, in words
	told string
	err  error
}

// open opens the dialog of one decision.
func (m *model) open(v state.Verb, target string) {
	if !m.may(v) {
		return
	}
	d := dialog{asks: []state.Decision{{Verb: v, Target: target}}, title: titleOf(v, target)}
	if v == state.Loaded {
		if d.asks[0].Confirm = m.asked(); d.asks[0].Confirm == "" {
			m.note = "nobody is asked to load anything now"
			return
		}
	}
	if x := m.status().Domain(strings.TrimPrefix(target, "domain:")); x != nil && x.State == state.IsDrifted && (v == state.Retry || v == state.Rollback) {
		d.drifts = []state.Drift{"", state.Adopt, state.Force, state.Skip}
	}
	m.openDialog(d)
}

// openMany opens the dialog of a decision about each of the marked domains.
func (m *model) openMany(v state.Verb) {
	if !m.may(v) {
		return
	}
	var d dialog
	for _, i := range m.list.chosen(-1) {
		d.asks = append(d.asks, state.Decision{Verb: v, Target: state.DomainTarget(m.status().Domains[i].Domain)})
	}
	if len(d.asks) == 1 {
		m.open(v, d.asks[0].Target)
		return
	}
	d.title = fmt.Sprintf("%s %d marked domains", words(v), len(d.asks))
	m.openDialog(d)
}

// askStart opens the dialog that starts an engine.
func (m *model) askStart() {
	switch {
	case m.do.start == nil:
		m.note = "no engine can be started from here; see: mxcutover run --help"
	case m.line == linked:
		m.note = "an engine runs"
	case m.begun():
		m.openDialog(dialog{title: "Start an engine"})
	default:
		m.openDialog(dialog{title: "Begin the migration " + m.plan.Migration, need: m.plan.Migration})
	}
}

func (m *model) openDialog(d dialog) {
	m.serial++
	d.id, d.opened = m.serial, m.now()
	if len(d.asks) > 0 {
		d.need = d.wants()
	}
	m.dialog, m.note = &d, ""
}

// may tells whether a decision can be sent from here, and else says why not.
func (m *model) may(v state.Verb) bool {
	switch {
	case m.line == noEngine:
		m.note = "no engine runs that could take it." + m.startHint("S starts one;") + " the commands work without: mxcutover " + string(v) + " --help"
	case m.line != linked:
		m.note = "the engine cannot be reached, so nothing can be decided from here"
	case m.readOnly() != "" && v != state.Take && !v.Urgent():
		m.note = "read-only: " + m.readOnly() + "; O takes control over"
	default:
		return true
	}
	return false
}

// wants is what must be typed: the target's name or, of many, how many they are.
func (d *dialog) wants() string {
	switch {
	case len(d.asks) == 0:
		return ""
	case d.asks[0].Verb == state.Loaded:
		return d.asks[0].Confirm // no other table is taken for it
	case !d.asks[0].Destroys():
		return ""
	}
	if len(d.asks) > 1 {
		return fmt.Sprintf("%d domains", len(d.asks))
	}
	return state.ConfirmName(d.asks[0].Target)
}

// words are a verb as a dialog's title has it.
func words(v state.Verb) string {
	switch v {
	case state.Rollback:
		return "Roll back"
	case state.Keep:
		return "Confirm"
	}
	return strings.ToUpper(string(v)[:1]) + string(v)[1:]
}

func titleOf(v state.Verb, target string) string {
	kind, _, _ := strings.Cut(target, ":")
	switch {
	case v == state.Take:
		return "Take control over"
	case v == state.Quit:
		return "Stop the engine"
	case v == state.Loaded:
		return "The firewall's table is loaded"
	case target == state.Isolate:
		return words(v) + " the isolation of the old server"
	case target == state.All:
		return words(v) + " everything"
	}
	return words(v) + " " + kind + " " + state.ConfirmName(target)
}

// dialogKey acts on a key while a dialog is open. Ctrl+Y carries out; Enter never
// does, and neither does a burst of keys.
func (m *model) dialogKey(k tea.KeyPressMsg, name string, burst bool) tea.Cmd {
	d := *m.dialog
	m.dialog = &d
	switch name {
	case "esc":
		m.dialog = nil
		if d.busy && d.sent+1 < len(d.asks) {
			m.note = fmt.Sprintf("%d of %d were sent, and no more will be", d.sent+1, len(d.asks))
		}
	case "enter":
		d.err = "Enter never confirms; Ctrl+Y does."
	case "backspace":
		d.typed = shorter(d.typed)
	case "ctrl+u":
		d.typed = ""
	case "ctrl+o":
		return m.copy(strings.Join(m.commands(&d), "\n"))
	case "tab":
		d.chooseNext()
	case "down", "pgdown":
		d.scroll++
	case "up", "pgup":
		d.scroll = max(d.scroll-1, 0)
	case "ctrl+y":
		return m.confirm(&d, burst)
	default:
		switch {
		case d.need == "" || d.busy:
		case burst:
			d.typed, d.err = "", "Keys came faster than anybody types, as if pasted: type it."
		default:
			d.typed += typed(k, len(d.typed))
		}
	}
	return nil
}

// chooseNext takes the next choice about a record that somebody else changed.
func (d *dialog) chooseNext() {
	if len(d.drifts) == 0 || d.busy {
		return
	}
	asks := append([]state.Decision(nil), d.asks...)
	for i, c := range d.drifts {
		if c == asks[0].Drift {
			asks[0].Drift = d.drifts[(i+1)%len(d.drifts)]
			break
		}
	}
	d.asks, d.err = asks, ""
	d.need = d.wants()
}

// confirm carries a dialog out, if what it needs was typed, by a person.
func (m *model) confirm(d *dialog, burst bool) tea.Cmd {
	switch {
	case d.busy:
	case m.width < leastWidth || m.height < leastHeight:
		m.dialog, m.note = nil, "the screen is too small to see what would be done: nothing was sent"
	case burst || m.now().Sub(d.opened) < settleIn:
		d.err = "That came too fast to have been read. Ctrl+Y again carries it out."
		d.opened = m.now()
	case d.typed != d.need:
		d.err = fmt.Sprintf("Type %s first.", d.need)
	case len(d.asks) > 0 && m.line != linked:
		d.err = "The engine cannot be reached just now; nothing was sent."
	default:
		d.busy, d.err, d.sent, d.failed = true, "", 0, nil
		return m.carry(d)
	}
	return nil
}

// carry sends the next decision, or starts an engine, outside of Update.
func (m *model) carry(d *dialog) tea.Cmd {
	id := d.id
	if len(d.asks) == 0 {
		start := m.do.start
		return func() tea.Msg {
			told, err := start()
			return decidedMsg{id: id, of: "start", told: told, err: err}
		}
	}
	ask, of := d.asks[d.sent], d.title
	if len(d.asks) > 1 {
		of = state.ConfirmName(ask.Target)
	}
	if ask.Verb == state.Take {
		take := m.do.take
		return func() tea.Msg { return decidedMsg{id: id, of: of, told: "this screen has control", err: take(true)} }
	}
	if ask.Destroys() {
		ask.Confirm = state.ConfirmName(ask.Target)
	}
	decide := m.do.decide
	return func() tea.Msg {
		return decidedMsg{id: id, of: of, told: of + ": taken by the engine", err: decide(ask)}
	}
}

// decided takes an answer, and sends what comes next.
func (m *model) decided(msg decidedMsg) tea.Cmd {
	if m.dialog == nil || m.dialog.id != msg.id {
		m.note = msg.told
		if msg.err != nil {
			m.note = msg.of + ": " + msg.err.Error()
		}
		return nil
	}
	d := *m.dialog
	m.dialog = &d
	d.sent++
	if msg.err != nil {
		d.failed = append(d.failed, msg.err.Error())
		if len(d.asks) > 1 {
			d.failed[len(d.failed)-1] = msg.of + ": " + msg.err.Error()
		}
	}
	if d.sent < len(d.asks) {
		return m.carry(&d)
	}
	d.busy = false
	switch {
	case len(d.failed) == 0:
		m.dialog, m.note = nil, msg.told
		if len(d.asks) > 1 {
			m.note = d.title + ": taken by the engine"
			m.list.unmark()
		}
	case len(d.asks) > 1:
		d.err = fmt.Sprintf("%d of %d were taken. %s", d.sent-len(d.failed), d.sent, strings.Join(d.failed[:min(len(d.failed), 3)], "; "))
	default:
		d.err = d.failed[0]
	}
	return nil
}
