package report

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"mxcutover/plan"
	"mxcutover/rrset"
	"mxcutover/state"
)

// A Line is one of the conditions under which the old server may be closed, or kept so.
type Line struct {
	What     string        `json:"what"`
	Check    string        `json:"check,omitempty"` // whose findings tell; see mxcutover checks
	Severity plan.Severity `json:"severity"`        // pass = it holds; unknown = not yet, or could not be asked
	Detail   string        `json:"detail"`
	At       time.Time     `json:"at,omitzero"`       // of the evidence
	Until    time.Time     `json:"until,omitzero"`    // what is waited for
	Command  string        `json:"command,omitempty"` // what a person does next
}

// conditions are those that findings tell of, in the order in which they are asked.
var conditions = []struct{ check, what string }{
	{"old.names", "no name leads to the old server"},
	{"old.log", "the old server's log was read"},
	{"old.stragglers", "nobody legitimate comes past the gateway"},
	{"old.replay", "no user, relay or other name would be cut off"},
	{"old.source", "the old server sees true source addresses"},
	{"old.trust", "each node of the gateway gets in"},
	{"old.containers", "networks within the old server are let in"},
	{"old.closed", "refused from outside"},
	{"redirect.host", "the gateway answers at the old address"},
	{"redirect.source", "the gateway sees true source addresses there"},
	{"redirect.relay", "the gateway relays for nobody there"},
	{"probe.arrival", "mail arrives by the public way"},
	{"old.inside", "its own mail works, and a new login"},
	{"old.ssh", "SSH opens as before"},
}

// afterArming are of no meaning before something is armed. Of these, some are asked
// only where a person loads the rules, and some never there.
var (
	afterArming = []string{"old.closed", "redirect.host", "redirect.source", "redirect.relay", "probe.arrival", "old.inside", "old.ssh"}
	byHandAlone = []string{"redirect.host", "redirect.source", "redirect.relay", "old.ssh"}
)

// askedFor tells whether a condition is one of this site's.
func askedFor(check string, i *state.IsolationStatus) bool {
	of := func(prefix string) bool {
		return slices.ContainsFunc(i.Findings, func(f plan.Finding) bool { return strings.HasPrefix(f.Check, prefix) })
	}
	redirected := of("redirect.")
	switch {
	case slices.Contains(afterArming, check) && !i.Closed:
		return false
	case !i.Hand:
		return !slices.Contains(byHandAlone, check)
	case check == "old.inside", check == "old.closed" && redirected:
		return false
	case strings.HasPrefix(check, "redirect."):
		return redirected
	}
	return true
}

// IsolationGate is all that must hold for isolation to go on, with its evidence, when
// that is from, and what is missing.
func IsolationGate(p *plan.Plan, st *state.Status) []Line {
	i := &st.Isolation
	out := []Line{allLive(st), letGo(p, st)}
	for _, c := range conditions {
		if !askedFor(c.check, i) || c.check == "old.containers" && !has(i.Findings, c.check) {
			continue
		}
		out = append(out, condition(c.what, c.check, i.Findings))
	}
	return append(out, persons(p, i)...)
}

func has(found []plan.Finding, check string) bool {
	return slices.ContainsFunc(found, func(f plan.Finding) bool { return f.Check == check })
}

func allLive(st *state.Status) Line {
	l := Line{What: "every domain is live", Severity: plan.Pass}
	n, first := 0, ""
	for _, d := range st.Domains {
		switch d.State {
		case state.Live, state.Settled:
			n++
			if d.Since.After(l.At) {
				l.At = d.Since
			}
		default:
			if first == "" {
				first = rrset.Bare(d.Domain) + ": " + string(d.State)
			}
		}
	}
	l.Detail = fmt.Sprintf("%d of %d", n, len(st.Domains))
	if n < len(st.Domains) {
		l.Severity, l.Detail = plan.Unknown, l.Detail+"; "+first
	}
	return l
}

// letGo is the wait for caches, and for isolate.after.
func letGo(p *plan.Plan, st *state.Status) Line {
	l := Line{What: "caches have let go, and isolate.after has passed", Severity: plan.Unknown, Detail: "it is waited for once every domain is live"}
	for _, s := range p.Isolate {
		if s.Kind != plan.Observe {
			continue
		}
		switch r, begun := st.Isolation.Steps[s.ID]; {
		case r.Done:
			l.Severity, l.Detail, l.At = plan.Pass, "", r.DoneAt.At
		case begun:
			l.Severity, l.Detail, l.Until = plan.Unknown, "waited for", r.Intent.Until
			return l
		}
	}
	return l
}

// condition sums findings up: the worst counts.
func condition(what, check string, found []plan.Finding) Line {
	l := Line{What: what, Check: check, Severity: plan.Unknown, Detail: "not asked yet"}
	order := map[plan.Severity]int{plan.Pass: 1, plan.Warn: 2, plan.Unknown: 3, plan.Fail: 4}
	worst, n := 0, 0
	for _, f := range found {
		if f.Check != check {
			continue
		}
		if n++; order[f.Severity] > worst {
			worst, l.Severity, l.Detail = order[f.Severity], f.Severity, rrset.Bare(f.Target)+": "+f.Detail
		}
		if f.At.After(l.At) {
			l.At = f.At
		}
	}
	if n > 1 {
		l.Detail += fmt.Sprintf(" (1 of %d findings)", n)
	}
	return l
}

