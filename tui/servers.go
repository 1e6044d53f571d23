package tui

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"mxcutover/plan"
	"mxcutover/report"
	"mxcutover/rrset"
	"mxcutover/state"
)

// An Answer is what one name server or resolver said when it was asked for a domain's
// MX.
type Answer struct {
	Server string        // "host address"; of a resolver "view address"
	Cache  bool          // a resolver: it tells what it keeps
	Set    rrset.Set     // absent: it says that there is none
	Keep   time.Duration // for how long who gets this may keep it
	Err    string        // it gave no answer
}

// A sight is what the servers of a domain said when they were asked from this screen.
type sight struct {
	of      string    // the domain
	at      time.Time // zero = they were not asked
	answers []Answer
	why     string // they could not be asked
	asking  bool
}

// sightMsg is their answer.
type sightMsg sight

// askServers asks each name server and resolver for the chosen domain's MX, outside of
// Update. That is not done by itself: a resolver that is asked keeps what it got.
func (m *model) askServers() tea.Cmd {
	d := m.selected()
	if m.do.servers == nil || d == nil || m.sight.asking {
		return nil
	}
	cut, ok := m.status().Cutover(d.Domain)
	if !ok {
		return nil
	}
	m.sight.asking = true
	servers, now := m.do.servers, m.now
	return func() tea.Msg {
		s := sightMsg{of: cut.Domain}
		var err error
		if s.answers, err = servers(cut.Zone, cut.Domain); err != nil {
			s.why = err.Error()
		}
		s.at = now()
		return s
	}
}

// sightEnd says when the servers were asked.
func (m *model) sightEnd(d *state.DomainStatus) string {
	switch {
	case m.sight.asking:
		return "being asked ..."
	case m.do.servers == nil:
		return ""
	case m.sight.of != d.Domain || m.sight.at.IsZero():
		return "of the journal; a asks each of them now"
	}
	return "asked " + report.Span(m.now().Sub(m.sight.at)) + " ago; a asks again"
}

// servers are what name servers and resolvers answer: as they were asked just now, or
// else as the journal has it; and what was there before the last write.
func (m *model) servers(d *state.DomainStatus, cut plan.Cutover) []string {
	var out []string
	switch {
	case m.sight.of != d.Domain || m.sight.at.IsZero():
		out = m.journaled(d)
	case m.sight.why != "":
		out = append(wrapped(" "+m.painted(report.Wary, m.p.Symbol(report.Wary)+" they could not be asked: "+report.Harmless(m.sight.why)), m.width-1, "   "), m.journaled(d)...)
	default:
		widest := 0
		for _, a := range m.sight.answers {
			widest = max(widest, ansi.StringWidth(report.Harmless(a.Server)))
		}
		widest = min(widest, max(m.width-50, 24))
		for _, a := range m.sight.answers {
			out = append(out, wrapped(m.answerLine(a, cut, widest), m.width-1, strings.Repeat(" ", 9))...)
		}
	}
	if out = append(out, m.beforeWrite(d, cut)...); len(out) == 0 {
		return []string{m.style.dim.Render("   nothing was asked or written yet")}
	}
	return out
}

// answerLine is one server's answer, with a countdown to when a cache asks again.
func (m *model) answerLine(a Answer, cut plan.Cutover, width int) string {
	role, keep := "auth", fmt.Sprintf("TTL %d", a.Set.TTL)
	if a.Cache {
		role, keep = "cache", "has run out"
		if left := m.sight.at.Add(a.Keep).Sub(m.now()); left > 0 {
			keep = report.Span(left) + " left"
		}
	}
	tone, what, of := report.Wary, report.Harmless(a.Err), together(report.Harmless(a.Set.InLine()))
	switch {
	case a.Err != "":
		keep = ""
	case a.Set.SameData(cut.After()):
		tone, what = report.Good, "new: "+of
	case a.Set.SameData(cut.Before()):
		tone, what = report.Busy, "old: "+of
	default:
		what = "other: " + of
	}
	return fmt.Sprintf(" %s %s %s %s %s", m.mark(tone), m.pad(role, 5), m.pad(report.Harmless(a.Server), width), m.pad(keep, 11), m.painted(tone, what))
}

// journaled are the last findings about name servers and resolvers.
func (m *model) journaled(d *state.DomainStatus) (out []string) {
	for _, f := range d.Findings {
		if f.Check != "ns.sync" && f.Check != "cache.resolver" {
			continue
		}
		role := "auth"
		if f.Check == "cache.resolver" {
			role = "cache"
		}
		line := fmt.Sprintf(" %s %s %s %s", m.mark(report.ToneOfSeverity(f.Severity)), m.pad(role, 5), m.pad(m.ago(f.At), 10), name(f.Target)+": "+report.Harmless(f.Detail)+m.countdown(f))
		out = append(out, wrapped(line, m.width-1, strings.Repeat(" ", 20))...)
	}
	return out
}

// beforeWrite is what each name server served before the last write, and for how long
// a cache may still have that.
func (m *model) beforeWrite(d *state.DomainStatus, cut plan.Cutover) []string {
	var last state.StepRecord
	for _, s := range cut.Steps {
		if r := d.Steps[s.ID]; r.Intent.Served != nil && !r.Begun.At.Before(last.Begun.At) {
			last = r
		}
	}
	type served struct {
		servers []string
		set     rrset.Set
	}
	var all []served
	for _, s := range slices.Sorted(maps.Keys(last.Intent.Served)) {
		set := last.Intent.Served[s]
		if i := slices.IndexFunc(all, func(a served) bool { return a.set.Equal(set) }); i >= 0 {
			all[i].servers = append(all[i].servers, s)
			continue
		}
		all = append(all, served{[]string{s}, set})
	}
	if len(all) == 0 {
		return nil
	}
	out := []string{m.style.dim.Render("   before the last write, " + m.ago(last.Begun.At) + ":")}
	for _, a := range all {
		left := last.Begun.At
		if last.Done {
			left = last.DoneAt.At
		}
		may := "no cache that honours TTLs has it any more"
		if l := left.Add(time.Duration(a.set.TTL) * time.Second).Sub(m.clock()); l > 0 {
			may = "caches may have it for " + report.Span(l) + " more"
		}
		line := fmt.Sprintf("     %s TTL %d at %s; %s", together(report.Harmless(a.set.InLine())), a.set.TTL, report.Harmless(strings.Join(a.servers, ", ")), may)
		out = append(out, wrapped(line, m.width-1, "       ")...)
	}
	return out
}

// together keeps the fields of each record, which commas divide, on one line where
// they are wrapped.
func together(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, " ", noBreak), ","+noBreak, ", ")
}

// countdown is how long a resolver still has what it answered.
func (m *model) countdown(f plan.Finding) string {
	fields := strings.SplitN(f.Evidence, "\t", 3)
	if f.Check != "cache.resolver" || len(fields) < 3 || f.At.IsZero() {
		return ""
	}
	ttl, err := strconv.ParseUint(fields[1], 10, 31)
	if err != nil {
		return ""
	}
	left := f.At.Add(time.Duration(ttl) * time.Second).Sub(m.clock())
	if left <= 0 {
		return " (has run out)"
	}
	return " (" + report.Span(left) + " left)"
}
