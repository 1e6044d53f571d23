package tui

import (
	"fmt"
	"strings"
	"time"

	"mxcutover/plan"
	"mxcutover/report"
	"mxcutover/rrset"
	"mxcutover/state"
)

// An aspect is one thing that a dialog says of what it would do.
type aspect struct {
	word  string // "does", "takes", "undo"
	lines []string
	tone  report.Tone
}

// records is the word of lines that are a change of records.
const records = "records"

func (m *model) aspect(a aspect) []string {
	var out []string
	word := a.word
	for _, l := range a.lines {
		tone := a.tone
		switch l = report.Harmless(l); {
		case a.word != records:
		case strings.HasPrefix(l, "-"):
			tone = report.Bad
		case strings.HasPrefix(l, "+"):
			tone = report.Good
		}
		if tone != report.Quiet {
			l = m.painted(tone, l)
		}
		for _, w := range wrapped(l, max(m.width-12, 20), "") {
			out = append(out, " "+m.style.dim.Render(m.pad(word, 8))+" "+w)
			word = ""
		}
	}
	return out
}

func does(lines ...string) aspect  { return aspect{word: "does", lines: lines} }
func takes(lines ...string) aspect { return aspect{word: "takes", lines: lines} }
func undo(lines ...string) aspect  { return aspect{word: "undone", lines: lines} }
func mind(lines ...string) aspect  { return aspect{word: "mind", lines: lines, tone: report.Wary} }

// about says what a dialog does, how long it takes, and how it is undone.
func (m *model) about(d *dialog) []aspect {
	if len(d.asks) == 0 {
		return m.aboutStart()
	}
	a := d.asks[0]
	switch a.Verb {
	case state.Take:
		return []aspect{does("This screen decides from now on, and who had control only looks. It is journaled."), takes("no time"), undo("leaving the screen, or when another takes it over")}
	case state.Quit:
		return []aspect{
			does("The engine ends at the next safe point. Nothing new starts, and nobody watches the live domains.", "What is published stays published."),
			takes("two seconds at most; a write under way is finished first"), undo("S, or mxcutover run: it goes on where it stood"),
			mind(m.armedWords()...),
		}
	case state.Keep:
		return []aspect{
			does("The old server stays closed, also after a reboot, once it is proven again. Established connections to the closed ports are cut."),
			takes("the time of one more proof: seconds to minutes"), undo("L, or mxcutover isolate lift"), mind(m.openWords()...),
		}
	case state.Lift:
		return []aspect{
			does("The old server is opened to all again, and proven open by connecting.", "No domain's MX changes."),
			takes("seconds, if it can be reached"), undo("approving the isolation again: the evidence is gathered anew"),
		}
	case state.Loaded:
		return []aspect{
			does("You have loaded this very table into the firewall, which is somebody else's: mxcutover isolate show prints it.", "It is looked at from outside before it counts. Nothing opens by itself there."),
			takes("a look from each vantage: seconds to minutes"), undo("taking the rules away, then L, or mxcutover isolate lift"),
		}
	case state.Approve:
		return m.aboutApprove(a)
	case state.Rollback:
		return m.aboutRollback(d)
	case state.Hold:
		return []aspect{
			does(m.subject(d)+": nothing new starts; waits and probes under way end; a write under way is finished first.", "What is published stays published: mail goes where it goes now."),
			takes("a moment"), undo("U (resume)" + map[bool]string{true: ", or : and then resume everything"}[a.Target == state.All]),
		}
	case state.Resume:
		return []aspect{does(m.subject(d) + ": it goes on from where it stands. Each step observes before it acts."), takes("a moment, and then what its steps take"), undo("H (hold)")}
	}
	return m.aboutRetry(d)
}

