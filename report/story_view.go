package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"mxcutover/plan"
	"mxcutover/rrset"
	"mxcutover/state"
)

// A sheet is one table of a report, in words that are not yet made harmless;
// the terminal, Markdown and HTML print the same sheets.
type sheet struct {
	ID, Title string
	Note      string // beneath the title
	Head      []string
	Numbers   int // so many columns from the second on are numbers or times
	Rows      []line
	Empty     string // said in place of no rows
}

// A line is a row of a sheet.
type line struct {
	Tone  Tone
	Class string // of a filter: a severity, or a state
	Cells []string
}

// Headline is the story in one sentence.
func (s *Story) Headline() string {
	n := s.tally()
	parts := []string{fmt.Sprintf("%s of %s live", number(n[state.Live]), Counted(len(s.Domains), "domain"))}
	for _, p := range []struct {
		n     int
		words string
	}{
		{n[state.IsHeld], "held"},
		{n[state.IsDrifted], "drifted"},
		{n[state.IsInDoubt], "in doubt"},
		{n[state.IsRollingBack], "going back"},
		{n[state.IsRolledBack], "rolled back"},
		{n[state.IsSkipped], "skipped"},
		{n[busy], "under way"},
		{n[state.Planned], "not begun"},
	} {
		if p.n > 0 {
			parts = append(parts, number(p.n)+" "+p.words)
		}
	}
	return strings.Join(append(parts, s.probeWords()), "; ")
}

const busy state.Phase = "under-way"

// tally counts domains as the headline does: settled ones are live.
func (s *Story) tally() map[state.Phase]int {
	n := map[state.Phase]int{}
	for i := range s.Status.Domains {
		switch p := s.Status.Domains[i].State; p {
		case state.Live, state.Settled:
			n[state.Live]++
		case state.Planned, state.IsHeld, state.IsDrifted, state.IsInDoubt, state.IsRollingBack, state.IsRolledBack, state.IsSkipped:
			n[p]++
		default:
			n[busy]++
		}
	}
	return n
}

// probeWords says what became of all probes.
func (s *Story) probeWords() string {
	var t Tally
	for _, x := range s.Probes {
		t.Pass, t.Warn, t.Fail, t.Unknown = t.Pass+x.Pass, t.Warn+x.Warn, t.Fail+x.Fail, t.Unknown+x.Unknown
	}
	words := fmt.Sprintf("no message lost in %s", Counted(t.Total(), "probe"))
	switch {
	case t.Total() == 0:
		return "no probe was sent"
	case t.Fail > 0:
		words = fmt.Sprintf("%s of %s failed", number(t.Fail), Counted(t.Total(), "probe"))
	case t.Unknown > 0 && t.Pass == 0:
		words = fmt.Sprintf("%s, none with an answer", Counted(t.Total(), "probe"))
	}
	if t.Unknown > 0 && t.Pass > 0 {
		words += fmt.Sprintf(", %s without an answer", number(t.Unknown))
	}
	return words
}

// Standing says when the story begins and ends, and how the old server is.
func (s *Story) Standing() []string {
	var out []string
	switch {
	case s.Begun.IsZero():
		out = append(out, "it was not begun yet")
	case s.Status.Over:
		out = append(out, fmt.Sprintf("begun %s, over %s: it took %s", stamp(s.Begun), stamp(s.Last), Span(s.Last.Sub(s.Begun))))
	default:
		out = append(out, fmt.Sprintf("begun %s, last event %s, engine %s", stamp(s.Begun), stamp(s.Last), s.Status.Engine))
	}
	i := s.Status.Isolation
	old := "the old server is open to the world"
	switch i.State {
	case state.IsolationArmed, state.IsolationProven:
		old = "the old server is closed until " + stamp(i.Until) + ", unless that is confirmed"
	case state.IsolationPartly:
		old = "some ports of the old server are closed for good, others come later: " + i.Reason
	case state.IsolationConfirmed:
		old = "the old server is closed for good, since " + stamp(i.Since)
	case state.IsDrifted:
		old = "the old server was closed for good, and is not any more, seen " + stamp(i.Since) + ": " + i.Reason
	case state.IsolationLifted:
		old = "the old server was opened again " + stamp(i.Since)
	}
	out = append(out, old)
	if s.Crashes > 0 {
		out = append(out, fmt.Sprintf("%s, %d of which ended without order", Counted(s.Engines, "engine"), s.Crashes))
	}
	if !s.Since.IsZero() || !s.Until.IsZero() {
		out = append(out, "listed is what was from "+cmp.Or(stamp(s.Since), "the beginning")+" until "+cmp.Or(stamp(s.Until), "now"))
	}
	if s.Unlisted > 0 {
		out = append(out, fmt.Sprintf("%s more than a report lists; see: mxcutover events", Counted(s.Unlisted, "event")))
	}
	return out
}

