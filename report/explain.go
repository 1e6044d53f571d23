package report

import (
	"fmt"
	"strings"

	"mxcutover/plan"
	"mxcutover/rrset"
	"mxcutover/state"
)

// Explain says why a domain is in its state and what can be done, a line each.
func (p Printer) Explain(d state.DomainStatus, c plan.Cutover) []string {
	name := rrset.Bare(d.Domain)
	lines := []string{fmt.Sprintf("%s %s is %s, in wave %s", p.paint(ToneOf(d.State), p.Symbol(ToneOf(d.State))), Harmless(name), d.State, Harmless(d.Wave))}
	if !d.Since.IsZero() {
		lines[0] += " since " + d.Since.UTC().Format("2006-01-02 15:04:05Z")
	}
	if d.Reason != "" {
		lines = append(lines, "  why: "+Harmless(d.Reason))
	}
	if d.Step != "" {
		lines = append(lines, "  now: "+or(stepBegun[plan.KindOf(d.Step)], d.Step))
	}
	if !d.Until.IsZero() {
		lines = append(lines, "  until: "+d.Until.UTC().Format("2006-01-02 15:04:05Z"))
	}
	for _, f := range d.Findings {
		if f.Severity == plan.Fail || f.Severity == plan.Unknown {
			lines = append(lines, fmt.Sprintf("  %s %s %s: %s", f.Severity, f.Check, Harmless(f.Target), Harmless(f.Detail)))
		}
	}
	if f := asked(&d); f != nil && f.Evidence != "" {
		lines = append(lines, "  a person makes this change; the letter to them:")
		for l := range strings.Lines(f.Evidence) {
			lines = append(lines, strings.TrimRight("    | "+Harmless(strings.TrimSuffix(l, "\n")), " "))
		}
	}
	for _, s := range c.Steps {
		mark, when := p.Symbol(Quiet), ""
		if r, ok := d.Steps[s.ID]; ok {
			mark, when = p.Symbol(Busy), Clock(r.Begun.At)
			if r.Done {
				mark, when = p.Symbol(Good), Clock(r.DoneAt.At)
			}
		}
		lines = append(lines, strings.TrimRight(fmt.Sprintf("  %s %-10s %s", mark, s.ID, when), " "))
	}
	switch {
	case d.State == state.IsRolledBack: // what stands there now is what it had
	case d.Moved():
		lines = append(lines, "  what a rollback restores:")
		lines = append(lines, p.Diff(c.After(), Restores(d, c), "    ")...)
	default:
		lines = append(lines, "  what the plan changes:")
		lines = append(lines, p.Diff(c.Before(), c.After(), "    ")...)
	}
	return append(lines, p.advice(d, name)...)
}

// Restores is the MX with which a rollback ends: the one that was there before the
// first write, or what somebody else wrote after that and was adopted.
func Restores(d state.DomainStatus, c plan.Cutover) rrset.Set {
	out, known := c.Before(), false
	for _, s := range c.Steps {
		if s.Kind != plan.LowerTTL && s.Kind != plan.Publish {
			continue
		}
		if r := d.Steps[s.ID]; r.Intent.Snapshot != nil && !r.Kept && (!known || r.Intent.Base) {
			out, known = *r.Intent.Snapshot, true
		}
	}
	return out
}

// asked is the change that a person was asked for and has not made.
func asked(d *state.DomainStatus) *plan.Finding {
	for i := range d.Findings {
		if f := &d.Findings[i]; f.Check == plan.HandCheck && f.Severity == plan.Unknown {
			return f
		}
	}
	return nil
}

// advice is what can be done, as commands to type.
func (p Printer) advice(d state.DomainStatus, name string) []string {
	q := Quote(name)
	retry := "    mxcutover retry --domain " + q + "      go on, once the cause is mended"
	back := fmt.Sprintf("    mxcutover rollback --domain %s --confirm %s", q, q)
	lines := []string{"  what can be done:"}
	switch {
	case d.Paused:
		return append(lines, "    mxcutover resume --domain "+q+"     take the hold back", back)
	case d.State == state.IsHeld:
		return append(lines, retry, back)
	case d.State == state.IsDrifted:
		return append(lines,
			"    mxcutover retry --domain "+q+" --adopt    build upon what is there now",
			fmt.Sprintf("    mxcutover retry --domain %s --force --confirm %s    overwrite it", q, q),
			"    mxcutover retry --domain "+q+" --skip     leave the domain as it is, out of the migration",
			"    mxcutover retry --domain "+q+"            look again, once it was put back", back)
	case d.State == state.IsRolledBack:
		return append(lines, "    mxcutover retry --domain "+q+"      begin anew, once the cause is mended")
	case d.State == state.IsInDoubt:
		return append(lines, "    wait: it is looked at again when the write can no longer come late")
	case d.State == state.IsRollingBack:
		return append(lines, "    wait: it is going back")
	}
	return append(lines, "    mxcutover hold --domain "+q+"       start nothing new", back)
}

// Diff is the change of an RRset as lines of a master file, before and after.
func (p Printer) Diff(before, after rrset.Set, indent string) []string {
	var out []string
	add := func(t Tone, mark string, s rrset.Set) {
		for _, l := range strings.Split(strings.TrimSuffix(s.String(), "\n"), "\n") {
			out = append(out, indent+p.paint(t, mark+" "+Harmless(l)))
		}
	}
	add(Bad, "-", before)
	add(Good, "+", after)
	return out
}