// openWords say what is not proven, and how long there is to confirm.
func (m *model) openWords() []string {
	var out []string
	if i := m.status().Isolation; !i.Until.IsZero() {
		out = append(out, "Unless it is confirmed, it opens by itself in "+report.Span(i.Until.Sub(m.now()))+".")
	}
	for _, l := range report.IsolationGate(&m.plan, m.status()) {
		if l.Severity != plan.Pass && !strings.HasPrefix(l.What, "a person") {
			out = append(out, string(l.Severity)+": "+l.What+": "+l.Detail)
		}
	}
	return out
}

// armedWords warn of an engine that ends while ports are closed for a time.
func (m *model) armedWords() []string {
	if i := m.status().Isolation; i.Closed && i.State != state.IsolationConfirmed {
		return []string{"The old server is closed for a time only: without an engine it opens by itself in " + report.Span(i.Until.Sub(m.now())) + "."}
	}
	return nil
}

// subject is whom a dialog is about.
func (m *model) subject(d *dialog) string {
	domains := m.targets(d)
	switch {
	case d.asks[0].Target == state.Isolate:
		return "the isolation of the old server"
	case len(domains) == 1:
		return strings.TrimSuffix(bareList(domains, 1), ".")
	}
	return fmt.Sprintf("%s (%s)", report.Counted(len(domains), "domain"), bareList(domains, 12))
}

// targets are the domains that a dialog is about.
func (m *model) targets(d *dialog) (out []*state.DomainStatus) {
	for _, a := range d.asks {
		if _, domains, err := m.status().Targets(a.Target); err == nil {
			out = append(out, domains...)
		}
	}
	return out
}

func (m *model) aboutStart() []aspect {
	how := "The engine outlives this terminal: by the system's unit, by systemd-run or, without these, in a session of its own."
	if m.begun() {
		out := []aspect{does("An engine goes on where the journal stands. Each step observes before it acts.", how), takes("a few seconds until it answers; longer with very many domains")}
		if m.status().Engine == "running" {
			out = append(out, mind("The last engine ended without order: it resumes what was under way, and starts no new wave until one is approved."))
		}
		return append(out, undo("Q stops it at a safe point"))
	}
	first := m.plan.Waves[0]
	return []aspect{
		does(fmt.Sprintf("Begins the migration: the first wave, %s with %s, starts at once: preflight, TTLs, then its MX records change.", first.Name, report.Counted(len(first.Cutovers), "domain")),
			"Later waves wait at their gates. "+how),
		takes(m.waveTakes(0)),
		undo("H or P holds, R, W or : rolls back; Q stops the engine"),
		mind("mxcutover preflight checks everything and changes nothing: it is best run before."),
	}
}

// waveTakes says how long a wave takes at the least.
func (m *model) waveTakes(i int) string {
	w := &m.plan.Waves[i]
	var high, low uint32
	for j := range w.Cutovers {
		c := &w.Cutovers[j]
		low = max(low, c.After().TTL)
		if d := m.status().Domain(c.Domain); d == nil || !d.Steps[string(plan.AwaitTTL)].Done { // of the others they have run out
			high = max(high, c.Before().TTL)
		}
	}
	if high == 0 {
		return fmt.Sprintf("at least %s: caches within %s, then a soak of %s; the old TTLs have run out", report.Span(time.Duration(low)*time.Second+time.Duration(w.Gate.Soak)),
			seconds(low), report.Span(time.Duration(w.Gate.Soak)))
	}
	return fmt.Sprintf("at least %s: old TTLs of up to %s run out, then caches within %s, then a soak of %s", report.Span(time.Duration(high+low)*time.Second+time.Duration(w.Gate.Soak)),
		seconds(high), seconds(low), report.Span(time.Duration(w.Gate.Soak)))
}

