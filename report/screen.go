package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"mxcutover/plan"
	"mxcutover/state"
)

// ToneOfEvent is how an event is to be taken.
func ToneOfEvent(e state.Event) Tone {
	t, _ := eventWords(e)
	return t
}

// ToneOfSeverity is how a finding is to be taken.
func ToneOfSeverity(s plan.Severity) Tone { return severityTone(s) }

// Told tells whether an event is one that a person would want to be told: a
// decision, a trouble or a milestone.
func Told(e state.Event) bool { return classOf(e) != "" }

// About is whom an event is about: a bare domain, "wave NAME", "old server" or
// "engine". It may hold foreign text.
func About(e state.Event) string { return whose(e) }

// StepWords say what a step is doing, or once it is done what it has come to.
func StepWords(k plan.Kind, done bool) string {
	if done {
		return or(stepDone[k], string(k)+" done")
	}
	return or(stepBegun[k], string(k))
}

// GateWords say what a gate asks for.
func GateWords(g plan.Gate) string {
	line := fmt.Sprintf("approval %s, soak %s, stops later waves at %d failed", cmp.Or(string(g.Approve), "manual"), short24(g.Soak), max(g.Failures, 1))
	if g.Persons > 1 {
		line += fmt.Sprintf(", %d persons approve", g.Persons)
	}
	if g.Consecutive > 0 {
		line += fmt.Sprintf(", or %d in a row", g.Consecutive)
	}
	if len(g.Windows) > 0 {
		var all []string
		for _, w := range g.Windows {
			all = append(all, w.String())
		}
		line += ", published " + strings.Join(all, " or ") + " " + cmp.Or(g.Zone, "UTC")
	}
	if g.AvoidPeak {
		line += ", not in a domain's peak hour"
	}
	return line
}

// short24 is a duration as Go writes it, without the zeros at its end.
func short24(d plan.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// Blocks draws numbers from 0 to 1 as a row of blocks, one column each.
func (p Printer) Blocks(shares []float64) string {
	blocks := []rune("▁▂▃▄▅▆▇█")
	if p.ASCII {
		blocks = []rune("_.-=+*#@")
	}
	var b strings.Builder
	for _, x := range shares {
		b.WriteRune(blocks[max(min(int(x*float64(len(blocks)-1)), len(blocks)-1), 0)])
	}
	return b.String()
}

// Bar draws a share, from 0 to 1, of so many columns; the rest is filled up.
func (p Printer) Bar(share float64, width int) string {
	full, rest := "█", "░"
	if p.ASCII {
		full, rest = "#", "."
	}
	n := max(min(int(share*float64(width)), width), 0)
	if share > 0 && n == 0 && width > 0 {
		n = 1
	}
	return strings.Repeat(full, n) + strings.Repeat(rest, max(width-n, 0))
}

// Took is a time that a message took, in the unit that reads best.
func Took(d time.Duration) string { return milliseconds(d) }

// Number writes a count with commas between thousands.
func Number(n int) string { return number(n) }

// Words are a need on one line, without its command.
func (n Need) Words() string { return Harmless(n.words()) }

// Tone is how urgent it is.
func (n Need) Tone() Tone { return n.tone }

// A Group is findings that say the same of several targets. Its words may hold
// foreign text, but for Who.
type Group struct {
	Severity       plan.Severity
	Check, Detail  string
	Vantage        string
	Who            string   // a few targets, harmless
	Targets        []string // bare, all of them
	severityWeight int
}

// Groups put together what findings say of several targets, the bad ones first.
func Groups(found []Found) []Group {
	all := groups(Gather(found))
	out := make([]Group, len(all))
	for i, g := range all {
		out[i] = Group{Severity: normal(g.severity), Check: g.check, Detail: g.detail, Vantage: g.vantage, Who: g.who(3), Targets: g.targets, severityWeight: severityOrder(g.severity)}
	}
	slices.SortStableFunc(out, func(a, b Group) int { return cmp.Compare(a.severityWeight, b.severityWeight) })
	return out
}

// Findings are the last ones of the whole migration: the plan's, each domain's, and
// those of isolation.
func (s *Story) Findings(p *plan.Plan) []Found {
	var all []Found
	for _, f := range p.Findings {
		all = append(all, Of("", []plan.Finding{f})...)
	}
	for i := range s.Status.Domains {
		all = append(all, Of(s.Domains[i].Domain, s.Status.Domains[i].Findings)...)
	}
	return append(all, Of("", s.Status.Isolation.Findings)...)
}
