package tui

import (
	"fmt"
	"strings"

	tea "charm.land/bubbletea/v2"

	"mxcutover/report"
	"mxcutover/state"
)

// A dialog asks before a decision is sent.
type dialog struct {
	decision state.Decision
	need     string // what must be typed; "" = nothing
	typed    string
	busy     bool // it was sent, and not answered yet
	err      string
}

// sent is the decision as it is sent once all is typed.
func (d *dialog) sent() state.Decision {
	out := d.decision
	if out.Verb == state.Loaded {
		out.Confirm = d.need
	}
	return out
}

// decidedMsg is the engine's answer to a decision.
type decidedMsg struct {
	decision state.Decision
	err      error
}

func (m *model) open(v state.Verb, target string) {
	if m.readOnly != "" && v != state.Take && !v.Urgent() {
		m.note = "read-only: " + m.readOnly + "; O takes control over"
		return
	}
	d := dialog{decision: state.Decision{Verb: v, Target: target}}
	if d.decision.Destroys() {
		d.need = state.ConfirmName(target)
	}
	if v == state.Loaded {
		if d.need = m.status.Isolation.Asks; d.need == "" || strings.HasPrefix(d.need, state.OpeningTable) {
			m.note = "nobody is asked to load anything now"
			return
		}
	}
	m.dialog, m.note = &d, ""
}

// dialogKey acts on a key while a dialog is open. Ctrl+Y carries out; Enter
// never does.
func (m model) dialogKey(k tea.KeyPressMsg) (tea.Model, tea.Cmd) {
	d := *m.dialog
	switch k.String() {
	case "esc", "alt+esc":
		m.dialog = nil
		return m, nil
	case "enter":
		d.err = "Enter never confirms; Ctrl+Y does."
	case "backspace":
		if r := []rune(d.typed); len(r) > 0 {
			d.typed = string(r[:len(r)-1])
		}
	case "ctrl+y":
		if d.busy {
			return m, nil
		}
		if d.typed == d.need {
			d.busy, d.err = true, ""
			d.decision.Confirm = d.typed
			m.dialog = &d
			return m, m.decide(d.decision)
		}
		d.err = fmt.Sprintf("Type %s first.", d.need)
	default:
		if d.need != "" && !d.busy {
			d.typed += typed(k, len(d.typed))
		}
	}
	m.dialog = &d
	return m, nil
}

// decide sends a decision outside of Update.
func (m model) decide(d state.Decision) tea.Cmd {
	send := m.send
	return func() tea.Msg { return decidedMsg{d, send(d)} }
}

func (m *model) decided(msg decidedMsg) {
	if m.dialog == nil || m.dialog.decision.Target != msg.decision.Target || m.dialog.decision.Verb != msg.decision.Verb {
		if msg.err != nil {
			m.note = msg.err.Error()
		}
		return
	}
	if msg.err != nil {
		d := *m.dialog
		d.busy, d.err = false, msg.err.Error()
		m.dialog = &d
		return
	}
	m.dialog = nil
	if msg.decision.Verb == state.Take {
		m.note = "this screen has control"
		return
	}
	m.note = fmt.Sprintf("%s %s: taken by the engine", msg.decision.Verb, state.ConfirmName(msg.decision.Target))
}

func (m model) dialogView() []string {
	d := m.dialog
	name := report.Harmless(state.ConfirmName(d.decision.Target))
	title := strings.ToUpper(string(d.decision.Verb)) + " " + name
	if d.decision.Verb == state.Take {
		title = "TAKE CONTROL OVER"
	}
	body := []string{m.style.title.Render(title), ""}
	body = append(body, m.about(d.decision)...)
	body = append(body, "")
	if d.need != "" {
		body = append(body, "Type its name to go on:  "+m.style.title.Render(report.Harmless(d.need)), "  > "+report.Harmless(d.typed)+"_", "")
	}
	switch {
	case d.busy:
		body = append(body, m.painted(report.Busy, "sent to the engine ..."))
	case d.typed == d.need:
		body = append(body, m.painted(report.Wary, "Ctrl+Y  carry it out")+"      esc  cancel")
	default:
		body = append(body, m.style.dim.Render("Ctrl+Y is locked until the name matches")+"      esc  cancel")
	}
	if d.err != "" {
		body = append(body, "", m.painted(report.Bad, report.Harmless(d.err)))
	}
	lines := []string{m.head(), m.rule("")}
	for _, l := range fill(body, max(m.height-5, 1)) {
		lines = append(lines, "   "+l)
	}
	return append(lines, m.rule(""), m.style.dim.Render(" same as:  "+command(d.sent())))
}

// about says what a decision does, how long it takes, and how it is undone.
func (m model) about(d state.Decision) []string {
	switch d.Verb {
	case state.Take:
		return []string{"This screen decides from now on, and who had control only looks.", "It is journaled. Undone by leaving the screen, or when another takes it over."}
	case state.Rollback:
		return m.aboutRollback(d)
	case state.Keep:
		return []string{
			"The old server stays closed, also after a reboot, once it is proven again.", "Established connections to the closed ports are cut.",
			"Undone by: mxcutover isolate lift",
		}
	case state.Loaded:
		return []string{
			"You have loaded this very table into the firewall: mxcutover isolate show", "It is looked at from outside before it counts. Nothing opens by itself:",
			"undone by taking the rules away, and: mxcutover isolate lift",
		}
	case state.Approve:
		return []string{"It may start once everything before it is live.", "Undone by holding or rolling it back."}
	case state.Hold:
		return []string{"Nothing new starts for it; waits and probes under way end.", "What is published stays published. Undone by: U (resume)"}
	case state.Resume:
		return []string{"It goes on from where it stands; each step observes first."}
	}
	return []string{"It is taken up where it stands, or begun anew if it was rolled back.", "Each step observes before it acts. Undone by holding it or rolling it back."}
}

func (m model) aboutRollback(d state.Decision) []string {
	_, domains, err := m.status.Targets(d.Target)
	if err != nil {
		return []string{report.Harmless(err.Error())}
	}
	moved := 0
	var ttl uint32
	for _, x := range domains {
		if x.Moved() {
			moved++
		}
		if c, ok := m.status.Cutover(x.Domain); ok {
			ttl = max(ttl, c.After().TTL)
		}
	}
	lines := []string{
		fmt.Sprintf("Restores the journaled MX of %d domains, %d of them moved.", len(domains), moved),
		fmt.Sprintf("Caches keep the gateway for up to %d seconds after that.", ttl),
	}
	if m.status.Isolation.Closed {
		lines = append(lines, m.painted(report.Wary, "The old server is opened first, and proven open."))
	}
	if len(domains) == 1 {
		if c, ok := m.status.Cutover(domains[0].Domain); ok {
			lines = append(lines, m.p.Diff(c.After(), c.Before(), "  ")...)
		}
	}
	return append(lines, "Undone by: T (retry), which begins anew.")
}

// command is the line that does the same.
func command(d state.Decision) string {
	if d.Verb == state.Take {
		return "any command, with --take-control"
	}
	if d.Verb == state.Keep {
		return "mxcutover isolate confirm --confirm isolate"
	}
	if d.Verb == state.Loaded {
		return "mxcutover isolate done --confirm " + report.Quote(d.Confirm)
	}
	kind, _, _ := strings.Cut(d.Target, ":")
	line := fmt.Sprintf("mxcutover %s --%s", d.Verb, kind)
	if kind != d.Target {
		line += " " + report.Quote(state.ConfirmName(d.Target))
	}
	if d.Destroys() {
		line += " --confirm " + report.Quote(state.ConfirmName(d.Target))
	}
	return line
}