func (m *model) aboutApprove(a state.Decision) []aspect {
	if a.Target == state.Isolate {
		return m.aboutIsolate()
	}
	waves, _, err := m.status().Targets(a.Target)
	if err != nil || len(waves) != 1 {
		return []aspect{mind(fmt.Sprint(err))}
	}
	i, before := 0, "It starts at once."
	for j := range m.status().Waves {
		w := &m.status().Waves[j]
		if w.Name == waves[0].Name {
			i = j
			break
		}
		if w.State != state.Live {
			before = fmt.Sprintf("It starts when wave %s is live, which is %s now, and no wave before is held.", w.Name, w.State)
		}
	}
	w := m.plan.Waves[i]
	out := []aspect{
		does(fmt.Sprintf("%s of wave %s may move: %s.", report.Counted(len(w.Cutovers), "domain"), w.Name, cutoverNames(w.Cutovers, 4)), before, "Gate: "+report.GateWords(w.Gate)),
		takes(m.waveTakes(i)), undo("holding (H, P) or rolling it back (R, W)"),
	}
	if w.Gate.Persons > 1 {
		out = append(out, mind(fmt.Sprintf("%d persons must approve, each as a user of their own; %d did.", w.Gate.Persons, len(waves[0].Asked))))
	}
	if waves[0].Held > 0 {
		out = append(out, mind(fmt.Sprintf("%d of its domains are held.", waves[0].Held)))
	}
	return out
}

func (m *model) aboutIsolate() []aspect {
	missing := 0
	var first string
	for _, l := range report.IsolationGate(&m.plan, m.status()) {
		if l.Severity != plan.Pass && l.Command == "" && !strings.HasPrefix(l.What, "a person") {
			if missing++; missing == 1 {
				first = l.What + ": " + l.Detail
			}
		}
	}
	out := []aspect{
		does("Once everything that must hold does, new connections to "+m.portsToClose()+" of the old server are refused, but from trusted networks; for a time only, and it is proven.",
			"It opens by itself unless that is confirmed (C)."),
		takes("seconds, once all domains are live and caches have let go"), undo("L (lift), or waiting: the kernel itself opens again"),
	}
	switch {
	case missing == 1:
		out = append(out, mind("One condition does not hold yet, or is not known, so it waits: "+first))
	case missing > 1:
		out = append(out, mind(fmt.Sprintf("%d conditions do not hold yet, or are not known, so it waits. The first: %s", missing, first)))
	}
	return out
}

func cutoverNames(all []plan.Cutover, most int) string {
	var names []string
	for _, c := range all[:min(len(all), most)] {
		names = append(names, name(c.Domain))
	}
	line := strings.Join(names, ", ")
	if n := len(all) - len(names); n > 0 {
		line += fmt.Sprintf(" and %s more", report.Number(n))
	}
	return line
}

// writers is how many domains the engine writes at once.
const writers = 8

func (m *model) aboutRollback(d *dialog) []aspect {
	domains := m.targets(d)
	moved, write, ttl := 0, time.Duration(0), uint32(0)
	for _, x := range domains {
		if !x.Moved() {
			continue
		}
		moved++
		ttl = max(ttl, x.TTL)
		if c, ok := m.status().Cutover(x.Domain); ok && x.TTL == 0 {
			ttl = max(ttl, c.After().TTL)
		}
		if r := x.Steps[string(plan.Publish)]; r.Done {
			write += max(r.DoneAt.At.Sub(r.Begun.At), 0)
		}
	}
	what := []string{
		fmt.Sprintf("Restores the journaled MX of %s, %s of them moved: %s.", report.Counted(len(domains), "domain"), report.Number(moved), bareList(domains, 12)),
		"Each is proven by a probe on the old path; then its old TTL is restored.",
	}
	if len(domains) == 1 {
		what = []string{"Restores the journaled MX, proves it by a probe on the old path, then restores the old TTL."}
		if moved == 0 {
			what[0] = "Its MX was not changed yet: what was done (a lower TTL) is taken back, and it does not move."
		}
	}
	switch left := len(m.status().Domains) - len(domains); {
	case left == 1:
		what = append(what, "One other domain is not touched.")
	case left > 1:
		what = append(what, report.Number(left)+" other domains are not touched.")
	}
	out := []aspect{does(what...)}
	if moved > 0 {
		out = append(out, takes(fmt.Sprintf("written within about %s; caches keep the gateway for up to %s after that, so it must go on accepting", report.Span(max(write/writers, time.Second)), seconds(ttl))))
	} else {
		out = append(out, takes("seconds"))
	}
	if m.status().Isolation.Closed {
		out = append(out, mind("The old server is opened first, and proven open: no MX goes back before that."))
	}
	out = append(append(out, m.driftWords(d)...), undo("T (retry), which begins anew"))
	return append(out, m.restored(d, domains)...)
}