// stamp is a time in full; "" if there is none.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}

// short is a time for a table that says UTC in its head; "-" if there is none.
func short(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("01-02 15:04:05")
}

// span is how long it took from one time to another; "-" if that is not known.
func span(from, to time.Time) string {
	if from.IsZero() || to.IsZero() || to.Before(from) {
		return "-"
	}
	return Span(to.Sub(from))
}

func (s *Story) waveSheet() sheet {
	t := sheet{
		ID: "waves", Title: "Waves", Head: []string{"Wave", "Live", "Held", "Failed", "Started (UTC)", "Live (UTC)", "Took", "State", "Approved by", "Note"}, Numbers: 6,
	}
	for i, w := range s.Status.Waves {
		x := s.Waves[i]
		t.Rows = append(t.Rows, line{ToneOf(w.State), string(w.State), []string{
			w.Name, fmt.Sprintf("%d/%d", w.Live, w.Total), fmt.Sprint(w.Held), fmt.Sprint(w.Failed), short(x.Started), short(x.Live),
			span(x.Started, x.Live), string(w.State), cmp.Or(x.Approved.By, "-"), w.Reason,
		}})
	}
	return t
}

func (s *Story) momentSheet(id, title, empty string, classes ...string) sheet {
	t := sheet{ID: id, Title: title, Head: []string{"When (UTC)", "Who", "What"}, Empty: empty}
	for _, m := range s.Moments {
		if slices.Contains(classes, m.Class) {
			t.Rows = append(t.Rows, line{m.tone, m.Class, []string{short(m.At), m.Who, m.Words}})
		}
	}
	return t
}

func (s *Story) decisionSheet() sheet {
	t := sheet{ID: "decisions", Title: "Decisions", Head: []string{"When (UTC)", "Who", "Decided"}, Empty: "none"}
	for _, m := range s.Moments {
		if m.Class == aDecision {
			t.Rows = append(t.Rows, line{Busy, m.Class, []string{short(m.At), m.Who, m.Words}})
		}
	}
	return t
}

func (s *Story) holdSheet() sheet {
	t := sheet{
		ID: "holds", Title: "What waited for a person, and how long", Empty: "nothing",
		Head: []string{"Who", "From (UTC)", "To (UTC)", "Lasted", "State", "Why"}, Numbers: 3,
	}
	for _, h := range s.Holds {
		if !h.To.IsZero() && !s.listed(h.To) {
			continue
		}
		to, tone, end := short(h.To), Quiet, h.To
		if h.To.IsZero() {
			to, tone, end = "still", Bad, s.Last
		}
		why := h.Reason
		if h.By != "" {
			why = strings.TrimSuffix("by "+h.By+": "+why, ": ")
		}
		t.Rows = append(t.Rows, line{tone, string(h.State), []string{h.Who, short(h.From), to, span(h.From, end), string(h.State), why}})
	}
	return t
}

// latencySheet sets the ways of probes side by side: all of them, by "wave", by
// "day".
func (s *Story) latencySheet(by ...string) sheet {
	t := sheet{
		ID: "latency", Title: "Time to arrive", Empty: "no probe told how long it took", Numbers: 9,
		Note: "Of the probes that arrived: half were as fast as p50, 95 of 100 as fast as p95. Old: straight to the old server, before; gateway: straight to that, before; after: by the new MX; back: by the old MX, after a rollback.",
		Head: []string{"Of", "Old p50", "p95", "Gateway p50", "p95", "After p50", "p95", "Back p50", "p95", "Probes"},
	}
	var last Latency
	for _, l := range s.Latencies() {
		if !slices.Contains(by, l.By) {
			continue
		}
		if l.By != last.By || l.Name != last.Name || l.Leg != last.Leg {
			name := cmp.Or(l.Name, "all")
			if l.Leg != wholeLeg {
				name += ", until " + l.Leg
			}
			t.Rows = append(t.Rows, line{Quiet, l.By, []string{name, "-", "-", "-", "-", "-", "-", "-", "-", ""}})
			last = l
		}
		cells := t.Rows[len(t.Rows)-1].Cells
		i := slices.Index(ways, l.Way)
		cells[1+2*i], cells[2+2*i] = milliseconds(l.P50), milliseconds(l.P95)
		cells[9] = strings.TrimPrefix(cells[9]+" + "+number(l.N), " + ")
	}
	return t
}

// Latencies are how long probes took: all and each leg, then by wave and by day.
func (s *Story) Latencies() (out []Latency) {
	for _, leg := range s.latency.legs() {
		out = append(out, s.latency.by("all", leg, []string{""})...)
	}
	var waves []string
	for _, w := range s.Waves {
		waves = append(waves, w.Name)
	}
	out = append(out, s.latency.by("wave", wholeLeg, waves)...)
	return append(out, s.latency.by("day", wholeLeg, s.latency.days())...)
}