// persons are what persons say.
func persons(p *plan.Plan, i *state.IsolationStatus) []Line {
	approve := Line{What: "a person approved", Severity: plan.Pass}
	needed := 1
	for _, w := range p.Waves {
		needed = max(needed, w.Gate.Persons)
	}
	if !i.Approved && i.State != state.IsolationConfirmed {
		approve.Severity, approve.Detail = plan.Unknown, "not yet"
		if needed > 1 {
			approve.Detail = fmt.Sprintf("%d of %d persons", len(i.Asked), needed)
		}
		if i.State == state.IsolationObserved {
			approve.Command = "mxcutover approve --isolate"
		}
	}
	out := []Line{approve}
	if l, ok := byHand(i); ok {
		out = append(out, l)
	}
	keep := Line{What: "a person confirmed", Severity: plan.Pass}
	if i.State == state.IsDrifted {
		return []Line{approve, keep}
	}
	if !i.Keep && i.State != state.IsolationConfirmed {
		keep.Severity, keep.Detail = plan.Unknown, "not yet"
		if i.Closed { // before that it is not yet to be confirmed
			keep.Until = i.Until
		}
		switch {
		case i.Stuck():
			if i.Asks == "" && !i.Lift {
				keep.Command = closeAgain
			}
		case i.State == state.IsolationProven:
			keep.Command = "mxcutover isolate confirm --confirm isolate"
		}
	}
	return append(out, keep)
}

// byHand is what a person loads into a firewall that is theirs, or takes out of it.
func byHand(i *state.IsolationStatus) (Line, bool) {
	l := Line{What: "a person loaded the rules, or opened again", Check: plan.HandFirewall, Severity: plan.Pass}
	for _, f := range i.Findings {
		if f.Check == plan.HandFirewall {
			l.Severity, l.Detail, l.At = f.Severity, f.Target+": "+f.Detail, f.At
		}
	}
	l.Command = askedCommand(i)
	return l, i.Hand
}

// askedCommand is what a person says once they have done what they are asked for.
func askedCommand(i *state.IsolationStatus) string {
	switch {
	case i.Asks == "":
		return ""
	case strings.HasPrefix(i.Asks, state.OpeningTable):
		return "mxcutover isolate lift"
	case i.Held:
		return "mxcutover isolate status"
	}
	return "mxcutover isolate done --confirm " + Quote(i.Asks)
}

// IsolationStatus writes how isolation stands, line by line.
func (p Printer) IsolationStatus(w io.Writer, pl *plan.Plan, st *state.Status) error {
	b := bufio.NewWriter(w)
	i := &st.Isolation
	fmt.Fprintf(b, "isolation: %s\n", p.paint(ToneOf(i.State), isolationWords(i)))
	if i.Reason != "" {
		fmt.Fprintf(b, "  %s\n", Harmless(i.Reason))
	}
	if !i.Until.IsZero() && i.Closed && i.State != state.IsolationConfirmed {
		fmt.Fprintf(b, "  until %s%s\n", stamp(i.Until), opensBy(i))
	}
	for _, l := range IsolationGate(pl, st) {
		t := severityTone(l.Severity)
		fmt.Fprintf(b, "%s %s %s", p.paint(t, p.Symbol(t)), Pad(string(l.Severity), 7), Pad(l.What, 48))
		if !l.At.IsZero() {
			fmt.Fprintf(b, "  %s", stamp(l.At))
		}
		if !l.Until.IsZero() {
			fmt.Fprintf(b, "  until %s", stamp(l.Until))
		}
		if l.Detail != "" {
			fmt.Fprintf(b, "  %s", Harmless(l.Detail))
		}
		fmt.Fprintln(b)
	}
	if err := b.Flush(); err != nil {
		return err
	}
	if i.State == state.IsDrifted {
		fmt.Fprintf(w, "next: %s\n", closeAgain)
	}
	for _, l := range IsolationGate(pl, st) {
		if l.Command != "" {
			fmt.Fprintf(w, "next: %s\n", l.Command)
		}
	}
	return nil
}

// isolationWords are its state, and whether it waits for a person.
func isolationWords(i *state.IsolationStatus) string {
	if i.Held {
		return string(i.State) + ", held"
	}
	return string(i.State)
}

// opensBy says who opens when the time is over, where that is not the kernel.
func opensBy(i *state.IsolationStatus) string {
	if i.Hand {
		return ", then you are told to open it: nothing opens by itself"
	}
	return ""
}

// IsolationJSON writes the same for programs.
func IsolationJSON(w io.Writer, pl *plan.Plan, st *state.Status) error {
	i := &st.Isolation
	gate := IsolationGate(pl, st)
	found := append([]plan.Finding{}, i.Findings...)
	return encode(w, object{
		"v": version, "state": i.State, "reason": i.Reason, "held": i.Held, "closed": i.Closed, "hand": i.Hand, "asks": i.Asks, "said": i.Said, "until": optional(i.Until), "gate": gate, "findings": found,
	})
}

func optional(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}
