package tui

import (
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"mxcutover/plan"
	"mxcutover/report"
	"mxcutover/rrset"
	"mxcutover/state"
)

// A screen is what is shown.
type screen int

const (
	overview screen = iota
	domain
	help
)

// maxEvents bounds how many events are kept for the screens.
const maxEvents = 4000

type model struct {
	p      report.Printer
	now    func() time.Time
	send   func(state.Decision) error
	style  styles
	status *state.Status
	events []state.Event
	seen   time.Time // when the last batch came
	lost   error     // why the stream is broken

	width, height int
	screen        screen
	rows          []int // places in status.Domains that the filter leaves
	cursor        int   // in rows
	top           int   // first row shown
	scroll        int   // of the domain screen
	filter        string
	filtering     bool
	dialog        *dialog
	note          string // what the last decision came to
	readOnly      string // why this screen decides nothing; "" = it does
}

func newModel(p plan.Plan, printer report.Printer, now func() time.Time, send func(state.Decision) error) model {
	m := model{p: printer, now: now, send: send, style: newStyles(), status: state.NewStatus(p), seen: now(), width: 80, height: 24}
	m.refilter()
	return m
}

type tickMsg struct{}

func tick() tea.Cmd { return tea.Tick(time.Second, func(time.Time) tea.Msg { return tickMsg{} }) }

// Init starts the clock of the countdowns.
func (m model) Init() tea.Cmd { return tick() }

// Update changes the model by one message. It does no I/O.
func (m model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
	case tickMsg:
		return m, tick()
	case batchMsg:
		m.take(msg)
	case lostMsg:
		m.lost = msg.err
	case decidedMsg:
		m.decided(msg)
	case controlMsg:
		m.readOnly = msg.lost
	case tea.PasteMsg: // nothing is ever pasted into a decision
	case tea.KeyPressMsg:
		return m.key(msg)
	}
	m.keepInView()
	return m, nil
}

func (m *model) take(b batchMsg) {
	for _, e := range b {
		m.status.Apply(e)
	}
	m.events = append(m.events, b...)
	if n := len(m.events) - maxEvents; n > 0 {
		m.events = append([]state.Event(nil), m.events[n:]...)
	}
	m.seen, m.lost = m.now(), nil
}

// refilter finds the rows that the filter leaves.
func (m *model) refilter() {
	at := m.selected()
	m.rows = nil
	for i, d := range m.status.Domains {
		if m.filter == "" || strings.Contains(rrset.Bare(d.Domain), m.filter) || strings.Contains(string(d.State), m.filter) || d.Wave == m.filter {
			if at != nil && d.Domain == at.Domain {
				m.cursor = len(m.rows)
			}
			m.rows = append(m.rows, i)
		}
	}
	m.keepInView()
}

// selected is the domain under the cursor.
func (m *model) selected() *state.DomainStatus {
	if m.cursor < 0 || m.cursor >= len(m.rows) {
		return nil
	}
	return &m.status.Domains[m.rows[m.cursor]]
}

func (m *model) keepInView() {
	m.cursor = max(min(m.cursor, len(m.rows)-1), 0)
	n := max(m.tableRows(), 1)
	m.top = min(max(m.top, m.cursor-n+1), m.cursor)
	m.top = max(min(m.top, len(m.rows)-n), 0)
}

// View draws the screen.
func (m model) View() tea.View {
	v := tea.NewView(strings.Join(m.lines(), "\n"))
	v.AltScreen = true
	v.WindowTitle = "mxcutover " + report.Harmless(m.status.Migration)
	return v
}

// lines are the screen's lines, never more than fit, and none too wide.
func (m model) lines() []string {
	var lines []string
	switch {
	case m.width < 40 || m.height < 10:
		lines = []string{m.brief()}
	case m.dialog != nil:
		lines = m.dialogView()
	case m.screen == help:
		lines = m.helpView()
	case m.screen == domain:
		lines = m.domainView()
	default:
		lines = m.overviewView()
	}
	if len(lines) > m.height {
		lines = lines[:max(m.height, 0)]
	}
	for i := range lines {
		lines[i] = strings.TrimRight(report.Cut(lines[i], m.width), " ")
	}
	return lines
}