// milliseconds is a latency in the unit that reads best.
func milliseconds(d time.Duration) string {
	switch {
	case d < 10*time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 10*time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return Span(d)
}

func (s *Story) observedSheet() sheet {
	t := sheet{ID: "observed", Title: "What was seen at the old server", Head: []string{"When (UTC)", "Check", "Target", "What"}}
	for _, f := range s.Observed {
		t.Rows = append(t.Rows, line{severityTone(f.Severity), string(f.Severity), []string{short(f.At), f.Check, rrset.Bare(f.Target), f.Detail}})
	}
	return t
}

// domainSheet lists domains; with troubled only those that a person would ask
// about: not live, or live after a failure, a hold or a rollback.
func (s *Story) domainSheet(troubled bool) sheet {
	t := sheet{
		ID: "domains", Title: "Domains", Numbers: 5,
		Head: []string{"Domain", "Published (UTC)", "Live (UTC)", "Took", "Messages", "Held for", "State", "Wave", "Its way"},
	}
	for i := range s.Domains {
		d, now := &s.Domains[i], &s.Status.Domains[i]
		tone := ToneOf(now.State)
		if troubled && (tone == Good || tone == Quiet) && d.Backs == 0 && d.HeldTimes == 0 && d.Failures == 0 {
			continue
		}
		held := "-"
		if d.Held > 0 {
			held = Span(d.Held)
		}
		t.Rows = append(t.Rows, line{tone, string(now.State), []string{
			rrset.Bare(d.Domain), short(d.Published), short(d.Live), span(d.Begun, d.Live), number(int(d.Messages)), held, string(now.State), d.Wave, d.way(now),
		}})
	}
	return t
}

// way is a domain's way where it was not the plain one.
func (d *DomainStory) way(now *state.DomainStatus) string {
	var words []string
	if now.Attempt > 1 {
		words = append(words, fmt.Sprintf("attempt %d", now.Attempt))
	}
	for _, x := range []struct {
		n    int
		what string
	}{{d.Failures, "failed step"}, {d.Backs, "rollback"}, {d.HeldTimes, "hold"}} {
		if x.n > 0 {
			words = append(words, Counted(x.n, x.what))
		}
	}
	way := strings.Join(words, ", ")
	if now.Reason != "" && ToneOf(now.State) != Good {
		way = strings.TrimPrefix(way+"; "+now.Reason, "; ")
	}
	return way
}

func findingSheet(found []Found) sheet {
	t := sheet{ID: "findings", Title: "Findings", Head: []string{"Severity", "Check", "Target", "What", "From"}, Empty: "None."}
	for _, f := range found {
		s := normal(f.Severity)
		t.Rows = append(t.Rows, line{severityTone(s), string(s), []string{string(s), f.Check, f.label(), f.Detail, cmp.Or(f.Vantage, "here")}})
	}
	return t
}

// checkSheet counts findings by check.
func checkSheet(v Verification) sheet {
	t := sheet{ID: "checks", Title: "Checks", Head: []string{"Check", "Failed", "Unknown", "Warned", "Passed"}, Numbers: 4}
	by := CountByCheck(v.Findings)
	var ids []string
	for id := range by {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b string) int {
		return cmp.Or(cmp.Compare(by[b].Fail, by[a].Fail), cmp.Compare(by[b].Unknown, by[a].Unknown), cmp.Compare(by[b].Warn, by[a].Warn), strings.Compare(a, b))
	})
	for _, id := range ids {
		n := by[id]
		tone, class := Good, plan.Pass
		for _, s := range severities[:3] {
			if n.Of(s) > 0 {
				tone, class = severityTone(s), s
				break
			}
		}
		t.Rows = append(t.Rows, line{tone, string(class), []string{id, number(n.Fail), number(n.Unknown), number(n.Warn), number(n.Pass)}})
	}
	return t
}

// Verification is what was checked for this report, or else what the journal has.
func (s *Story) verification() Verification {
	if s.Verified != nil {
		return *s.Verified
	}
	v := Verification{Title: "The last findings of the journal", Migration: s.Migration, Domains: len(s.Domains)}
	for i := range s.Status.Domains {
		v.Findings = append(v.Findings, Of(s.Domains[i].Domain, s.Status.Domains[i].Findings)...)
	}
	v.Findings = Gather(append(v.Findings, Of("", s.Status.Isolation.Findings)...))
	for _, f := range v.Findings {
		if f.At.After(v.At) {
			v.At = f.At
		}
	}
	return v
}