// mostRestored is of how many domains a dialog shows what a rollback restores.
const mostRestored = 3

// restored are the records that a rollback takes away and puts back.
func (m *model) restored(d *dialog, domains []*state.DomainStatus) []aspect {
	if c := d.asks[0].Drift; c == state.Adopt || c == state.Skip {
		return nil // they stay
	}
	a := aspect{word: records}
	for _, x := range domains[:min(len(domains), mostRestored)] {
		c, ok := m.status().Cutover(x.Domain)
		switch {
		case !ok:
		case x.Moved() && x.State != state.IsDrifted:
			a.lines = append(a.lines, m.p.Diff(c.After(), report.Restores(*x, c), "")...)
		default: // what is there now is not ours, or was never changed
			a.lines = append(a.lines, asLines("+", c.Before())...)
		}
	}
	if n := len(domains) - mostRestored; n > 0 {
		a.lines = append(a.lines, fmt.Sprintf("and those of %s more: p has each domain's", report.Number(n)))
	}
	return []aspect{a}
}

// asLines are an RRset's lines of a master file, each behind a mark.
func asLines(mark string, s rrset.Set) []string {
	var out []string
	for l := range strings.Lines(s.String()) {
		out = append(out, mark+" "+strings.TrimSuffix(l, "\n"))
	}
	return out
}

// driftWords say what becomes of a record that somebody else changed.
func (m *model) driftWords(d *dialog) []aspect {
	if len(d.drifts) == 0 {
		return nil
	}
	back := d.asks[0].Verb == state.Rollback
	words := map[state.Drift]string{
		"":          "is looked at again, and not written while it differs",
		state.Adopt: map[bool]string{false: "is built upon; a later rollback ends with it", true: "stays, and counts as rolled back"}[back],
		state.Force: map[bool]string{false: "is OVERWRITTEN with ours", true: "is OVERWRITTEN with the snapshot"}[back],
		state.Skip:  "stays, and the domain is left out of the migration",
	}
	now := d.asks[0].Drift
	flag := "no flag"
	if now != "" {
		flag = "--" + string(now)
	}
	out := []aspect{mind("Somebody else changed the record. It "+words[now]+" ("+flag+").", "Tab chooses another: look again, adopt, force, skip.")}
	domains := m.targets(d)
	if len(domains) != 1 {
		return out
	}
	out = append(out, aspect{word: "found", lines: []string{domains[0].Reason}})
	if c, ok := m.status().Cutover(domains[0].Domain); ok && now == state.Force && !back {
		out = append(out, aspect{word: records, lines: asLines("+", c.After())})
	}
	return out
}

func (m *model) aboutRetry(d *dialog) []aspect {
	domains := m.targets(d)
	anew := 0
	for _, x := range domains {
		if x.State == state.IsRolledBack || x.State == state.IsSkipped {
			anew++
		}
	}
	what := m.subject(d) + ": taken up where it stands. Each step observes before it acts."
	if d.asks[0].Target == state.Isolate {
		what = "The evidence for isolation is gathered anew."
	}
	out := []aspect{does(what)}
	if anew > 0 {
		out = append(out, mind(fmt.Sprintf("%d of them were rolled back or skipped: they begin anew, with the preflight, and their MX changes.", anew)))
	}
	out = append(out, m.driftWords(d)...)
	return append(out, takes("what the steps take that are left"), undo("holding (H) or rolling back (R)"))
}
