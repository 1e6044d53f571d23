package tui

import (
	"fmt"
	"slices"
	"strings"

	"mxcutover/report"
	"mxcutover/rrset"
	"mxcutover/state"
)

// mostEvents bounds how many events are kept for the screens; up to twice as many are
// there before the oldest go.
const mostEvents = 5000

// A level is what of the log is shown.
type level int

const (
	allEvents level = iota
	outcomes        // no begun steps, and no looks in between
	moments         // decisions, troubles, milestones
	troubles        // what went wrong
	levels    = iota
)

func (l level) String() string {
	return [...]string{"everything", "outcomes", "decisions, troubles, milestones", "troubles"}[l]
}

// An eventLog is the last events, and those of them that are shown.
type eventLog struct {
	all    []state.Event
	shown  []int // places in all
	level  level
	filter string
	follow bool // the cursor stays at the newest
	gone   uint64
}

// add takes events, and lets the oldest go.
func (l *eventLog) add(b []state.Event, p report.Printer) {
	l.all = append(l.all, b...)
	if n := len(l.all) - mostEvents; n > mostEvents {
		l.all = slices.Clone(l.all[n:])
		l.gone += uint64(n) //nolint:gosec // a length
		l.choose(l.level, l.filter, p)
		return
	}
	for i := len(l.all) - len(b); i < len(l.all); i++ {
		if l.passes(&l.all[i], p) {
			l.shown = append(l.shown, i)
		}
	}
}

// choose finds anew what is shown.
func (l *eventLog) choose(v level, filter string, p report.Printer) {
	l.level, l.filter = v, strings.ToLower(filter)
	l.shown = l.shown[:0]
	for i := range l.all {
		if l.passes(&l.all[i], p) {
			l.shown = append(l.shown, i)
		}
	}
}

func (l *eventLog) passes(e *state.Event, p report.Printer) bool {
	switch l.level {
	case outcomes:
		if e.Kind == state.Intended || e.Kind == state.Undoing || e.Kind == state.Observed {
			return false
		}
	case moments:
		if !report.Told(*e) {
			return false
		}
	case troubles:
		if t := report.ToneOfEvent(*e); t != report.Bad && t != report.Wary {
			return false
		}
	}
	return l.filter == "" || strings.Contains(strings.ToLower(report.About(*e)), l.filter) || strings.Contains(strings.ToLower(p.Words(*e)), l.filter) ||
		strings.Contains(e.Step, l.filter)
}

// logContent is the log, the newest last.
func (m *model) logContent() content {
	c := content{
		n: len(m.log.shown), picks: true,
		line: func(i int) string { return m.logLine(m.log.all[m.log.shown[i]]) },
		keys: "esc back  f follow  / filter  1-4 level  enter its domain  y copy the line  g ends  ? help",
	}
	c.title = fmt.Sprintf("Log: %s, %s of %s events", m.log.level, report.Number(c.n), report.Number(int(m.status().Seq))) //nolint:gosec // a count of events
	if m.log.filter != "" {
		c.title += " with " + harmlessInput(m.log.filter)
	}
	if m.log.follow {
		c.end = m.painted(report.Good, "follow ON")
	} else {
		c.end = "follow off: f"
	}
	if at := m.at[events].cursor; at >= 0 && at < c.n {
		c.under = m.eventDetails(m.log.all[m.log.shown[at]])
	}
	return c
}

func (m *model) logLine(e state.Event) string {
	t := report.ToneOfEvent(e)
	width := max(min(m.width/4, 26), 14)
	return e.At.UTC().Format("15:04:05.000") + " " + m.pad(report.Harmless(report.About(e)), width) + " " + m.painted(t, m.p.Words(e))
}

// mostDetails bounds what is said beneath the log of the chosen event.
const mostDetails = 6

// eventDetails are what an event's line has no room for.
func (m *model) eventDetails(e state.Event) []string {
	room := max(min((m.height-6)/3, mostDetails), 1)
	out := []string{m.rule(fmt.Sprintf("Event %d, %s", e.Seq, e.At.UTC().Format("2006-01-02 15:04:05.000Z")), report.Harmless(string(e.Kind)+" "+e.Step))}
	var lines []string
	t := report.ToneOfEvent(e)
	lines = append(lines, wrapped(" "+m.painted(t, m.p.Words(e)), m.width-1, "   ")...)
	if e.Err != "" {
		lines = append(lines, wrapped("   "+report.Harmless(e.Err), m.width-1, "   ")...)
	}
	lines = append(lines, m.checksOf(e)...)
	return append(out, fill(lines, room)...)
}

func (m *model) checksOf(e state.Event) []string {
	if len(e.Findings) == 0 {
		return nil
	}
	return m.checks(e.Findings)
}

// logKey acts on keys that only the log has.
func (m *model) logKey(k string) bool {
	switch k {
	case "f":
		m.log.follow = !m.log.follow
	case "1", "2", "3", "4":
		m.log.choose(level(k[0]-'1'), m.log.filter, m.p)
	case "enter":
		if at := m.at[events].cursor; at >= 0 && at < len(m.log.shown) {
			m.openDomain(m.log.all[m.log.shown[at]].Domain)
		}
	default:
		return false
	}
	return true
}

// openDomain goes to a domain's screen, if there is such a domain; a filter that
// leaves it out is taken away.
func (m *model) openDomain(of string) {
	i, ok := m.list.places[of]
	if !ok {
		if of != "" {
			m.note = "the plan has no domain " + rrset.Bare(of)
		}
		return
	}
	row := m.list.row(i)
	if row < 0 {
		m.list.refilter("")
		row = m.list.row(i)
	}
	m.at[overview].cursor = row
	m.show(domain)
}
