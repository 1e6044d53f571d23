package tui

import (
	"errors"
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
	explain
	events
	planned
	findings
	isolation
	story
	help
	screens int = iota
)

// A contact is how the line to the engine is.
type contact int

const (
	dialling contact = iota // not reached yet
	linked                  // what is shown is now
	broken                  // what is shown is of when it broke
	noEngine                // the journal was read; nothing goes on
)

type model struct {
	p       report.Printer // without colours, of what is painted here
	text    report.Printer // with colours, of what report paints
	now     func() time.Time
	do      effects
	style   styles
	plan    plan.Plan
	loads   []plan.Load
	counted bool // mail was
	fold    *report.Story
	seen    time.Time // when the engine was last heard
	line    contact
	trouble string    // why the line is broken
	again   time.Time // when it is tried again
	until   uint64    // the events that the engine had when it was reached

	width, height int
	screen        screen
	from          screen // that esc goes back to
	at            [screens]place
	list          list
	log           eventLog
	found         foundList
	needs         []report.Need
	stale         bool      // needs are to be found anew
	looked        time.Time // when they were
	arrivals      arrivals
	told          []string // the report's lines
	toldAt        uint64   // the event that they are as of
	wall          wall
	sight         sight

	input   *input // the filter or the search that is being typed
	find    string // what n looks for
	palette *palette
	dialog  *dialog
	shown   []string // what was copied, to be copied by hand
	note    string   // what the last key or decision came to
	burst   burst
	serial  int    // of dialogs
	have    bool   // this screen has control
	lost    string // why it has not
}

// A place is where a screen is looked at.
type place struct{ cursor, top, left int }

func newModel(p plan.Plan, printer report.Printer, now func() time.Time, do effects) model {
	plain := printer
	plain.Color = false
	m := model{p: plain, text: printer, now: now, do: do, style: newStyles(), seen: now(), width: 80, height: 24}
	m.log.level = outcomes
	m.begin(p)
	return m
}

// begin begins the fold of a plan.
func (m *model) begin(p plan.Plan) {
	m.plan, m.fold = p, report.NewStory(p, time.Time{}, time.Time{})
	m.loads, m.counted = p.Loads()
	m.list.begin(m.fold.Status, p)
	m.log, m.found, m.arrivals, m.told = eventLog{level: m.log.level, filter: m.log.filter, follow: true}, foundList{}, arrivals{p: m.p}, nil
	if m.fold.Status.Seq == 0 && m.screen == overview && m.line == noEngine {
		m.screen = planned
	}
	m.stale = true
}

func (m *model) status() *state.Status { return m.fold.Status }

// begun tells whether the migration has begun.
func (m *model) begun() bool { return m.status().Seq > 0 }

// clock is the time that the screen shows: while the line is broken, what it shows is
// as of when it was last heard.
func (m *model) clock() time.Time {
	if m.line == broken || m.line == noEngine && m.begun() {
		return m.seen
	}
	return m.now()
}

type tickMsg struct{}

func tick() tea.Cmd { return tea.Tick(time.Second, func(time.Time) tea.Msg { return tickMsg{} }) }

// Init starts the clock of the countdowns.
func (m model) Init() tea.Cmd { return tea.Batch(tick(), tea.RequestBackgroundColor) }

// Update changes the model by one message. It does no I/O.
func (m model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	var cmd tea.Cmd
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
	case tea.BackgroundColorMsg:
		m.style = stylesOn(msg.IsDark())
	case tickMsg:
		m.refresh(false)
		cmd = tick()
	case tea.PasteMsg:
		m.paste(msg.Content)
	case tea.KeyPressMsg:
		cmd = m.key(msg)
	default:
		cmd = m.fromLine(msg)
	}
	m.keepInView()
	return m, cmd
}

// fromLine takes what the engine, and what was asked for, answers.
func (m *model) fromLine(msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case batchMsg:
		return m.take(msg)
	case planMsg:
		m.begin(msg.plan)
		m.note = "the plan is another one now: all was read anew"
	case linkedMsg:
		m.line, m.until, m.seen = linked, msg.until, m.now()
	case lostMsg:
		m.broke(msg)
	case controlMsg:
		m.have, m.lost = msg.lost == "", msg.lost
	case decidedMsg:
		return m.decided(msg)
	case wallMsg:
		m.wall = wall(msg)
	case sightMsg:
		m.sight = sight(msg)
	}
	return nil
}

// broke notes that the line is no more. The last event's time is nearer to what is
// shown than now.
func (m *model) broke(msg lostMsg) {
	m.have = false
	m.again = m.now().Add(msg.again)
	if errors.Is(msg.err, ErrNoEngine) {
		if m.line != noEngine && !m.begun() && m.screen == overview {
			m.screen = planned
		}
		m.line, m.trouble = noEngine, ""
		return
	}
	if m.line == linked {
		m.line = broken
	}
	m.trouble = "it ended the stream"
	if msg.err != nil {
		m.trouble = msg.err.Error()
	}
}

// take folds events.
func (m *model) take(b batchMsg) tea.Cmd {
	free, first, wall := m.status().Control != "", !m.begun(), m.status().Isolation.State
	for _, e := range b {
		m.fold.Apply(e)
		m.list.touch(m.status(), e)
		m.arrivals.add(e)
	}
	if first && m.screen == planned {
		m.screen = overview // it has just begun
	}
	m.log.add(b, m.p)
	m.keeping(func() { m.list.settle(m.status()) })
	m.stale, m.seen = true, m.now()
	if m.line != noEngine || len(b) > 0 && b[len(b)-1].Kind == state.Started {
		m.line = linked
	}
	m.refresh(len(m.status().Domains) <= fewDomains)
	if free && m.status().Control == "" && m.line == linked && !m.have && m.do.take != nil {
		return m.retake()
	}
	if m.screen == isolation && m.status().Isolation.State != wall {
		return m.askWall() // what it answered is of before
	}
	return nil
}

// retake takes control once nobody has it.
func (m *model) retake() tea.Cmd {
	take := m.do.take
	return func() tea.Msg {
		if err := take(false); err != nil {
			return controlMsg{lost: err.Error()}
		}
		return nil // it was told
	}
}

// fewDomains can be looked through for each batch; more are each second.
const fewDomains = 2000

// refresh finds anew what is made of all domains.
func (m *model) refresh(now bool) {
	if m.stale && (now || m.now().Sub(m.looked) >= time.Second) {
		m.needs, m.stale, m.looked = m.fold.Needs(), false, m.now()
		m.arrivals.look(m.fold)
	}
	if m.screen == story && len(m.status().Domains) <= fewDomains && m.toldAt != m.status().Seq {
		m.tellStory()
	}
}

// selected is the domain under the cursor.
func (m *model) selected() *state.DomainStatus {
	if i, ok := m.list.at(m.at[overview].cursor); ok {
		return &m.status().Domains[i]
	}
	return nil
}

// readOnly is why this screen decides nothing; "" = it does.
func (m *model) readOnly() string {
	if m.have || m.status().Control == "" && m.lost == "" || m.line != linked {
		return ""
	}
	if by := m.status().Control; by != "" {
		return by + " decides since " + report.Clock(m.status().Since)
	}
	return m.lost
}

// View draws the screen.
func (m model) View() tea.View {
	v := tea.NewView(strings.Join(m.lines(), "\n"))
	v.AltScreen = true
	v.WindowTitle = "mxcutover " + report.Harmless(m.plan.Migration)
	return v
}

// The least screen that more than a line is shown on.
const leastWidth, leastHeight = 40, 10

// lines are the screen's lines, never more than fit, and none too wide.
func (m *model) lines() []string {
	var lines []string
	switch {
	case m.width < leastWidth || m.height < leastHeight:
		lines = []string{m.brief()}
	case m.shown != nil:
		lines = m.copyView()
	case m.dialog != nil:
		lines = m.dialogView()
	case m.palette != nil:
		lines = m.paletteView()
	case m.screen == overview:
		lines = m.overviewView()
	default:
		lines = m.pageView()
	}
	if len(lines) > m.height {
		lines = lines[:max(m.height, 0)]
	}
	for i := range lines {
		lines[i] = strings.TrimRight(m.cut(lines[i], m.width), " ")
	}
	return lines
}

// name is a domain's name as people read it.
func name(domain string) string { return report.Harmless(rrset.Bare(domain)) }
